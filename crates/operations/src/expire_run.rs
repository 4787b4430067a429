//! Nobody decided in time.

use guichet_admission::door;
use guichet_contract::{EventKind, RecordVerdict, RunState, Surface, Verb};
use guichet_lifecycle::{self as lifecycle, Event};
use guichet_store::{Change, CommitError, Job, UnitOfWork};

use crate::{
    execute_run::Held,
    notices::{self, Happened},
    platform::Platform,
};

/// Ends a run whose time for approval is over. A clock that went backwards only makes it wait again.
///
/// # Errors
/// The store's; the job is tried again.
pub async fn expire_run(platform: &Platform, job: &Job, lease: &str) -> Result<(), CommitError> {
    let held = Held { job: job.id, lease };
    let run = platform.store.run(job.run).await.map_err(CommitError::Store)?;
    let waiting = run.filter(|run| run.state == RunState::AwaitingApproval);
    let Some((run, expires_at)) = waiting.and_then(|run| run.expires_at.map(|at| (run, at))) else {
        return platform.store.commit(UnitOfWork::new().with(held.finish())).await;
    };
    let now = platform.clock.now();
    if now < expires_at {
        return platform.store.commit(UnitOfWork::new().with(held.retry(expires_at))).await;
    }
    let Ok(to) = lifecycle::next(run.state, Event::Expired) else {
        return platform.store.commit(UnitOfWork::new().with(held.finish())).await;
    };
    let mut record = platform.door.record(Verb::ExpireRun, RecordVerdict::Refused, Surface::Gateway);
    door::describe_run(&mut record, &run);
    record.principal = Some(run.requested_by.clone());
    record.trace_id.clone_from(&run.trace_id);
    let because = Some("nobody decided in time".to_owned());
    let mut work = UnitOfWork::new()
        .with(Change::MoveRun { run: run.id, from: run.state, to, at: now, outcome: None })
        .append_record(record)
        .append_event(run.id, now, EventKind::State { state: to, because })
        .with(held.finish());
    work.changes.extend(notices::of(platform, &run, Happened::Expired, to, now));
    match platform.store.commit(work).await {
        // Decided at the last instant: the decision counts, and its unit dropped this job.
        Err(CommitError::Conflict { .. }) => Ok(()),
        other => other,
    }
}
