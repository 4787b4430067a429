//! How values of ours stand in columns, and are read from them.

use guichet_contract::Digest;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use tokio_postgres::types::ToSql;

use super::fault::Fault;

/// A value of a statement.
pub(super) type Value = Box<dyn ToSql + Sync + Send>;

/// Boxes what is handed in, in order: `values![id, text]`.
macro_rules! values {
    ($($value:expr),* $(,)?) => {
        vec![$(Box::new($value) as $crate::postgres::columns::Value),*]
    };
}
pub(super) use values;

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

/// A count or index as PostgreSQL holds it. What is beyond 2⁶³ reads as the greatest: no row has it.
pub(super) fn integer(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

/// A count or index as it was.
pub(super) fn count(integer: i64) -> Result<u64, Fault> {
    u64::try_from(integer).map_err(|_| Fault::Corrupt(format!("{integer} where a count was expected")))
}

/// A state, a kind: whatever is written as its word.
pub(super) fn word<T: DeserializeOwned>(text: &str) -> Result<T, Fault> {
    serde_json::from_value(text.into())
        .map_err(|_| Fault::Corrupt(format!("`{text}` is not the word that was expected")))
}

/// A digest.
pub(super) fn digest(text: &str) -> Result<Digest, Fault> {
    word(text)
}

/// A text that is searched by. PostgreSQL's text holds no U+0000; the record itself has the last word.
pub(super) fn searchable(text: &str) -> String {
    text.replace('\0', "\u{FFFD}")
}
