//! What people are to be told, and who was told.

use async_trait::async_trait;
use guichet_contract::{Delivery, DeliveryId, JobId, Notice};
use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Row, params};
use uuid::Uuid;

use super::{
    SqliteStore,
    columns::{micros, moment, word},
    deliveries,
    fault::{Fault, OrConflict as _},
    writing::Writing,
};
use crate::{CommitError, DeliveriesFilter, Job, Notices, Page, PageRequest, StoreError, Told};

const ENQUEUE: &str =
    "INSERT INTO jobs (id, kind, run, due, attempts, notice) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

/// Something to tell. Conflict when the job's id exists, or when it is of another kind.
pub(super) fn enqueue(writing: &mut Writing<'_>, job: &Job, notice: &Notice) -> Result<(), Fault> {
    let text = serde_json::to_string(notice)?;
    writing
        .connection()
        .prepare_cached(ENQUEUE)?
        .execute(params![
            job.id.to_string(),
            job.kind.as_str(),
            job.run.to_string(),
            micros(job.due),
            job.attempts,
            text,
        ])
        .or_conflict(|| format!("job {} (its id exists, or its kind delivers no notice)", job.id))?;
    deliveries::begin(writing, job, notice, &text)?;
    writing.wake_jobs(job.kind);
    Ok(())
}

const NOTE: &str = "
    INSERT INTO deliveries (event, channel, recipient, run, at, given_up) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

/// Somebody was told, or never will be. Conflict when that was written before.
pub(super) fn note_told(writing: &mut Writing<'_>, told: &Told) -> Result<(), Fault> {
    writing
        .connection()
        .prepare_cached(NOTE)?
        .execute(params![
            told.event.to_string(),
            told.channel,
            told.recipient,
            told.run.to_string(),
            micros(told.at),
            told.given_up,
        ])
        .or_conflict(|| {
            let Told { event, channel, recipient, .. } = told;
            format!("telling of {event} through {channel} to `{recipient}` (it is noted already)")
        })?;
    Ok(())
}

const TOLD: &str = "
    SELECT event, channel, recipient, run, at, given_up FROM deliveries
    WHERE event = ?1 AND channel = ?2 ORDER BY recipient";

const NOTE_CHANNELS: &str = "
    INSERT INTO channels (name, seen_at) SELECT value, ?2 FROM json_each(?1) WHERE true
    ON CONFLICT (name) DO UPDATE SET seen_at = max(seen_at, excluded.seen_at)";

const GONE: &str = "
    SELECT DISTINCT notice ->> 'channel' AS name FROM jobs
    WHERE notice IS NOT NULL
      AND name NOT IN (SELECT value FROM json_each(?1))
      AND name NOT IN (SELECT name FROM channels WHERE seen_at >= ?2)
    ORDER BY name";

fn read_row(row: &Row<'_>) -> Result<Told, Fault> {
    Ok(Told {
        event: word(&row.get::<_, String>(0)?)?,
        channel: row.get(1)?,
        recipient: row.get(2)?,
        run: word(&row.get::<_, String>(3)?)?,
        at: moment(row.get(4)?)?,
        given_up: row.get(5)?,
    })
}

#[async_trait]
impl Notices for SqliteStore {
    async fn notice(&self, job: JobId) -> Result<Option<Notice>, StoreError> {
        self.read(move |connection| {
            let text: Option<String> = connection
                .prepare_cached("SELECT notice FROM jobs WHERE id = ?1 AND notice IS NOT NULL")?
                .query_row([job.to_string()], |row| row.get(0))
                .optional()?;
            Ok(text.map(|text| serde_json::from_str(&text)).transpose()?)
        })
        .await
    }

    async fn told(&self, event: Uuid, channel: &str) -> Result<Vec<Told>, StoreError> {
        let channel = channel.to_owned();
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(TOLD)?;
            let mut rows = statement.query(params![event.to_string(), channel])?;
            let mut told = Vec::new();
            while let Some(row) = rows.next()? {
                told.push(read_row(row)?);
            }
            Ok(told)
        })
        .await
    }

    async fn delivery(&self, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
        self.look(move |connection| deliveries::one(connection, id)).await
    }

    async fn deliveries(
        &self,
        filter: &DeliveriesFilter,
        page: &PageRequest,
    ) -> Result<Page<Delivery>, StoreError> {
        let (filter, page) = (filter.clone(), page.clone());
        self.read(move |connection| deliveries::list(connection, &filter, &page)).await
    }

    async fn oldest_kept_delivery(&self, keep: u64) -> Result<Option<Timestamp>, StoreError> {
        self.read(move |connection| deliveries::oldest_kept(connection, keep)).await
    }

    async fn forget_deliveries(&self, before: Timestamp) -> Result<u64, StoreError> {
        let forgotten = self.write(move |writing| deliveries::forget(writing.connection(), before)).await;
        forgotten.map_err(CommitError::into_store_error)
    }

    async fn note_channels(&self, channels: &[String], at: Timestamp) -> Result<(), StoreError> {
        let channels = serde_json::json!(channels).to_string();
        self.write(move |writing| {
            let noted = params![channels, micros(at)];
            writing.connection().prepare_cached(NOTE_CHANNELS)?.execute(noted)?;
            Ok(())
        })
        .await
        .map_err(CommitError::into_store_error)
    }

    async fn channels_noted_at(&self) -> Result<Option<Timestamp>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached("SELECT max(seen_at) FROM channels")?;
            let at: Option<i64> = statement.query_row([], |row| row.get(0))?;
            Ok(at.map(moment).transpose()?)
        })
        .await
    }

    async fn gone_channels(
        &self,
        kept: &[String],
        seen_before: Timestamp,
    ) -> Result<Vec<String>, StoreError> {
        let kept = serde_json::json!(kept).to_string();
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(GONE)?;
            let names = statement.query_map(params![kept, micros(seen_before)], |row| row.get(0))?;
            Ok(names.collect::<Result<_, _>>()?)
        })
        .await
    }
}
