//! What people are to be told, and who was told.

use async_trait::async_trait;
use guichet_contract::{JobId, Notice, RunId};
use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    PostgresStore,
    columns::{micros, moment, values},
    fault::Fault,
    jobs::attempts,
    unit::Unit,
};
use crate::{Delivery, Job, Lane, Notices, StoreError};

const ENQUEUE: &str =
    "INSERT INTO jobs (id, kind, run, lane, due, attempts, notice) VALUES ($1, $2, $3, $4, $5, $6, $7)";

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
    ];
    unit.one(ENQUEUE, values, format!("job {} (its id exists, or its kind delivers no notice)", job.id));
    unit.woken.jobs(job.kind);
    Ok(())
}

const NOTE: &str = "
    INSERT INTO deliveries (event, channel, recipient, run, at, given_up) VALUES ($1, $2, $3, $4, $5, $6)";

/// Somebody was told, or never will be. Conflict when that was written before.
pub(super) fn note_delivery(unit: &mut Unit, delivery: &Delivery) {
    let Delivery { event, channel, recipient, run, at, given_up } = delivery;
    let conflict = format!("delivery of {event} through {channel} to `{recipient}` (it is noted already)");
    let values =
        values![*event, channel.clone(), recipient.clone(), run.0, micros(*at), i32::from(*given_up)];
    unit.one(NOTE, values, conflict);
}

const DELIVERIES: &str = "
    SELECT event, channel, recipient, run, at, given_up FROM deliveries
    WHERE event = $1 AND channel = $2 ORDER BY recipient COLLATE \"C\"";

const DROP_OTHERS: &str = "DELETE FROM jobs WHERE notice IS NOT NULL AND NOT (lane = ANY($1))";

fn read_row(row: &Row) -> Result<Delivery, Fault> {
    Ok(Delivery {
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

    async fn deliveries(&self, event: Uuid, channel: &str) -> Result<Vec<Delivery>, StoreError> {
        let rows = self.rows(DELIVERIES, &[&event, &channel]).await?;
        self.each(&rows, read_row)
    }

    async fn drop_notices_of_others(&self, channels: &[String]) -> Result<u64, StoreError> {
        let kept: Vec<String> = channels.iter().map(|name| Lane::Channel(name.clone()).word()).collect();
        self.change(DROP_OTHERS, &[&kept]).await
    }
}
