//! The requester withdraws a run that has not started, or asks that one under way be stopped. Only its provider's word says
//! that it was.

use std::sync::Arc;

use guichet_admission::{Call, Caller, Refusal, Unfit, door};
use guichet_contract::{CancelAsked, EventKind, Problem, Record, RecordVerdict, Run, RunState, Verb, code};
use guichet_lifecycle::{self as lifecycle, Event};
use guichet_store::{Change, CommitError, JobKind, UnitOfWork};
use jiff::Timestamp;

use crate::{
    advance_run::can_be_stopped,
    notices::{self, Happened},
    platform::Platform,
    read_runs,
};

/// Cancels one's own run while it waits or is queued, and asks for it while it is under way.
///
/// # Errors
/// Unknown run, someone else's, one that has ended, or one under way whose action cannot be stopped.
pub async fn cancel_run(
    platform: &Arc<Platform>,
    call: &Call,
    run: &str,
    reason: Option<String>,
) -> Result<Run, Refusal> {
    let caller = platform.door.identify(call).await?;
    let mut run = read_runs::find(platform, &caller, run, Verb::CancelRun).await?;
    platform.door.admit_cancel(&caller, &run, reason.as_deref()).await?;
    loop {
        let mut record = platform.door.record_of(&caller, Verb::CancelRun, RecordVerdict::Refused);
        door::describe_run(&mut record, &run);
        record.reason.clone_from(&reason);
        let Ok(to) = lifecycle::next(run.state, Event::Cancelled) else {
            return Err(platform.door.refuse(record, not_now(&run)).await);
        };
        let under_way = run.state == RunState::Running;
        if under_way && run.cancel_asked.is_none() {
            match platform.door.resume(&run) {
                Ok(call) if can_be_stopped(call.action()) => {}
                Err(Unfit::NotYet(problem)) => {
                    return Err(platform.door.refuse(record, not_known(&problem)).await);
                }
                Ok(_) | Err(Unfit::Changed(_)) => {
                    return Err(platform.door.refuse(record, not_now(&run)).await);
                }
            }
        } else if under_way {
            return Err(platform.door.refuse(record, not_now(&run)).await);
        }
        record.verdict = RecordVerdict::Allowed;
        let now = platform.clock.now();
        if under_way {
            match platform.store.commit(asking(&run, &caller, reason.clone(), record.clone(), now)).await {
                Ok(()) => {
                    return read_runs::reload(platform, run.id)
                        .await
                        .map(|run| platform.shown(run, &caller.principal));
                }
                Err(CommitError::Conflict { .. }) => {
                    run = read_runs::reload(platform, run.id).await?;
                    continue;
                }
                Err(error) => {
                    record.verdict = RecordVerdict::Refused;
                    return Err(platform.store_refusal(record, error).await);
                }
            }
        }
        let mut work = UnitOfWork::new()
            .with(Change::MoveRun { run: run.id, from: run.state, to, at: now, outcome: None })
            .with(Change::DropJobs { run: run.id, kind: JobKind::ExpireRun })
            .with(Change::DropJobs { run: run.id, kind: JobKind::ExecuteRun })
            .append_record(record.clone())
            .append_event(run.id, now, EventKind::State { state: to, because: reason.clone() });
        let told = Happened::Cancelled { by: &caller.principal, because: reason.as_deref() };
        work.changes.extend(notices::of(platform, &run, told, to, now));
        match platform.store.commit(work).await {
            Ok(()) => {
                return read_runs::reload(platform, run.id)
                    .await
                    .map(|run| platform.shown(run, &caller.principal));
            }
            Err(CommitError::Conflict { .. }) => run = read_runs::reload(platform, run.id).await?,
            Err(error) => {
                record.verdict = RecordVerdict::Refused;
                return Err(platform.store_refusal(record, error).await);
            }
        }
    }
}

/// It is durable before the provider is asked; who attends to the run hears of it, and one that sleeps is woken.
fn asking(run: &Run, caller: &Caller, reason: Option<String>, record: Record, now: Timestamp) -> UnitOfWork {
    let by = caller.principal.name.clone();
    let asked = CancelAsked { by: by.clone(), at: now, because: reason.clone() };
    UnitOfWork::new()
        .with(Change::AskCancel { run: run.id, asked })
        .with(Change::HastenJobs { run: run.id, kind: JobKind::ExecuteRun, due: now })
        .append_record(record)
        .append_event(run.id, now, EventKind::CancelAsked { by, because: reason })
}

/// Whether it can be stopped stands in a document that could not be read yet.
fn not_known(problem: &Problem) -> Problem {
    let detail = format!("whether this run can be stopped is not known: {}", problem.detail);
    Problem { detail, ..problem.clone() }
        .next("it goes on when its provider is back; try again then, or ask the provider's owners")
}

fn not_now(run: &Run) -> Problem {
    if let Some(asked) = run.cancel_asked.as_ref().filter(|_| run.state == RunState::Running) {
        return Problem::new(
            code::WRONG_STATE,
            format!(
                "{} asked at {:.0} that it be stopped; the provider has not confirmed it",
                asked.by, asked.at
            ),
        )
        .next(format!("follow it to its end: `guichet runs watch {}`", run.id.short()));
    }
    if run.state == RunState::Running {
        return Problem::new(
            code::WRONG_STATE,
            "the provider is performing it, and this action cannot be stopped midway",
        )
        .next(format!("follow it to its end: `guichet runs watch {}`", run.id.short()));
    }
    Problem::new(code::WRONG_STATE, format!("the run is {} already", run.state))
        .next("nothing is left to cancel")
}
