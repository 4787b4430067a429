//! A whole platform in one process, clock and mailbox in hand.
