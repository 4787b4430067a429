//! A read that is drawn as a table, whose rows offer an action, whose input offers live values.

use guichet_provider_sdk::{ActionError, Context, NoInput, Provider, Settings, from, provider, table};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Serialize, JsonSchema)]
struct Queues {
    queues: Vec<Queue>,
}

#[derive(Serialize, JsonSchema)]
struct Queue {
    name: String,
    waiting: u32,
}

#[derive(Deserialize, JsonSchema)]
struct Pause {
    /// The queue to pause.
    name: String,
}

async fn list(_: Context, _: NoInput) -> Result<Queues, ActionError> {
    let queue = |name: &str, waiting| Queue { name: name.to_owned(), waiting };
    Ok(Queues { queues: vec![queue("mail", 3), queue("invoices", 1_200)] })
}

async fn pause(context: Context, pause: Pause) -> Result<(), ActionError> {
    context.log(format!("pausing {}", pause.name));
    Ok(())
}

pub(crate) fn queues() -> Provider {
    provider("queues")
        .action("list", list)
        .read()
        .command("queues list")
        .view(table("/queues").columns(["name", "waiting"]).row_actions(["pause"]))
        .action("pause", pause)
        .command("queues pause")
        // The picker and the completion of `--name` show what `list` answers, each with how much waits.
        .options("name", from("list").rows("/queues").value("/name").label("/waiting"))
        .resource("queues/{name}")
        .done()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    queues().serve(Settings::from_env()?).await?;
    Ok(())
}
