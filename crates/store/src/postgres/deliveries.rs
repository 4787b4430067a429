//! What becomes of notices, try by try.

use guichet_contract::{Attempt, Delivery, DeliveryId, DeliveryState, RunId};
use jiff::Timestamp;
use tokio_postgres::Row;

use super::{
    columns::{Value, count, micros, moment, moment_if_any, searchable, values, word},
    fault::Fault,
    unit::Unit,
};
use crate::{DeliveriesFilter, JobKind, PageRequest, cursor};

const NOTE: &str = "
    INSERT INTO delivery_attempts (delivery, replay, number, recipient, body)
    SELECT $1::uuid, $2::integer, $3::integer, $4::text, $5::text
    WHERE EXISTS (SELECT 1 FROM delivery_log WHERE id = $1) ON CONFLICT DO NOTHING";

/// One try of what is in the log. One that is written already stays as it is.
pub(super) fn note_attempt(unit: &mut Unit, delivery: DeliveryId, attempt: &Attempt) -> Result<(), Fault> {
    let values = values![
        delivery.0,
        number(attempt.replay),
        number(attempt.number),
        searchable(attempt.recipient.as_deref().unwrap_or_default()),
        serde_json::to_string(attempt)?,
    ];
    unit.any(NOTE, values);
    Ok(())
}

fn number(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// It came to its end, if it is there.
pub(super) fn end(unit: &mut Unit, delivery: DeliveryId, state: DeliveryState, at: Timestamp) {
    let ended_at = (state != DeliveryState::Waiting).then(|| micros(at));
    let end = "UPDATE delivery_log SET state = $2, ended_at = $3 WHERE id = $1";
    unit.any(end, values![delivery.0, state.as_str(), ended_at]);
}

const ANEW: &str = "
    UPDATE delivery_log SET state = 'waiting', ended_at = NULL, replays = replays + 1
    WHERE id = $1 AND replays = $2 AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.id = $1)";
const FORGET_TOLD: &str = "
    DELETE FROM deliveries USING delivery_log log
    WHERE log.id = $1 AND deliveries.event = log.event AND deliveries.channel = log.channel";
const ENQUEUE_ANEW: &str = "
    INSERT INTO jobs (id, kind, run, lane, due, attempts, notice)
    SELECT id, $2, run, 'channel/' || channel, $3, 0, notice FROM delivery_log WHERE id = $1";

/// It begins anew. Conflict unless it has no job and was replayed exactly so often.
pub(super) fn replay(unit: &mut Unit, delivery: DeliveryId, replays: u32, at: Timestamp) {
    let conflict = format!("delivery {delivery} (not at its end, or not replayed {replays} times)");
    unit.one(ANEW, values![delivery.0, number(replays)], conflict);
    unit.any(FORGET_TOLD, values![delivery.0]);
    let kind = JobKind::DeliverNotice;
    let conflict = format!("delivery {delivery} (its job exists)");
    unit.one(ENQUEUE_ANEW, values![delivery.0, kind.as_str(), micros(at)], conflict);
    unit.woken.jobs(kind);
}

/// What waits to be tried again is due sooner, at most by now. Conflict unless it waits and nobody is at it who may still live.
pub(super) fn hasten(unit: &mut Unit, delivery: DeliveryId, due: Timestamp) {
    let hasten =
        "UPDATE jobs SET due = least(due, $2) WHERE id = $1 AND (lease IS NULL OR lease_until <= $2)";
    let conflict = format!("delivery {delivery} (not waiting, or a try is under way)");
    unit.one(hasten, values![delivery.0, micros(due)], conflict);
    unit.woken.jobs(JobKind::DeliverNotice);
}

/// When that happened which the newest but $1 tells of.
pub(super) const OLDEST_KEPT: &str = "SELECT at FROM delivery_log ORDER BY at DESC LIMIT 1 OFFSET $1";

// What somebody replays at this instant is passed over: by its lock until that is written, and by the count of its replays
// afterwards, which is looked at again once the row is locked.
pub(super) const FORGET: &str = "
    WITH seen AS MATERIALIZED (
        SELECT id, replays FROM delivery_log
        WHERE at < $1 AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.id = delivery_log.id)
        ORDER BY at, id LIMIT $2),
    old AS MATERIALIZED (
        SELECT log.id, log.event, log.channel FROM delivery_log log
        JOIN seen ON log.id = seen.id AND log.replays = seen.replays
        FOR UPDATE OF log SKIP LOCKED),
    attempts AS (DELETE FROM delivery_attempts USING old WHERE delivery = old.id),
    told AS (DELETE FROM deliveries USING old WHERE deliveries.event = old.event AND deliveries.channel = old.channel)
    DELETE FROM delivery_log USING old WHERE delivery_log.id = old.id";
// Of what happened before there was a log.
pub(super) const FORGET_OLD_TOLD: &str = "
    DELETE FROM deliveries USING (
        SELECT event, channel, recipient FROM deliveries told
        WHERE at < $1 AND NOT EXISTS (
            SELECT 1 FROM delivery_log log WHERE log.event = told.event AND log.channel = told.channel)
        ORDER BY at LIMIT $2) AS old
    WHERE deliveries.event = old.event AND deliveries.channel = old.channel AND deliveries.recipient = old.recipient";

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

/// Reads a delivery, and when it happened in microseconds.
pub(super) fn read_row(row: &Row) -> Result<(Delivery, i64), Fault> {
    let at = row.try_get(5)?;
    let delivery = Delivery {
        id: DeliveryId(row.try_get(0)?),
        event: row.try_get(1)?,
        channel: row.try_get(2)?,
        occasion: word(row.try_get(3)?)?,
        run: RunId(row.try_get(4)?),
        at: moment(at)?,
        state: word(row.try_get(6)?)?,
        replays: u32::try_from(row.try_get::<_, i32>(7)?).unwrap_or_default(),
        tries: count(row.try_get(9)?)?,
        next_try_at: moment_if_any(row.try_get(10)?)?,
        ended_at: moment_if_any(row.try_get(8)?)?,
        last: row.try_get::<_, Option<&str>>(11)?.map(serde_json::from_str).transpose()?,
        attempts: Vec::new(),
    };
    Ok((delivery, at))
}

/// One, by its id.
pub(super) fn one() -> String {
    format!("{SELECT} WHERE id = $1")
}

/// The latest tries of one, the latest first.
pub(super) const ATTEMPTS: &str = "
    SELECT body FROM delivery_attempts WHERE delivery = $1
    ORDER BY replay DESC, number DESC, recipient DESC LIMIT 500";

/// Newest first. The conditions differ per call, so the text is put together; the values never stand in it.
pub(super) fn list(filter: &DeliveriesFilter, page: &PageRequest) -> Result<(String, Vec<Value>), Fault> {
    let mut text = format!("{SELECT} WHERE true");
    let mut values: Vec<Value> = Vec::new();
    let mut add = |text: &mut String, condition: &str, value: Value| {
        values.push(value);
        text.push_str(&condition.replace('?', &format!("${}", values.len())));
    };
    if !filter.states.is_empty() {
        let states: Vec<&'static str> = filter.states.iter().map(|state| state.as_str()).collect();
        add(&mut text, concat!(" AND ", state!(), " = ANY(?)"), Box::new(states));
    }
    if let Some(channel) = &filter.channel {
        add(&mut text, " AND channel = ?", Box::new(searchable(channel)));
    }
    if let Some(run) = filter.run {
        add(&mut text, " AND run = ?", Box::new(run.0));
    }
    if let Some(event) = filter.event {
        add(&mut text, " AND event = ?", Box::new(event));
    }
    if let Some(since) = filter.since {
        add(&mut text, " AND at >= ?", Box::new(micros(since)));
    }
    if let Some(cursor) = &page.cursor {
        let (at, id) = cursor::read_run(cursor)?;
        add(&mut text, " AND (at, id) < (?, ", Box::new(at));
        add(&mut text, "?)", Box::new(id.0));
    }
    add(&mut text, " ORDER BY at DESC, id DESC LIMIT ?", Box::new(cursor::rows_to_read(page)));
    Ok((text, values))
}
