//! What people are to be told, and who was told.

use async_trait::async_trait;
use guichet_contract::{Delivery, DeliveryId, JobId, Notice, RunId};
use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    PostgresStore,
    columns::{integer, micros, moment, values},
    deliveries,
    fault::Fault,
    jobs::attempts,
    unit::Unit,
};
use crate::{
    DeliveriesFilter, FORGOTTEN_AT_ONCE, Job, Lane, Notices, Page, PageRequest, StoreError, Told, cursor,
};

// With its delivery, which has the id of the job.
const ENQUEUE: &str = "
    WITH logged AS (
        INSERT INTO delivery_log (id, event, channel, occasion, run, at, state, replays, notice)
        VALUES ($1, $8, $9, $10, $3, $11, 'waiting', 0, $7))
    INSERT INTO jobs (id, kind, run, lane, due, attempts, notice) VALUES ($1, $2, $3, $4, $5, $6, $7)";

/// Something to tell. Conflict when the job's id exists, or when it is of another kind.
pub(super) fn enqueue(unit: &mut Unit, job: &Job, notice: &Notice) -> Result<(), Fault> {
    let values = values![
        job.id.0,
        job.kind.as_str(),
        job.run.0,
        Lane::Channel(notice.channel.clone()).word(),
        micros(job.due),
        attempts(job.attempts),
        serde_json::to_string(notice)?,
        notice.event,
        notice.channel.clone(),
        notice.occasion.as_str(),
        micros(notice.at),
    ];
    unit.one(ENQUEUE, values, format!("job {} (its id exists, or its kind delivers no notice)", job.id));
    unit.woken.jobs(job.kind);
    Ok(())
}

const NOTE: &str = "
    INSERT INTO deliveries (event, channel, recipient, run, at, given_up) VALUES ($1, $2, $3, $4, $5, $6)";

/// Somebody was told, or never will be. Conflict when that was written before.
pub(super) fn note_told(unit: &mut Unit, told: &Told) {
    let Told { event, channel, recipient, run, at, given_up } = told;
    let conflict = format!("telling of {event} through {channel} to `{recipient}` (it is noted already)");
    let values =
        values![*event, channel.clone(), recipient.clone(), run.0, micros(*at), i32::from(*given_up)];
    unit.one(NOTE, values, conflict);
}

const TOLD: &str = "
    SELECT event, channel, recipient, run, at, given_up FROM deliveries
    WHERE event = $1 AND channel = $2 ORDER BY recipient COLLATE \"C\"";

const NOTE_CHANNELS: &str = "
    INSERT INTO channels AS known (name, seen_at) SELECT DISTINCT name, $2::bigint FROM unnest($1::text[]) AS name ORDER BY name
    ON CONFLICT (name) DO UPDATE SET seen_at = greatest(known.seen_at, excluded.seen_at)";

const GONE: &str = "
    SELECT DISTINCT substr(lane, length('channel/') + 1) COLLATE \"C\" AS name FROM jobs
    WHERE notice IS NOT NULL
      AND NOT substr(lane, length('channel/') + 1) = ANY($1)
      AND NOT EXISTS (SELECT 1 FROM channels
                      WHERE name = substr(lane, length('channel/') + 1) COLLATE \"C\" AND seen_at >= $2)
    ORDER BY name";

fn read_row(row: &Row) -> Result<Told, Fault> {
    Ok(Told {
        event: row.try_get(0)?,
        channel: row.try_get(1)?,
        recipient: row.try_get(2)?,
        run: RunId(row.try_get(3)?),
        at: moment(row.try_get(4)?)?,
        given_up: row.try_get::<_, i32>(5)? != 0,
    })
}

#[async_trait]
impl Notices for PostgresStore {
    async fn notice(&self, job: JobId) -> Result<Option<Notice>, StoreError> {
        let rows =
            self.rows("SELECT notice FROM jobs WHERE id = $1 AND notice IS NOT NULL", &[&job.0]).await?;
        self.first(&rows, |row| Ok(serde_json::from_str(row.try_get(0)?)?))
    }

    async fn told(&self, event: Uuid, channel: &str) -> Result<Vec<Told>, StoreError> {
        let rows = self.rows(TOLD, &[&event, &channel]).await?;
        self.each(&rows, read_row)
    }

    async fn delivery(&self, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
        let rows = self.rows(&deliveries::one(), &[&id.0]).await?;
        let Some((mut delivery, _)) = self.first(&rows, deliveries::read_row)? else { return Ok(None) };
        let rows = self.rows(deliveries::ATTEMPTS, &[&id.0]).await?;
        delivery.attempts = self.each(&rows, |row| Ok(serde_json::from_str(row.try_get(0)?)?))?;
        delivery.attempts.reverse();
        Ok(Some(delivery))
    }

    async fn deliveries(
        &self,
        filter: &DeliveriesFilter,
        page: &PageRequest,
    ) -> Result<Page<Delivery>, StoreError> {
        let (text, values) = deliveries::list(filter, page).map_err(Fault::into_store_error)?;
        let values: Vec<_> = values.iter().map(|value| &**value as _).collect();
        let rows = self.rows(&text, &values).await?;
        let most = cursor::limit(page);
        let read = self.each(rows.get(..most).unwrap_or(&rows), deliveries::read_row)?;
        let last = read.last().filter(|_| rows.len() > most);
        let next = last.map(|(delivery, at)| cursor::of_run(*at, delivery.id.as_run()));
        Ok(Page { items: read.into_iter().map(|(delivery, _)| delivery).collect(), next })
    }

    async fn oldest_kept_delivery(&self, keep: u64) -> Result<Option<Timestamp>, StoreError> {
        let Some(before) = keep.checked_sub(1) else { return Ok(None) };
        let rows = self.rows(deliveries::OLDEST_KEPT, &[&integer(before)]).await?;
        self.first(&rows, |row| Ok(moment(row.try_get(0)?)?))
    }

    async fn forget_deliveries(&self, before: Timestamp) -> Result<u64, StoreError> {
        let (before, most) = (micros(before), integer(FORGOTTEN_AT_ONCE));
        let forgotten = self.change(deliveries::FORGET, &[&before, &most]).await?;
        Ok(forgotten + self.change(deliveries::FORGET_OLD_TOLD, &[&before, &most]).await?)
    }

    async fn note_channels(&self, channels: &[String], at: Timestamp) -> Result<(), StoreError> {
        self.change(NOTE_CHANNELS, &[&channels, &micros(at)]).await.map(|_| ())
    }

    async fn channels_noted_at(&self) -> Result<Option<Timestamp>, StoreError> {
        let rows = self.rows("SELECT max(seen_at) FROM channels HAVING count(*) > 0", &[]).await?;
        self.first(&rows, |row| Ok(moment(row.try_get(0)?)?))
    }

    async fn gone_channels(
        &self,
        kept: &[String],
        seen_before: Timestamp,
    ) -> Result<Vec<String>, StoreError> {
        let rows = self.rows(GONE, &[&kept, &micros(seen_before)]).await?;
        self.each(&rows, |row| Ok(row.try_get(0)?))
    }
}
