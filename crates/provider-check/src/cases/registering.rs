//! A provider that registers itself: what it says, how often, what it makes of a gateway that says no or nothing, and how it
//! takes leave.

use std::time::Duration;

use hyper::Method;
use jiff::SignedDuration;

use super::Ended;
use crate::{
    Kit,
    answer::Not,
    presence::{Heard, LEASE_SECONDS, SCRIPT},
};

/// How long the first word may take, from the beginning of the kit; and how long a document.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it may take until each answer of the script was given, and one more is asked for.
const ALL_OF_IT: Duration = Duration::from_secs(40);

/// Who says it again sooner than so after a call that failed did not pause, milliseconds.
const AT_ONCE: i64 = 100;

/// What it said, at least so many times.
async fn said(kit: &Kit, count: usize) -> Result<Vec<Heard>, Not> {
    let presence = kit.desk.presence();
    // One that was compiled first listens since a moment only.
    let patience = presence.left_of(PATIENCE).max(Duration::from_secs(1));
    let patience = if kit.process.is_some() { patience } else { Duration::ZERO };
    if presence.wait(&Method::PUT, 1, patience).await.is_empty() {
        return Err(Not::Skipped(
            "it did not register with the kit, which it need not; the kit lets it know of GUICHET_TOKEN when it starts it: \
             `guichet provider check -- COMMAND`"
                .to_owned(),
        ));
    }
    // Who says nothing more is not waited for in each case.
    let heard = presence.wait(&Method::PUT, count, presence.left_of(ALL_OF_IT)).await;
    if heard.len() >= count {
        return Ok(heard);
    }
    let last = heard.last().map(Heard::said).unwrap_or_default();
    Err(Not::held(&last, &format!("{count} registrations by now"), &format!("there were {}", heard.len())))
}

/// That the wait before a registration, counted from 1, was neither shorter nor longer than these milliseconds.
fn waited(heard: &[Heard], number: usize, least: i64, most: i64, expected: &str) -> Ended {
    let pause = heard[number].at.duration_since(heard[number - 1].at);
    if (SignedDuration::from_millis(least)..=SignedDuration::from_millis(most)).contains(&pause) {
        return Ok(());
    }
    Err(Not::held(&heard[number].said(), expected, &format!("it was said after {pause:#}")))
}

pub(super) async fn registers(kit: &Kit) -> Ended {
    let heard = said(kit, 1).await?;
    let first = &heard[0];
    let not = |expected: &str, came: &str| Err(Not::held(&first.said(), expected, came));
    if first.path != format!("/v1/providers/{}", kit.name) {
        return not(&format!("PUT /v1/providers/{}, the name that its document says", kit.name), &first.path);
    }
    shows_its_token(kit, first)?;
    let text = |member: &str| first.body[member].as_str().unwrap_or_default();
    let id = text("instance");
    let plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    if !(1..=64).contains(&id.len()) || !plain {
        return not("`instance`: 1–64 letters, digits and `-._`", id);
    }
    let lease = &first.body["lease_seconds"];
    if !lease.is_null() && !lease.as_i64().is_some_and(|seconds| (10..=300).contains(&seconds)) {
        return not("`lease_seconds`: 10–300, or nothing", &lease.to_string());
    }
    let url = text("url");
    let document = kit.client.get(format!("{url}/openapi.json")).timeout(PATIENCE).send().await;
    let Some(document) = document.ok().filter(|answer| answer.status() == 200) else {
        return not("`url`: `{url}/openapi.json` is the document", "nothing answers there");
    };
    let etag = document.headers().get("etag").and_then(|etag| etag.to_str().ok());
    if !first.body["document"].is_null() && etag != Some(text("document")) {
        return not(&format!("`document`: the ETag, {}", etag.unwrap_or("none")), text("document"));
    }
    Ok(())
}

fn shows_its_token(kit: &Kit, heard: &Heard) -> Ended {
    let token = heard.authorization.strip_prefix("Bearer ");
    let known = |token: &str| kit.process.is_none() || token == kit.desk.presence().token;
    if token.is_some_and(known) {
        return Ok(());
    }
    Err(Not::held(&heard.said(), "Authorization: Bearer and the token of GUICHET_TOKEN", "another, or none"))
}

pub(super) async fn again(kit: &Kit) -> Ended {
    let heard = said(kit, 2).await?;
    let lease = heard[0].body["lease_seconds"].as_i64().unwrap_or(30);
    let third = format!("to be said again at about a third of {lease} s");
    waited(&heard, 1, lease * 200, lease * 500, &third)?;
    for member in ["instance", "url", "document"] {
        if heard[0].body[member] != heard[1].body[member] {
            return Err(Not::held(&heard[1].said(), &format!("the same `{member}`"), "another"));
        }
    }
    shows_its_token(kit, &heard[1])
}

/// That what the script answered at this place was followed by another registration, soon.
async fn goes_on(kit: &Kit, at: usize, what: &str) -> Ended {
    let heard = said(kit, at + 2).await?;
    let soon = format!("to be said again soon after {what}, and not at once");
    waited(&heard, at + 1, AT_ONCE, LEASE_SECONDS * 1_000, &soon)?;
    let answer = kit.harmless()?.send().await?;
    kit.believed(&answer, &format!("its result, also after {what}"))
}

pub(super) async fn refused(kit: &Kit) -> Ended {
    goes_on(kit, 2, "a refusal").await?;
    goes_on(kit, 3, "a second refusal").await
}

pub(super) async fn unheard(kit: &Kit) -> Ended {
    goes_on(kit, 4, "an answer that did not come").await
}

pub(super) async fn pointed_elsewhere(kit: &Kit) -> Ended {
    goes_on(kit, SCRIPT.len() - 1, "a redirect").await?;
    match kit.desk.presence().followed() {
        None => Ok(()),
        Some(heard) => Err(Not::held(
            "307 to a registration",
            "no call there: a token is for its gateway alone",
            &heard.said(),
        )),
    }
}

pub(super) async fn takes_leave(kit: &Kit) -> Ended {
    let heard = said(kit, 1).await?;
    let Some(late) = kit.desk.presence().late() else {
        return Err(Not::Skipped("the kit did not stop this provider; `stop-finishes` does".to_owned()));
    };
    let leaves = kit.desk.presence().heard(&Method::DELETE);
    let Some(leave) = leaves.first() else {
        return Err(Not::held("SIGTERM", "DELETE /v1/providers/{name}/instances/{instance}", "no farewell"));
    };
    let instance = heard[0].body["instance"].as_str().unwrap_or_default();
    let path = format!("/v1/providers/{}/instances/{instance}", kit.name);
    if leave.path != path {
        return Err(Not::held(&leave.said(), &format!("DELETE {path}"), "another"));
    }
    shows_its_token(kit, leave)?;
    let told = kit.desk.presence().heard(&Method::PUT);
    if let Some(after) = told.iter().find(|heard| heard.at > leave.at) {
        return Err(Not::held(&after.said(), "nothing more after the farewell", "it registered again"));
    }
    late
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn a_pause_is_neither_too_short_nor_too_long() {
        let at = |milliseconds| Heard {
            at: Timestamp::from_millisecond(milliseconds).unwrap(),
            method: Method::PUT,
            path: "/v1/providers/greeter".to_owned(),
            authorization: String::new(),
            body: serde_json::Value::Null,
        };
        for (pause, held) in [(0, false), (99, false), (100, true), (5_000, true), (5_001, false)] {
            let heard = [at(1_000), at(1_000 + pause)];
            assert_eq!(waited(&heard, 1, AT_ONCE, 5_000, "a pause").is_ok(), held, "{pause}");
        }
    }
}
