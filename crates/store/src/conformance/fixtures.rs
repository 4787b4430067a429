//! The least that makes a run, a record, a job, a token. Cases change what they are about.

use std::future::Future;

use guichet_contract::{
    ActionId, Clock as _, Decision, Digest, Effect, Fired, Instance, JobId, Missed, Outcome, Plan, Principal,
    PrincipalKind, Record, RecordVerdict, Registration, Run, RunId, RunState, Schedule, ScheduleId,
    ScheduleState, Surface, SystemClock, TokenId, Verb, Verdict,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio::task::JoinSet;

// With the fixtures come the verbs: a case may ask a store anything.
use crate::{Change, CommitError, Job, JobKind, PageRequest, Token, TokenKind, UnitOfWork};
pub use crate::{
    Checkpoints as _, Events as _, Idempotency as _, Jobs as _, Notices as _, Records as _,
    Registrations as _, Runs as _, Schedules as _, Store as _, Tokens as _, Wakes as _,
};
pub use crate::{Reviews, Room};

/// A moment, the same each time: 2025-01-01 and so many seconds.
pub fn second(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1_735_689_600 + seconds)
}

pub fn run_id() -> RunId {
    RunId::new(&SystemClock)
}

pub fn job_id() -> JobId {
    JobId::new(&SystemClock)
}

/// A run of ada's in this state, submitted at second 0.
pub fn run_in(state: RunState) -> Run {
    let mut run = Run {
        id: run_id(),
        action: ActionId::new("postgres", "cancel-query"),
        action_version: Digest::of_bytes(b"declaration"),
        command: vec!["rds".into(), "cancel-query".into()],
        title: "Cancel a query".into(),
        effect: Effect::Change,
        environment: "staging".into(),
        state,
        requested_by: Principal::person("ada").in_teams(["billing"]),
        surface: Surface::Cli,
        reason: Some("it blocks the nightly job".into()),
        input: json!({"pid": 4711, "identifier": "shop", "ratio": 0.1, "text": "é\"\\\u{1}"}),
        resource: "postgres/shop".into(),
        owner: Some("billing".into()),
        plan: Some(Plan::new("Cancel query 4711").fact("query", "select 1").bound_to(json!({"started": 12}))),
        policy_version: Digest::of_bytes(b"policies"),
        salt: None,
        binding: Digest::of_bytes(b""),
        approvals: Vec::new(),
        decisions: Vec::new(),
        broken_glass: None,
        cool_down_seconds: 0,
        timeout_seconds: None,
        undoes: None,
        undone_by: None,
        undo: None,
        concurrency: None,
        behind: None,
        schedule: None,
        starts_at: None,
        waits_until: None,
        cancel_asked: None,
        created_at: second(0),
        expires_at: Some(second(3600)),
        started_at: None,
        finished_at: None,
        outcome: None,
        trace_id: Some("0af7651916cd43dd8448eb211c80319c".into()),
        idempotency_key: None,
    };
    run.binding = run.compute_binding();
    run
}

/// An active schedule of ada's.
pub fn schedule_named(name: &str) -> Schedule {
    let run = run_in(RunState::Queued);
    let mut schedule = Schedule {
        id: ScheduleId::new(&SystemClock),
        name: name.into(),
        revision: 1,
        state: ScheduleState::Active,
        because: None,
        paused_by: None,
        expression: "0 3 * * 1-5".into(),
        zone: "Europe/Paris".into(),
        in_words: None,
        missed: Missed::Once,
        until: Some(second(86_400)),
        action: run.action,
        action_version: run.action_version,
        command: run.command,
        title: run.title,
        effect: run.effect,
        environment: run.environment,
        requested_by: run.requested_by,
        surface: run.surface,
        reason: run.reason,
        input: run.input,
        resource: run.resource,
        owner: run.owner,
        plan: run.plan,
        policy_version: run.policy_version,
        binding: Digest::of_bytes(b""),
        salt: Some("salt".into()),
        approvals: Vec::new(),
        decisions: vec![yes_by("grace")],
        created_at: second(0),
        expires_at: None,
        next_at: Some(second(60)),
        next: Vec::new(),
        last: Some(Fired { at: second(1), run: Some(run.id), because: None }),
        last_run: Some(run.id),
        trace_id: None,
    };
    schedule.binding = schedule.compute_binding();
    schedule
}

/// A provider that registered itself, with one instance.
pub fn registration_of(provider: &str) -> Registration {
    let instance = Instance {
        id: "one".into(),
        url: "http://10.0.0.1:7100".into(),
        document: Some("\"sha256:1\"".into()),
        since: second(0),
        until: second(30),
    };
    Registration {
        provider: provider.into(),
        owner_kind: PrincipalKind::ServiceAccount,
        owner: "shop-service".into(),
        revision: 1,
        registered_at: second(0),
        left_at: None,
        instances: vec![instance],
        service: None,
        document: None,
    }
}

pub fn record(verb: Verb) -> Record {
    Record::new(second(0), verb, RecordVerdict::Allowed, "staging", Surface::Cli)
}

/// A record that says which one it is.
pub fn numbered_record(number: usize) -> Record {
    Record { detail: Some(number.to_string()), ..record(Verb::PerformRead) }
}

pub fn yes_by(name: &str) -> Decision {
    Decision {
        by: name.into(),
        verdict: Verdict::Approve,
        lifts: vec!["p1".into()],
        reason: None,
        at: second(5),
    }
}

pub fn job_due(due: Timestamp) -> Job {
    Job {
        id: job_id(),
        kind: JobKind::ExecuteRun,
        run: run_id(),
        due,
        attempts: 0,
        key: None,
        bulkhead: None,
    }
}

/// One that stands in the line of this key.
pub fn job_in_line(key: &str, due: Timestamp) -> Job {
    Job { key: Some(key.to_owned()), ..job_due(due) }
}

/// One behind this bulkhead.
pub fn job_behind(bulkhead: &str, due: Timestamp) -> Job {
    Job { bulkhead: Some(bulkhead.to_owned()), ..job_due(due) }
}

pub fn token_of(principal: &str, kind: TokenKind) -> Token {
    let id = TokenId::new(&SystemClock);
    let mut secret = [7; 32];
    secret[..16].copy_from_slice(SystemClock.new_uuid().as_bytes());
    Token {
        id,
        secret_sha256: secret,
        kind,
        principal: principal.into(),
        name: "nightly job".into(),
        scopes: vec!["read".into(), "change".into()],
        created_at: second(0),
        expires_at: second(3600),
        last_used_at: None,
        revoked_at: None,
    }
}

pub fn moved(run: RunId, from: RunState, to: RunState) -> Change {
    Change::MoveRun { run, from, to, at: second(10), outcome: None }
}

pub fn moved_with(run: RunId, from: RunState, to: RunState, at: Timestamp, outcome: Outcome) -> Change {
    Change::MoveRun { run, from, to, at, outcome: Some(outcome) }
}

pub fn unit(change: Change) -> UnitOfWork {
    UnitOfWork::new().with(change)
}

pub fn first(limit: usize) -> PageRequest {
    PageRequest { limit, cursor: None }
}

/// The answer must be a conflict; gives what it names.
#[track_caller]
pub fn conflict<T: std::fmt::Debug>(answer: Result<T, CommitError>) -> String {
    match answer {
        Err(CommitError::Conflict { what }) => what,
        other => panic!("a conflict was expected, not {other:?}"),
    }
}

/// Runs all at once, each on a task of its own, and gathers what they give in no order.
pub async fn at_once<T: Send + 'static>(
    tasks: impl IntoIterator<Item: Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    tasks.into_iter().collect::<JoinSet<T>>().join_all().await
}

/// How many of the answers are a yes; the others must be conflicts.
#[track_caller]
pub fn wins<T: std::fmt::Debug>(answers: Vec<Result<T, CommitError>>) -> usize {
    let all = answers.len();
    let lost = answers.into_iter().filter(Result::is_err).map(conflict).count();
    all - lost
}
