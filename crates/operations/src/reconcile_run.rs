//! The provider of a run whose answer never came is asked what became of it. Nothing is done again.

use std::sync::Arc;

use guichet_admission::Unfit;
use guichet_contract::{Action, EventKind, JobId, Outcome, Problem, Run, RunState, Verb, code};
use guichet_lifecycle::{self as lifecycle, BackOff, Event, Settled};
use guichet_store::{Change, CommitError, Job, JobKind, UnitOfWork};
use jiff::{SignedDuration, Timestamp};

use crate::{
    bulkhead,
    execute_run::{Held, approvers},
    notices::{self, Happened},
    platform::Platform,
    providers::{Advanced, ProviderCall, Remembered},
    record_outcome::record_of,
};

/// The pause between two questions, at first and at most, and how long they are asked.
const PAUSES: BackOff = BackOff::seconds(5, 600);
const ASKED_FOR: SignedDuration = SignedDuration::from_hours(24);
/// How far two clocks may be apart.
const CLOCKS_APART: SignedDuration = SignedDuration::from_secs(5);
/// A call that is on its way this long after it was made is refused when it arrives: its token has expired.
const ON_ITS_WAY: SignedDuration = SignedDuration::from_secs(60 + 2 * 5);

/// The job that will ask, for the unit that says `unknown`. None where asking could do the change again. A provider whose
/// document could not be read yet is asked when it can be.
pub(crate) fn question(platform: &Platform, run: &Run, now: Timestamp) -> Option<Change> {
    match platform.door.resume(run) {
        Ok(call) if call.action().remembers => {}
        Err(Unfit::NotYet(_)) => {}
        Ok(_) | Err(Unfit::Changed(_)) => return None,
    }
    Some(Change::EnqueueJob(Job {
        id: JobId::new(&*platform.clock),
        kind: JobKind::ReconcileRun,
        run: run.id,
        due: now + PAUSES.first,
        attempts: 0,
        key: None,
        bulkhead: Some(bulkhead::of_questions(run.action.provider())),
    }))
}

/// Asks once, and settles the run or asks again later.
///
/// # Errors
/// The store's; the job is tried again.
pub async fn reconcile_run(platform: &Arc<Platform>, job: &Job, lease: &str) -> Result<(), CommitError> {
    let held = Held { job: job.id, lease };
    let run = platform.store.run(job.run).await.map_err(CommitError::Store)?;
    let now = platform.clock.now();
    let Some(run) = run.filter(|run| run.state == RunState::Unknown) else {
        return platform.store.commit(UnitOfWork::new().with(held.finish())).await;
    };
    let unknown_since = run.finished_at.unwrap_or(run.created_at);
    // The second question comes ten seconds after the first.
    let pause = PAUSES.after(job.attempts.saturating_add(1));
    let next = match ask(platform, &run, now).await {
        Told::Ended(to, outcome) => return settle(platform, &run, to, *outcome, &held).await,
        Told::NotYet if now + pause <= unknown_since + ASKED_FOR => held.retry(now + pause),
        Told::NotYet | Told::Never => held.finish(),
    };
    match platform.store.commit(UnitOfWork::new().with(next)).await {
        Err(CommitError::Conflict { .. }) => Ok(()), // another holds it
        other => other,
    }
}

/// What a question brought.
enum Told {
    /// It ended so.
    Ended(Settled, Box<Outcome>),
    /// Nothing that settles it.
    NotYet,
    /// Asking could do it again.
    Never,
}

async fn ask(platform: &Platform, run: &Run, now: Timestamp) -> Told {
    let wanted = match platform.door.resume(run) {
        Ok(wanted) if wanted.action().remembers => wanted,
        // It may be declared as before once more, within the day.
        Err(Unfit::NotYet(_) | Unfit::Changed(_)) => return Told::NotYet,
        Ok(_) => return Told::Never,
    };
    let approved_by = approvers(run);
    let call = ProviderCall {
        run: Some(run.id),
        plan: run.plan.as_ref(),
        approved_by: &approved_by,
        ..ProviderCall::of(wanted.action(), wanted.input(), &run.requested_by, &run.environment)
    };
    let (settled, outcome) = match platform.providers.recall(&call, false).await {
        Ok(Remembered::Ended(Advanced::Done(result))) => (Settled::Succeeded, Outcome::succeeded(result)),
        Ok(Remembered::Ended(Advanced::Failed(problem))) => (Settled::Failed, Outcome::failed(problem)),
        Ok(Remembered::Ended(Advanced::Cancelled(problem))) => {
            (Settled::Cancelled, Outcome::cancelled(problem))
        }
        Ok(Remembered::Nothing { since: Some(since) }) if never_arrived(wanted.action(), run, since, now) => {
            let problem = Problem::new(
                code::PROVIDER_UNREACHABLE,
                "the provider was asked, and never received it: it was not done",
            )
            .next("submit it again");
            (Settled::Failed, Outcome::failed(problem))
        }
        Ok(_) => return Told::NotYet,
        Err(error) => {
            tracing::info!(run = %run.id, %error, "its provider cannot say yet what became of a run");
            return Told::NotYet;
        }
    };
    Told::Ended(settled, Box::new(outcome))
}

/// Whether a memory that goes back to `since` and knows nothing of the run means that the call never came. A resumable action
/// forgets what it was put away from, so its memory means nothing.
fn never_arrived(action: &Action, run: &Run, since: Timestamp, now: Timestamp) -> bool {
    let (Some(first_call), Some(given_up)) = (run.started_at, run.finished_at) else { return false };
    !action.resumable && since + CLOCKS_APART <= first_call && now >= given_up + ON_ITS_WAY
}

async fn settle(
    platform: &Platform,
    run: &Run,
    settled: Settled,
    outcome: Outcome,
    held: &Held<'_>,
) -> Result<(), CommitError> {
    let Ok(to) = lifecycle::next(run.state, Event::Reconciled { to: settled }) else { return Ok(()) };
    let now = platform.clock.now();
    let record = record_of(platform, Verb::ReconcileRun, run, &outcome);
    let because = Some("its provider was asked what became of it".to_owned());
    let mut work = UnitOfWork::new()
        .with(Change::MoveRun { run: run.id, from: run.state, to, at: now, outcome: Some(outcome.clone()) })
        .append_record(record)
        .append_event(run.id, now, EventKind::Outcome { outcome })
        .append_event(run.id, now, EventKind::State { state: to, because })
        .with(held.finish());
    work.changes.extend(notices::of(platform, run, Happened::Ended, to, now));
    match platform.store.commit(work).await {
        Err(CommitError::Conflict { .. }) => Ok(()), // another was quicker
        other => other,
    }
}
