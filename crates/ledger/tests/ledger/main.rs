//! The ledger held against other people's implementations, and against forgers.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops here")]

mod archives;
mod histories;
mod logs;
mod notes;
mod oracles;
mod rotation;
mod tampering;
