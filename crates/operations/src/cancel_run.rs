//! The requester withdraws a run that has not started.

use std::sync::Arc;

use guichet_admission::{Call, Refusal, door};
use guichet_contract::{EventKind, Problem, RecordVerdict, Run, RunState, Verb, code};
use guichet_lifecycle::{self as lifecycle, Event};
use guichet_store::{Change, CommitError, JobKind, UnitOfWork};

use crate::{
    notices::{self, Happened},
    platform::Platform,
    read_runs,
};

/// Cancels one's own run while it waits or is queued.
///
/// # Errors
/// Unknown run, someone else's, or one that has started or ended.
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
        if run.state == RunState::Running {
            return Err(platform.door.refuse(record, not_now(&run)).await);
        }
        record.verdict = RecordVerdict::Allowed;
        let now = platform.clock.now();
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

fn not_now(run: &Run) -> Problem {
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
