//! How often keys are asked for, and what becomes of new ones.

use std::time::Duration;

use guichet_contract::{Clock as _, SystemClock};
use jiff::SignedDuration;

use super::Ended;
use crate::{Kit, answer::Not, call::Signer};

/// How seldom a provider asks.
const ASKS_AFTER: SignedDuration = SignedDuration::from_secs(10);

pub(super) async fn asked_seldom(kit: &Kit) -> Ended {
    if kit.desk.asked() == 0 {
        return Err(Not::Skipped("the provider does not ask the kit for keys".to_owned()));
    }
    let before = kit.desk.asked();
    for _ in 0..20 {
        kit.harmless()?.signed_by(Signer::Stranger).send().await?.denied("no such key is published")?;
    }
    let asked = kit.desk.asked() - before;
    if asked <= 1 {
        return Ok(());
    }
    Err(Not::held(
        "20 calls with tokens of a key that is not published",
        "/v1/keys asked once at most",
        &format!("it was asked {asked} times"),
    ))
}

pub(super) async fn turned(kit: &Kit) -> Ended {
    let Some(last) = kit.desk.last_asked() else {
        return Err(Not::Skipped("the provider does not ask the kit for keys".to_owned()));
    };
    // It was asked a moment ago, and need not be asked again before 10 s are over.
    let free = last.saturating_add(ASKS_AFTER + SignedDuration::from_millis(500)).unwrap_or(last);
    let wait = free.duration_since(SystemClock.now());
    tokio::time::sleep(Duration::try_from(wait).unwrap_or_default()).await;
    let before = kit.desk.asked();
    kit.desk.turn().map_err(|error| Not::Skipped(error.to_string()))?;
    let call = kit.harmless()?;
    let answer = call.send().await?;
    kit.believed(&answer, "the result: the key is published at /v1/keys")?;
    let asked = kit.desk.asked() - before;
    if asked == 1 {
        return Ok(());
    }
    Err(Not::held(
        &answer.sent,
        "/v1/keys asked once for the new key",
        &format!("it was asked {asked} times"),
    ))
}
