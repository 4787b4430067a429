//! What followers of a run are told, numbered within the run.

use async_trait::async_trait;
use guichet_contract::{EventKind, RunEvent, RunId};
use jiff::Timestamp;

use super::{
    MemoryStore,
    writing::{Writing, conflict},
};
use crate::{CommitError, Events, StoreError};

/// The next event of a run. Conflict when there is no such run.
pub(super) fn append(
    writing: &mut Writing<'_>,
    run: RunId,
    at: Timestamp,
    kind: EventKind,
) -> Result<(), CommitError> {
    if !writing.state.runs.contains_key(&run) {
        return Err(conflict(format!("run {run} (no such run)")));
    }
    let last = writing.state.events.range((run, 0)..=(run, u64::MAX)).next_back();
    let seq = last.map_or(1, |((_, seq), _)| seq + 1);
    writing.put(|state| &mut state.events, (run, seq), Some(RunEvent { run, seq, at, kind }));
    writing.wake_run(run);
    Ok(())
}

#[async_trait]
impl Events for MemoryStore {
    async fn events(&self, run: RunId, after: u64, limit: usize) -> Result<Vec<RunEvent>, StoreError> {
        let from = (run, after.saturating_add(1));
        self.read(|state| {
            Ok(state
                .events
                .range(from..=(run, u64::MAX))
                .take(limit)
                .map(|(_, event)| event.clone())
                .collect())
        })
    }
}
