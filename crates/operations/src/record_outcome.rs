//! What came of a run: state, record, event and the end of its job, together.

use guichet_admission::door;
use guichet_contract::{
    EventKind, Outcome, OutcomeStatus, Record, RecordVerdict, Run, RunState, Surface, Verb,
};
use guichet_lifecycle::{self as lifecycle, Event};
use guichet_store::{Change, CommitError, UnitOfWork};
use std::time::Duration;

use crate::{
    execute_run::{Held, approvers},
    notices::{self, Happened},
    platform::Platform,
    put_off::PAUSES,
    reconcile_run,
};

/// An outcome that cannot be written is tried this often, a second apart and more, before the run is left to
/// the next attempt, which calls it unknown.
const TRIES: u32 = 6;

/// What becomes of an outcome whose job somebody else holds by now.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum WithoutLease {
    /// The provider's answer is the truth all the same, whatever whoever holds the job now finds.
    Record,
    /// Whoever holds the job now goes on with the run, and has the last word.
    Leave,
}

/// Writes the outcome.
///
/// # Errors
/// When the store takes nothing for about a minute.
pub(crate) async fn record_outcome(
    platform: &Platform,
    run: &Run,
    event: Event,
    outcome: Outcome,
    held: &Held<'_>,
    without_lease: WithoutLease,
) -> Result<(), CommitError> {
    let Ok(to) = lifecycle::next(run.state, event) else {
        tracing::error!(run = %run.id, state = %run.state, ?event, "an outcome that the run's state does not allow");
        return Ok(());
    };
    let now = platform.clock.now();
    let mut record = record_of(platform, Verb::RecordOutcome, run, &outcome);
    record.duration_ms = u64::try_from(now.duration_since(run.created_at).as_millis()).ok();
    let because = outcome.problem.as_ref().map(|problem| problem.detail.clone());
    let mut work = UnitOfWork::new()
        .with(Change::MoveRun { run: run.id, from: run.state, to, at: now, outcome: Some(outcome.clone()) })
        .append_record(record)
        .append_event(run.id, now, EventKind::Outcome { outcome })
        .append_event(run.id, now, EventKind::State { state: to, because });
    work.changes.extend(notices::of(platform, run, Happened::Ended, to, now));
    if to == RunState::Unknown {
        work.changes.extend(reconcile_run::question(platform, run, now));
    }
    work.add(held.finish());
    match commit_patiently(platform, run, &work).await {
        Err(CommitError::Conflict { what }) if without_lease == WithoutLease::Leave => {
            tracing::warn!(run = %run.id, what, "an outcome is left to whoever holds the job by now");
            Ok(())
        }
        Err(CommitError::Conflict { what }) => {
            tracing::warn!(run = %run.id, what, "the outcome is recorded without the job's lease");
            platform.store.commit(without_job(work)).await
        }
        other => other,
    }
}

/// What the trail tells of an outcome, whoever learned of it.
pub(crate) fn record_of(platform: &Platform, verb: Verb, run: &Run, outcome: &Outcome) -> Record {
    let verdict = match outcome.status {
        OutcomeStatus::Succeeded => RecordVerdict::Allowed,
        OutcomeStatus::Failed | OutcomeStatus::Cancelled => RecordVerdict::Failed,
        OutcomeStatus::Unknown => RecordVerdict::Unknown,
    };
    let mut record = platform.door.record(verb, verdict, Surface::Gateway);
    door::describe_run(&mut record, run);
    record.principal = Some(run.requested_by.clone());
    record.approved_by = approvers(run);
    record.problem = outcome.problem.as_ref().map(|problem| problem.code.clone());
    record.detail = outcome.problem.as_ref().map(|problem| problem.detail.chars().take(500).collect());
    record.trace_id.clone_from(&run.trace_id);
    record
}

/// Commits what must not be left to the next attempt, as long as the store may come back: about half a minute.
///
/// # Errors
/// A conflict at once; the store's after the last try.
pub(crate) async fn commit_patiently(
    platform: &Platform,
    run: &Run,
    work: &UnitOfWork,
) -> Result<(), CommitError> {
    for tries in 1..TRIES {
        match platform.store.commit(work.clone()).await {
            Err(CommitError::Store(error)) => {
                tracing::error!(run = %run.id, %error, "what became of a run could not be recorded; trying again");
                tokio::time::sleep(Duration::try_from(PAUSES.after(tries)).unwrap_or_default()).await;
            }
            other => return other,
        }
    }
    platform.store.commit(work.clone()).await
}

fn without_job(mut work: UnitOfWork) -> UnitOfWork {
    work.changes.retain(|change| !matches!(change, Change::FinishJob { .. }));
    work
}
