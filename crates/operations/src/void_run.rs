//! What was approved is no longer what would run: the run ends without having started.

use guichet_admission::door;
use guichet_contract::{EventKind, Outcome, Principal, Problem, RecordVerdict, Run, RunState, Surface, Verb};
use guichet_lifecycle::{self as lifecycle, Event};
use guichet_store::{Change, JobKind, UnitOfWork};

use crate::{
    execute_run::Held,
    notices::{self, Happened},
    platform::Platform,
};

/// Voids a run that is in `from`. When it has moved on meanwhile, nothing happens.
pub(crate) async fn void_run(
    platform: &Platform,
    run: &Run,
    from: RunState,
    problem: Problem,
    noticed_by: Option<Principal>,
    held: Option<&Held<'_>>,
) {
    let Ok(to) = lifecycle::next(from, Event::Voided) else {
        return;
    };
    let now = platform.clock.now();
    let mut record = platform.door.record(Verb::VoidRun, RecordVerdict::Refused, Surface::Gateway);
    door::describe_run(&mut record, run);
    let told = Happened::Voided { by: noticed_by.as_ref(), because: &problem.detail };
    let told = notices::of(platform, run, told, to, now);
    record.principal = noticed_by.or_else(|| Some(run.requested_by.clone()));
    record.problem = Some(problem.code.clone());
    record.detail = Some(problem.detail.clone());
    record.trace_id.clone_from(&run.trace_id);
    let because = Some(problem.detail.clone());
    let outcome = Outcome::failed(problem);
    let mut work = UnitOfWork::new()
        .with(Change::MoveRun { run: run.id, from, to, at: now, outcome: Some(outcome.clone()) })
        .with(Change::DropJobs { run: run.id, kind: JobKind::ExpireRun })
        .append_record(record)
        .append_event(run.id, now, EventKind::State { state: to, because })
        .append_event(run.id, now, EventKind::Outcome { outcome });
    work.changes.extend(told);
    if let Some(held) = held {
        work.add(held.finish());
    }
    if let Err(error) = platform.store.commit(work).await {
        tracing::warn!(run = %run.id, %error, "the run could not be voided; it is looked at again before it starts");
    }
}
