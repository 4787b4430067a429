//! Schedules, for those who may see what they do.

use std::sync::Arc;

use guichet_admission::{Call, Caller, Refusal, describe_schedule};
use guichet_contract::{Principal, Problem, RecordVerdict, Schedule, ScheduleId, ScheduleState, Verb, code};
use guichet_lifecycle::Calendar;
use guichet_store::StoreError;

use crate::{
    platform::{Platform, store_problem},
    read_runs,
};

/// So many of the next times are told.
const TOLD: usize = 5;
/// So many schedules are read from the store at a time.
const AT_A_TIME: usize = 200;

/// One schedule, by its name or its id.
///
/// # Errors
/// Unknown, or not for this caller's eyes, which reads the same.
pub async fn read_schedule(
    platform: &Arc<Platform>,
    call: &Call,
    schedule: &str,
) -> Result<Schedule, Refusal> {
    let caller = read_runs::reader(platform, call).await?;
    let schedule = find(platform, &caller, schedule, Verb::ReadSchedules).await?;
    platform.note_shown(&caller, Verb::ReadSchedules, |record| describe_schedule(record, &schedule)).await;
    Ok(shown(platform, schedule, &caller.principal))
}

/// All that the caller may see, by name.
///
/// # Errors
/// Not signed in; the store.
pub async fn list_schedules(platform: &Arc<Platform>, call: &Call) -> Result<Vec<Schedule>, Refusal> {
    let caller = read_runs::reader(platform, call).await?;
    platform.note_shown(&caller, Verb::ReadSchedules, |record| record.detail = Some("list".to_owned())).await;
    let all = all(platform).await.map_err(|error| Refusal::from(store_problem(&error)))?;
    let seen = all.into_iter().filter(|schedule| platform.door.may_see_schedule(&caller.principal, schedule));
    Ok(seen.map(|schedule| shown(platform, schedule, &caller.principal)).collect())
}

/// All there are, by name.
pub(crate) async fn all(platform: &Platform) -> Result<Vec<Schedule>, StoreError> {
    let mut all: Vec<Schedule> = Vec::new();
    loop {
        let after = all.last().map(|schedule| schedule.name.clone());
        let part = platform.store.schedules(after.as_deref(), AT_A_TIME).await?;
        let is_last = part.len() < AT_A_TIME;
        all.extend(part);
        if is_last {
            return Ok(all);
        }
    }
}

/// The schedule as it may be seen: what is sensitive in it is hidden as in a run, and its times are told.
pub(crate) fn shown(platform: &Platform, mut schedule: Schedule, to: &Principal) -> Schedule {
    let run = platform.shown(schedule.as_run(), to);
    (schedule.input, schedule.plan, schedule.salt) = (run.input, run.plan, None);
    if let Ok(calendar) = Calendar::read(&schedule.expression, &schedule.zone) {
        schedule.in_words = Some(calendar.in_words());
        schedule.next = match (schedule.state, schedule.next_at) {
            (ScheduleState::Ended | ScheduleState::Rejected, _) => Vec::new(),
            (ScheduleState::Active, Some(next_at)) => {
                let later = calendar.times(next_at, schedule.until, TOLD - 1);
                [next_at].into_iter().chain(later).collect()
            }
            _ => calendar.times(platform.clock.now(), schedule.until, TOLD),
        };
    }
    schedule
}

/// The schedule of this name or id, with its true input. One the caller may not see is answered like one that is not.
pub(crate) async fn find(
    platform: &Platform,
    caller: &Caller,
    named: &str,
    verb: Verb,
) -> Result<Schedule, Refusal> {
    let found = match named.parse::<ScheduleId>() {
        Ok(id) => platform.store.schedule(id).await,
        Err(_) => platform.store.schedule_by_name(named).await,
    };
    let problem = match found {
        Ok(Some(schedule)) if platform.door.may_see_schedule(&caller.principal, &schedule) => {
            return Ok(schedule);
        }
        Ok(_) => unknown(named),
        Err(error) => store_problem(&error),
    };
    let mut record = platform.door.record_of(caller, verb, RecordVerdict::Refused);
    record.detail = Some(format!("schedule {}", shortened(named)));
    Err(platform.door.refuse(record, problem).await)
}

/// The same schedule as it is now.
pub(crate) async fn reload(platform: &Platform, schedule: &Schedule) -> Result<Schedule, Refusal> {
    match platform.store.schedule(schedule.id).await {
        Ok(Some(schedule)) => Ok(schedule),
        Ok(None) => Err(unknown(&schedule.name).into()),
        Err(error) => Err(store_problem(&error).into()),
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}

fn unknown(named: &str) -> Problem {
    Problem::new(
        code::UNKNOWN_SCHEDULE,
        format!("there is no schedule {} that you may see", shortened(named)),
    )
    .next("`guichet schedules list` shows their names")
}
