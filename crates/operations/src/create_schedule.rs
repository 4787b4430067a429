//! Somebody wants something done at set times: through the door as if it were done now, and approved once.

use std::sync::Arc;

use guichet_admission::{
    ActionCall, Admitted, Attempt, Call, Purpose, Refusal, describe_schedule,
    door::{self, GatewayVerb},
};
use guichet_contract::{
    Approval, Digest, JobId, Missed, Plan, Problem, RecordVerdict, Schedule, ScheduleId, ScheduleState, Verb,
    code,
};
use guichet_lifecycle::{Calendar, CalendarError};
use guichet_store::{Change, CommitError, Job, JobKind, UnitOfWork};
use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};

use crate::{
    bulkhead,
    notices::{self, Happened},
    plan_run::ask_plan,
    platform::{Platform, store_problem},
    read_schedules,
};

/// When, and under what name.
#[derive(Debug, Clone)]
pub struct Times {
    /// What people call it: 1–63 lower-case letters, digits, `-`, `_` and `.`, beginning with a letter or digit.
    pub name: String,
    /// A calendar expression of five fields.
    pub expression: String,
    /// IANA time zone.
    pub zone: String,
    /// What becomes of times at which no gateway was there.
    pub missed: Missed,
    /// After this it makes no more runs: a moment, or a date, whose end in the zone is meant.
    pub until: Option<String>,
}

/// The longest name, characters.
const NAME_MAX: usize = 63;
/// What needs approval ends at most so many days after it was made.
const UNTIL_DAYS_MAX: i64 = 366;
/// Schedules that one principal may have.
const SCHEDULES_MAX: usize = 100;

/// Makes a schedule. Where the action needs approval, it waits for people first, and must end.
///
/// # Errors
/// Whatever the door refuses; a name that is taken; an expression, a zone or an end that are none; a provider that cannot
/// plan.
pub async fn create_schedule(
    platform: &Arc<Platform>,
    call: &Call,
    attempt: Attempt,
    times: Times,
) -> Result<Schedule, Refusal> {
    let caller = platform.door.identify(call).await?;
    let caller = platform.door.admit_gateway(caller, GatewayVerb::CreateSchedules).await?.caller().clone();
    let admitted = platform.door.admit_action(caller, attempt, Purpose::Schedule).await?;
    let now = platform.clock.now();
    let read = match read_times(&times, now) {
        Ok(read) => read,
        Err(problem) => return Err(refuse(platform, &admitted, &times, problem).await),
    };
    check_free(platform, &admitted, &times).await?;
    let plan = match ask_plan(platform, &admitted).await {
        Ok(plan) => plan,
        Err(error) => return Err(refuse(platform, &admitted, &times, error.into_problem()).await),
    };
    let admitted = match &plan {
        Some(plan) => platform.door.require(admitted, plan, Purpose::Schedule).await?,
        None => admitted,
    };
    let schedule = new_schedule(platform, &admitted, plan, &times, &read, now);
    if let Err(problem) = check_end(&schedule, now) {
        return Err(refuse(platform, &admitted, &times, problem).await);
    }
    let mut record = platform.door.record_of(admitted.caller(), Verb::CreateSchedule, RecordVerdict::Allowed);
    door::describe(&mut record, admitted.wanted());
    record.binding = Some(schedule.binding.clone());
    record.detail = Some(format!("schedule {}: {}", schedule.name, read.calendar.in_words()));
    let asked = schedule.as_run();
    let mut work = UnitOfWork::new()
        .with(Change::InsertSchedule(Box::new(schedule.clone())))
        .append_record(record)
        .enqueue_job(job_at(platform, &schedule, schedule.expires_at.or(schedule.next_at).unwrap_or(now)));
    work.changes.extend(notices::of(platform, &asked, Happened::Scheduled, asked.state, now));
    match platform.store.commit(work).await {
        Ok(()) => Ok(read_schedules::shown(platform, schedule, &admitted.caller().principal)),
        Err(CommitError::Conflict { .. }) => Err(refuse(platform, &admitted, &times, taken(&times)).await),
        Err(CommitError::Store(error)) => {
            Err(refuse(platform, &admitted, &times, store_problem(&error)).await)
        }
    }
}

/// The job that comes back to a schedule at this moment.
pub(crate) fn job_at(platform: &Platform, schedule: &Schedule, due: Timestamp) -> Job {
    Job {
        id: JobId::new(&*platform.clock),
        kind: JobKind::FireSchedule,
        run: schedule.id.as_run(),
        due,
        attempts: 0,
        key: None,
        bulkhead: Some(bulkhead::of_questions(schedule.action.provider())),
    }
}

/// Times that can be kept.
struct Read {
    calendar: Calendar,
    until: Option<Timestamp>,
    first: Timestamp,
}

fn read_times(times: &Times, now: Timestamp) -> Result<Read, Problem> {
    let invalid = |detail: String| Problem::new(code::INVALID_INPUT, detail);
    let mut letters = times.name.chars();
    let begins = letters.next().is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let goes_on = letters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c));
    let is_an_id = times.name.parse::<ScheduleId>().is_ok();
    if !begins || !goes_on || is_an_id || times.name.len() > NAME_MAX {
        return Err(invalid(format!(
            "a schedule's name has 1 to {NAME_MAX} lower-case letters, digits, `-`, `_` and `.`"
        ))
        .next("for instance nightly-vacuum"));
    }
    let calendar = Calendar::read(&times.expression, &times.zone).map_err(|error| {
        let next = match &error {
            CalendarError::Zone(_) => "zones have names such as Europe/Paris, or UTC",
            CalendarError::Expression { .. } | CalendarError::Never(_) => {
                "write minute, hour, day of the month, month, day of the week: `0 3 * * 1-5`"
            }
        };
        invalid(error.to_string()).next(next)
    })?;
    let until = times.until.as_deref().map(|text| end_of(text, &times.zone)).transpose().map_err(|()| {
        invalid("the end is neither a date nor a moment".to_owned())
            .next("write 2026-12-31 or 2026-12-31T12:00:00Z")
    })?;
    let Some(first) = calendar.times(now, until, 1).first().copied() else {
        return Err(invalid("none of its times comes before its end".to_owned()).next("choose a later end"));
    };
    Ok(Read { calendar, until, first })
}

/// A moment as it is; of a date the last second, in this zone.
fn end_of(text: &str, zone: &str) -> Result<Timestamp, ()> {
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(moment);
    }
    let date: Date = text.parse().map_err(|_| ())?;
    let zone = TimeZone::get(zone).map_err(|_| ())?;
    date.at(23, 59, 59, 0).to_zoned(zone).map(|end| end.timestamp()).map_err(|_| ())
}

async fn check_free(
    platform: &Platform,
    admitted: &Admitted<ActionCall>,
    times: &Times,
) -> Result<(), Refusal> {
    let by = &admitted.caller().principal;
    let problem = match read_schedules::all(platform).await {
        Ok(all) if all.iter().any(|schedule| schedule.name == times.name) => taken(times),
        Ok(all) => {
            if all.iter().filter(|schedule| schedule.requested_by.is_same_actor(by)).count() < SCHEDULES_MAX {
                return Ok(());
            }
            Problem::new(code::TOO_MANY_REQUESTS, format!("you have {SCHEDULES_MAX} schedules"))
                .next("delete some of them: `guichet schedules list`")
        }
        Err(error) => store_problem(&error),
    };
    Err(refuse(platform, admitted, times, problem).await)
}

fn taken(times: &Times) -> Problem {
    Problem::new(code::SCHEDULE_EXISTS, format!("there is a schedule called {}", times.name))
        .next("choose another name, or delete that one")
}

async fn refuse(
    platform: &Platform,
    admitted: &Admitted<ActionCall>,
    times: &Times,
    problem: Problem,
) -> Refusal {
    let mut record = platform.door.record_of(admitted.caller(), Verb::CreateSchedule, RecordVerdict::Refused);
    door::describe(&mut record, admitted.wanted());
    let name: String = times.name.chars().take(NAME_MAX).collect();
    record.detail = Some(format!("schedule {name}"));
    platform.door.refuse(record, problem).await
}

fn new_schedule(
    platform: &Platform,
    admitted: &Admitted<ActionCall>,
    plan: Option<Plan>,
    times: &Times,
    read: &Read,
    now: Timestamp,
) -> Schedule {
    let (caller, wanted) = (admitted.caller(), admitted.wanted());
    let action = wanted.action();
    let approvals: Vec<Approval> =
        wanted.conditions().iter().cloned().map(|condition| condition.into_approval(now)).collect();
    let waits = !approvals.is_empty();
    let mut schedule = Schedule {
        id: ScheduleId::new(&*platform.clock),
        name: times.name.clone(),
        revision: 1,
        state: if waits { ScheduleState::AwaitingApproval } else { ScheduleState::Active },
        because: None,
        paused_by: None,
        expression: times.expression.trim().to_owned(),
        zone: times.zone.clone(),
        in_words: None,
        missed: times.missed,
        until: read.until,
        action: action.id.clone(),
        action_version: action.version.clone(),
        command: action.command.clone(),
        title: action.title.clone(),
        effect: action.effect,
        environment: wanted.environment().to_owned(),
        requested_by: caller.principal.clone(),
        surface: caller.surface,
        reason: wanted.reason().map(str::to_owned),
        input: wanted.input().clone(),
        resource: wanted.resource().to_owned(),
        owner: wanted.owner().map(str::to_owned),
        plan,
        policy_version: wanted.policy_version().clone(),
        binding: Digest::of_bytes(&[]), // computed below, over all the rest
        salt: Some(platform.clock.new_uuid().simple().to_string()),
        expires_at: approvals
            .iter()
            .map(|approval| approval.expires_at)
            .chain(read.until.filter(|_| waits))
            .min(),
        approvals,
        decisions: Vec::new(),
        created_at: now,
        next_at: (!waits).then_some(read.first),
        next: Vec::new(),
        last: None,
        last_run: None,
        trace_id: caller.trace_id(),
    };
    if !waits {
        schedule.expires_at = None;
    }
    schedule.binding = schedule.compute_binding();
    schedule
}

/// What people say yes to must end.
fn check_end(schedule: &Schedule, now: Timestamp) -> Result<(), Problem> {
    if schedule.approvals.is_empty() {
        return Ok(());
    }
    let furthest = now.checked_add(SignedDuration::from_hours(24 * UNTIL_DAYS_MAX)).unwrap_or(Timestamp::MAX);
    let detail = match schedule.until {
        Some(until) if until <= furthest => return Ok(()),
        Some(_) => format!("what needs approval ends within {UNTIL_DAYS_MAX} days, and this ends later"),
        None => "this needs approval, and what is approved once for many times must end".to_owned(),
    };
    Err(Problem::new(code::INVALID_INPUT, detail)
        .next(format!("give an end within {UNTIL_DAYS_MAX} days: `--until DATE`")))
}

/// A record about this schedule.
pub(crate) fn described(
    mut record: guichet_contract::Record,
    schedule: &Schedule,
) -> guichet_contract::Record {
    describe_schedule(&mut record, schedule);
    record
}
