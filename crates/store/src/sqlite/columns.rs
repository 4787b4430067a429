//! How values of ours stand in columns, and are read from them.

use std::str::FromStr;

use jiff::Timestamp;

use super::fault::Fault;

/// Microseconds since 1970.
pub(super) fn micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}

/// The moment of a column of microseconds.
pub(super) fn moment(micros: i64) -> Result<Timestamp, Fault> {
    Timestamp::from_microsecond(micros)
        .map_err(|error| Fault::Corrupt(format!("{micros} is no moment: {error}")))
}

/// The moment of a column that may be empty.
pub(super) fn moment_if_any(micros: Option<i64>) -> Result<Option<Timestamp>, Fault> {
    micros.map(moment).transpose()
}

/// A count or index as SQLite holds it. What is beyond 2⁶³ reads as the greatest: no row has it.
pub(super) fn integer(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

/// A count or index as it was.
pub(super) fn count(integer: i64) -> Result<u64, Fault> {
    u64::try_from(integer).map_err(|_| Fault::Corrupt(format!("{integer} where a count was expected")))
}

/// An id, a state: whatever is written as its word.
pub(super) fn word<T: FromStr>(text: &str) -> Result<T, Fault> {
    text.parse().map_err(|_| Fault::Corrupt(format!("`{text}` is not the word that was expected")))
}
