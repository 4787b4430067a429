//! `pause_schedule`, `resume_schedule` and `delete_schedule`: by who made it, or who may approve it.

use std::sync::Arc;

use guichet_admission::{Call, Caller, Refusal};
use guichet_contract::{Problem, RecordVerdict, Schedule, ScheduleState, Verb, code};
use guichet_lifecycle::{Calendar, Move};
use guichet_store::{Change, CommitError, JobKind, UnitOfWork};
use jiff::Timestamp;

use crate::{
    create_schedule::{described, job_at},
    decide::LOOKS,
    notices::{self, Happened},
    platform::{Platform, store_problem},
    read_schedules,
};

/// Halts it: it makes no runs until somebody resumes it. A run that it has made goes on.
///
/// # Errors
/// Unknown schedule, somebody else's, or one that is not active.
pub async fn pause_schedule(
    platform: &Arc<Platform>,
    call: &Call,
    schedule: &str,
    reason: Option<String>,
) -> Result<Schedule, Refusal> {
    change(platform, call, schedule, Verb::PauseSchedule, reason).await
}

/// Lets it go on with its next time; those that passed meanwhile are left out.
///
/// # Errors
/// Unknown schedule, somebody else's, one that is not paused, or one that another has halted.
pub async fn resume_schedule(
    platform: &Arc<Platform>,
    call: &Call,
    schedule: &str,
    reason: Option<String>,
) -> Result<Schedule, Refusal> {
    change(platform, call, schedule, Verb::ResumeSchedule, reason).await
}

/// Removes it; its runs and all records stay. Gives it as it was.
///
/// # Errors
/// Unknown schedule, or somebody else's.
pub async fn delete_schedule(
    platform: &Arc<Platform>,
    call: &Call,
    schedule: &str,
) -> Result<Schedule, Refusal> {
    change(platform, call, schedule, Verb::DeleteSchedule, None).await
}

async fn change(
    platform: &Arc<Platform>,
    call: &Call,
    named: &str,
    verb: Verb,
    reason: Option<String>,
) -> Result<Schedule, Refusal> {
    let caller = platform.door.identify(call).await?;
    let mut schedule = read_schedules::find(platform, &caller, named, verb).await?;
    for _ in 0..LOOKS {
        platform.door.admit_schedule_change(&caller, &schedule, verb, reason.as_deref()).await?;
        let now = platform.clock.now();
        let mut record = described(platform.door.record_of(&caller, verb, RecordVerdict::Refused), &schedule);
        record.reason.clone_from(&reason);
        let after = match after(&caller, &schedule, verb, reason.as_deref(), now) {
            Ok(after) => after,
            Err(problem) => return Err(platform.door.refuse(record, problem).await),
        };
        record.verdict = RecordVerdict::Allowed;
        let mut work = UnitOfWork::new()
            .append_record(record.clone())
            .with(Change::DropJobs { run: schedule.id.as_run(), kind: JobKind::FireSchedule });
        if !caller.principal.is_same_actor(&schedule.requested_by) && verb == Verb::PauseSchedule {
            let because =
                reason.clone().unwrap_or_else(|| format!("{} has halted it", caller.principal.name));
            let halted = Happened::Halted { by: Some(&caller.principal.name), because: &because };
            let asked = schedule.as_run();
            work.changes.extend(notices::of(platform, &asked, halted, asked.state, now));
        }
        let told = if let Some(after) = after {
            if let Some(next_at) = after.next_at.filter(|_| after.state == ScheduleState::Active) {
                work = work.enqueue_job(job_at(platform, &after, next_at));
            }
            work.add(Change::ReplaceSchedule(Box::new(after.clone())));
            after
        } else {
            work.add(Change::DeleteSchedule { schedule: schedule.id, revision: schedule.revision });
            schedule.clone()
        };
        match platform.store.commit(work).await {
            Ok(()) => return Ok(read_schedules::shown(platform, told, &caller.principal)),
            Err(CommitError::Conflict { .. }) => {
                schedule = read_schedules::reload(platform, &schedule).await?;
            }
            Err(CommitError::Store(error)) => {
                record.verdict = RecordVerdict::Refused;
                return Err(platform.door.refuse(record, store_problem(&error)).await);
            }
        }
    }
    let record = described(platform.door.record_of(&caller, verb, RecordVerdict::Refused), &schedule);
    let problem = Problem::new(code::WRONG_STATE, "the schedule is changed by others at the same time");
    Err(platform.door.refuse(record, problem.next("try again")).await)
}

/// The schedule after it; none when it is removed.
fn after(
    caller: &Caller,
    schedule: &Schedule,
    verb: Verb,
    reason: Option<&str>,
    now: Timestamp,
) -> Result<Option<Schedule>, Problem> {
    let moved = match verb {
        Verb::PauseSchedule => Move::Paused,
        Verb::ResumeSchedule => Move::Resumed,
        _ => return Ok(None),
    };
    let Some(to) = moved.from(schedule.state) else {
        let next = match (schedule.state, moved) {
            (ScheduleState::Paused, _) => "it is halted already",
            (ScheduleState::Active, _) => "it goes on already",
            (ScheduleState::AwaitingApproval, _) => {
                "it begins when it is approved; to withdraw it, delete it"
            }
            (ScheduleState::Ended | ScheduleState::Rejected, _) => "delete it and make it anew",
        };
        let detail = format!("the schedule is {}", schedule.state.as_str().replace('_', " "));
        return Err(Problem::new(code::WRONG_STATE, detail).next(next));
    };
    let mut after =
        Schedule { revision: schedule.revision + 1, state: to, next_at: None, ..schedule.clone() };
    after.because = reason.filter(|_| moved == Move::Paused).map(str::to_owned);
    after.paused_by = (moved == Move::Paused).then(|| caller.principal.name.clone());
    if moved == Move::Resumed {
        let calendar = Calendar::read(&schedule.expression, &schedule.zone).map_err(|error| {
            Problem::new(code::INVALID_INPUT, error.to_string()).next("delete it and make it anew")
        })?;
        // Never a time that was dealt with before the clock was set back.
        let dealt_with = schedule.last.as_ref().map_or(now, |last| last.at.max(now));
        after.next_at = calendar.times(dealt_with, schedule.until, 1).first().copied();
        if after.next_at.is_none() {
            let detail = "it has no more times before its end";
            return Err(Problem::new(code::WRONG_STATE, detail).next("delete it and make it anew"));
        }
    }
    Ok(Some(after))
}
