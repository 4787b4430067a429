//! How values of ours stand in columns, and are read from them.

use std::any::Any;

use guichet_contract::Digest;
use serde::de::DeserializeOwned;
use tokio_postgres::types::ToSql;

use super::fault::Fault;
pub(super) use crate::columns::{count, integer, micros, moment, moment_if_any};

/// A value of a statement.
pub(super) type Value = Box<dyn ToSql + Sync + Send>;

/// As a statement takes them.
pub(super) fn as_sql(values: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    values.iter().map(|value| &**value as _).collect()
}

/// Boxes what is handed in, in order: `values![id, text]`.
macro_rules! values {
    ($($value:expr),* $(,)?) => {
        vec![$(Box::new($value) as $crate::postgres::columns::Value),*]
    };
}
pub(super) use values;

/// What some rows give to one column of a statement that takes rows as columns: an array.
pub(super) trait Column: ToSql + Any + Sync + Send {
    fn value(&self) -> &(dyn ToSql + Sync);

    /// This and what other rows give to the same column, in this order; nothing when they are of different types.
    fn and(&self, others: &[&dyn Column]) -> Option<Value>;
}

impl<T: Clone + Sync + Send + 'static> Column for Vec<T>
where
    Self: ToSql,
{
    fn value(&self) -> &(dyn ToSql + Sync) {
        self
    }

    fn and(&self, others: &[&dyn Column]) -> Option<Value> {
        let mut all = self.clone();
        for other in others {
            all.extend_from_slice((*other as &dyn Any).downcast_ref::<Self>()?);
        }
        Some(Box::new(all))
    }
}

/// Boxes the columns of one row, in order: `row![id, text]`.
macro_rules! row {
    ($($value:expr),* $(,)?) => {
        vec![$(Box::new(vec![$value]) as Box<dyn $crate::postgres::columns::Column>),*]
    };
}
pub(super) use row;

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
