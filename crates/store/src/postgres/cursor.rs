//! Where a list goes on: the sort key of the last row that was given. Opaque to callers.

use guichet_contract::RunId;

use super::fault::Fault;
use crate::PageRequest;

/// The most rows of a page.
const LIMIT: usize = 500;

/// How many rows this page has at most.
pub(super) fn limit(page: &PageRequest) -> usize {
    page.limit.clamp(1, LIMIT)
}

/// After a run: its moment of making (microseconds) and its id, because two may share a moment.
pub(super) fn of_run(created_at: i64, id: RunId) -> String {
    format!("{created_at:x}.{}", id.0.simple())
}

/// Reads what [`of_run`] wrote.
pub(super) fn read_run(cursor: &str) -> Result<(i64, RunId), Fault> {
    cursor
        .split_once('.')
        .and_then(|(at, id)| Some((i64::from_str_radix(at, 16).ok()?, id.parse().ok()?)))
        .ok_or(Fault::BadCursor)
}

/// After a record: its index.
pub(super) fn of_record(index: u64) -> String {
    format!("{index:x}")
}

/// Reads what [`of_record`] wrote.
pub(super) fn read_record(cursor: &str) -> Result<u64, Fault> {
    u64::from_str_radix(cursor, 16).map_err(|_| Fault::BadCursor)
}
