//! Someone wants something changed: planned, bound, recorded, and either queued or waiting for people.

use std::sync::Arc;

use guichet_admission::{ActionCall, Admitted, Attempt, Call, Purpose, Refusal, door};
use guichet_contract::{
    Approval, BrokenGlass, Digest, EventKind, JobId, Plan, Problem, RecordVerdict, Review, Run, RunId,
    RunState, Verb, code,
};
use guichet_lifecycle::{self as lifecycle, Event};
use guichet_store::{Change, CommitError, Job, JobKind, StoreError, UnitOfWork};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::{
    bulkhead,
    idempotency_key::IdempotencyKey,
    line,
    notices::{self, Happened},
    perform_read,
    plan_run::ask_plan,
    platform::{Platform, store_problem},
    undo_run,
};

/// What came of a submission.
#[derive(Debug)]
pub enum Submitted {
    /// A read: its result, at once.
    Read(Value),
    /// A change: the run that was made.
    Run(Box<Run>),
    /// The same submission again: the run that was made the first time.
    Repeated(Box<Run>),
}

/// How a submission is meant, beside what it wants.
#[derive(Debug, Clone, Default)]
pub struct Manner {
    /// The requester's key against double submission.
    pub idempotency_key: Option<String>,
    /// Go on without the approvals and the wait that are needed, in an emergency.
    pub break_glass: bool,
    /// The run that this one undoes.
    pub undoes: Option<RunId>,
    /// Name of the schedule that makes it.
    pub schedule: Option<String>,
}

/// Reads are performed at once; changes become a run.
///
/// # Errors
/// Whatever the door refuses; a provider that cannot plan; a store that cannot record.
pub async fn submit_run(
    platform: &Arc<Platform>,
    call: &Call,
    attempt: Attempt,
    manner: Manner,
) -> Result<Submitted, Refusal> {
    let caller = platform.door.identify(call).await?;
    let admitted = platform.door.admit_action(caller, attempt, Purpose::Perform).await?;
    if perform_read::is_free(&admitted) {
        return perform_read::perform_admitted(platform, admitted, Verb::PerformRead)
            .await
            .map(Submitted::Read);
    }
    submit_admitted(platform, admitted, manner).await
}

/// The same for a caller who is known and admitted already.
pub async fn submit_admitted(
    platform: &Arc<Platform>,
    admitted: Admitted<ActionCall>,
    manner: Manner,
) -> Result<Submitted, Refusal> {
    let requester = admitted.caller().principal.clone();
    let key = key_of(&admitted, &manner);
    if let Some(key) = &key
        && let Some(run) = earlier(platform, &admitted, key).await?
    {
        return Ok(Submitted::Repeated(Box::new(platform.shown(run, &requester))));
    }
    check_open_runs(platform, &admitted).await?;
    undo_run::check_not_undone(platform, &admitted, &manner).await?;
    let plan = plan(platform, &admitted).await?;
    let admitted = match &plan {
        Some(plan) => platform.door.require(admitted, plan, Purpose::Perform).await?,
        None => admitted,
    };
    // Where nobody is to be asked and nothing to be waited for, there is no glass to break.
    let wanted = admitted.wanted();
    let breaks_glass =
        manner.break_glass && !(wanted.conditions().is_empty() && wanted.cool_down_seconds() == 0);
    if breaks_glass {
        platform.door.admit_break_glass(&admitted).await?;
    }
    let run = new_run(platform, &admitted, plan, key.as_ref(), &manner, breaks_glass);
    let mut work = unit(platform, &admitted, &run, key.as_ref());
    if run.state == RunState::Queued && run.begins_at().is_none() {
        work.changes.extend(line::waiting(platform, &run, run.created_at).await);
    }
    match platform.store.commit(work).await {
        Ok(()) => {
            let run = line::told(platform, platform.shown(run, &requester)).await;
            Ok(Submitted::Run(Box::new(run)))
        }
        // The same key, submitted twice at the same instant: the other one made the run.
        Err(CommitError::Conflict { what }) => match &key {
            Some(key) => match earlier(platform, &admitted, key).await? {
                Some(run) => Ok(Submitted::Repeated(Box::new(platform.shown(run, &requester)))),
                None => Err(platform
                    .store_refusal(refused(platform, &admitted), CommitError::Conflict { what })
                    .await),
            },
            None => Err(platform
                .store_refusal(refused(platform, &admitted), CommitError::Conflict { what })
                .await),
        },
        Err(error) => Err(platform.store_refusal(refused(platform, &admitted), error).await),
    }
}

/// The requester's key, for just this submission.
fn key_of(admitted: &Admitted<ActionCall>, manner: &Manner) -> Option<IdempotencyKey> {
    let wanted = admitted.wanted();
    let mut request =
        json!({"action": wanted.action().id, "input": wanted.input(), "reason": wanted.reason()});
    if manner.break_glass {
        request["break_glass"] = json!(true);
    }
    if let Some(undone) = manner.undoes {
        request["undoes"] = json!(undone);
    }
    let text = manner.idempotency_key.clone()?;
    Some(IdempotencyKey::of(&admitted.caller().principal, text, &request))
}

/// The run that the key made before.
async fn earlier(
    platform: &Platform,
    admitted: &Admitted<ActionCall>,
    key: &IdempotencyKey,
) -> Result<Option<Run>, Refusal> {
    let problem = match key.earlier(&*platform.store).await {
        Ok(None) => return Ok(None),
        Ok(Some(run)) => match platform.store.run(run).await {
            Ok(Some(run)) => return Ok(Some(run)),
            Ok(None) => Problem::new(code::INTERNAL, format!("run {run} of this Idempotency-Key is missing")),
            Err(error) => store_problem(&error),
        },
        Err(problem) => problem,
    };
    Err(platform.door.refuse(refused(platform, admitted), problem).await)
}

async fn check_open_runs(platform: &Platform, admitted: &Admitted<ActionCall>) -> Result<(), Refusal> {
    let problem = match too_many_open(platform, admitted).await {
        Ok(None) => return Ok(()),
        Ok(Some(problem)) => problem,
        Err(error) => store_problem(&error),
    };
    Err(platform.door.refuse(refused(platform, admitted), problem).await)
}

/// Why the requester may have no further run now, if so.
///
/// # Errors
/// The store's: nothing is known.
pub(crate) async fn too_many_open(
    platform: &Platform,
    admitted: &Admitted<ActionCall>,
) -> Result<Option<Problem>, StoreError> {
    let limit = platform.settings.open_runs_per_principal;
    let requester = &admitted.caller().principal;
    let open = platform.store.open_runs_of(requester.kind, &requester.name).await?;
    if usize::try_from(open).unwrap_or(usize::MAX) < limit {
        return Ok(None);
    }
    let detail = format!("you have {limit} runs that are not finished");
    let next = "wait for some of them or cancel them: `guichet runs list`";
    Ok(Some(Problem::new(code::TOO_MANY_REQUESTS, detail).next(next)))
}

async fn plan(platform: &Platform, admitted: &Admitted<ActionCall>) -> Result<Option<Plan>, Refusal> {
    match ask_plan(platform, admitted).await {
        Ok(plan) => Ok(plan),
        Err(error) => {
            let mut record = refused(platform, admitted);
            record.verdict = RecordVerdict::Failed;
            Err(platform.door.refuse(record, error.into_problem()).await)
        }
    }
}

pub(crate) fn refused(platform: &Platform, admitted: &Admitted<ActionCall>) -> guichet_contract::Record {
    let mut record = platform.door.record_of(admitted.caller(), Verb::SubmitRun, RecordVerdict::Refused);
    door::describe(&mut record, admitted.wanted());
    record
}

pub(crate) fn new_run(
    platform: &Platform,
    admitted: &Admitted<ActionCall>,
    plan: Option<Plan>,
    key: Option<&IdempotencyKey>,
    manner: &Manner,
    breaks_glass: bool,
) -> Run {
    let (caller, wanted) = (admitted.caller(), admitted.wanted());
    let action = wanted.action();
    let now = platform.clock.now();
    let salt = platform.clock.new_uuid().simple().to_string();
    let conditions: Vec<Approval> =
        wanted.conditions().iter().cloned().map(|condition| condition.into_approval(now)).collect();
    // An emergency waits neither for people nor for time; what it went without is kept.
    let (approvals, cool_down_seconds, broken_glass) = if breaks_glass {
        let due = SignedDuration::from_secs(i64::from(platform.settings.review_seconds));
        let review_due_at = now.checked_add(due).unwrap_or(Timestamp::MAX);
        let waived_seconds = wanted.cool_down_seconds();
        (Vec::new(), 0, Some(BrokenGlass { skipped: conditions, waived_seconds, review_due_at }))
    } else {
        (conditions, wanted.cool_down_seconds(), None)
    };
    let state =
        lifecycle::next(RunState::Planned, Event::Submitted { needs_approval: !approvals.is_empty() })
            .unwrap_or(RunState::AwaitingApproval);
    let mut run = Run {
        id: RunId::new(&*platform.clock),
        action: action.id.clone(),
        action_version: action.version.clone(),
        command: action.command.clone(),
        title: action.title.clone(),
        effect: action.effect,
        environment: wanted.environment().to_owned(),
        state,
        requested_by: caller.principal.clone(),
        surface: caller.surface,
        reason: wanted.reason().map(str::to_owned),
        input: wanted.input().clone(),
        resource: wanted.resource().to_owned(),
        owner: wanted.owner().map(str::to_owned),
        binding: Digest::of_bytes(&[]), // computed below, over all the rest
        salt: Some(salt),
        plan,
        policy_version: wanted.policy_version().clone(),
        expires_at: approvals.iter().map(|approval| approval.expires_at).min(),
        approvals,
        decisions: Vec::new(),
        cool_down_seconds,
        timeout_seconds: Some(wanted.timeout_seconds())
            .filter(|seconds| *seconds < wanted.action().timeout_seconds),
        broken_glass,
        undoes: manner.undoes,
        undone_by: None,
        undo: None,
        concurrency: wanted.concurrency(),
        behind: None,
        schedule: manner.schedule.clone(),
        starts_at: None,
        waits_until: None,
        cancel_asked: None,
        created_at: now,
        started_at: None,
        finished_at: None,
        outcome: None,
        trace_id: caller.trace_id(),
        idempotency_key: key.map(|key| key.text().to_owned()),
    };
    run.binding = run.compute_binding();
    run
}

/// Run, key, record, event and next job: together or not at all.
pub(crate) fn unit(
    platform: &Platform,
    admitted: &Admitted<ActionCall>,
    run: &Run,
    key: Option<&IdempotencyKey>,
) -> UnitOfWork {
    let now = run.created_at;
    let mut record = platform.door.record_of(admitted.caller(), Verb::SubmitRun, RecordVerdict::Allowed);
    door::describe(&mut record, admitted.wanted());
    record.run = Some(run.id);
    record.binding = Some(run.binding.clone());
    record.detail = run.plan.as_ref().map(|plan| plan.sentence.clone());
    if let Some(undone) = run.undoes {
        let sentence = record.detail.take().map(|sentence| format!(": {sentence}")).unwrap_or_default();
        record.detail = Some(format!("undoes run {undone}{sentence}"));
    }
    if let Some(name) = &run.schedule {
        let sentence = record.detail.take().map(|sentence| format!(": {sentence}")).unwrap_or_default();
        record.detail = Some(format!("by schedule {name}{sentence}"));
    }
    let (kind, due) = match run.expires_at {
        Some(expires_at) => (JobKind::ExpireRun, expires_at),
        None => (JobKind::ExecuteRun, run.begins_at().unwrap_or(now)),
    };
    let (job_key, behind) = match kind {
        JobKind::ExecuteRun => (run.line(), Some(bulkhead::of_runs(run.action.provider()))),
        _ => (None, None),
    };
    let mut work = UnitOfWork::new().insert_run(run.clone());
    if let Some(key) = key {
        work.add(key.stands_for(run.id, now));
    }
    let mut because = None;
    if let Some(glass) = &run.broken_glass {
        let why = format!("without {}", glass.in_words());
        let mut broken = platform.door.record_of(admitted.caller(), Verb::BreakGlass, RecordVerdict::Allowed);
        door::describe_run(&mut broken, run);
        broken.reason.clone_from(&run.reason);
        broken.policies = glass.skipped.iter().map(|approval| approval.policy.clone()).collect();
        broken.detail = Some(format!("{why}; a review is due at {:.0}", glass.review_due_at));
        because = Some(format!("glass broken: {why}"));
        let review = Review { run: run.id, opened_at: now, due_at: glass.review_due_at, closed: None };
        work = work.append_record(broken).with(Change::OpenReview(review));
    }
    work.changes.extend(notices::of(platform, run, Happened::Submitted, run.state, now));
    work.append_record(record)
        .append_event(run.id, now, EventKind::State { state: run.state, because })
        .enqueue_job(Job {
            id: JobId::new(&*platform.clock),
            kind,
            run: run.id,
            due,
            attempts: 0,
            key: job_key,
            bulkhead: behind,
        })
}
