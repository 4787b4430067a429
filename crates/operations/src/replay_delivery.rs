//! Sends a notice once more through its channel, under the same id: after it was given up, or though it was delivered.

use std::sync::Arc;

use guichet_admission::{Call, Caller, Refusal};
use guichet_contract::{
    Delivery, DeliveryId, DeliveryState, Digest, Problem, Record, RecordVerdict, Verb, code,
};
use guichet_store::{Change, CommitError, UnitOfWork};
use serde_json::json;

use crate::{
    platform::{Platform, store_problem},
    read_deliveries::{detail, find},
};

/// So often a delivery is looked at again when somebody else was quicker.
const LOOKS: u32 = 30;
/// So often one delivery is replayed at most: its log stays short.
pub const REPLAYS_MAX: u32 = 50;
/// Longest idempotency key, characters.
const KEY_MAX: usize = 200;

/// Puts it back to be tried anew, as often as its channel tries. One that still waits for its next try is due at once
/// instead. The same key does it once.
///
/// # Errors
/// Policy; an unknown delivery; a channel that is no longer configured; a key that was used for something else; too many
/// replays; the store.
pub async fn replay_delivery(
    platform: &Arc<Platform>,
    call: &Call,
    id: &str,
    key: Option<String>,
) -> Result<Delivery, Refusal> {
    let caller = platform.door.identify(call).await?;
    platform.door.admit_deliveries(&caller, Verb::ReplayDelivery, &detail(id)).await?;
    let key = key.map(|text| Key::of(&caller, text, id));
    let refused = async |problem: Problem| {
        let record = record(platform, &caller, id, None, RecordVerdict::Refused);
        platform.door.refuse(record, problem).await
    };
    for _ in 0..LOOKS {
        if let Some(key) = &key {
            match key.earlier(platform).await {
                Ok(None) => {}
                Ok(Some(_)) => return find(platform, &caller, id, Verb::ReplayDelivery).await,
                Err(problem) => return Err(refused(problem).await),
            }
        }
        let delivery = find(platform, &caller, id, Verb::ReplayDelivery).await?;
        let change = match change(platform, &delivery) {
            Ok(change) => change,
            Err(problem) => return Err(refused(problem).await),
        };
        let record = record(platform, &caller, id, Some(&delivery), RecordVerdict::Allowed);
        let mut work = UnitOfWork::new().with(change).append_record(record);
        if let Some(key) = &key {
            work.add(key.change(platform, &delivery));
        }
        match platform.store.commit(work).await {
            Ok(()) => return find(platform, &caller, id, Verb::ReplayDelivery).await,
            Err(CommitError::Conflict { .. }) => {}
            Err(CommitError::Store(error)) => return Err(refused(store_problem(&error)).await),
        }
    }
    let problem = Problem::new(code::WRONG_STATE, "the delivery is replayed by others at the same time");
    Err(refused(problem.next("look at it again: `guichet deliveries show ID`")).await)
}

/// What is to be written.
fn change(platform: &Platform, delivery: &Delivery) -> Result<Change, Problem> {
    let channels = platform.messages.messenger.channels();
    if !channels.iter().any(|channel| channel.name == delivery.channel) {
        let detail =
            format!("no channel is called `{}` in the gateway's configuration any more", delivery.channel);
        return Err(Problem::new(code::UNKNOWN_CHANNEL, detail)
            .next("give it back its name in `[[notify]]` of guichet.toml, then replay"));
    }
    let (id, at) = (delivery.id, platform.clock.now());
    if delivery.state == DeliveryState::Waiting {
        return Ok(Change::HastenDelivery { delivery: id, due: at });
    }
    if delivery.replays >= REPLAYS_MAX {
        let detail = format!("it was replayed {REPLAYS_MAX} times, and more are not taken");
        return Err(Problem::new(code::WRONG_STATE, detail)
            .next("look at its tries for what is wrong: `guichet deliveries show ID`"));
    }
    Ok(Change::ReplayDelivery { delivery: id, replays: delivery.replays, at })
}

fn record(
    platform: &Platform,
    caller: &Caller,
    id: &str,
    delivery: Option<&Delivery>,
    verdict: RecordVerdict,
) -> Record {
    let mut record = platform.door.record_of(caller, Verb::ReplayDelivery, verdict);
    let Some(delivery) = delivery else {
        record.detail = Some(detail(id));
        return record;
    };
    record.run = Some(delivery.run);
    let Delivery { occasion, channel, state, event, .. } = delivery;
    record.detail = Some(format!("{}: {occasion} through {channel}, {state}, event {event}", detail(id)));
    record
}

/// A requester's key against a second replay.
struct Key {
    principal: String,
    text: String,
    request: Digest,
}

impl Key {
    fn of(caller: &Caller, text: String, id: &str) -> Self {
        let principal = format!("{:?}/{}", caller.principal.kind, caller.principal.name);
        let request = Digest::of_json(&json!({"replay": id.to_ascii_lowercase()}));
        Self { principal, text, request }
    }

    /// What it stands for already.
    async fn earlier(&self, platform: &Platform) -> Result<Option<DeliveryId>, Problem> {
        if self.text.is_empty() || self.text.chars().count() > KEY_MAX {
            let detail = format!("an Idempotency-Key has 1 to {KEY_MAX} characters");
            return Err(Problem::new(code::BAD_REQUEST, detail));
        }
        match platform.store.idempotent_run(&self.principal, &self.text).await {
            Ok(None) => Ok(None),
            Ok(Some((request, delivery))) if request == self.request => {
                Ok(Some(DeliveryId::of_run(delivery)))
            }
            Ok(Some(_)) => {
                let detail = "this Idempotency-Key was used for something else";
                Err(Problem::new(code::IDEMPOTENCY_CONFLICT, detail).next("use a new key for a new request"))
            }
            Err(error) => Err(store_problem(&error)),
        }
    }

    fn change(&self, platform: &Platform, delivery: &Delivery) -> Change {
        Change::InsertIdempotencyKey {
            principal: self.principal.clone(),
            key: self.text.clone(),
            request: self.request.clone(),
            run: delivery.id.as_run(),
            at: platform.clock.now(),
        }
    }
}
