//! Schedules, each as one value that is replaced as a whole.

use async_trait::async_trait;
use guichet_contract::{Schedule, ScheduleId};
use rusqlite::{OptionalExtension as _, params};

use super::{
    SqliteStore,
    columns::integer,
    fault::{Fault, OrConflict as _},
    writing::Writing,
};
use crate::{Schedules, StoreError};

/// A new schedule. Conflict when its id or its name exists.
pub(super) fn insert(writing: &mut Writing<'_>, schedule: &Schedule) -> Result<(), Fault> {
    writing
        .connection()
        .prepare_cached("INSERT INTO schedules (id, name, revision, body) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![
            schedule.id.to_string(),
            schedule.name,
            integer(schedule.revision),
            serde_json::to_string(&schedule.clone().kept())?
        ])
        .or_conflict(|| format!("schedule {} (its id or its name exists)", schedule.name))?;
    Ok(())
}

const REPLACE: &str = "UPDATE schedules SET revision = ?2, body = ?3 WHERE id = ?1 AND revision = ?2 - 1";

/// The schedule as it is now. Conflict unless the one that is kept has the revision before.
pub(super) fn replace(writing: &mut Writing<'_>, schedule: &Schedule) -> Result<(), Fault> {
    let changed = writing.connection().prepare_cached(REPLACE)?.execute(params![
        schedule.id.to_string(),
        integer(schedule.revision),
        serde_json::to_string(&schedule.clone().kept())?
    ])?;
    seen(changed, &schedule.name)
}

/// Removes it. Conflict unless it has this revision.
pub(super) fn delete(writing: &mut Writing<'_>, schedule: ScheduleId, revision: u64) -> Result<(), Fault> {
    let changed = writing
        .connection()
        .prepare_cached("DELETE FROM schedules WHERE id = ?1 AND revision = ?2")?
        .execute(params![schedule.to_string(), integer(revision)])?;
    seen(changed, &schedule.to_string())
}

fn seen(changed: usize, which: &str) -> Result<(), Fault> {
    if changed == 1 { Ok(()) } else { Err(Fault::Conflict(format!("schedule {which} (changed meanwhile)"))) }
}

const BEHIND: &str = "SELECT body FROM schedules WHERE name > ?1 ORDER BY name LIMIT ?2";

#[async_trait]
impl Schedules for SqliteStore {
    async fn schedule(&self, id: ScheduleId) -> Result<Option<Schedule>, StoreError> {
        self.one_schedule("SELECT body FROM schedules WHERE id = ?1", id.to_string()).await
    }

    async fn schedule_by_name(&self, name: &str) -> Result<Option<Schedule>, StoreError> {
        self.one_schedule("SELECT body FROM schedules WHERE name = ?1", name.to_owned()).await
    }

    async fn schedules(&self, after: Option<&str>, limit: usize) -> Result<Vec<Schedule>, StoreError> {
        // No name is as short as the empty one.
        let after = after.unwrap_or_default().to_owned();
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(BEHIND)?;
            let mut rows = statement.query(params![after, integer(limit)])?;
            let mut schedules = Vec::new();
            while let Some(row) = rows.next()? {
                schedules.push(serde_json::from_str(&row.get::<_, String>(0)?)?);
            }
            Ok(schedules)
        })
        .await
    }
}

impl SqliteStore {
    async fn one_schedule(&self, query: &'static str, key: String) -> Result<Option<Schedule>, StoreError> {
        self.read(move |connection| {
            let body: Option<String> =
                connection.prepare_cached(query)?.query_row([key], |row| row.get(0)).optional()?;
            Ok(body.map(|body| serde_json::from_str(&body)).transpose()?)
        })
        .await
    }
}
