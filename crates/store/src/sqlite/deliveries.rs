//! What becomes of notices, try by try.

use guichet_contract::{Attempt, Delivery, DeliveryId, DeliveryState, Notice};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params, params_from_iter, types::Value};

use super::{
    columns::{count, integer, micros, moment, moment_if_any, word},
    cursor,
    fault::{Fault, OrConflict as _},
    writing::Writing,
};
use crate::{DeliveriesFilter, FORGOTTEN_AT_ONCE, Job, JobKind, Page, PageRequest};

/// So many tries of one delivery are told.
const TOLD: i64 = 500;

const BEGIN: &str = "
    INSERT INTO delivery_log (id, event, channel, occasion, run, at, state, replays, notice)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'waiting', 0, ?7)";

/// The delivery of a notice that became a job. Conflict when its id exists.
pub(super) fn begin(writing: &mut Writing<'_>, job: &Job, notice: &Notice, text: &str) -> Result<(), Fault> {
    writing
        .connection()
        .prepare_cached(BEGIN)?
        .execute(params![
            job.id.to_string(),
            notice.event.to_string(),
            notice.channel,
            notice.occasion.as_str(),
            job.run.to_string(),
            micros(notice.at),
            text,
        ])
        .or_conflict(|| format!("delivery {} (its id exists)", job.id))?;
    Ok(())
}

const NOTE: &str = "
    INSERT OR IGNORE INTO delivery_attempts (delivery, replay, number, recipient, body)
    SELECT ?1, ?2, ?3, ?4, ?5 WHERE EXISTS (SELECT 1 FROM delivery_log WHERE id = ?1)";

/// One try of what is in the log. One that is written already stays as it is.
pub(super) fn note_attempt(
    writing: &mut Writing<'_>,
    delivery: DeliveryId,
    attempt: &Attempt,
) -> Result<(), Fault> {
    writing.connection().prepare_cached(NOTE)?.execute(params![
        delivery.to_string(),
        attempt.replay,
        attempt.number,
        attempt.recipient.as_deref().unwrap_or_default(),
        serde_json::to_string(attempt)?,
    ])?;
    Ok(())
}

/// It came to its end, if it is there.
pub(super) fn end(
    writing: &mut Writing<'_>,
    delivery: DeliveryId,
    state: DeliveryState,
    at: Timestamp,
) -> Result<(), Fault> {
    let ended_at = (state != DeliveryState::Waiting).then(|| micros(at));
    writing
        .connection()
        .prepare_cached("UPDATE delivery_log SET state = ?2, ended_at = ?3 WHERE id = ?1")?
        .execute(params![delivery.to_string(), state.as_str(), ended_at])?;
    Ok(())
}

const ANEW: &str = "
    UPDATE delivery_log SET state = 'waiting', ended_at = NULL, replays = replays + 1
    WHERE id = ?1 AND replays = ?2 AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.id = ?1)";
const FORGET_TOLD: &str = "
    DELETE FROM deliveries
    WHERE (event, channel) = (SELECT event, channel FROM delivery_log WHERE id = ?1)";
const ENQUEUE_ANEW: &str = "
    INSERT INTO jobs (id, kind, run, due, attempts, notice)
    SELECT id, ?2, run, ?3, 0, notice FROM delivery_log WHERE id = ?1";

/// It begins anew. Conflict unless it has no job and was replayed exactly so often.
pub(super) fn replay(
    writing: &mut Writing<'_>,
    delivery: DeliveryId,
    replays: u32,
    at: Timestamp,
) -> Result<(), Fault> {
    let (connection, id) = (writing.connection(), delivery.to_string());
    if connection.prepare_cached(ANEW)?.execute(params![id, replays])? != 1 {
        let what = format!("delivery {delivery} (not at its end, or not replayed {replays} times)");
        return Err(Fault::Conflict(what));
    }
    connection.prepare_cached(FORGET_TOLD)?.execute([&id])?;
    let kind = JobKind::DeliverNotice;
    connection
        .prepare_cached(ENQUEUE_ANEW)?
        .execute(params![id, kind.as_str(), micros(at)])
        .or_conflict(|| format!("delivery {delivery} (its job exists)"))?;
    writing.wake_jobs(kind);
    Ok(())
}

/// What waits to be tried again is due sooner, at most by now. Conflict unless it waits and nobody is at it who may still live.
pub(super) fn hasten(writing: &mut Writing<'_>, delivery: DeliveryId, due: Timestamp) -> Result<(), Fault> {
    let hastened = writing
        .connection()
        .prepare_cached(
            "UPDATE jobs SET due = min(due, ?2) WHERE id = ?1 AND (lease IS NULL OR lease_until <= ?2)",
        )?
        .execute(params![delivery.to_string(), micros(due)])?;
    if hastened != 1 {
        return Err(Fault::Conflict(format!("delivery {delivery} (not waiting, or a try is under way)")));
    }
    writing.wake_jobs(JobKind::DeliverNotice);
    Ok(())
}

/// When that happened which the `keep`-th newest tells of.
pub(super) fn oldest_kept(connection: &Connection, keep: u64) -> Result<Option<Timestamp>, Fault> {
    let Some(before) = keep.checked_sub(1) else { return Ok(None) };
    let at: Option<i64> = connection
        .prepare_cached("SELECT at FROM delivery_log ORDER BY at DESC LIMIT 1 OFFSET ?1")?
        .query_row([integer(before)], |row| row.get(0))
        .optional()?;
    Ok(at.map(moment).transpose()?)
}

pub(super) const OLD: &str = "
    SELECT id FROM delivery_log
    WHERE at < ?1 AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.id = delivery_log.id)
    ORDER BY at, id LIMIT ?2";
// Of what happened before there was a log.
pub(super) const OLD_TOLD: &str = "
    DELETE FROM deliveries WHERE (event, channel, recipient) IN (
        SELECT event, channel, recipient FROM deliveries told
        WHERE at < ?1 AND NOT EXISTS (
            SELECT 1 FROM delivery_log log WHERE log.event = told.event AND log.channel = told.channel)
        ORDER BY at LIMIT ?2)";

/// Forgets those that are old; says how many.
pub(super) fn forget(connection: &Connection, before: Timestamp) -> Result<u64, Fault> {
    let values = params![micros(before), integer(FORGOTTEN_AT_ONCE)];
    let mut statement = connection.prepare_cached(OLD)?;
    let old = statement.query_map(values, |row| row.get::<_, String>(0))?;
    let old = old.collect::<Result<Vec<_>, _>>()?;
    for id in &old {
        for sql in [
            "DELETE FROM delivery_attempts WHERE delivery = ?1",
            FORGET_TOLD,
            "DELETE FROM delivery_log WHERE id = ?1",
        ] {
            connection.prepare_cached(sql)?.execute([id])?;
        }
    }
    let told = connection.prepare_cached(OLD_TOLD)?.execute(values)?;
    Ok(count(integer(old.len() + told))?)
}

/// Where it stands: as it is written when it is at its end; else it waits as long as its job is there, and then who was told
/// tells.
macro_rules! state {
    () => {
        "CASE WHEN state <> 'waiting' THEN state
              WHEN EXISTS (SELECT 1 FROM jobs WHERE jobs.id = delivery_log.id) THEN 'waiting'
              ELSE coalesce(
                  (SELECT CASE max(given_up) WHEN 1 THEN 'given_up' ELSE 'delivered' END FROM deliveries told
                   WHERE told.event = delivery_log.event AND told.channel = delivery_log.channel
                   HAVING count(*) > 0),
                  'dropped') END"
    };
}

/// The columns that [`read_row`] reads.
const SELECT: &str = concat!(
    "
    SELECT id, event, channel, occasion, run, at, ",
    state!(),
    ", replays,
           coalesce(ended_at, CASE WHEN NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.id = delivery_log.id) THEN
               (SELECT max(told.at) FROM deliveries told
                WHERE told.event = delivery_log.event AND told.channel = delivery_log.channel) END),
           (SELECT count(*) FROM delivery_attempts WHERE delivery = delivery_log.id),
           (SELECT due FROM jobs WHERE jobs.id = delivery_log.id),
           (SELECT body FROM delivery_attempts WHERE delivery = delivery_log.id
            ORDER BY replay DESC, number DESC, recipient DESC LIMIT 1)
    FROM delivery_log"
);

fn read_row(row: &Row<'_>) -> Result<(Delivery, i64), Fault> {
    let at = row.get(5)?;
    let last: Option<String> = row.get(11)?;
    let delivery = Delivery {
        id: word(&row.get::<_, String>(0)?)?,
        event: word(&row.get::<_, String>(1)?)?,
        channel: row.get(2)?,
        occasion: word(&row.get::<_, String>(3)?)?,
        run: word(&row.get::<_, String>(4)?)?,
        at: moment(at)?,
        state: word(&row.get::<_, String>(6)?)?,
        replays: row.get(7)?,
        tries: count(row.get(9)?)?,
        next_try_at: moment_if_any(row.get(10)?)?,
        ended_at: moment_if_any(row.get(8)?)?,
        last: last.map(|text| serde_json::from_str(&text)).transpose()?,
        attempts: Vec::new(),
    };
    Ok((delivery, at))
}

const ATTEMPTS: &str = "
    SELECT body FROM delivery_attempts WHERE delivery = ?1
    ORDER BY replay DESC, number DESC, recipient DESC LIMIT ?2";

/// One with its tries.
pub(super) fn one(connection: &Connection, id: DeliveryId) -> Result<Option<Delivery>, Fault> {
    let mut statement = connection.prepare_cached(&format!("{SELECT} WHERE id = ?1"))?;
    let mut rows = statement.query([id.to_string()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let (mut delivery, _) = read_row(row)?;
    let mut statement = connection.prepare_cached(ATTEMPTS)?;
    let bodies = statement.query_map(params![id.to_string(), TOLD], |row| row.get::<_, String>(0))?;
    for body in bodies {
        delivery.attempts.push(serde_json::from_str(&body?)?);
    }
    delivery.attempts.reverse();
    Ok(Some(delivery))
}

/// Newest first. The conditions differ per call, so the text is put together; the values never stand in it.
pub(super) fn list(
    connection: &Connection,
    filter: &DeliveriesFilter,
    page: &PageRequest,
) -> Result<Page<Delivery>, Fault> {
    let mut text = format!("{SELECT} WHERE true");
    let mut values: Vec<Value> = Vec::new();
    if !filter.states.is_empty() {
        let places = vec!["?"; filter.states.len()].join(", ");
        text.extend([" AND ", state!(), " IN (", &places, ")"]);
        values.extend(filter.states.iter().map(|state| state.as_str().to_owned().into()));
    }
    let given = [
        (" AND channel = ?", filter.channel.clone().map(Value::from)),
        (" AND run = ?", filter.run.map(|run| run.to_string().into())),
        (" AND event = ?", filter.event.map(|event| event.to_string().into())),
        (" AND at >= ?", filter.since.map(|since| micros(since).into())),
    ];
    for (condition, value) in given {
        if let Some(value) = value {
            text.push_str(condition);
            values.push(value);
        }
    }
    if let Some(text_of_cursor) = &page.cursor {
        let (at, id) = cursor::read_run(text_of_cursor)?;
        text.push_str(" AND (at, id) < (?, ?)");
        values.extend([at.into(), id.to_string().into()]);
    }
    text.push_str(" ORDER BY at DESC, id DESC LIMIT ?");
    values.push(cursor::rows_to_read(page).into());

    let mut statement = connection.prepare_cached(&text)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut items: Vec<Delivery> = Vec::new();
    let mut last = None;
    while let Some(row) = rows.next()? {
        if items.len() == cursor::limit(page) {
            return Ok(Page { items, next: last });
        }
        let (delivery, at) = read_row(row)?;
        last = Some(cursor::of_run(at, delivery.id.as_run()));
        items.push(delivery);
    }
    Ok(Page { items, next: None })
}
