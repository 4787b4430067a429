//! How values of ours stand in columns, and are read from them.

use guichet_contract::Digest;
use serde::de::DeserializeOwned;
use tokio_postgres::types::ToSql;

use super::fault::Fault;
pub(super) use crate::columns::{count, integer, micros, moment, moment_if_any};

/// A value of a statement.
pub(super) type Value = Box<dyn ToSql + Sync + Send>;

/// Boxes what is handed in, in order: `values![id, text]`.
macro_rules! values {
    ($($value:expr),* $(,)?) => {
        vec![$(Box::new($value) as $crate::postgres::columns::Value),*]
    };
}
pub(super) use values;

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
