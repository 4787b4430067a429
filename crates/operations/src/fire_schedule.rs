//! A schedule's time has come: its requester is asked about again, the run is made, and the next time is set, all in one
//! unit of work, so that no time makes two runs and none is forgotten.
//!
//! A time whose run of before has not ended is left out, always. A provider that cannot be asked is asked again until the time
//! would be missed for it, and a store that does not answer loses no time. A requester who may no longer do this is not asked twice:
//! the schedule halts, and they are told.

use std::sync::Arc;

use guichet_admission::{ActionCall, Admitted, Purpose, Unfit};
use guichet_contract::{
    Fired, Missed, Plan, Problem, RecordVerdict, Run, RunState, Schedule, ScheduleId, ScheduleState, Surface,
    Verb, approval::all_lifted,
};
use guichet_lifecycle::{self as lifecycle, Calendar, Due, Event, Move, schedules::GRACE};
use guichet_store::{Change, CommitError, Job, UnitOfWork};
use jiff::Timestamp;
use serde_json::json;

use crate::{
    create_schedule::{described, job_at},
    execute_run::Held,
    idempotency_key::IdempotencyKey,
    line,
    notices::{self, Happened},
    plan_run::ask_plan,
    platform::Platform,
    providers::ProviderError,
    put_off::PAUSES,
    submit_run::{self, Manner},
};

/// How often a time is tried again that is made up for, and so is never too late: about seven minutes.
const TRIES: u32 = 13;

/// Makes the run of this schedule's time, leaves the time out, halts the schedule, or ends it.
///
/// # Errors
/// The store's; the job is tried again. Nothing is done twice: the schedule is replaced as it was seen, in the unit that makes
/// the run.
pub async fn fire_schedule(platform: &Arc<Platform>, job: &Job, lease: &str) -> Result<(), CommitError> {
    let held = Held { job: job.id, lease };
    let schedule = platform.store.schedule(ScheduleId::of_run(job.run)).await.map_err(CommitError::Store)?;
    let now = platform.clock.now();
    let over = UnitOfWork::new().with(held.finish());
    let Some(schedule) = schedule else { return platform.store.commit(over).await };
    let firing = Firing { platform, schedule: &schedule, held: &held, now };
    let (at, calendar) = match (schedule.state, schedule.next_at, schedule.expires_at) {
        (ScheduleState::AwaitingApproval, _, Some(expires_at)) if now < expires_at => {
            return firing.commit(UnitOfWork::new().with(held.retry(expires_at))).await;
        }
        (ScheduleState::AwaitingApproval, ..) => {
            return firing.stop(Move::Ended, None, "nobody decided on it in time").await;
        }
        (ScheduleState::Active, Some(at), _) => match Calendar::read(&schedule.expression, &schedule.zone) {
            Ok(calendar) => (at, calendar),
            Err(error) => return firing.stop(Move::Paused, None, &error.to_string()).await,
        },
        _ => return platform.store.commit(over).await,
    };
    match lifecycle::due(&calendar, at, now, schedule.missed, schedule.until) {
        Due::NotYet => firing.commit(UnitOfWork::new().with(held.retry(at))).await,
        Due::Skip { at, missed, next } => {
            // Who came in time and could not do it, since the store did not answer or the gateway ended, tells so.
            let tried = job.attempts > 1;
            let why = if tried { "it could not be done in time" } else { "no gateway was there" };
            let because = format!("{} missed, and left out: {why}", times(missed));
            firing.leave_out(at, next, because, tried).await
        }
        Due::Fire { at, missed, next } => {
            let time = Time { at, next, missed };
            match firing.make_run(&time, job.attempts).await? {
                Made::Done => Ok(()),
                Made::Later(due) => firing.commit(UnitOfWork::new().with(held.retry(due))).await,
                Made::LeftOut { because, told } => firing.leave_out(at, next, because, told).await,
                Made::Refused(problem) => firing.stop(Move::Paused, Some(at), &problem.detail).await,
            }
        }
    }
}

fn times(count: usize) -> String {
    if count == 1 { "1 time was".to_owned() } else { format!("{count} times were") }
}

/// One look at a schedule whose job is held.
struct Firing<'a> {
    platform: &'a Arc<Platform>,
    schedule: &'a Schedule,
    held: &'a Held<'a>,
    now: Timestamp,
}

/// The time that a run is to be made for.
struct Time {
    at: Timestamp,
    next: Option<Timestamp>,
    missed: usize,
}

/// What came of trying to make a run.
enum Made {
    /// It is made, or somebody changed the schedule meanwhile.
    Done,
    /// The provider cannot be asked now.
    Later(Timestamp),
    /// This time has none.
    LeftOut {
        /// Why.
        because: String,
        /// Whether its requester is told.
        told: bool,
    },
    /// Its requester may no longer do this.
    Refused(Problem),
}

impl Firing<'_> {
    /// A conflict is somebody else's change: they have seen to the job, or it comes back.
    async fn commit(&self, work: UnitOfWork) -> Result<(), CommitError> {
        match self.platform.store.commit(work).await {
            Err(CommitError::Conflict { what }) => {
                let now = self.platform.store.schedule(self.schedule.id).await.map_err(CommitError::Store)?;
                if now.is_some_and(|now| now.revision == self.schedule.revision) {
                    return Err(CommitError::Conflict { what });
                }
                Ok(())
            }
            other => other,
        }
    }

    fn record(&self, verdict: RecordVerdict) -> guichet_contract::Record {
        let mut record = self.platform.door.record(Verb::FireSchedule, verdict, Surface::Gateway);
        record.principal = Some(self.schedule.requested_by.clone());
        described(record, self.schedule)
    }

    /// The schedule with this time behind it, and the job of the next one.
    fn behind(&self, fired: Fired, next: Option<Timestamp>) -> (Schedule, Option<Job>) {
        let mut after =
            Schedule { revision: self.schedule.revision + 1, next_at: next, ..self.schedule.clone() };
        after.last_run = fired.run.or(after.last_run);
        after.last = Some(fired);
        let job = next.map(|next| job_at(self.platform, self.schedule, next));
        if next.is_none() {
            after.state = ScheduleState::Ended;
            after.because = Some("it has no more times before its end".to_owned());
        }
        (after, job)
    }

    async fn leave_out(
        &self,
        at: Timestamp,
        next: Option<Timestamp>,
        because: String,
        told: bool,
    ) -> Result<(), CommitError> {
        let mut record = self.record(RecordVerdict::Refused);
        record.detail = Some(format!("schedule {}, {at:.0}: {because}", self.schedule.name));
        let mut work = UnitOfWork::new().append_record(record).with(self.held.finish());
        if told {
            work.changes.extend(self.halted(&because));
        }
        let (after, job) = self.behind(Fired { at, run: None, because: Some(because) }, next);
        work.changes.extend(job.map(Change::EnqueueJob));
        self.commit(work.with(Change::ReplaceSchedule(Box::new(after)))).await
    }

    /// Halts or ends it, and tells its requester why.
    async fn stop(&self, moved: Move, at: Option<Timestamp>, because: &str) -> Result<(), CommitError> {
        let Some(to) = moved.from(self.schedule.state) else { return Ok(()) };
        let mut record = self.record(RecordVerdict::Refused);
        record.detail = Some(format!("schedule {} is {to}: {because}", self.schedule.name));
        let mut after = Schedule {
            revision: self.schedule.revision + 1,
            state: to,
            because: Some(because.to_owned()),
            next_at: None,
            expires_at: None,
            ..self.schedule.clone()
        };
        if let Some(at) = at {
            after.last = Some(Fired { at, run: None, because: Some(because.to_owned()) });
        }
        let mut work = UnitOfWork::new().append_record(record).with(self.held.finish());
        work.changes.extend(self.halted(because));
        self.commit(work.with(Change::ReplaceSchedule(Box::new(after)))).await
    }

    fn halted(&self, because: &str) -> Vec<Change> {
        let asked = self.schedule.as_run();
        notices::of(self.platform, &asked, Happened::Halted { by: None, because }, asked.state, self.now)
    }

    async fn make_run(&self, time: &Time, attempts: u32) -> Result<Made, CommitError> {
        if let Some(last) = self.last_run().await?.filter(|last| !last.state.is_final()) {
            let because =
                format!("run {} of the time before has not ended: it is {}", last.id.short(), last.state);
            return Ok(Made::LeftOut { because, told: false });
        }
        let admitted = match self.platform.door.admit_firing(self.schedule) {
            Ok(admitted) => admitted,
            Err(Unfit::Changed(problem)) => return Ok(Made::Refused(problem)),
            Err(Unfit::NotYet(problem)) => return Ok(self.later(time, problem.detail, attempts)),
        };
        if let Some(problem) =
            submit_run::too_many_open(self.platform, &admitted).await.map_err(CommitError::Store)?
        {
            return Ok(Made::LeftOut { because: problem.detail, told: true });
        }
        let plan = match ask_plan(self.platform, &admitted).await {
            Ok(plan) => plan,
            Err(ProviderError::NotSent(problem) | ProviderError::Silent(problem)) => {
                return Ok(self.later(time, problem.detail, attempts));
            }
            Err(ProviderError::Failed(problem)) => {
                return Ok(Made::LeftOut { because: problem.detail, told: true });
            }
        };
        let admitted = match &plan {
            Some(plan) => match self.platform.door.require(admitted, plan, Purpose::Perform).await {
                Ok(admitted) => admitted,
                Err(refusal) => return Ok(Made::Refused(*refusal.problem)),
            },
            None => admitted,
        };
        self.commit(self.unit(time, &admitted, plan).await).await.map(|()| Made::Done)
    }

    async fn last_run(&self) -> Result<Option<Run>, CommitError> {
        match self.schedule.last_run {
            Some(last) => self.platform.store.run(last).await.map_err(CommitError::Store),
            None => Ok(None),
        }
    }

    /// The provider cannot be asked: soon again, as long as the time is not missed for that.
    fn later(&self, time: &Time, because: String, attempts: u32) -> Made {
        let due = self.now + PAUSES.after(attempts);
        let in_time = match self.schedule.missed {
            Missed::Skip => due <= time.at + GRACE,
            Missed::Once => attempts < TRIES,
        };
        if in_time { Made::Later(due) } else { Made::LeftOut { because, told: true } }
    }

    /// Run, record, event, its job, the schedule after it and the job of its next time: together or not at all.
    async fn unit(&self, time: &Time, admitted: &Admitted<ActionCall>, plan: Option<Plan>) -> UnitOfWork {
        let (platform, schedule) = (self.platform, self.schedule);
        let request = json!({"schedule": schedule.id, "at": time.at});
        let key = IdempotencyKey::of_schedule(&format!("{}/{:.0}", schedule.id, time.at), &request);
        let manner = Manner { schedule: Some(schedule.name.clone()), ..Manner::default() };
        let mut run = submit_run::new_run(platform, admitted, plan, Some(&key), &manner, false);
        let lifted = platform.door.lifted_beforehand(schedule, admitted.wanted());
        if let Some(decisions) = lifted.filter(|decisions| all_lifted(&run.approvals, decisions))
            && let Ok(state) = lifecycle::next(run.state, Event::Lifted)
        {
            (run.state, run.decisions, run.expires_at) = (state, decisions, None);
        }
        let mut work = submit_run::unit(platform, admitted, &run, Some(&key));
        if run.state == RunState::Queued && run.begins_at().is_none() {
            work.changes.extend(line::waiting(platform, &run, run.created_at).await);
        }
        let mut record = self.record(RecordVerdict::Allowed);
        record.run = Some(run.id);
        let made_up = (time.missed > 0).then(|| format!("{} missed before", times(time.missed)));
        let said = made_up.as_ref().map(|made_up| format!("; {made_up}")).unwrap_or_default();
        record.detail = Some(format!("schedule {}, {:.0}{said}", schedule.name, time.at));
        let fired = Fired { at: time.at, run: Some(run.id), because: made_up };
        let (after, job) = self.behind(fired, time.next);
        work.changes.extend(job.map(Change::EnqueueJob));
        work.append_record(record).with(self.held.finish()).with(Change::ReplaceSchedule(Box::new(after)))
    }
}
