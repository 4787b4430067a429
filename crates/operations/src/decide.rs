//! What `approve_run` and `reject_run` share: find the run, pass the door, decide, write it all together, and look
//! again when someone else was quicker.

use std::sync::Arc;

use guichet_admission::{Admitted, Call, Caller, Deciding, Refusal, Unfit, door};
use guichet_contract::{
    Decision, Digest, EventKind, JobId, Plan, Problem, Record, RecordVerdict, Run, RunState, Verb, Verdict,
    code,
};
use guichet_lifecycle::{self as lifecycle, DecisionError, Event};
use guichet_store::{Change, CommitError, Job, JobKind, UnitOfWork};
use jiff::SignedDuration;

use crate::{
    bulkhead, line,
    notices::{self, Happened},
    platform::Platform,
    providers::{ProviderCall, ProviderError},
    read_runs, void_run,
};

/// How often a decision is taken anew because someone else decided at the same instant.
pub(crate) const LOOKS: usize = 10;

/// One person's word on a run.
#[derive(Debug, Clone)]
pub struct Word {
    /// Yes or no.
    pub verdict: Verdict,
    /// The binding of the card the person saw, when the surface sends it.
    pub shown: Option<Digest>,
    /// Why.
    pub reason: Option<String>,
}

pub(crate) async fn decide(
    platform: &Arc<Platform>,
    call: &Call,
    run: &str,
    word: Word,
) -> Result<Run, Refusal> {
    let caller = platform.door.identify(call).await?;
    let verb = match word.verdict {
        Verdict::Approve => Verb::ApproveRun,
        Verdict::Reject => Verb::RejectRun,
    };
    let mut run = read_runs::find(platform, &caller, run, verb).await?;
    let mut record = platform.door.record_of(&caller, verb, RecordVerdict::Refused);
    door::describe_run(&mut record, &run);
    check_word(platform, record, &word).await?;
    for _ in 0..LOOKS {
        let admitted = platform.door.admit_decision(caller.clone(), &run, verb).await?;
        let (decision, event) = match take(platform, &admitted, &run, &word) {
            Ok(taken) => taken,
            Err(error) => return Err(refuse(platform, &caller, verb, &run, &error).await),
        };
        if word.verdict == Verdict::Approve {
            check_drift(platform, &caller, &run).await?;
        }
        let mut work = unit(platform, &caller, verb, &run, &decision, event);
        if event == Some(Event::Lifted) && run.cool_down_seconds == 0 {
            work.changes.extend(line::waiting(platform, &run, decision.at).await);
        }
        match platform.store.commit(work).await {
            Ok(()) => {
                let run = read_runs::reload(platform, run.id).await?;
                return Ok(line::told(platform, platform.shown(run, &caller.principal)).await);
            }
            Err(CommitError::Conflict { .. }) => run = read_runs::reload(platform, run.id).await?,
            Err(error) => {
                let mut record = platform.door.record_of(&caller, verb, RecordVerdict::Refused);
                door::describe_run(&mut record, &run);
                return Err(platform.store_refusal(record, error).await);
            }
        }
    }
    let mut record = platform.door.record_of(&caller, verb, RecordVerdict::Refused);
    door::describe_run(&mut record, &run);
    let problem = Problem::new(code::WRONG_STATE, "too many people decide on this run at the same time")
        .next("try again");
    Err(platform.door.refuse(record, problem).await)
}

/// Words of a length that can be kept, and some with a no.
pub(crate) async fn check_word(platform: &Platform, record: Record, word: &Word) -> Result<(), Refusal> {
    let reason = word.reason.as_deref();
    let problem = if reason.is_some_and(|reason| reason.chars().count() > door::REASON_MAX) {
        Problem::new(
            code::INVALID_INPUT,
            format!("the reason is longer than {} characters", door::REASON_MAX),
        )
        .next("say it shorter, and link to the rest")
    } else if word.verdict == Verdict::Reject && reason.is_none_or(|reason| reason.trim().is_empty()) {
        Problem::new(code::INVALID_INPUT, "a rejection needs a reason").next("say why: `--reason \"…\"`")
    } else {
        return Ok(());
    };
    Err(platform.door.refuse(record, problem).await)
}

pub(crate) fn take(
    platform: &Platform,
    admitted: &Admitted<Deciding>,
    run: &Run,
    word: &Word,
) -> Result<(Decision, Option<Event>), DecisionError> {
    lifecycle::decide(
        run,
        &admitted.caller().principal,
        word.verdict,
        admitted.wanted().lifts().to_vec(),
        word.shown.as_ref(),
        word.reason.clone(),
        platform.clock.now(),
    )
}

/// A yes is given to what was shown. If the provider would now do something else, the run is void. A provider that
/// cannot be asked does not stand in the way: the plan is compared once more before anything happens.
async fn check_drift(platform: &Arc<Platform>, caller: &Caller, run: &Run) -> Result<(), Refusal> {
    let looked = match platform.door.unchanged(run) {
        Ok(_) => planned_anew(platform, run).await.map(drop),
        Err(Unfit::Changed(problem)) => Err(Drift::Drifted(problem)),
        Err(Unfit::NotYet(problem)) => Err(Drift::CannotTell(problem)),
    };
    match looked {
        Ok(()) | Err(Drift::CannotTell(_)) => Ok(()),
        Err(Drift::Drifted(problem)) => {
            let by = Some(caller.principal.clone());
            void_run::void_run(platform, run, RunState::AwaitingApproval, problem.clone(), by, None).await;
            let mut record = platform.door.record_of(caller, Verb::ApproveRun, RecordVerdict::Refused);
            door::describe_run(&mut record, run);
            Err(platform.door.refuse(record, problem).await)
        }
    }
}

/// What a second look at the plan tells.
pub(crate) enum Drift {
    /// It would now do something else, or cannot be done any more.
    Drifted(Problem),
    /// The provider cannot be asked.
    CannotTell(Problem),
}

/// Plans the run again and compares; the plan as it is now, where there is one.
pub(crate) async fn planned_anew(platform: &Platform, run: &Run) -> Result<Option<Plan>, Drift> {
    let Some(plan) = &run.plan else {
        return Ok(None);
    };
    let world = platform.door.world();
    let Some(action) = world.catalogue.action(run.action.as_str()) else {
        return Ok(None); // readmission voids it, with its own words
    };
    let call = ProviderCall::of(&action.action, &run.input, &run.requested_by, &run.environment);
    let voided = "this run is void; submit it again, and what will happen is shown anew";
    match platform.providers.plan(&call).await {
        Ok(now) => {
            let changed = plan.drift(&now);
            if changed.is_empty() {
                return Ok(Some(now));
            }
            let detail = format!(
                "it was: {}. It would now be: {} (changed: {})",
                plan.sentence,
                now.sentence,
                changed.join("; ")
            );
            Err(Drift::Drifted(Problem::new(code::PLAN_DRIFTED, detail).next(voided)))
        }
        Err(ProviderError::Failed(problem)) => Err(Drift::Drifted(
            Problem::new(
                code::PLAN_DRIFTED,
                format!("it was: {}. The provider now says: {}", plan.sentence, problem.detail),
            )
            .next(voided),
        )),
        Err(ProviderError::NotSent(problem) | ProviderError::Silent(problem)) => {
            Err(Drift::CannotTell(problem))
        }
    }
}

/// Decision, state, record, event and next job: together or not at all.
fn unit(
    platform: &Platform,
    caller: &Caller,
    verb: Verb,
    run: &Run,
    decision: &Decision,
    event: Option<Event>,
) -> UnitOfWork {
    let now = decision.at;
    let mut record = platform.door.record_of(caller, verb, RecordVerdict::Allowed);
    door::describe_run(&mut record, run);
    record.reason.clone_from(&decision.reason);
    record.policies.clone_from(&decision.lifts);
    let mut work = UnitOfWork::new()
        .with(Change::AddDecision { run: run.id, seen: run.decisions.len(), decision: decision.clone() })
        .append_record(record)
        .append_event(run.id, now, EventKind::Decision { decision: decision.clone() });
    let moved = event.and_then(|event| lifecycle::next(run.state, event).ok());
    let to = moved.unwrap_or(run.state);
    work.changes.extend(notices::of(platform, run, Happened::Decided(decision), to, now));
    if let Some(to) = moved {
        work.add(Change::MoveRun { run: run.id, from: run.state, to, at: now, outcome: None });
        work.add(Change::DropJobs { run: run.id, kind: JobKind::ExpireRun });
        work =
            work.append_event(run.id, now, EventKind::State { state: to, because: decision.reason.clone() });
        if to == RunState::Queued {
            let cool_down = SignedDuration::from_secs(i64::from(run.cool_down_seconds));
            let job = Job {
                id: JobId::new(&*platform.clock),
                kind: JobKind::ExecuteRun,
                run: run.id,
                due: now.checked_add(cool_down).unwrap_or(now),
                attempts: 0,
                key: run.line(),
                bulkhead: Some(bulkhead::of_runs(run.action.provider())),
            };
            work = work.enqueue_job(job);
        }
    }
    work
}

async fn refuse(
    platform: &Platform,
    caller: &Caller,
    verb: Verb,
    run: &Run,
    error: &DecisionError,
) -> Refusal {
    let mut record = platform.door.record_of(caller, verb, RecordVerdict::Refused);
    door::describe_run(&mut record, run);
    platform.door.refuse(record, problem_of(error)).await
}

/// In words, and with what can be done next.
pub(crate) fn problem_of(error: &DecisionError) -> Problem {
    let (code, next) = match error {
        DecisionError::NotWaiting { state: RunState::Voided } => {
            (code::PLAN_DRIFTED, "the requester can submit it again")
        }
        DecisionError::NotWaiting { state: RunState::Expired } | DecisionError::Expired { .. } => {
            (code::APPROVAL_EXPIRED, "the requester can submit it again")
        }
        DecisionError::NotWaiting { .. } => (code::WRONG_STATE, "nothing is left to decide"),
        DecisionError::AlreadyDecided { .. } => (code::ALREADY_DECIDED, "someone else must decide now"),
        DecisionError::OwnRun => (code::OWN_RUN, "ask someone else"),
        DecisionError::AgentCannotApprove => {
            (code::AGENT_CANNOT_APPROVE, "decide yourself, signed in as a person")
        }
        DecisionError::BindingChanged { .. } => (code::BINDING_CHANGED, "look at the run again, then decide"),
        DecisionError::NotAnApprover => (code::NOT_AN_APPROVER, "ask one of the approvers"),
    };
    Problem::new(code, error.to_string()).next(next)
}
