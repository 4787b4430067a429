//! Decisions one by one, and in any interleaving.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops here")]

mod decisions;
mod interleavings;
mod people;
