//! Someone wants something changed: planned, bound, recorded, and either queued or waiting for people.

use std::sync::Arc;

use guichet_admission::{ActionCall, Admitted, Attempt, Call, Caller, Purpose, Refusal, door};
use guichet_contract::{
    Approval, Digest, EventKind, JobId, Plan, Problem, RecordVerdict, Run, RunId, RunState, Verb, code,
};
use guichet_lifecycle::{self as lifecycle, Event};
use guichet_store::{Change, CommitError, Job, JobKind, UnitOfWork};
use serde_json::{Value, json};

use crate::{
    notices::{self, Happened},
    perform_read,
    platform::{Platform, store_problem},
    providers::ProviderCall,
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

/// Longest idempotency key, characters.
pub const IDEMPOTENCY_KEY_MAX: usize = 200;

/// Reads are performed at once; changes become a run.
///
/// # Errors
/// Whatever the door refuses; a provider that cannot plan; a store that cannot record.
pub async fn submit_run(
    platform: &Arc<Platform>,
    call: &Call,
    attempt: Attempt,
    idempotency_key: Option<String>,
) -> Result<Submitted, Refusal> {
    let caller = platform.door.identify(call).await?;
    let admitted = platform.door.admit_action(caller, attempt, Purpose::Perform).await?;
    if perform_read::is_free(&admitted) {
        return perform_read::perform_admitted(platform, admitted, Verb::PerformRead)
            .await
            .map(Submitted::Read);
    }
    submit_admitted(platform, admitted, idempotency_key).await
}

/// The same for a caller who is known and admitted already.
pub async fn submit_admitted(
    platform: &Arc<Platform>,
    admitted: Admitted<ActionCall>,
    idempotency_key: Option<String>,
) -> Result<Submitted, Refusal> {
    let requester = admitted.caller().principal.clone();
    let key = Key::of(&admitted, idempotency_key);
    if let Some(key) = &key
        && let Some(run) = earlier(platform, &admitted, key).await?
    {
        return Ok(Submitted::Repeated(Box::new(platform.shown(run, &requester))));
    }
    check_open_runs(platform, &admitted).await?;
    let plan = plan(platform, &admitted).await?;
    let admitted = match &plan {
        Some(plan) => platform.door.require(admitted, plan, Purpose::Perform).await?,
        None => admitted,
    };
    let run = new_run(platform, &admitted, plan, key.as_ref());
    let work = unit(platform, &admitted, &run, key.as_ref());
    match platform.store.commit(work).await {
        Ok(()) => Ok(Submitted::Run(Box::new(platform.shown(run, &requester)))),
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

/// A requester's key against double submission.
struct Key {
    principal: String,
    text: String,
    request: Digest,
}

impl Key {
    fn of(admitted: &Admitted<ActionCall>, key: Option<String>) -> Option<Self> {
        let wanted = admitted.wanted();
        let principal = &admitted.caller().principal;
        key.map(|key| Self {
            principal: format!("{:?}/{}", principal.kind, principal.name),
            text: key,
            request: Digest::of_json(
                &json!({"action": wanted.action().id, "input": wanted.input(), "reason": wanted.reason()}),
            ),
        })
    }
}

async fn earlier(
    platform: &Platform,
    admitted: &Admitted<ActionCall>,
    key: &Key,
) -> Result<Option<Run>, Refusal> {
    let problem = if key.text.is_empty() || key.text.chars().count() > IDEMPOTENCY_KEY_MAX {
        Problem::new(
            code::BAD_REQUEST,
            format!("an Idempotency-Key has 1 to {IDEMPOTENCY_KEY_MAX} characters"),
        )
    } else {
        let found = platform.store.idempotent_run(&key.principal, &key.text).await;
        match found {
            Ok(None) => return Ok(None),
            Ok(Some((request, run))) if request == key.request => match platform.store.run(run).await {
                Ok(Some(run)) => return Ok(Some(run)),
                Ok(None) => {
                    Problem::new(code::INTERNAL, format!("run {run} of this Idempotency-Key is missing"))
                }
                Err(error) => store_problem(&error),
            },
            Ok(Some((_, run))) => Problem::new(
                code::IDEMPOTENCY_CONFLICT,
                format!("this Idempotency-Key made run {run}, which is about something else"),
            )
            .next("use a new key for a new request"),
            Err(error) => store_problem(&error),
        }
    };
    Err(platform.door.refuse(refused(platform, admitted), problem).await)
}

async fn check_open_runs(platform: &Platform, admitted: &Admitted<ActionCall>) -> Result<(), Refusal> {
    let limit = platform.settings.open_runs_per_principal;
    let requester = &admitted.caller().principal;
    let problem = match platform.store.open_runs_of(requester.kind, &requester.name).await {
        Ok(open) if usize::try_from(open).unwrap_or(usize::MAX) < limit => return Ok(()),
        Ok(_) => {
            Problem::new(code::TOO_MANY_REQUESTS, format!("you have {limit} runs that are not finished"))
                .next("wait for some of them or cancel them: `guichet runs list`")
        }
        Err(error) => store_problem(&error),
    };
    Err(platform.door.refuse(refused(platform, admitted), problem).await)
}

async fn plan(platform: &Platform, admitted: &Admitted<ActionCall>) -> Result<Option<Plan>, Refusal> {
    let wanted = admitted.wanted();
    if !wanted.action().plan {
        return Ok(None);
    }
    let caller: &Caller = admitted.caller();
    let call = ProviderCall {
        traceparent: caller.traceparent.as_deref(),
        ..ProviderCall::of(wanted.action(), wanted.input(), &caller.principal, wanted.environment())
    };
    match platform.providers.plan(&call).await {
        Ok(plan) => Ok(Some(plan)),
        Err(error) => {
            let mut record = refused(platform, admitted);
            record.verdict = RecordVerdict::Failed;
            Err(platform.door.refuse(record, error.into_problem()).await)
        }
    }
}

fn refused(platform: &Platform, admitted: &Admitted<ActionCall>) -> guichet_contract::Record {
    let mut record = platform.door.record_of(admitted.caller(), Verb::SubmitRun, RecordVerdict::Refused);
    door::describe(&mut record, admitted.wanted());
    record
}

fn new_run(
    platform: &Platform,
    admitted: &Admitted<ActionCall>,
    plan: Option<Plan>,
    key: Option<&Key>,
) -> Run {
    let (caller, wanted) = (admitted.caller(), admitted.wanted());
    let action = wanted.action();
    let now = platform.clock.now();
    let salt = platform.clock.new_uuid().simple().to_string();
    let approvals: Vec<Approval> =
        wanted.conditions().iter().cloned().map(|condition| condition.into_approval(now)).collect();
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
        created_at: now,
        started_at: None,
        finished_at: None,
        outcome: None,
        trace_id: caller.trace_id(),
        idempotency_key: key.map(|key| key.text.clone()),
    };
    run.binding = run.compute_binding();
    run
}

/// Run, key, record, event and next job: together or not at all.
fn unit(platform: &Platform, admitted: &Admitted<ActionCall>, run: &Run, key: Option<&Key>) -> UnitOfWork {
    let now = run.created_at;
    let mut record = platform.door.record_of(admitted.caller(), Verb::SubmitRun, RecordVerdict::Allowed);
    door::describe(&mut record, admitted.wanted());
    record.run = Some(run.id);
    record.binding = Some(run.binding.clone());
    record.detail = run.plan.as_ref().map(|plan| plan.sentence.clone());
    let (kind, due) = match run.expires_at {
        Some(expires_at) => (JobKind::ExpireRun, expires_at),
        None => (JobKind::ExecuteRun, now),
    };
    let mut work = UnitOfWork::new().insert_run(run.clone());
    if let Some(key) = key {
        work.add(Change::InsertIdempotencyKey {
            principal: key.principal.clone(),
            key: key.text.clone(),
            request: key.request.clone(),
            run: run.id,
            at: now,
        });
    }
    work.changes.extend(notices::of(platform, run, Happened::Submitted, run.state, now));
    work.append_record(record)
        .append_event(run.id, now, EventKind::State { state: run.state, because: None })
        .enqueue_job(Job { id: JobId::new(&*platform.clock), kind, run: run.id, due, attempts: 0 })
}
