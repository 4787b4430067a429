//! What followers of a run are told, numbered within the run.

use async_trait::async_trait;
use guichet_contract::{EventKind, RunEvent, RunId};
use jiff::Timestamp;

use super::{
    PostgresStore,
    columns::{count, integer, micros, moment, values},
    fault::Fault,
    unit::Unit,
};
use crate::{Events, StoreError};

// A statement of its own: the next one sees what another replica committed while this one waited.
const LOCK: &str = "SELECT 1 FROM runs WHERE id = $1 FOR NO KEY UPDATE";

// The run is locked, so the greatest number plus one is free, and what was taken back leaves no gap.
const APPEND: &str = "
    INSERT INTO events (run, seq, at, body)
    VALUES ($1, (SELECT coalesce(max(seq), 0) + 1 FROM events WHERE run = $1), $2, $3)";

/// The next event of a run. Conflict when there is no such run.
pub(super) fn append(unit: &mut Unit, run: RunId, at: Timestamp, kind: &EventKind) -> Result<(), Fault> {
    let conflict = format!("run {run} (no such run)");
    if !unit.locked.contains(&run) {
        unit.one(LOCK, values![run.0], conflict.clone());
        unit.locked.push(run);
    }
    unit.one(APPEND, values![run.0, micros(at), serde_json::to_string(kind)?], conflict);
    unit.woken.runs.push(run);
    Ok(())
}

const READ: &str = "SELECT seq, at, body FROM events WHERE run = $1 AND seq > $2 ORDER BY seq LIMIT $3";

#[async_trait]
impl Events for PostgresStore {
    async fn events(&self, run: RunId, after: u64, limit: usize) -> Result<Vec<RunEvent>, StoreError> {
        let rows = self.rows(READ, &[&run.0, &integer(after), &integer(limit)]).await?;
        self.each(&rows, |row| {
            Ok(RunEvent {
                run,
                seq: count(row.try_get(0)?)?,
                at: moment(row.try_get(1)?)?,
                kind: serde_json::from_str(row.try_get(2)?)?,
            })
        })
    }
}
