//! What becomes of notices, try by try.

use std::collections::BTreeSet;

use guichet_contract::{Attempt, Delivery, DeliveryId, DeliveryState, Notice};
use jiff::Timestamp;
use uuid::Uuid;

use super::{
    state::{KeptDelivery, KeptJob, State},
    writing::{Writing, conflict},
};
use crate::{
    CommitError, DeliveriesFilter, FORGOTTEN_AT_ONCE, Job, JobKind, Page, PageRequest, StoreError, Told,
    cursor,
};

/// So many tries of one delivery are told.
const TOLD: usize = 500;

/// The delivery of a notice that became a job. Conflict when its id exists.
pub(super) fn begin(writing: &mut Writing<'_>, job: &Job, notice: &Notice) -> Result<(), CommitError> {
    let id = DeliveryId::of_job(job.id);
    if writing.state.delivery_log.contains_key(&id) {
        return Err(conflict(format!("delivery {id} (its id exists)")));
    }
    let kept = KeptDelivery {
        run: job.run,
        state: DeliveryState::Waiting,
        replays: 0,
        ended_at: None,
        notice: notice.clone(),
    };
    writing.put(|state| &mut state.delivery_log, id, Some(kept));
    Ok(())
}

/// One try of what is in the log. One that is written already stays as it is.
pub(super) fn note_attempt(writing: &mut Writing<'_>, delivery: DeliveryId, attempt: Attempt) {
    let recipient = attempt.recipient.clone().unwrap_or_default();
    let key = (delivery, attempt.replay, attempt.number, recipient);
    let is_logged = writing.state.delivery_log.contains_key(&delivery);
    if is_logged && !writing.state.attempts.contains_key(&key) {
        writing.put(|state| &mut state.attempts, key, Some(attempt));
    }
}

/// It came to its end, if it is there.
pub(super) fn end(writing: &mut Writing<'_>, id: DeliveryId, state: DeliveryState, at: Timestamp) {
    if let Some(kept) = writing.state.delivery_log.get(&id).cloned() {
        let ended_at = (state != DeliveryState::Waiting).then_some(at);
        let kept = KeptDelivery { state, ended_at, ..kept };
        writing.put(|state| &mut state.delivery_log, id, Some(kept));
    }
}

/// Who was told of this event through this channel is forgotten.
fn forget_told(writing: &mut Writing<'_>, event: Uuid, channel: &str) {
    let from = (event, channel.to_owned(), String::new());
    let of_event = writing.state.told.range(from..).map(|(key, _)| key.clone());
    let keys: Vec<_> = of_event.take_while(|(of, by, _)| *of == event && by == channel).collect();
    for key in keys {
        writing.put(|state| &mut state.told, key, None);
    }
}

/// It begins anew. Conflict unless it has no job and was replayed exactly so often.
pub(super) fn replay(
    writing: &mut Writing<'_>,
    id: DeliveryId,
    replays: u32,
    at: Timestamp,
) -> Result<(), CommitError> {
    let found = writing.state.delivery_log.get(&id).cloned();
    let has_job = writing.state.jobs.contains_key(&id.as_job());
    let Some(kept) = found.filter(|kept| !has_job && kept.replays == replays) else {
        return Err(conflict(format!("delivery {id} (not at its end, or not replayed {replays} times)")));
    };
    forget_told(writing, kept.notice.event, &kept.notice.channel);
    let job = Job {
        id: id.as_job(),
        kind: JobKind::DeliverNotice,
        run: kept.run,
        due: at,
        attempts: 0,
        key: None,
        bulkhead: None,
    };
    let job = KeptJob { lease: None, place: 0, notice: Some(kept.notice.clone()), job };
    writing.put(|state| &mut state.jobs, id.as_job(), Some(job));
    let kept = KeptDelivery { state: DeliveryState::Waiting, ended_at: None, replays: replays + 1, ..kept };
    writing.put(|state| &mut state.delivery_log, id, Some(kept));
    writing.wake_jobs(JobKind::DeliverNotice);
    Ok(())
}

/// What waits to be tried again is due sooner, at most by now. Conflict unless it waits and nobody is at it who may still live.
pub(super) fn hasten(writing: &mut Writing<'_>, id: DeliveryId, due: Timestamp) -> Result<(), CommitError> {
    let waiting = writing.state.jobs.get(&id.as_job()).cloned();
    let Some(mut kept) = waiting.filter(|kept| kept.lease.as_ref().is_none_or(|(_, until)| *until <= due))
    else {
        return Err(conflict(format!("delivery {id} (not waiting, or a try is under way)")));
    };
    kept.job.due = kept.job.due.min(due);
    writing.put(|state| &mut state.jobs, id.as_job(), Some(kept));
    writing.wake_jobs(JobKind::DeliverNotice);
    Ok(())
}

/// When that happened which the `keep`-th newest tells of.
pub(super) fn oldest_kept(state: &State, keep: u64) -> Option<Timestamp> {
    let mut all: Vec<Timestamp> = state.delivery_log.values().map(|kept| kept.notice.at).collect();
    all.sort_unstable_by_key(|at| std::cmp::Reverse(*at));
    usize::try_from(keep).ok()?.checked_sub(1).and_then(|place| all.get(place).copied())
}

/// Forgets those that are old; says how many.
pub(super) fn forget(writing: &mut Writing<'_>, before: Timestamp) -> u64 {
    let most = usize::try_from(FORGOTTEN_AT_ONCE).unwrap_or(usize::MAX);
    let state = &*writing.state;
    let is_old = |(id, kept): &(&DeliveryId, &KeptDelivery)| {
        kept.notice.at < before && !state.jobs.contains_key(&id.as_job())
    };
    let mut old: Vec<(Timestamp, DeliveryId)> =
        state.delivery_log.iter().filter(is_old).map(|(id, kept)| (kept.notice.at, *id)).collect();
    old.sort_unstable();
    old.truncate(most);
    for (_, id) in &old {
        let id = *id;
        let attempts = writing.state.attempts.range((id, 0, 0, String::new())..);
        let keys: Vec<_> = attempts.map(|(key, _)| key.clone()).take_while(|key| key.0 == id).collect();
        for key in keys {
            writing.put(|state| &mut state.attempts, key, None);
        }
        if let Some(kept) = writing.state.delivery_log.get(&id).cloned() {
            forget_told(writing, kept.notice.event, &kept.notice.channel);
        }
        writing.put(|state| &mut state.delivery_log, id, None);
    }
    // Of what happened before there was a log.
    let state = &*writing.state;
    let logged: BTreeSet<(Uuid, &str)> =
        state.delivery_log.values().map(|kept| (kept.notice.event, kept.notice.channel.as_str())).collect();
    let in_no_log = |told: &&Told| told.at < before && !logged.contains(&(told.event, told.channel.as_str()));
    let mut told: Vec<&Told> = state.told.values().filter(in_no_log).collect();
    told.sort_by_key(|told| told.at);
    let keys: Vec<_> = told
        .into_iter()
        .take(most)
        .map(|told| (told.event, told.channel.clone(), told.recipient.clone()))
        .collect();
    let forgotten = (old.len() + keys.len()) as u64;
    for key in keys {
        writing.put(|state| &mut state.told, key, None);
    }
    forgotten
}

/// Where it stands and when it came there: as it is written when it is at its end; else it waits as long as its job is there,
/// and then who was told tells.
fn stands(state: &State, id: DeliveryId, kept: &KeptDelivery) -> (DeliveryState, Option<Timestamp>) {
    if kept.state != DeliveryState::Waiting || state.jobs.contains_key(&id.as_job()) {
        return (kept.state, kept.ended_at);
    }
    let (event, channel) = (kept.notice.event, &kept.notice.channel);
    let told = || state.told.values().filter(|told| told.event == event && told.channel == *channel);
    let stands = match (told().next(), told().any(|told| told.given_up)) {
        (None, _) => DeliveryState::Dropped,
        (Some(_), true) => DeliveryState::GivenUp,
        (Some(_), false) => DeliveryState::Delivered,
    };
    (stands, told().map(|told| told.at).max())
}

fn shown(state: &State, id: DeliveryId, kept: &KeptDelivery, with_attempts: bool) -> Delivery {
    let from = (id, 0, 0, String::new());
    let attempts: Vec<&Attempt> = state
        .attempts
        .range(from..)
        .take_while(|((of, _, _, _), _)| *of == id)
        .map(|(_, attempt)| attempt)
        .collect();
    let told = if with_attempts { attempts.len().min(TOLD) } else { 0 };
    let (stands, ended_at) = stands(state, id, kept);
    Delivery {
        id,
        event: kept.notice.event,
        channel: kept.notice.channel.clone(),
        occasion: kept.notice.occasion,
        run: kept.run,
        at: kept.notice.at,
        state: stands,
        replays: kept.replays,
        tries: attempts.len() as u64,
        next_try_at: state.jobs.get(&id.as_job()).map(|kept| kept.job.due),
        ended_at,
        last: attempts.last().map(|attempt| (*attempt).clone()),
        attempts: attempts.iter().skip(attempts.len() - told).map(|attempt| (*attempt).clone()).collect(),
    }
}

/// One with its tries.
pub(super) fn one(state: &State, id: DeliveryId) -> Option<Delivery> {
    state.delivery_log.get(&id).map(|kept| shown(state, id, kept, true))
}

/// Newest first.
pub(super) fn list(
    state: &State,
    filter: &DeliveriesFilter,
    page: &PageRequest,
) -> Result<Page<Delivery>, StoreError> {
    let before = page.cursor.as_deref().map(cursor::read_run).transpose()?;
    let limit = cursor::limit(page);
    let place_of = |kept: &KeptDelivery, id: DeliveryId| (kept.notice.at.as_microsecond(), id.as_run());
    let wanted = |(id, kept): &(&DeliveryId, &KeptDelivery)| {
        (filter.states.is_empty() || filter.states.contains(&stands(state, **id, kept).0))
            && filter.channel.as_ref().is_none_or(|channel| *channel == kept.notice.channel)
            && filter.run.is_none_or(|run| run == kept.run)
            && filter.event.is_none_or(|event| event == kept.notice.event)
            && filter.since.is_none_or(|since| kept.notice.at >= since)
            && before.is_none_or(|before| place_of(kept, **id) < before)
    };
    let mut found: Vec<(&DeliveryId, &KeptDelivery)> = state.delivery_log.iter().filter(wanted).collect();
    found.sort_by_key(|(id, kept)| std::cmp::Reverse(place_of(kept, **id)));
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|(id, kept)| {
        let (at, id) = place_of(kept, **id);
        cursor::of_run(at, id)
    });
    let items = found.into_iter().map(|(id, kept)| shown(state, *id, kept, false)).collect();
    Ok(Page { items, next })
}
