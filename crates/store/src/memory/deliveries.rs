//! What becomes of notices, try by try.

use guichet_contract::{Attempt, Delivery, DeliveryId, DeliveryState, Notice};
use jiff::Timestamp;
use uuid::Uuid;

use super::{
    state::{KeptDelivery, KeptJob, State},
    writing::{Writing, conflict},
};
use crate::{
    CommitError, DeliveriesFilter, Job, JobKind, PRUNED_AT_ONCE, Page, PageRequest, StoreError, cursor,
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

/// One try. One that is written already stays as it is.
pub(super) fn note_attempt(writing: &mut Writing<'_>, delivery: DeliveryId, attempt: Attempt) {
    let recipient = attempt.recipient.clone().unwrap_or_default();
    let key = (delivery, attempt.replay, attempt.number, recipient);
    if !writing.state.attempts.contains_key(&key) {
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

/// It begins anew. Conflict unless it is at its end and was replayed exactly so often.
pub(super) fn replay(
    writing: &mut Writing<'_>,
    id: DeliveryId,
    replays: u32,
    at: Timestamp,
) -> Result<(), CommitError> {
    let found = writing.state.delivery_log.get(&id).cloned();
    let Some(kept) = found.filter(|kept| kept.state != DeliveryState::Waiting && kept.replays == replays)
    else {
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

/// What waits to be tried again is due sooner.
pub(super) fn hasten(writing: &mut Writing<'_>, id: DeliveryId, due: Timestamp) {
    let waiting = writing.state.jobs.get(&id.as_job()).cloned();
    if let Some(mut kept) = waiting.filter(|kept| kept.lease.is_none() && kept.job.due > due) {
        kept.job.due = due;
        writing.put(|state| &mut state.jobs, id.as_job(), Some(kept));
    }
    writing.wake_jobs(JobKind::DeliverNotice);
}

/// Forgets those that are old, and those beyond so many.
pub(super) fn prune(writing: &mut Writing<'_>, before: Timestamp, keep: u64) {
    let mut all: Vec<(Timestamp, DeliveryId)> =
        writing.state.delivery_log.iter().map(|(id, kept)| (kept.notice.at, *id)).collect();
    all.sort_unstable();
    let keep = usize::try_from(keep).unwrap_or(usize::MAX);
    let beyond = all.len().saturating_sub(keep);
    let is_old = |(place, (at, id)): &(usize, &(Timestamp, DeliveryId))| {
        let ended =
            writing.state.delivery_log.get(id).is_some_and(|kept| kept.state != DeliveryState::Waiting);
        ended && (*at < before || *place < beyond)
    };
    let most = usize::try_from(PRUNED_AT_ONCE).unwrap_or(usize::MAX);
    let old: Vec<DeliveryId> =
        all.iter().enumerate().filter(is_old).map(|(_, (_, id))| *id).take(most).collect();
    for id in old {
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
    Delivery {
        id,
        event: kept.notice.event,
        channel: kept.notice.channel.clone(),
        occasion: kept.notice.occasion,
        run: kept.run,
        at: kept.notice.at,
        state: kept.state,
        replays: kept.replays,
        tries: attempts.len() as u64,
        next_try_at: state.jobs.get(&id.as_job()).map(|kept| kept.job.due),
        ended_at: kept.ended_at,
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
        (filter.states.is_empty() || filter.states.contains(&kept.state))
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
