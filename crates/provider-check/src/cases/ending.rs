//! How a provider ends that is told to.

use std::time::Duration;

use serde_json::json;

use super::Ended;
use crate::{Kit, answer::Not};

pub(super) async fn finishes(kit: &Kit) -> Ended {
    let Some(process) = &kit.process else {
        return Err(Not::Skipped(
            "the kit did not start this provider: `guichet provider check -- COMMAND`".to_owned(),
        ));
    };
    let call = kit.call("conformance-add", json!({"name": crate::fresh("slow"), "amount": 1}))?;
    let stopping = async {
        tokio::time::sleep(Duration::from_millis(400)).await;
        process.ask_to_stop().await
    };
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
