//! Tells people what happened to a run, through one channel: each of them at least once, and nobody again of whom it is
//! written that they were told.
//!
//! Whoever cannot be reached is tried again, later and later, until the channel's tries are used up; then that is recorded.
//! A run never waits for any of this: the work has a lane and workers of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use guichet_admission::{World, door};
use guichet_contract::{
    Addressee, Approval, Attempt, AttemptResult, Delivery, DeliveryId, DeliveryState, Message, Notice,
    Occasion, Principal, PrincipalKind, Record, RecordVerdict, Run, RunState, Schedule, ScheduleId, Surface,
    Verb, approval::lifted_by,
};
use guichet_lifecycle::BackOff;
use guichet_rules::Waiting;
use guichet_store::{Change, CommitError, Job, Told, UnitOfWork};
use jiff::{SignedDuration, Timestamp};

use crate::{
    execute_run::Held,
    message,
    messenger::{Channel, NotDelivered, Tried, Try},
    ping_channel,
    platform::Platform,
};

/// How many people of one notice are told at the same time.
const AT_ONCE: usize = 4;
/// A channel ends within its own time-out; should one ever not, the lease is not held for it.
const LONGEST: Duration = Duration::from_mins(2);
/// The pauses after failed tries.
const PAUSES: BackOff = BackOff::seconds(1, 3_600);

/// Characters of a failure that are kept.
const WHY_MAX: usize = 500;

/// Tells what the job is to tell.
///
/// # Errors
/// The store's; the job is tried again. What was told and could not be written down is then told again, under the same id.
pub async fn deliver_notice(platform: &Arc<Platform>, job: &Job, lease: &str) -> Result<(), CommitError> {
    let held = Held { job: job.id, lease };
    let store = &platform.store;
    let notice = store.notice(job.id).await.map_err(CommitError::Store)?;
    let (run, schedule) = told_of(platform, job).await?;
    let log = store.delivery(DeliveryId::of_job(job.id)).await.map_err(CommitError::Store)?;
    let replay = log.as_ref().map_or(0, |log| log.replays);
    // What is noted of tries before this one, where it is not known whom they were for.
    let lost = || UnitOfWork { changes: log.iter().flat_map(|log| lost_tries(log, job, &[])).collect() };
    let Some(notice) = notice else {
        return store.commit(ended(platform, lost(), &held, DeliveryState::Dropped)).await;
    };
    let messenger = &platform.messages.messenger;
    let Some(channel) = messenger.channels().iter().find(|channel| channel.name == notice.channel) else {
        let work = gone(platform, lost(), job, &notice, run.as_ref(), replay);
        return store.commit(ended(platform, work, &held, DeliveryState::GivenUp)).await;
    };
    let Some(message) = message(platform, channel, &notice, job, run.as_ref(), schedule.as_ref(), replay)
    else {
        return store.commit(ended(platform, lost(), &held, DeliveryState::Dropped)).await;
    };
    let told = store.told(notice.event, &channel.name).await.map_err(CommitError::Store)?;
    let mut given_up = told.iter().any(|told| told.given_up);
    let told: BTreeSet<String> = told.into_iter().map(|told| told.recipient).collect();
    let mut recipients: Vec<Option<&Addressee>> =
        if channel.per_person { message.to.iter().map(Some).collect() } else { vec![None] };
    recipients.retain(|to| !told.contains(name_of(*to)));
    let names: Vec<&str> = recipients.iter().flatten().map(|to| to.name.as_str()).collect();
    let mut work = UnitOfWork::new();
    work.changes.extend(log.iter().flat_map(|log| lost_tries(log, job, &names)));
    let telling = Telling {
        platform,
        channel,
        notice: &notice,
        run: run.as_ref(),
        message: &message,
        job,
        replay,
        // Whoever pings waits for what comes of it.
        last: job.attempts >= channel.tries.max(1) || notice.occasion == Occasion::Ping,
        // What failed together is not tried together.
        pause: PAUSES.apart(job.attempts, platform.clock.new_uuid().as_bytes()[15]),
        alone: recipients.len() == 1,
    };
    let tellings: Vec<_> = recipients.into_iter().map(|to| telling.tell(to)).collect();
    // All of them come to their end, whatever becomes of one: what is sent is also noted.
    let all: Vec<Result<Ended, CommitError>> =
        stream::iter(tellings).buffer_unordered(AT_ONCE).collect().await;
    let mut due = None;
    for one in all {
        match one? {
            Ended::Told => {}
            Ended::GivenUp => given_up = true,
            Ended::Failed(attempt) => {
                due = due.max(attempt.next_try_at);
                work.add(Change::NoteAttempt { delivery: DeliveryId::of_job(job.id), attempt: *attempt });
            }
        }
    }
    let Some(due) = due else {
        let state = if given_up { DeliveryState::GivenUp } else { DeliveryState::Delivered };
        return store.commit(ended(platform, work, &held, state)).await;
    };
    store.commit(work.with(held.retry(due))).await
}

/// The run that the job tells of, or the schedule and the run that stands for it; none of a ping.
async fn told_of(platform: &Platform, job: &Job) -> Result<(Option<Run>, Option<Schedule>), CommitError> {
    let run = platform.store.run(job.run).await.map_err(CommitError::Store)?;
    if run.is_some() {
        return Ok((run, None));
    }
    let id = ScheduleId::of_run(job.run);
    let schedule = platform.store.schedule(id).await.map_err(CommitError::Store)?;
    Ok((schedule.as_ref().map(Schedule::as_run), schedule))
}

/// What is said, and to whom; nothing when there is nobody to tell.
fn message(
    platform: &Platform,
    channel: &Channel,
    notice: &Notice,
    job: &Job,
    run: Option<&Run>,
    schedule: Option<&Schedule>,
    replay: u32,
) -> Option<Message> {
    if notice.occasion == Occasion::Ping {
        return Some(ping_channel::message(platform, notice, job));
    }
    let run = run?;
    let to = addressees(platform, channel, notice, run, replay)?;
    Some(message::of(platform, notice, run, schedule, to))
}

/// The end of a delivery and of its job.
fn ended(platform: &Platform, work: UnitOfWork, held: &Held<'_>, state: DeliveryState) -> UnitOfWork {
    let at = platform.clock.now();
    work.with(held.finish()).with(Change::EndDelivery { delivery: DeliveryId::of_job(held.job), state, at })
}

/// Nobody has its channel any more: it is given up, and it is told why.
fn gone(
    platform: &Platform,
    work: UnitOfWork,
    job: &Job,
    notice: &Notice,
    run: Option<&Run>,
    replay: u32,
) -> UnitOfWork {
    let channel = notice.channel.as_str();
    let why = format!("no gateway has a channel called `{channel}` in its configuration any more");
    tracing::info!(channel, run = %job.run, occasion = notice.occasion.as_str(), why, "not told, and given up");
    platform.messages.count(channel, Try::GivenUp);
    let attempt = Attempt {
        replay,
        number: job.attempts,
        recipient: None,
        at: platform.clock.now(),
        duration_ms: 0,
        result: AttemptResult::GivenUp,
        status: None,
        why: Some(why.clone()),
        next_try_at: None,
    };
    work.with(Change::NoteAttempt { delivery: DeliveryId::of_job(job.id), attempt })
        .append_record(record(platform, notice, run, "", &why))
}

/// That somebody was not told and will not be.
fn record(platform: &Platform, notice: &Notice, run: Option<&Run>, recipient: &str, why: &str) -> Record {
    let mut record = platform.door.record(Verb::DeliverNotice, RecordVerdict::Failed, Surface::Gateway);
    if let Some(run) = run {
        door::describe_run(&mut record, run);
        record.trace_id.clone_from(&run.trace_id);
    }
    let whom = if recipient.is_empty() { "everybody there" } else { recipient };
    let told = format!("{} to {whom} through {}: {why}", notice.occasion, notice.channel);
    record.detail = Some(told.chars().take(WHY_MAX).collect());
    record
}

/// Tries before this one that were begun and of which nobody wrote down how they ended: of all when nothing was, and of those
/// of `recipients`, who are not told yet, of whom nothing was while it was of others.
fn lost_tries(log: &Delivery, job: &Job, recipients: &[&str]) -> Vec<Change> {
    let mut rounds: BTreeMap<u32, Vec<&Attempt>> = BTreeMap::new();
    for attempt in log.attempts.iter().filter(|attempt| attempt.replay == log.replays) {
        rounds.entry(attempt.number).or_default().push(attempt);
    }
    // The round from which it was handed back is whole: the job is due when the last of those who failed wants to be.
    let is_whole =
        |round: &Vec<&Attempt>| round.iter().filter_map(|attempt| attempt.next_try_at).max() == Some(job.due);
    let whole = rounds.iter().rev().find(|(_, round)| is_whole(round)).map(|(number, _)| *number);
    // Of very many only the latest are told.
    let is_cut = log.tries > log.attempts.len() as u64;
    let oldest = rounds.keys().next().copied().filter(|_| is_cut);
    let lost = |number, recipient: Option<&str>| {
        let attempt = Attempt {
            replay: log.replays,
            number,
            recipient: recipient.map(str::to_owned),
            at: job.due,
            duration_ms: 0,
            result: AttemptResult::Unknown,
            status: None,
            why: Some(
                "how it ended was not written down: the gateway died meanwhile, or its store failed"
                    .to_owned(),
            ),
            next_try_at: None,
        };
        Change::NoteAttempt { delivery: log.id, attempt }
    };
    let first = whole.max(oldest).map_or(1, |number| number + 1);
    let of_round = |number| match rounds.get(&number) {
        None => vec![lost(number, None)],
        Some(round) => {
            let is_noted = |name: &&&str| {
                let theirs =
                    |attempt: &&Attempt| attempt.recipient.as_deref().is_none_or(|noted| noted == **name);
                round.iter().copied().any(|attempt| theirs(&attempt))
            };
            recipients.iter().filter(|name| !is_noted(name)).map(|name| lost(number, Some(name))).collect()
        }
    };
    (first..job.attempts).flat_map(of_round).collect()
}

/// How telling one recipient ended.
enum Ended {
    Told,
    GivenUp,
    /// To be noted, with the next try.
    Failed(Box<Attempt>),
}

/// One notice on its way through one channel.
struct Telling<'a> {
    platform: &'a Platform,
    channel: &'a Channel,
    notice: &'a Notice,
    /// None for a ping.
    run: Option<&'a Run>,
    message: &'a Message,
    job: &'a Job,
    /// How often it was replayed.
    replay: u32,
    /// The last try there is.
    last: bool,
    /// Before the next try.
    pause: SignedDuration,
    /// There is one recipient.
    alone: bool,
}

impl Telling<'_> {
    /// Tells one recipient and writes down that they were told, or that it is given up.
    async fn tell(&self, to: Option<&Addressee>) -> Result<Ended, CommitError> {
        let Self { platform, channel, notice, message, last, .. } = *self;
        let (run, delivery) = (self.job.run, DeliveryId::of_job(self.job.id));
        let at = platform.clock.now();
        let tried = platform.messages.messenger.deliver(channel, to, message);
        let Tried { status, told } = tokio::time::timeout(LONGEST, tried)
            .await
            .unwrap_or_else(|_| Err(NotDelivered::later("it took too long")).into());
        let took = platform.clock.now().duration_since(at).as_millis();
        let recipient = name_of(to);
        let attempt = |result, why: Option<&str>| Attempt {
            replay: self.replay,
            number: self.job.attempts,
            recipient: to.map(|to| to.name.clone()),
            at,
            duration_ms: u64::try_from(took).unwrap_or_default(),
            result,
            status,
            why: why.map(|why| why.chars().take(WHY_MAX).collect()),
            next_try_at: None,
        };
        let (name, occasion) = (channel.name.as_str(), notice.occasion.as_str());
        let why = match told {
            Ok(()) => {
                platform.messages.count(name, Try::Delivered);
                tracing::debug!(channel = name, recipient, occasion, %run, "told");
                self.note(attempt(AttemptResult::Delivered, None)).await?;
                return Ok(Ended::Told);
            }
            Err(NotDelivered::Later { why, pause }) if !last => {
                platform.messages.count(name, Try::Failed);
                tracing::warn!(channel = name, recipient, occasion, %run, why, "not told; it is tried again");
                let pause = pause.and_then(|pause| SignedDuration::try_from(pause).ok()).unwrap_or_default();
                let next = platform.clock.now() + self.pause.max(pause.min(PAUSES.most));
                // To the microsecond, as jobs are due: the log says just that.
                let next = Timestamp::from_microsecond(next.as_microsecond()).unwrap_or(next);
                let attempt = attempt(AttemptResult::Failed, Some(&why));
                let attempt = Attempt { next_try_at: Some(next), ..attempt };
                if !self.alone {
                    // The others may take long, and who dies meanwhile shall not have forgotten it.
                    let note = Change::NoteAttempt { delivery, attempt: attempt.clone() };
                    platform.store.commit(UnitOfWork::new().with(note)).await?;
                }
                return Ok(Ended::Failed(Box::new(attempt)));
            }
            Err(NotDelivered::Later { why, .. } | NotDelivered::Never(why)) => why,
        };
        platform.messages.count(name, Try::GivenUp);
        tracing::error!(channel = name, recipient, occasion, %run, why, "not told, and given up");
        self.note(attempt(AttemptResult::GivenUp, Some(&why))).await?;
        Ok(Ended::GivenUp)
    }

    /// The end of one recipient's tries: who was told is not told again.
    async fn note(&self, attempt: Attempt) -> Result<(), CommitError> {
        let Self { platform, channel, notice, run, .. } = *self;
        let recipient = attempt.recipient.clone().unwrap_or_default();
        let given_up = attempt.why.clone();
        let told = Told {
            event: notice.event,
            channel: channel.name.clone(),
            recipient: recipient.clone(),
            run: self.job.run,
            at: platform.clock.now(),
            given_up: given_up.is_some(),
        };
        let delivery = DeliveryId::of_job(self.job.id);
        let mut work =
            UnitOfWork::new().with(Change::NoteTold(told)).with(Change::NoteAttempt { delivery, attempt });
        if let Some(why) = given_up {
            work = work.append_record(record(platform, notice, run, &recipient, &why));
        }
        match platform.store.commit(work).await {
            // Whoever held this job before has written it.
            Err(CommitError::Conflict { .. }) => Ok(()),
            other => other,
        }
    }
}

fn name_of(to: Option<&Addressee>) -> &str {
    to.map_or("", |to| to.name.as_str())
}

/// Whom the channel is to tell; none when nobody is, or when it would be told too late.
fn addressees(
    platform: &Platform,
    channel: &Channel,
    notice: &Notice,
    run: &Run,
    replay: u32,
) -> Option<Vec<Addressee>> {
    // A program that follows every run wants what it has missed; people want to be asked only what they can still answer.
    let is_wanted_late = replay > 0 && !channel.per_person;
    let is_late = run.state != RunState::AwaitingApproval;
    if notice.occasion == Occasion::ApprovalRequested && is_late && !is_wanted_late {
        return None;
    }
    let world = platform.door.world();
    let everybody = match notice.occasion {
        Occasion::RunAnswered => answered(platform, &world, notice, run),
        occasion if occasion.is_for_approvers() => approvers(platform, &world, notice, run),
        _ => vec![run.requested_by.name.clone()],
    };
    if everybody.is_empty() && notice.occasion == Occasion::ApprovalRequested && !is_late {
        tracing::warn!(run = %run.id, "nobody can approve this run; it waits until it expires");
    }
    // Nobody reads the mail of a program, unless the registry says where.
    let is_person = notice.occasion.is_for_approvers() || run.requested_by.kind == PrincipalKind::Person;
    let unlimited = channel.teams.is_empty() && channel.people.is_empty();
    let serves = |name: &String| {
        unlimited
            || channel.people.contains(name)
            || channel.teams.iter().any(|team| world.registry.members_of(team).contains(name))
    };
    let served: Vec<Addressee> = everybody
        .into_iter()
        .filter(serves)
        .map(|name| {
            let email = world.registry.person(&name).and_then(|person| person.email.clone());
            Addressee { name, email }
        })
        .filter(|to| !channel.per_person || is_person || to.email.is_some())
        .collect();
    // A channel that is one recipient hears also of what nobody can approve.
    let one_for_all = !channel.per_person && unlimited;
    (one_for_all || !served.is_empty()).then_some(served)
}

/// The people who asked and may still see the run, and who still can lift what it waits for.
fn answered(platform: &Platform, world: &World, notice: &Notice, run: &Run) -> Vec<String> {
    let sees = |name: &&String| {
        platform.door.identity().kind_of(name) == Some(PrincipalKind::Person)
            && platform.door.may_see(&world.principal(name, PrincipalKind::Person), run)
    };
    let mut told: BTreeSet<String> = notice.asked.iter().filter(sees).cloned().collect();
    if run.state == RunState::AwaitingApproval {
        told.extend(approvers(platform, world, notice, run));
    }
    told.into_iter().collect()
}

/// Who may lift what, asked of registry and policies as they are now. Never the requester, nobody who has decided, and not
/// who did what this tells of.
fn approvers(platform: &Platform, world: &World, notice: &Notice, run: &Run) -> Vec<String> {
    // Who was skipped is asked as if the run still waited for them.
    let skipped = run.broken_glass.as_ref().map(|glass| glass.concerns(run.owner.as_deref()));
    let approvals: Vec<Approval> =
        run.approvals.iter().chain(skipped.iter().flat_map(|skipped| skipped.iter())).cloned().collect();
    let waiting = Waiting::on(run, &approvals);
    let teams = approvals.iter().flat_map(|approval| &approval.teams);
    let people: BTreeSet<&String> = teams.flat_map(|team| world.registry.members_of(team)).collect();
    let open_now: BTreeSet<&str> = approvals
        .iter()
        .filter(|approval| lifted_by(approval, &run.decisions) < usize::from(approval.count.max(1)))
        .map(|approval| approval.policy.as_str())
        .collect();
    let concerns = |lifts: &[String]| match notice.occasion {
        Occasion::ApprovalClosed => {
            lifts.iter().any(|policy| notice.closed.contains(policy))
                && !lifts.iter().any(|policy| notice.open.contains(policy))
        }
        _ => lifts.iter().any(|policy| open_now.contains(policy.as_str())),
    };
    people
        .into_iter()
        .filter(|name| !run.decisions.iter().any(|decision| decision.by == **name))
        .filter(|name| notice.by.as_ref() != Some(name))
        .filter(|name| platform.door.identity().kind_of(name) == Some(PrincipalKind::Person))
        .filter(|name| {
            let approver = Principal::person(name.as_str()).in_teams(world.registry.teams_of(name));
            world
                .policies
                .can_lift(&approver, &waiting, platform.clock.now())
                .is_ok_and(|lifts| concerns(&lifts))
        })
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use guichet_contract::{Clock as _, JobId, RunId, SystemClock};
    use guichet_store::JobKind;

    use super::*;

    fn second(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn attempt(number: u32, recipient: Option<&str>, at: i64, next: Option<i64>) -> Attempt {
        let result = if next.is_some() { AttemptResult::Failed } else { AttemptResult::Delivered };
        Attempt {
            replay: 0,
            number,
            recipient: recipient.map(str::to_owned),
            at: second(at),
            duration_ms: 7,
            result,
            status: None,
            why: None,
            next_try_at: next.map(second),
        }
    }

    /// Number and recipient of the tries that are told as lost, when this try is the `now`-th and was due at this second.
    fn lost(attempts: Vec<Attempt>, now: u32, due: i64, waiting: &[&str]) -> Vec<(u32, Option<String>)> {
        let id = JobId::new(&SystemClock);
        let log = Delivery {
            id: DeliveryId::of_job(id),
            event: SystemClock.new_uuid(),
            channel: "mail".into(),
            occasion: Occasion::RunEnded,
            run: RunId::new(&SystemClock),
            at: second(0),
            state: DeliveryState::Waiting,
            replays: 0,
            tries: attempts.len() as u64,
            next_try_at: None,
            ended_at: None,
            last: None,
            attempts,
        };
        let job = Job {
            id,
            kind: JobKind::DeliverNotice,
            run: log.run,
            due: second(due),
            attempts: now,
            key: None,
            bulkhead: None,
        };
        let tries = lost_tries(&log, &job, waiting).into_iter().map(|change| match change {
            Change::NoteAttempt { attempt, .. } => (attempt.number, attempt.recipient),
            other => panic!("{other:?}"),
        });
        tries.collect()
    }

    #[test]
    fn each_recipient_of_whom_nothing_was_written_down_is_told_as_unknown() {
        let of = |number, name: &str| (number, Some(name.to_owned()));
        assert_eq!(lost(vec![], 1, 0, &["eve"]), []);
        assert_eq!(lost(vec![], 3, 0, &["eve", "omar"]), [(1, None), (2, None)], "killed in the first two");
        // Omar has it, Eve's try failed, Ines's was under way when the gateway died.
        let cut = vec![attempt(1, Some("eve"), 1, Some(3)), attempt(1, Some("omar"), 1, None)];
        assert_eq!(lost(cut.clone(), 2, 0, &["eve", "ines"]), [of(1, "ines")]);
        assert_eq!(lost(cut, 3, 0, &["eve", "ines"]), [of(1, "ines"), (2, None)], "and once more");
        // A round that came to its end: who is to be told since then has missed nothing.
        let whole = vec![
            attempt(1, Some("eve"), 1, Some(3)),
            attempt(1, Some("ines"), 1, Some(4)),
            attempt(1, Some("omar"), 1, None),
        ];
        assert_eq!(lost(whole.clone(), 2, 4, &["eve", "ines", "jan"]), []);
        let then = [whole, vec![attempt(2, Some("ines"), 5, None)]].concat();
        assert_eq!(lost(then, 3, 4, &["eve"]), [of(2, "eve")]);
        // One recipient as a whole.
        let hook = vec![attempt(1, None, 1, Some(3)), attempt(2, None, 3, Some(5))];
        assert_eq!(lost(hook.clone(), 3, 5, &[]), []);
        assert_eq!(lost(hook.clone(), 4, 5, &[]), [(3, None)]);
        assert_eq!(lost(hook, 3, 4, &[]), [], "hastened");
    }
}
