//! The provider of a run whose answer never came is asked what became of it. Nothing is done again.

use std::sync::Arc;

use guichet_admission::door;
use guichet_contract::{
    Action, EventKind, JobId, Outcome, OutcomeStatus, Problem, RecordVerdict, Run, RunState, Surface, Verb,
    code,
};
use guichet_lifecycle::{self as lifecycle, Event, Settled};
use guichet_store::{Change, CommitError, Job, JobKind, UnitOfWork};
use jiff::{SignedDuration, Timestamp};

use crate::{
    bulkhead,
    execute_run::{Held, approvers},
    notices::{self, Happened},
    platform::Platform,
    providers::{Advanced, ProviderCall, Remembered},
};

/// The pause between two questions, at first and at most, and how long they are asked.
const PAUSE: (SignedDuration, SignedDuration) = (SignedDuration::from_secs(5), SignedDuration::from_mins(10));
const ASKED_FOR: SignedDuration = SignedDuration::from_hours(24);
/// How far two clocks may be apart.
const CLOCKS_APART: SignedDuration = SignedDuration::from_secs(5);
/// A call that is on its way this long after it was made is refused when it arrives: its token has expired.
const ON_ITS_WAY: SignedDuration = SignedDuration::from_secs(60 + 2 * 5);

/// The job that will ask, for the unit that says `unknown`. None where asking could do the change again.
pub(crate) fn question(platform: &Platform, run: &Run, now: Timestamp) -> Option<Change> {
    let call = platform.door.resume(run).ok()?;
    call.action().remembers.then(|| {
        Change::EnqueueJob(Job {
            id: JobId::new(&*platform.clock),
            kind: JobKind::ReconcileRun,
            run: run.id,
            due: now + PAUSE.0,
            attempts: 0,
            key: None,
            bulkhead: bulkhead::of_questions_about(&run.action),
        })
    })
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
    if let Some((to, outcome)) = ask(platform, &run, now).await {
        return settle(platform, &run, to, outcome, &held).await;
    }
    let pause = (PAUSE.0 * (1_i32 << job.attempts.min(8))).min(PAUSE.1);
    let next = if now + pause > unknown_since + ASKED_FOR { held.finish() } else { held.retry(now + pause) };
    match platform.store.commit(UnitOfWork::new().with(next)).await {
        Err(CommitError::Conflict { .. }) => Ok(()), // another holds it
        other => other,
    }
}

async fn ask(platform: &Platform, run: &Run, now: Timestamp) -> Option<(Settled, Outcome)> {
    let wanted = platform.door.resume(run).ok()?;
    let action = wanted.action();
    if !action.remembers {
        return None;
    }
    let approved_by = approvers(run);
    let call = ProviderCall {
        run: Some(run.id),
        plan: run.plan.as_ref(),
        approved_by: &approved_by,
        ..ProviderCall::of(action, wanted.input(), &run.requested_by, &run.environment)
    };
    match platform.providers.recall(&call, false).await {
        Ok(Remembered::Ended(Advanced::Done(result))) => {
            Some((Settled::Succeeded, Outcome::succeeded(result)))
        }
        Ok(Remembered::Ended(Advanced::Failed(problem))) => Some((Settled::Failed, Outcome::failed(problem))),
        Ok(Remembered::Ended(Advanced::Cancelled(problem))) => {
            Some((Settled::Cancelled, Outcome::cancelled(problem)))
        }
        Ok(Remembered::Nothing { since: Some(since) }) if never_arrived(action, run, since, now) => {
            let problem = Problem::new(
                code::PROVIDER_UNREACHABLE,
                "the provider was asked, and never received it: it was not done",
            )
            .next("submit it again");
            Some((Settled::Failed, Outcome::failed(problem)))
        }
        Ok(_) => None,
        Err(error) => {
            tracing::info!(run = %run.id, %error, "its provider cannot say yet what became of a run");
            None
        }
    }
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
    let verdict = match outcome.status {
        OutcomeStatus::Succeeded => RecordVerdict::Allowed,
        OutcomeStatus::Failed | OutcomeStatus::Cancelled => RecordVerdict::Failed,
        OutcomeStatus::Unknown => RecordVerdict::Unknown,
    };
    let mut record = platform.door.record(Verb::ReconcileRun, verdict, Surface::Gateway);
    door::describe_run(&mut record, run);
    record.principal = Some(run.requested_by.clone());
    record.approved_by = approvers(run);
    record.problem = outcome.problem.as_ref().map(|problem| problem.code.clone());
    record.detail = outcome.problem.as_ref().map(|problem| problem.detail.chars().take(500).collect());
    record.trace_id.clone_from(&run.trace_id);
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
