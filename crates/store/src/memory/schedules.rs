//! Schedules, each as one value that is replaced as a whole.

use async_trait::async_trait;
use guichet_contract::{Schedule, ScheduleId};

use super::{
    MemoryStore,
    writing::{Writing, conflict},
};
use crate::{CommitError, Schedules, StoreError};

/// A new schedule. Conflict when its id or its name exists.
pub(super) fn insert(writing: &mut Writing<'_>, schedule: Schedule) -> Result<(), CommitError> {
    let taken = |other: &Schedule| other.id == schedule.id || other.name == schedule.name;
    if writing.state.schedules.values().any(taken) {
        return Err(conflict(format!("schedule {} (its id or its name exists)", schedule.name)));
    }
    writing.put(|state| &mut state.schedules, schedule.id, Some(schedule.kept()));
    Ok(())
}

/// The schedule, if it has the revision that was seen.
fn seen(
    writing: &Writing<'_>,
    id: ScheduleId,
    revision: Option<u64>,
    which: &str,
) -> Result<(), CommitError> {
    match writing.state.schedules.get(&id) {
        Some(found) if Some(found.revision) == revision => Ok(()),
        _ => Err(conflict(format!("schedule {which} (changed meanwhile)"))),
    }
}

/// The schedule as it is now. Conflict unless the one that is kept has the revision before.
pub(super) fn replace(writing: &mut Writing<'_>, schedule: Schedule) -> Result<(), CommitError> {
    seen(writing, schedule.id, schedule.revision.checked_sub(1), &schedule.name)?;
    writing.put(|state| &mut state.schedules, schedule.id, Some(schedule.kept()));
    Ok(())
}

/// Removes it. Conflict unless it has this revision.
pub(super) fn delete(writing: &mut Writing<'_>, id: ScheduleId, revision: u64) -> Result<(), CommitError> {
    seen(writing, id, Some(revision), &id.to_string())?;
    writing.put(|state| &mut state.schedules, id, None);
    Ok(())
}

#[async_trait]
impl Schedules for MemoryStore {
    async fn schedule(&self, id: ScheduleId) -> Result<Option<Schedule>, StoreError> {
        self.read(|state| Ok(state.schedules.get(&id).cloned()))
    }

    async fn schedule_by_name(&self, name: &str) -> Result<Option<Schedule>, StoreError> {
        self.read(|state| Ok(state.schedules.values().find(|schedule| schedule.name == name).cloned()))
    }

    async fn schedules(&self, after: Option<&str>, limit: usize) -> Result<Vec<Schedule>, StoreError> {
        self.read(|state| {
            let behind = |schedule: &&Schedule| after.is_none_or(|after| schedule.name.as_str() > after);
            let mut found: Vec<Schedule> = state.schedules.values().filter(behind).cloned().collect();
            found.sort_by(|one, other| one.name.cmp(&other.name));
            found.truncate(limit);
            Ok(found)
        })
    }
}
