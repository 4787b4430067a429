//! What followers of a run are told, numbered within the run.

use async_trait::async_trait;
use guichet_contract::{EventKind, RunEvent, RunId};
use jiff::Timestamp;
use rusqlite::params;

use super::{
    SqliteStore,
    columns::{count, integer, micros, moment},
    fault::{Fault, OrConflict as _},
    writing::Writing,
};
use crate::{Events, StoreError};

// One thread writes, so the greatest number plus one is free, and what was taken back leaves no gap.
const APPEND: &str = "
    INSERT INTO events (run, seq, at, body)
    VALUES (?1, (SELECT coalesce(max(seq), 0) + 1 FROM events WHERE run = ?1), ?2, ?3)";

/// The next event of a run. Conflict when there is no such run.
pub(super) fn append(
    writing: &mut Writing<'_>,
    run: RunId,
    at: Timestamp,
    kind: &EventKind,
) -> Result<(), Fault> {
    writing
        .connection()
        .prepare_cached(APPEND)?
        .execute(params![run.to_string(), micros(at), serde_json::to_string(kind)?])
        .or_conflict(|| format!("run {run} (no such run)"))?;
    writing.wake_run(run);
    Ok(())
}

const READ: &str = "SELECT seq, at, body FROM events WHERE run = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3";

#[async_trait]
impl Events for SqliteStore {
    async fn events(&self, run: RunId, after: u64, limit: usize) -> Result<Vec<RunEvent>, StoreError> {
        self.look(move |connection| {
            let mut statement = connection.prepare_cached(READ)?;
            let mut rows = statement.query(params![run.to_string(), integer(after), integer(limit)])?;
            let mut events = Vec::new();
            while let Some(row) = rows.next()? {
                events.push(RunEvent {
                    run,
                    seq: count(row.get(0)?)?,
                    at: moment(row.get(1)?)?,
                    kind: serde_json::from_str(&row.get::<_, String>(2)?)?,
                });
            }
            Ok(events)
        })
        .await
    }
}
