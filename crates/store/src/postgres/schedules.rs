//! Schedules, each as one value that is replaced as a whole.

use async_trait::async_trait;
use guichet_contract::{Schedule, ScheduleId};
use tokio_postgres::Row;

use super::{
    PostgresStore,
    columns::{integer, searchable, values},
    fault::Fault,
    unit::Unit,
};
use crate::{Schedules, StoreError};

const INSERT: &str = "INSERT INTO schedules (id, name, revision, body) VALUES ($1, $2, $3, $4)";

/// A new schedule. Conflict when its id or its name exists.
pub(super) fn insert(unit: &mut Unit, schedule: &Schedule) -> Result<(), Fault> {
    let values = values![
        schedule.id.0,
        searchable(&schedule.name),
        integer(schedule.revision),
        serde_json::to_string(&schedule.clone().kept())?,
    ];
    unit.one(INSERT, values, format!("schedule {} (its id or its name exists)", schedule.name));
    Ok(())
}

const REPLACE: &str =
    "UPDATE schedules SET revision = $2::bigint, body = $3 WHERE id = $1 AND revision = $2::bigint - 1";

/// The schedule as it is now. Conflict unless the one that is kept has the revision before.
pub(super) fn replace(unit: &mut Unit, schedule: &Schedule) -> Result<(), Fault> {
    let values =
        values![schedule.id.0, integer(schedule.revision), serde_json::to_string(&schedule.clone().kept())?];
    unit.one(REPLACE, values, changed(&schedule.name));
    Ok(())
}

/// Removes it. Conflict unless it has this revision.
pub(super) fn delete(unit: &mut Unit, schedule: ScheduleId, revision: u64) {
    let delete = "DELETE FROM schedules WHERE id = $1 AND revision = $2";
    unit.one(delete, values![schedule.0, integer(revision)], changed(&schedule.to_string()));
}

fn changed(which: &str) -> String {
    format!("schedule {which} (changed meanwhile)")
}

fn read(row: &Row) -> Result<Schedule, Fault> {
    Ok(serde_json::from_str(row.try_get(0)?)?)
}

#[async_trait]
impl Schedules for PostgresStore {
    async fn schedule(&self, id: ScheduleId) -> Result<Option<Schedule>, StoreError> {
        let rows = self.rows("SELECT body FROM schedules WHERE id = $1", &[&id.0]).await?;
        self.first(&rows, read)
    }

    async fn schedule_by_name(&self, name: &str) -> Result<Option<Schedule>, StoreError> {
        let rows = self.rows("SELECT body FROM schedules WHERE name = $1", &[&searchable(name)]).await?;
        self.first(&rows, read)
    }

    async fn schedules(&self, after: Option<&str>, limit: usize) -> Result<Vec<Schedule>, StoreError> {
        // No name is as short as the empty one.
        let behind = "SELECT body FROM schedules WHERE name > $1 ORDER BY name LIMIT $2";
        let rows = self.rows(behind, &[&searchable(after.unwrap_or_default()), &integer(limit)]).await?;
        self.each(&rows, read)
    }
}
