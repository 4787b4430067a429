//! What followers of a run are told, numbered within the run.

use async_trait::async_trait;
use guichet_contract::{EventKind, RunEvent, RunId};
use jiff::Timestamp;

use super::{
    PostgresStore,
    columns::{Column, count, integer, micros, moment, values},
    fault::Fault,
    unit::{Turn, Unit, Wants},
};
use crate::{Events, StoreError};

// A statement of its own: the next one sees what another replica committed while this one waited.
const LOCK: &str = "SELECT 1 FROM runs WHERE id = $1 FOR NO KEY UPDATE";

// The run is locked, so the greatest number plus one is free, and what was taken back leaves no gap.
const APPEND: &str = "
    INSERT INTO events (run, seq, at, body)
    SELECT run, (SELECT coalesce(max(seq), 0) FROM events WHERE events.run = next.run) + place, at, body
    FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::text[]) AS next (run, place, at, body)";

/// The next events of a run, in their order. Conflict when there is no such run.
pub(super) fn append(unit: &mut Unit, run: RunId, events: &[(Timestamp, &EventKind)]) -> Result<(), Fault> {
    let runs = vec![run.0; events.len()];
    let places: Vec<i64> = (1..).take(events.len()).collect();
    let at: Vec<i64> = events.iter().map(|(at, _)| micros(*at)).collect();
    let bodies = events.iter().map(|(_, kind)| serde_json::to_string(kind)).collect::<Result<Vec<_>, _>>()?;
    let conflict = format!("run {run} (no such run)");
    if !unit.locked.contains(&run) {
        unit.one(LOCK, values![run.0], conflict.clone());
        unit.locked.push(run);
    }
    let columns: Vec<Box<dyn Column>> =
        vec![Box::new(runs), Box::new(places), Box::new(at), Box::new(bodies)];
    unit.alike((Turn::AppendEvents, APPEND, Wants::Rows(events.len() as u64)), columns, run.0, conflict);
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
