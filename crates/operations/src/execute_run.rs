//! A queued run is performed: authorized again, its plan compared, its intent made durable, and only then the
//! provider called. A crash after that leaves `unknown`, never silence and never a second call.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use guichet_admission::door;
use guichet_contract::{
    EventKind, JobId, Outcome, Problem, RecordVerdict, Run, RunId, RunState, Surface, Verb, Verdict, code,
};
use guichet_lifecycle::{self as lifecycle, Event};
use guichet_store::{Change, CommitError, Job, UnitOfWork};
use jiff::SignedDuration;

use crate::{
    decide::{self, Drift},
    platform::Platform,
    providers::{ProviderCall, ProviderError, Reporter, Told},
    record_outcome::record_outcome,
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
        RunState::Running => {
            // Whoever held this job before is gone; the provider may or may not have done it.
            let problem = Problem::new(
                code::GATEWAY_STOPPED,
                "the gateway stopped after it had called the provider and before it had the answer",
            )
            .next("look at the resource before you submit it again: it may have been done");
            record_outcome(platform, &run, Event::GatewayLost, Outcome::unknown(problem), Some(&held)).await
        }
        _ => platform.store.commit(UnitOfWork::new().with(held.finish())).await,
    }
}

async fn start(
    platform: &Arc<Platform>,
    run: Run,
    attempts: u32,
    held: &Held<'_>,
) -> Result<(), CommitError> {
    match decide::planned_anew(platform, &run).await {
        Ok(()) => {}
        Err(Drift::Drifted(problem)) => {
            void_run(platform, &run, RunState::Queued, problem, None, Some(held)).await;
            return Ok(());
        }
        Err(Drift::CannotTell(problem)) if attempts < PLAN_TRIES => {
            return wait(platform, &run, attempts, &problem, held).await;
        }
        Err(Drift::CannotTell(problem)) => {
            return record_outcome(platform, &run, Event::Failed, Outcome::failed(problem), Some(held)).await;
        }
    }
    // Last, so that nothing lies between this look and the intent but a disk write.
    let wanted = match platform.door.readmit(&run) {
        Ok(wanted) => wanted,
        Err(problem) => {
            void_run(platform, &run, RunState::Queued, problem, None, Some(held)).await;
            return Ok(());
        }
    };
    let approved_by = approvers(&run);
    match platform.store.commit(intent(platform, &run, &approved_by)).await {
        Ok(()) => {}
        // Cancelled at the last instant; its unit dropped this job.
        Err(CommitError::Conflict { .. }) => return Ok(()),
        Err(error) => return Err(error),
    }
    let run = Run { state: RunState::Running, ..run };
    let traceparent = run.trace_id.as_ref().map(|trace| format!("00-{trace}-{}-01", span_of(run.id)));
    let call = ProviderCall {
        run: Some(run.id),
        plan: run.plan.as_ref(),
        approved_by: &approved_by,
        traceparent: traceparent.as_deref(),
        ..ProviderCall::of(wanted.action(), wanted.input(), &run.requested_by, &run.environment)
    };
    let reporter = Journal { platform: Arc::clone(platform), run: run.id, told: AtomicUsize::new(0) };
    let (event, outcome) = match platform.providers.perform(&call, &reporter).await {
        Ok(result) => (Event::Succeeded, Outcome::succeeded(result)),
        Err(ProviderError::Silent(problem)) => (Event::ProviderSilent, Outcome::unknown(problem)),
        Err(ProviderError::NotSent(problem) | ProviderError::Failed(problem)) => {
            (Event::Failed, Outcome::failed(problem))
        }
    };
    record_outcome(platform, &run, event, outcome, Some(held)).await
}

/// The provider cannot be asked now: what was approved is not thrown away for that.
async fn wait(
    platform: &Platform,
    run: &Run,
    attempts: u32,
    problem: &Problem,
    held: &Held<'_>,
) -> Result<(), CommitError> {
    let now = platform.clock.now();
    let pause = SignedDuration::from_secs(1 << attempts.min(6));
    let line = format!("{}; trying again in {} s", problem.detail, pause.as_secs());
    let again = Change::RetryJob { job: held.job, lease: held.lease.to_owned(), due: now + pause };
    let work = UnitOfWork::new().append_event(run.id, now, EventKind::Log { line }).with(again);
    match platform.store.commit(work).await {
        Err(CommitError::Conflict { .. }) => Ok(()), // cancelled meanwhile
        other => other,
    }
}

/// How often a provider that cannot be asked is asked again before the run fails: about half a minute.
const PLAN_TRIES: u32 = 5;

/// The intent is durable before the provider is called.
fn intent(platform: &Platform, run: &Run, approved_by: &[String]) -> UnitOfWork {
    let now = platform.clock.now();
    let to = lifecycle::next(run.state, Event::Dispatched).unwrap_or(run.state);
    let mut record = platform.door.record(Verb::ExecuteRun, RecordVerdict::Allowed, Surface::Gateway);
    door::describe_run(&mut record, run);
    record.principal = Some(run.requested_by.clone());
    record.approved_by = approved_by.to_vec();
    record.trace_id.clone_from(&run.trace_id);
    UnitOfWork::new()
        .with(Change::MoveRun { run: run.id, from: run.state, to, at: now, outcome: None })
        .append_record(record)
        .append_event(run.id, now, EventKind::State { state: to, because: None })
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
fn span_of(run: RunId) -> String {
    let text = run.0.simple().to_string();
    text[16..].to_owned()
}

/// What the provider tells becomes events of the run.
struct Journal {
    platform: Arc<Platform>,
    run: RunId,
    told: AtomicUsize,
}

/// Lines, steps and progress that one run may tell, and characters of a line.
const TOLD_MAX: usize = 10_000;
const LINE_MAX: usize = 8_000;

#[async_trait]
impl Reporter for Journal {
    async fn tell(&self, told: Told) {
        match self.told.fetch_add(1, Ordering::Relaxed) {
            0..TOLD_MAX => {}
            TOLD_MAX => {
                return self
                    .keep(EventKind::Log {
                        line: format!("… more than {TOLD_MAX} lines; the rest is not kept"),
                    })
                    .await;
            }
            _ => return,
        }
        let kind = match told {
            Told::Log(line) => EventKind::Log { line: line.chars().take(LINE_MAX).collect() },
            Told::Progress { percent, message } => EventKind::Progress { percent, message },
            Told::Step { name, result } => EventKind::Step { name, result },
        };
        self.keep(kind).await;
    }
}

impl Journal {
    async fn keep(&self, kind: EventKind) {
        let work = UnitOfWork::new().append_event(self.run, self.platform.clock.now(), kind);
        if let Err(error) = self.platform.store.commit(work).await {
            tracing::warn!(run = %self.run, %error, "a line of the provider's log was lost");
        }
    }
}
