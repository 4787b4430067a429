//! A queued run is performed: authorized again, its plan compared, its intent made durable, and only then the
//! provider called. A crash after that leaves `unknown`, never silence, and a second call only where the action says that it
//! does no harm.

use std::sync::Arc;

use guichet_admission::{Unfit, door};
use guichet_contract::{
    EventKind, JobId, Outcome, Problem, RecordVerdict, Run, RunId, RunState, Surface, Verb, Verdict, code,
};
use guichet_lifecycle::{self as lifecycle, Event};
use guichet_store::{Change, CommitError, Job, UnitOfWork};
use jiff::{SignedDuration, Timestamp};

use crate::{
    advance_run::{advance_run, is_retried},
    decide::{self, Drift},
    notices::{self, Happened},
    platform::Platform,
    put_off::{self, Lacks, pause_of, put_off},
    record_outcome::{WithoutLease, record_outcome},
    void_run::void_run,
};

/// A job and the lease under which it is held.
#[derive(Debug, Clone, Copy)]
pub struct Held<'a> {
    /// The job.
    pub job: JobId,
    /// The lease.
    pub lease: &'a str,
}

impl Held<'_> {
    /// The change that ends the job, for the unit that does its work.
    pub fn finish(&self) -> Change {
        Change::FinishJob { job: self.job, lease: self.lease.to_owned() }
    }

    /// No change, and a conflict when somebody else holds the job.
    pub(crate) fn hold(&self) -> Change {
        Change::HoldJob { job: self.job, lease: self.lease.to_owned() }
    }

    /// The change that has the job done again, not before `due`.
    pub(crate) fn retry(&self, due: Timestamp) -> Change {
        Change::RetryJob { job: self.job, lease: self.lease.to_owned(), due }
    }
}

/// Performs the run of this job, or says truthfully what became of it.
///
/// # Errors
/// The store's; the job is tried again later. Nothing is done twice: the move to `running` is conditional, and a run
/// found `running` by a later attempt is `unknown`.
pub async fn execute_run(platform: &Arc<Platform>, job: &Job, lease: &str) -> Result<(), CommitError> {
    let held = Held { job: job.id, lease };
    let Some(run) = platform.store.run(job.run).await.map_err(CommitError::Store)? else {
        return platform.store.commit(UnitOfWork::new().with(held.finish())).await;
    };
    match run.state {
        RunState::Queued => start(platform, run, job.attempts, &held).await,
        RunState::Running => go_on(platform, run, job.attempts, &held).await,
        _ => platform.store.commit(UnitOfWork::new().with(held.finish())).await,
    }
}

async fn start(
    platform: &Arc<Platform>,
    run: Run,
    attempts: u32,
    held: &Held<'_>,
) -> Result<(), CommitError> {
    let plan = match decide::planned_anew(platform, &run).await {
        Ok(plan) => plan,
        Err(Drift::Drifted(problem)) => {
            void_run(platform, &run, RunState::Queued, problem, None, Some(held)).await;
            return Ok(());
        }
        Err(Drift::CannotTell(problem)) => return put_off(platform, &run, Lacks::Plan, problem, held).await,
    };
    // Last, so that nothing lies between this look and the intent but a disk write.
    let wanted = match platform.door.readmit(&run, plan.as_ref()) {
        Ok(wanted) => wanted,
        Err(Unfit::Changed(problem)) => {
            void_run(platform, &run, RunState::Queued, problem, None, Some(held)).await;
            return Ok(());
        }
        Err(Unfit::NotYet(problem)) => return put_off(platform, &run, Lacks::Document, problem, held).await,
    };
    let approved_by = approvers(&run);
    let now = platform.clock.now();
    match platform.store.commit(intent(platform, &run, &approved_by, held, now)).await {
        Ok(()) => {}
        // Cancelled at the last instant; its unit dropped this job. Or another holds it by now.
        Err(CommitError::Conflict { .. }) => return Ok(()),
        Err(error) => return Err(error),
    }
    // Not read back: what fails between the intent and the call would leave a run of which nobody can say that it never began.
    let started = Run { state: RunState::Running, started_at: Some(now), ..run };
    advance_run(platform, started, &wanted, false, attempts, held).await
}

/// Whoever held this job before is gone, or it slept, or was cut off.
async fn go_on(
    platform: &Arc<Platform>,
    run: Run,
    attempts: u32,
    held: &Held<'_>,
) -> Result<(), CommitError> {
    let problem = match platform.door.resume(&run) {
        Ok(call) if is_retried(call.action()) => {
            return advance_run(platform, run, &call, true, attempts, held).await;
        }
        // The provider may or may not have done it.
        Ok(_) => Problem::new(
            code::GATEWAY_STOPPED,
            "the gateway stopped after it had called the provider and before it had the answer",
        )
        .next("look at the resource before you submit it again: it may have been done"),
        // Half of it may be done: as long as its provider may come back, it can go on.
        Err(Unfit::NotYet(problem)) => {
            let now = platform.clock.now();
            let over = started_at(&run) + most(&run);
            if now < over {
                let pause = pause_of(run.id, attempts).min(over.duration_since(now));
                return put_off::wait(platform, &run, Lacks::Document, &problem, pause, held).await;
            }
            let detail =
                format!("its end did not come in the time that it may take; at last: {}", problem.detail);
            Problem::new(code::GATEWAY_STOPPED, detail).next(
                "it may have been done, in part or whole: look at the resource before you submit it again",
            )
        }
        Err(unfit) => Problem { code: code::GATEWAY_STOPPED.to_owned(), ..unfit.into_problem() },
    };
    record_outcome(platform, &run, Event::GatewayLost, Outcome::unknown(problem), held, WithoutLease::Leave)
        .await
}

/// The longest that an action may take.
const LONGEST: SignedDuration = SignedDuration::from_hours(24);

/// How long a run may take, as far as that can be told without its action's declaration: what policies gave it, or the longest
/// that any may.
fn most(run: &Run) -> SignedDuration {
    run.timeout_seconds.map_or(LONGEST, |seconds| SignedDuration::from_secs(i64::from(seconds)).min(LONGEST))
}

fn started_at(run: &Run) -> Timestamp {
    run.started_at.unwrap_or(run.created_at)
}

/// The intent is durable before the provider is called.
fn intent(
    platform: &Platform,
    run: &Run,
    approved_by: &[String],
    held: &Held<'_>,
    now: Timestamp,
) -> UnitOfWork {
    let to = lifecycle::next(run.state, Event::Dispatched).unwrap_or(run.state);
    let mut record = platform.door.record(Verb::ExecuteRun, RecordVerdict::Allowed, Surface::Gateway);
    door::describe_run(&mut record, run);
    record.principal = Some(run.requested_by.clone());
    record.approved_by = approved_by.to_vec();
    record.trace_id.clone_from(&run.trace_id);
    let mut work = UnitOfWork::new()
        // A run is queued more than once when its call could not be sent: that it is queued does not say that it is ours.
        .with(held.hold())
        .with(Change::MoveRun { run: run.id, from: run.state, to, at: now, outcome: None })
        .append_record(record)
        .append_event(run.id, now, EventKind::State { state: to, because: None });
    work.changes.extend(notices::of(platform, run, Happened::Started, to, now));
    work
}

/// Everyone whose yes counted, once.
pub(crate) fn approvers(run: &Run) -> Vec<String> {
    let mut names: Vec<String> = run
        .decisions
        .iter()
        .filter(|decision| decision.verdict == Verdict::Approve)
        .map(|decision| decision.by.clone())
        .collect();
    names.sort();
    names.dedup();
    names
}

/// A span id for the call, from the run's id: the last 16 hexadecimal digits, which are random.
pub(crate) fn span_of(run: RunId) -> String {
    let text = run.0.simple().to_string();
    text[16..].to_owned()
}
