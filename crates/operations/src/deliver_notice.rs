//! Tells people what happened to a run, through one channel: each of them at least once, and nobody again of whom it is
//! written that they were told.
//!
//! Whoever cannot be reached is tried again, later and later, until the channel's tries are used up; then that is recorded.
//! A run never waits for any of this: the work has a lane and workers of its own.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream};
use guichet_admission::{World, door};
use guichet_contract::{
    Addressee, Approval, Attempt, AttemptResult, Delivery, DeliveryId, DeliveryState, Message, Notice,
    Occasion, Principal, PrincipalKind, RecordVerdict, Run, RunState, Schedule, ScheduleId, Surface, Verb,
    approval::lifted_by,
};
use guichet_lifecycle::BackOff;
use guichet_rules::Waiting;
use guichet_store::{Change, CommitError, Job, Told, UnitOfWork};
use jiff::{SignedDuration, Timestamp};

use crate::{
    execute_run::Held,
    message,
    messenger::{Channel, NotDelivered, Tried, Try},
    platform::Platform,
};

/// How many people of one notice are told at the same time.
const AT_ONCE: usize = 4;
/// A channel ends within its own time-out; should one ever not, the lease is not held for it.
const LONGEST: Duration = Duration::from_mins(2);
/// The pauses after failed tries.
const PAUSES: BackOff = BackOff::seconds(1, 3_600);

/// How long a delivery is remembered, from what happened on.
pub const REMEMBERED: SignedDuration = SignedDuration::from_hours(30 * 24);
/// So many deliveries are remembered, the newest.
pub const REMEMBERED_MOST: u64 = 100_000;
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
    let mut schedule = None;
    let mut run = store.run(job.run).await.map_err(CommitError::Store)?;
    if run.is_none() {
        let id = ScheduleId::of_run(job.run);
        schedule = store.schedule(id).await.map_err(CommitError::Store)?;
        run = schedule.as_ref().map(Schedule::as_run);
    }
    let log = store.delivery(DeliveryId::of_job(job.id)).await.map_err(CommitError::Store)?;
    let replay = log.as_ref().map_or(0, |log| log.replays);
    let mut work = UnitOfWork::new();
    work.changes.extend(log.iter().flat_map(|log| lost_tries(log, job)));
    let (Some(notice), Some(run)) = (notice, run) else {
        return store.commit(ended(platform, work, &held, DeliveryState::Dropped)).await;
    };
    let messenger = &platform.messages.messenger;
    let Some(channel) = messenger.channels().iter().find(|channel| channel.name == notice.channel) else {
        tracing::info!(channel = notice.channel, run = %run.id, "a notice for a channel that is gone is dropped");
        return store.commit(ended(platform, work, &held, DeliveryState::Dropped)).await;
    };
    let Some(to) = addressees(platform, channel, &notice, &run, replay) else {
        return store.commit(ended(platform, work, &held, DeliveryState::Dropped)).await;
    };
    let told = store.told(notice.event, &channel.name).await.map_err(CommitError::Store)?;
    let mut given_up = told.iter().any(|told| told.given_up);
    let told: BTreeSet<String> = told.into_iter().map(|told| told.recipient).collect();
    let message = message::of(platform, &notice, &run, schedule.as_ref(), to);
    let mut recipients: Vec<Option<&Addressee>> =
        if channel.per_person { message.to.iter().map(Some).collect() } else { vec![None] };
    recipients.retain(|to| !told.contains(name_of(*to)));
    let last = job.attempts >= channel.tries.max(1);
    let telling =
        Telling { platform, channel, notice: &notice, run: &run, message: &message, job, replay, last };
    let tellings: Vec<_> = recipients.into_iter().map(|to| telling.tell(to)).collect();
    // All of them come to their end, whatever becomes of one: what is sent is also noted.
    let all: Vec<Result<Ended, CommitError>> =
        stream::iter(tellings).buffer_unordered(AT_ONCE).collect().await;
    let (mut failed, mut asked_for) = (Vec::new(), SignedDuration::ZERO);
    for one in all {
        match one? {
            Ended::Told => {}
            Ended::GivenUp => given_up = true,
            Ended::Failed(attempt, pause) => {
                failed.push(attempt);
                asked_for = asked_for.max(pause);
            }
        }
    }
    if failed.is_empty() {
        let state = if given_up { DeliveryState::GivenUp } else { DeliveryState::Delivered };
        return store.commit(ended(platform, work, &held, state)).await;
    }
    // What failed together is not tried together.
    let pause = PAUSES.apart(job.attempts, platform.clock.new_uuid().as_bytes()[15]);
    let due = platform.clock.now() + pause.max(asked_for);
    // To the microsecond, as jobs are due: the log says just that.
    let due = Timestamp::from_microsecond(due.as_microsecond()).unwrap_or(due);
    for attempt in failed {
        let attempt = Attempt { next_try_at: Some(due), ..attempt };
        work.add(Change::NoteAttempt { delivery: DeliveryId::of_job(job.id), attempt });
    }
    store.commit(work.with(held.retry(due))).await
}

/// The end of a delivery and of its job; now and then also of those that are old enough to be forgotten.
fn ended(platform: &Platform, work: UnitOfWork, held: &Held<'_>, state: DeliveryState) -> UnitOfWork {
    let at = platform.clock.now();
    let work = work.with(held.finish()).with(Change::EndDelivery {
        delivery: DeliveryId::of_job(held.job),
        state,
        at,
    });
    // Chance of its own: the end of an id is random.
    if held.job.0.as_bytes()[15] == 0 { work.with(prune(at)) } else { work }
}

/// Forgets deliveries that are old, and those beyond the most that are remembered; some at a time.
pub fn prune(now: Timestamp) -> Change {
    let before = now.checked_sub(REMEMBERED).unwrap_or(Timestamp::MIN);
    Change::PruneDeliveries { before, keep: REMEMBERED_MOST }
}

/// Tries before this one that were begun and of which nobody wrote down how they ended.
fn lost_tries(log: &Delivery, job: &Job) -> Vec<Change> {
    let of_replay = log.attempts.iter().filter(|attempt| attempt.replay == log.replays);
    let known = of_replay.map(|attempt| attempt.number).max().unwrap_or_default();
    let lost = |number| Attempt {
        replay: log.replays,
        number,
        recipient: None,
        at: job.due,
        duration_ms: 0,
        result: AttemptResult::Unknown,
        status: None,
        why: Some(
            "how it ended was not written down: the gateway died meanwhile, or its store failed".to_owned(),
        ),
        next_try_at: None,
    };
    let note = |number| Change::NoteAttempt { delivery: log.id, attempt: lost(number) };
    (known + 1..job.attempts).map(note).collect()
}

/// How telling one recipient ended.
enum Ended {
    Told,
    GivenUp,
    /// To be noted with the next try, and the least pause before that.
    Failed(Attempt, SignedDuration),
}

/// One notice on its way through one channel.
struct Telling<'a> {
    platform: &'a Platform,
    channel: &'a Channel,
    notice: &'a Notice,
    run: &'a Run,
    message: &'a Message,
    job: &'a Job,
    /// How often it was replayed.
    replay: u32,
    /// The last try there is.
    last: bool,
}

impl Telling<'_> {
    /// Tells one recipient and writes down that they were told, or that it is given up.
    async fn tell(&self, to: Option<&Addressee>) -> Result<Ended, CommitError> {
        let Self { platform, channel, notice, run, message, last, .. } = *self;
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
                tracing::debug!(channel = name, recipient, occasion, run = %run.id, "told");
                self.note(attempt(AttemptResult::Delivered, None)).await?;
                return Ok(Ended::Told);
            }
            Err(NotDelivered::Later { why, pause }) if !last => {
                platform.messages.count(name, Try::Failed);
                tracing::warn!(channel = name, recipient, occasion, run = %run.id, why, "not told; it is tried again");
                let pause = pause.and_then(|pause| SignedDuration::try_from(pause).ok()).unwrap_or_default();
                let attempt = attempt(AttemptResult::Failed, Some(&why));
                return Ok(Ended::Failed(attempt, pause.min(PAUSES.most)));
            }
            Err(NotDelivered::Later { why, .. } | NotDelivered::Never(why)) => why,
        };
        platform.messages.count(name, Try::GivenUp);
        tracing::error!(channel = name, recipient, occasion, run = %run.id, why, "not told, and given up");
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
            run: run.id,
            at: platform.clock.now(),
            given_up: given_up.is_some(),
        };
        let delivery = DeliveryId::of_job(self.job.id);
        let mut work =
            UnitOfWork::new().with(Change::NoteTold(told)).with(Change::NoteAttempt { delivery, attempt });
        if let Some(why) = given_up {
            let mut record =
                platform.door.record(Verb::DeliverNotice, RecordVerdict::Failed, Surface::Gateway);
            door::describe_run(&mut record, run);
            record.trace_id.clone_from(&run.trace_id);
            let whom = if recipient.is_empty() { "everybody there" } else { &recipient };
            let told = format!("{} to {whom} through {}: {why}", notice.occasion, channel.name);
            record.detail = Some(told.chars().take(WHY_MAX).collect());
            work = work.append_record(record);
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
