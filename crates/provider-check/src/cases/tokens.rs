//! Tokens that hold, and all kinds that do not.

use guichet_contract::{Clock as _, SystemClock};
use serde_json::{Value, json};

use super::Ended;
use crate::{
    Kit,
    answer::Not,
    call::{Call, Signer, seconds_after},
    keys,
};

/// A call that changes nothing, as `wrong` has it, is 401.
async fn denied(call: Call<'_>, why: &str) -> Ended {
    call.send().await?.denied(why)
}

/// A change, as `wrong` has it, is 401 and is not done.
async fn denied_change(kit: &Kit, why: &str, wrong: impl FnOnce(Call<'_>) -> Call<'_>) -> Ended {
    let name = crate::fresh("denied");
    let call = wrong(kit.call("conformance-add", json!({"name": name, "amount": 1}))?);
    let answer = call.send().await?;
    let denied = answer.denied(why);
    kit.done(&name, 0, &answer.sent).await?;
    denied
}

pub(super) async fn good(kit: &Kit) -> Ended {
    kit.believed(&kit.harmless()?.send().await?, "the result")
}

pub(super) async fn again(kit: &Kit) -> Ended {
    let call = kit.harmless()?;
    let call = {
        let token = call.token();
        call.signed_by(Signer::Text(token))
    };
    for _ in 0..3 {
        kit.believed(&call.send().await?, "the result, each time")?;
    }
    Ok(())
}

pub(super) async fn missing(kit: &Kit) -> Ended {
    denied(kit.harmless()?.signed_by(Signer::Text(String::new())), "there is no token").await
}

pub(super) async fn garbled(kit: &Kit) -> Ended {
    let good = kit.harmless()?.token();
    let without_footer = good.rsplit_once('.').map_or(good.as_str(), |(token, _)| token);
    for text in [
        "nonsense",
        "v4.public.",
        "v4.public.AAAA.AAAA",
        &good.replacen("v4.public", "v2.public", 1),
        &good.replacen("v4.public", "v4.local", 1),
        &good[..good.len() / 2],
        without_footer,
        &format!("{good}.more"),
    ] {
        let shown: String = text.chars().take(24).collect();
        let call = kit.harmless()?.signed_by(Signer::Text(text.to_owned()));
        denied(call, &format!("`{shown}…` is no token of the gateway")).await?;
    }
    Ok(())
}

pub(super) async fn altered(kit: &Kit) -> Ended {
    let good = kit.harmless()?.token();
    // A character in the midst of the claims.
    let at = "v4.public.".len() + 60;
    let other = if good.as_bytes().get(at) == Some(&b'A') { "B" } else { "A" };
    let text = format!("{}{other}{}", &good[..at], &good[at + 1..]);
    denied(kit.harmless()?.signed_by(Signer::Text(text)), "one character of the claims was altered").await
}

pub(super) async fn other_key(kit: &Kit) -> Ended {
    denied(kit.harmless()?.signed_by(Signer::Stranger), "no such key is published").await
}

pub(super) async fn forged(kit: &Kit) -> Ended {
    denied(kit.harmless()?.signed_by(Signer::Forger), "the signature is of another key than `kid` says").await
}

pub(super) async fn unnamed_key(kit: &Kit) -> Ended {
    denied(kit.harmless()?.signed_by(Signer::Unnamed), "the footer names no key").await
}

pub(super) async fn expired(kit: &Kit) -> Ended {
    let now = SystemClock.now();
    let past = |seconds: i64| json!(seconds_after(now, -seconds));
    let call = kit.harmless()?.claim("iat", past(100)).claim("nbf", past(100)).claim("exp", past(40));
    denied(call, "it expired 40 s ago").await
}

pub(super) async fn future(kit: &Kit) -> Ended {
    let now = SystemClock.now();
    let call = kit
        .harmless()?
        .claim("nbf", json!(seconds_after(now, 40)))
        .claim("exp", json!(seconds_after(now, 100)));
    denied(call, "it holds in 40 s").await
}

pub(super) async fn clocks_apart(kit: &Kit) -> Ended {
    let now = SystemClock.now();
    for (nbf, exp) in [(2, 62), (-62, -2)] {
        let call = kit
            .harmless()?
            .claim("nbf", json!(seconds_after(now, nbf)))
            .claim("exp", json!(seconds_after(now, exp)));
        kit.believed(&call.send().await?, "the result: the clocks are 2 s apart")?;
    }
    Ok(())
}

pub(super) async fn other_provider(kit: &Kit) -> Ended {
    denied(kit.harmless()?.claim("aud", json!(format!("{}-other", kit.name))), "`aud` is another").await
}

pub(super) async fn other_action(kit: &Kit) -> Ended {
    denied(kit.harmless()?.claim("action", json!("another-operation")), "`action` is another").await?;
    let read_of = |operation: &'static str| kit.call(operation, json!({"word": "x"}));
    match read_of("conformance-echo") {
        Ok(read) => {
            let token = read.token();
            denied_change(kit, "the token is of a read", |call| call.signed_by(Signer::Text(token))).await
        }
        Err(Not::Skipped(_)) => Ok(()),
        Err(other) => Err(other),
    }
}

pub(super) async fn other_input(kit: &Kit) -> Ended {
    denied_change(kit, "`input` is the digest of another input", |call| {
        call.claim("input", json!(guichet_contract::Digest::of_json(&json!({"name": "other", "amount": 1}))))
    })
    .await
}

pub(super) async fn other_run(kit: &Kit) -> Ended {
    let other = keys::fresh_id();
    denied_change(kit, "`run` is another than Idempotency-Key", |call| {
        call.header("idempotency-key", &other)
    })
    .await?;
    // Without the header there is no run to compare with: refused, in whatever words.
    let name = crate::fresh("denied");
    let call = kit.call("conformance-add", json!({"name": name, "amount": 1}))?;
    let answer = call.header("idempotency-key", "").send().await?;
    kit.done(&name, 0, &answer.sent).await?;
    if (400..500).contains(&answer.status) {
        Ok(())
    } else {
        Err(answer.not("4xx: a change needs Idempotency-Key"))
    }
}

pub(super) async fn without_input(kit: &Kit) -> Ended {
    denied_change(kit, "there is no `input`", |call| call.claim("input", Value::Null)).await
}

pub(super) async fn without_run(kit: &Kit) -> Ended {
    denied_change(kit, "there is no `run`", |call| call.claim("run", Value::Null)).await
}
