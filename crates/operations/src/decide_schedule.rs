//! `approve_schedule` and `reject_schedule`: the people who would decide on its runs decide on it once, by the same rules.

use std::sync::Arc;

use guichet_admission::{Call, Caller, Refusal, Unfit};
use guichet_contract::{
    Decision, Digest, Problem, RecordVerdict, Schedule, ScheduleState, Verb, Verdict, code,
};
use guichet_lifecycle::{Calendar, Event, Move};
use guichet_store::{Change, CommitError, JobKind, UnitOfWork};

use crate::{
    create_schedule::{described, job_at},
    decide::{LOOKS, Word, check_word, problem_of, take},
    notices::{self, Happened},
    platform::{Platform, store_problem},
    read_schedules,
};

/// Says yes to all its times. `shown` is the binding of the card the person saw; when it is given and is not the schedule's,
/// nothing is decided.
///
/// # Errors
/// Unknown schedule, one's own, an agent, not an approver, decided already, expired, not waiting; or its requester may no
/// longer do this.
pub async fn approve_schedule(
    platform: &Arc<Platform>,
    call: &Call,
    schedule: &str,
    shown: Option<Digest>,
    reason: Option<String>,
) -> Result<Schedule, Refusal> {
    decide(platform, call, schedule, Word { verdict: Verdict::Approve, shown, reason }).await
}

/// Says no, and why: that ends it before its first time.
///
/// # Errors
/// As approving; and without a reason.
pub async fn reject_schedule(
    platform: &Arc<Platform>,
    call: &Call,
    schedule: &str,
    reason: &str,
) -> Result<Schedule, Refusal> {
    let word = Word { verdict: Verdict::Reject, shown: None, reason: Some(reason.to_owned()) };
    decide(platform, call, schedule, word).await
}

async fn decide(
    platform: &Arc<Platform>,
    call: &Call,
    schedule: &str,
    word: Word,
) -> Result<Schedule, Refusal> {
    let caller = platform.door.identify(call).await?;
    let verb = match word.verdict {
        Verdict::Approve => Verb::ApproveSchedule,
        Verdict::Reject => Verb::RejectSchedule,
    };
    let mut schedule = read_schedules::find(platform, &caller, schedule, verb).await?;
    let refused = |schedule: &Schedule| {
        described(platform.door.record_of(&caller, verb, RecordVerdict::Refused), schedule)
    };
    check_word(platform, refused(&schedule), &word).await?;
    for _ in 0..LOOKS {
        if schedule.state != ScheduleState::AwaitingApproval {
            let problem = Problem::new(
                code::WRONG_STATE,
                format!("the schedule waits for nobody: it is {}", schedule.state),
            )
            .next("nothing is left to decide");
            return Err(platform.door.refuse(refused(&schedule), problem).await);
        }
        let asked = schedule.as_run();
        let admitted = platform.door.admit_decision(caller.clone(), &asked, verb).await?;
        let (decision, event) = match take(platform, &admitted, &asked, &word) {
            Ok(taken) => taken,
            Err(error) => return Err(platform.door.refuse(refused(&schedule), problem_of(&error)).await),
        };
        if word.verdict == Verdict::Approve
            && let Err(problem) = unchanged(platform, &schedule)
        {
            return Err(platform.door.refuse(refused(&schedule), problem).await);
        }
        match platform.store.commit(unit(platform, &caller, verb, &schedule, &decision, event)).await {
            Ok(()) => {
                let schedule = read_schedules::reload(platform, &schedule).await?;
                return Ok(read_schedules::shown(platform, schedule, &caller.principal));
            }
            Err(CommitError::Conflict { .. }) => {
                schedule = read_schedules::reload(platform, &schedule).await?;
            }
            Err(CommitError::Store(error)) => {
                return Err(platform.door.refuse(refused(&schedule), store_problem(&error)).await);
            }
        }
    }
    let problem = Problem::new(code::WRONG_STATE, "too many people decide on this schedule at the same time")
        .next("try again");
    Err(platform.door.refuse(refused(&schedule), problem).await)
}

/// A yes is given to what was shown, and to what its requester may do. The plan is not held against the one that was shown:
/// over the weeks the world moves, and each run is planned anew.
fn unchanged(platform: &Platform, schedule: &Schedule) -> Result<(), Problem> {
    let changed = |detail: String| {
        Problem::new(code::BINDING_CHANGED, detail).next("its requester must delete it and make it anew")
    };
    let admitted = platform.door.admit_firing(schedule).map_err(|unfit| match unfit {
        Unfit::Changed(problem) => changed(problem.detail),
        Unfit::NotYet(problem) => problem,
    })?;
    if admitted.wanted().action().version != schedule.action_version {
        return Err(changed(format!("the declaration of {} has changed since it was made", schedule.action)));
    }
    if schedule.compute_binding() != schedule.binding {
        return Err(changed("the stored schedule is not the one that was shown".to_owned()));
    }
    Ok(())
}

/// Decision, state, record, notices and the job of its first time: together or not at all.
fn unit(
    platform: &Platform,
    caller: &Caller,
    verb: Verb,
    schedule: &Schedule,
    decision: &Decision,
    event: Option<Event>,
) -> UnitOfWork {
    let now = decision.at;
    let mut record = described(platform.door.record_of(caller, verb, RecordVerdict::Allowed), schedule);
    record.reason.clone_from(&decision.reason);
    record.policies.clone_from(&decision.lifts);
    let mut after = Schedule { revision: schedule.revision + 1, ..schedule.clone() };
    after.decisions.push(decision.clone());
    let moved = match event {
        Some(Event::Lifted) => Some(Move::Lifted),
        Some(Event::Rejected) => Some(Move::Rejected),
        _ => None,
    };
    let mut work = UnitOfWork::new().append_record(record);
    if let Some((moved, to)) = moved.and_then(|moved| Some((moved, moved.from(schedule.state)?))) {
        after.state = to;
        after.expires_at = None;
        after.because = (moved == Move::Rejected)
            .then(|| format!("{} said no: {}", decision.by, decision.reason.as_deref().unwrap_or_default()));
        work.add(Change::DropJobs { run: schedule.id.as_run(), kind: JobKind::FireSchedule });
        if moved == Move::Lifted {
            let calendar = Calendar::read(&schedule.expression, &schedule.zone).ok();
            after.next_at =
                calendar.and_then(|calendar| calendar.times(now, schedule.until, 1).first().copied());
            if let Some(next_at) = after.next_at {
                work = work.enqueue_job(job_at(platform, schedule, next_at));
            } else {
                after.state = ScheduleState::Ended;
                after.because = Some("its last time passed while it waited for approval".to_owned());
            }
        }
    }
    let to = after.as_run().state;
    work.changes.extend(notices::of(platform, &schedule.as_run(), Happened::Decided(decision), to, now));
    work.with(Change::ReplaceSchedule(Box::new(after)))
}
