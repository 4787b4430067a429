//! How values of ours stand in columns, and are read from them.

use std::str::FromStr;

use super::fault::Fault;
pub(super) use crate::columns::{count, integer, micros, moment, moment_if_any};

/// An id, a state: whatever is written as its word.
pub(super) fn word<T: FromStr>(text: &str) -> Result<T, Fault> {
    text.parse().map_err(|_| Fault::Corrupt(format!("`{text}` is not the word that was expected")))
}
