//! Sends an event that tells of nothing through one channel, so that whoever runs the gateway sees whether it works: signed, in
//! the log of deliveries and in the form of every other event, tried once.

use std::sync::Arc;

use guichet_admission::{Call, Caller, Refusal};
use guichet_contract::{
    ActionId, Addressee, Delivery, DeliveryId, Effect, JobId, Message, Notice, Occasion, Principal,
    PrincipalKind, Problem, Record, RecordVerdict, RunState, Verb, code,
};
use guichet_store::{Change, CommitError, Job, JobKind, UnitOfWork};
use serde_json::json;

use crate::{
    idempotency_key::IdempotencyKey,
    platform::{Platform, store_problem},
    read_deliveries::find,
};

/// As much of what a caller sent is recorded, characters.
const SHOWN: usize = 64;

/// Queues a ping for this channel, whatever the channel hears of and whomever it is for: of people, who asks is told. The same key
/// sends it once.
///
/// # Errors
/// Policy; a channel that is not configured, or that has nobody to tell; a key that was used for something else; the store.
pub async fn ping_channel(
    platform: &Arc<Platform>,
    call: &Call,
    channel: &str,
    key: Option<String>,
) -> Result<Delivery, Refusal> {
    let caller = platform.door.identify(call).await?;
    let what = detail(channel);
    platform.door.admit_deliveries(&caller, Verb::PingChannel, &what).await?;
    let key = key.map(|text| IdempotencyKey::of(&caller.principal, text, &json!({"ping": channel})));
    if let Some(sent) = earlier(platform, &caller, channel, key.as_ref()).await? {
        return Ok(sent);
    }
    if let Err(problem) = can_be_told(platform, &caller, channel) {
        return Err(refused(platform, &caller, channel, problem).await);
    }
    let (job, notice) = ping(platform, &caller, channel);
    let delivery = DeliveryId::of_job(job.id);
    let mut record: Record = platform.door.record_of(&caller, Verb::PingChannel, RecordVerdict::Allowed);
    record.detail = Some(format!("{what}, delivery {delivery}, event {}", notice.event));
    let mut work = UnitOfWork::new().append_record(record);
    if let Some(key) = &key {
        work.add(key.stands_for(delivery.as_run(), notice.at));
    }
    match platform.store.commit(work.with(Change::EnqueueNotice { job, notice })).await {
        Ok(()) => find(platform, &caller, &delivery.to_string(), Verb::PingChannel).await,
        // The same key at the same instant: the other one sent it.
        Err(CommitError::Conflict { what }) => {
            if let Some(sent) = earlier(platform, &caller, channel, key.as_ref()).await? {
                return Ok(sent);
            }
            let problem = Problem::new(code::WRONG_STATE, what).next("send it again");
            Err(refused(platform, &caller, channel, problem).await)
        }
        Err(CommitError::Store(error)) => {
            Err(refused(platform, &caller, channel, store_problem(&error)).await)
        }
    }
}

/// What a record says of it.
fn detail(channel: &str) -> String {
    format!("channel {}", channel.chars().take(SHOWN).collect::<String>())
}

async fn refused(platform: &Platform, caller: &Caller, channel: &str, problem: Problem) -> Refusal {
    let mut record = platform.door.record_of(caller, Verb::PingChannel, RecordVerdict::Refused);
    record.detail = Some(detail(channel));
    platform.door.refuse(record, problem).await
}

/// The ping that was sent with this key before.
async fn earlier(
    platform: &Platform,
    caller: &Caller,
    channel: &str,
    key: Option<&IdempotencyKey>,
) -> Result<Option<Delivery>, Refusal> {
    let Some(key) = key else { return Ok(None) };
    match key.earlier(&*platform.store).await {
        Ok(None) => Ok(None),
        Ok(Some(sent)) => {
            let id = DeliveryId::of_run(sent).to_string();
            find(platform, caller, &id, Verb::PingChannel).await.map(Some)
        }
        Err(problem) => Err(refused(platform, caller, channel, problem).await),
    }
}

/// Whether there is such a channel, and somebody to tell: where each person is told, a program is only when the registry says where.
fn can_be_told(platform: &Platform, caller: &Caller, name: &str) -> Result<(), Problem> {
    let channels = platform.messages.messenger.channels();
    if let Some(channel) = channels.iter().find(|channel| channel.name == name) {
        let who = &caller.principal;
        let world = platform.door.world();
        let has_address = || world.registry.person(&who.name).is_some_and(|person| person.email.is_some());
        if !channel.per_person || who.kind == PrincipalKind::Person || has_address() {
            return Ok(());
        }
        let detail =
            format!("the channel `{name}` writes to whoever asks, and {who} is a program without an address");
        return Err(Problem::new(code::INVALID_INPUT, detail)
            .next("ping it as a person, or give the program an `email` in the registry"));
    }
    let shown: String = name.chars().take(SHOWN).collect();
    let names: Vec<&str> = channels.iter().map(|channel| channel.name.as_str()).collect();
    let next = if names.is_empty() {
        "it has none: add one to `[[notify]]` of guichet.toml".to_owned()
    } else {
        format!("it has {}", names.join(", "))
    };
    let detail = format!("no channel is called `{shown}` in the gateway's configuration");
    Err(Problem::new(code::UNKNOWN_CHANNEL, detail).next(next))
}

fn ping(platform: &Platform, caller: &Caller, channel: &str) -> (Job, Notice) {
    let now = platform.clock.now();
    let id = JobId::new(&*platform.clock);
    let job = Job {
        id,
        kind: JobKind::DeliverNotice,
        run: DeliveryId::of_job(id).as_run(),
        due: now,
        attempts: 0,
        key: None,
        bulkhead: None,
    };
    let notice = Notice {
        event: platform.clock.new_uuid(),
        at: now,
        occasion: Occasion::Ping,
        channel: channel.to_owned(),
        by: Some(caller.principal.name.clone()),
        verdict: None,
        because: None,
        state: RunState::Succeeded,
        closed: [].into(),
        open: [].into(),
        asked: [].into(),
    };
    (job, notice)
}

/// What a ping says: the members of every event, about itself. It tells of no run; where one's id is wanted, it is the
/// delivery's.
pub(crate) fn message(platform: &Platform, notice: &Notice, job: &Job) -> Message {
    let world = platform.door.world();
    let by = notice.by.clone().unwrap_or_default();
    let kind = platform.door.identity().kind_of(&by).unwrap_or(PrincipalKind::Person);
    let asked_by =
        Principal { kind, ..Principal::person(by.as_str()).in_teams(world.registry.teams_of(&by)) };
    let email = world.registry.person(&by).and_then(|person| person.email.clone());
    Message {
        id: notice.event,
        occasion: notice.occasion,
        at: notice.at,
        sentence: format!("{asked_by} pings the channel {} of {}", notice.channel, world.environment),
        environment: world.environment.clone(),
        run: job.run,
        short_id: job.run.short(),
        state: notice.state,
        action: ActionId::new("guichet", "ping"),
        title: "See whether a channel works".to_owned(),
        effect: Effect::Read,
        resource: format!("guichet/channels/{}", notice.channel),
        owner: None,
        requested_by: asked_by,
        reason: None,
        input: json!({}),
        plan: None,
        facts: Vec::new(),
        approvals: Vec::new(),
        expires_at: None,
        binding: String::new(),
        by: notice.by.clone(),
        verdict: None,
        because: None,
        outcome: None,
        schedule: None,
        command: format!("guichet deliveries show {}", job.run),
        to: vec![Addressee { name: by, email }],
    }
}
