//! How often keys are asked for, and what becomes of new ones.

use std::time::Duration;

use guichet_contract::{Clock as _, SystemClock, code};
use jiff::{SignedDuration, Timestamp};

use super::Ended;
use crate::{Kit, answer::Not, call::Signer};

/// How seldom a provider asks.
const ASKS_AFTER: SignedDuration = SignedDuration::from_secs(10);

/// When it asked last; it has to, to believe anything.
async fn last_asked(kit: &Kit) -> Result<Timestamp, Not> {
    if kit.desk.last_asked().is_none() {
        let _ = kit.harmless()?.send().await?;
    }
    let nobody = || Not::Skipped("the provider does not ask the kit for keys".to_owned());
    kit.desk.last_asked().ok_or_else(nobody)
}

pub(super) async fn asked_seldom(kit: &Kit) -> Ended {
    let _ = last_asked(kit).await?;
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

/// Waits until a provider that meets an unknown key has to ask again.
async fn until_it_asks(kit: &Kit) -> Result<(), Not> {
    let last = last_asked(kit).await?;
    // It was asked a moment ago, and need not be asked again before 10 s are over.
    let free = last.saturating_add(ASKS_AFTER + SignedDuration::from_millis(500)).unwrap_or(last);
    let wait = free.duration_since(SystemClock.now());
    tokio::time::sleep(Duration::try_from(wait).unwrap_or_default()).await;
    Ok(())
}

pub(super) async fn not_there(kit: &Kit) -> Ended {
    let call = kit.harmless()?.signed_by(Signer::Stranger);
    until_it_asks(kit).await?;
    kit.desk.shut(true);
    let answer = call.send().await;
    kit.desk.shut(false);
    let answer = answer?;
    let told = answer.problem(&[503], "nobody knows whose call it is, and nothing was done")?;
    if told.get("code").is_some_and(|code| code == code::PROVIDER_BUSY) {
        return Ok(());
    }
    Err(answer.not("`code`: `provider-busy`"))
}

pub(super) async fn turned(kit: &Kit) -> Ended {
    until_it_asks(kit).await?;
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
