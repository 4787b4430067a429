//! Sends a notice once more through its channel, under the same id: after it was given up, or though it was delivered.

use std::sync::Arc;

use guichet_admission::{Call, Caller, Refusal};
use guichet_contract::{Delivery, DeliveryState, Problem, Record, RecordVerdict, Verb, code};
use guichet_store::{Change, CommitError, UnitOfWork};
use serde_json::json;

use crate::{
    idempotency_key::IdempotencyKey,
    platform::{Platform, store_problem},
    read_deliveries::{detail, find},
};

/// So often a delivery is looked at again when somebody else was quicker.
const LOOKS: u32 = 30;
/// Of these, so many that find it waiting and cannot hasten it: then a try of it is under way.
const HELD: u32 = 3;
/// So often one delivery is replayed at most: its log stays short.
pub const REPLAYS_MAX: u32 = 50;

/// Puts it back to be tried anew, as often as its channel tries. One that still waits for its next try is due at once
/// instead. The same key does it once.
///
/// # Errors
/// Policy; an unknown delivery; a channel that is no longer configured; a key that was used for something else; too many
/// replays; a try that is under way, which may be the last and was begun before this was asked for; the store.
pub async fn replay_delivery(
    platform: &Arc<Platform>,
    call: &Call,
    id: &str,
    key: Option<String>,
) -> Result<Delivery, Refusal> {
    let caller = platform.door.identify(call).await?;
    platform.door.admit_deliveries(&caller, Verb::ReplayDelivery, &detail(id)).await?;
    let request = json!({"replay": id.to_ascii_lowercase()});
    let key = key.map(|text| IdempotencyKey::of(&caller.principal, text, &request));
    let refused = async |problem: Problem| {
        let record = record(platform, &caller, id, None, RecordVerdict::Refused);
        platform.door.refuse(record, problem).await
    };
    let mut held = 0;
    for _ in 0..LOOKS {
        if let Some(key) = &key {
            match key.earlier(&*platform.store).await {
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
            work.add(key.stands_for(delivery.id.as_run(), platform.clock.now()));
        }
        match platform.store.commit(work).await {
            Ok(()) => return find(platform, &caller, id, Verb::ReplayDelivery).await,
            Err(CommitError::Conflict { .. }) if delivery.state == DeliveryState::Waiting => {
                held += 1;
                if held == HELD {
                    return Err(refused(under_way()).await);
                }
            }
            Err(CommitError::Conflict { .. }) => {}
            Err(CommitError::Store(error)) => return Err(refused(store_problem(&error)).await),
        }
    }
    let problem = Problem::new(code::WRONG_STATE, "the delivery is replayed by others at the same time");
    Err(refused(problem.next("look at it again: `guichet deliveries show ID`")).await)
}

/// Nothing was queued: what is under way was begun before.
fn under_way() -> Problem {
    let detail = "a try of it is under way at this moment, or the gateway that began it has died; nothing more was queued";
    Problem::new(code::WRONG_STATE, detail)
        .next("`guichet deliveries show ID` tells how it ends; replay it if it was not taken")
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
