//! Where a list goes on: the sort key of the last row that was given. Opaque to callers, and the same in every store.

use guichet_contract::RunId;

use crate::{
    PageRequest,
    columns::{Unreadable, integer},
};

/// The most rows of a page.
const LIMIT: usize = 500;

/// How many rows this page has at most.
pub(crate) fn limit(page: &PageRequest) -> usize {
    page.limit.clamp(1, LIMIT)
}

/// How many rows to read for this page: one more than asked, to know whether there is a next.
pub(crate) fn rows_to_read(page: &PageRequest) -> i64 {
    integer(limit(page) + 1)
}

/// After a run: its moment of making (microseconds) and its id, because two may share a moment.
pub(crate) fn of_run(created_at: i64, id: RunId) -> String {
    format!("{created_at:x}.{}", id.0.simple())
}

/// Reads what [`of_run`] wrote.
pub(crate) fn read_run(cursor: &str) -> Result<(i64, RunId), Unreadable> {
    cursor
        .split_once('.')
        .and_then(|(at, id)| Some((i64::from_str_radix(at, 16).ok()?, id.parse().ok()?)))
        .ok_or(Unreadable::Cursor)
}

/// After a record: its index.
pub(crate) fn of_record(index: u64) -> String {
    format!("{index:x}")
}

/// Reads what [`of_record`] wrote.
pub(crate) fn read_record(cursor: &str) -> Result<u64, Unreadable> {
    u64::from_str_radix(cursor, 16).map_err(|_| Unreadable::Cursor)
}
