//! How a provider ends that is told to.

use std::time::Duration;

use hyper::Method;
use serde_json::json;

use super::Ended;
use crate::{Kit, answer::Not};

pub(super) async fn finishes(kit: &Kit) -> Ended {
    let Some(process) = &kit.process else {
        return Err(Not::Skipped(
            "the kit did not start this provider: `guichet provider check -- COMMAND`".to_owned(),
        ));
    };
    let slow = || kit.call("conformance-add", json!({"name": crate::fresh("slow"), "amount": 1}));
    let presence = kit.desk.presence();
    let registered = !presence.heard(&Method::PUT).is_empty();
    let stopping = async {
        tokio::time::sleep(Duration::from_millis(400)).await;
        let asked = process.ask_to_stop().await;
        if registered && asked && !presence.wait(&Method::DELETE, 1, Duration::from_secs(5)).await.is_empty()
        {
            // Another gateway has not heard of it yet; and this one is not done when it stops to answer.
            tokio::time::sleep(Duration::from_secs(1)).await;
            let why = "its result: it came less than two seconds after the farewell";
            let late = async {
                let call = slow()?;
                call.send().await?.result(why).map(drop)
            };
            presence.note_late(late.await);
        } else if asked {
            presence.note_late(Ok(()));
        }
        asked
    };
    let call = slow()?;
    let (answer, asked) = tokio::join!(call.send(), stopping);
    if !asked {
        return Err(Not::Skipped("no signal can be sent on this machine (`kill -TERM`)".to_owned()));
    }
    let _ = answer?.result("its result: it was under way when the provider was told to stop")?;
    match process.ended(Duration::from_secs(40)).await {
        Some(_) => Ok(()),
        None => Err(Not::held("SIGTERM", "an end of the process within 30 s", "it runs on")),
    }
}
