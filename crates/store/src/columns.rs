//! How values of ours stand in the columns of either store, and are read from them.

use jiff::Timestamp;

use crate::StoreError;

/// What was read is not what was written.
#[derive(Debug)]
pub(crate) enum Unreadable {
    /// A cursor that no store gave.
    Cursor,
    /// A value; says which.
    Value(String),
}

impl From<Unreadable> for StoreError {
    fn from(unreadable: Unreadable) -> Self {
        match unreadable {
            Unreadable::Cursor => Self::BadCursor,
            Unreadable::Value(what) => Self::Corrupt(what),
        }
    }
}

/// Microseconds since 1970.
pub(crate) fn micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}

/// The moment of a column of microseconds.
pub(crate) fn moment(micros: i64) -> Result<Timestamp, Unreadable> {
    Timestamp::from_microsecond(micros)
        .map_err(|error| Unreadable::Value(format!("{micros} is no moment: {error}")))
}

/// The moment of a column that may be empty.
pub(crate) fn moment_if_any(micros: Option<i64>) -> Result<Option<Timestamp>, Unreadable> {
    micros.map(moment).transpose()
}

/// A count or index as a store holds it. What is beyond 2⁶³ reads as the greatest: no row has it.
pub(crate) fn integer(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

/// A count or index as it was.
pub(crate) fn count(integer: i64) -> Result<u64, Unreadable> {
    u64::try_from(integer).map_err(|_| Unreadable::Value(format!("{integer} where a count was expected")))
}
