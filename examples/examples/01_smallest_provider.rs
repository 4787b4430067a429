//! The smallest provider: one action, named and handled. Start it, name its URL in the gateway's settings, and
//! `guichet greeter say-hello --name Ada` answers; the portal and agents offer it too.

use guichet_provider_sdk::{ActionError, Context, Provider, Settings, provider};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The members become flags, form fields and a JSON Schema; their comments become the help.
#[derive(Deserialize, JsonSchema)]
struct Hello {
    /// Whom to greet.
    name: String,
    /// How often, 1 to 10.
    #[schemars(range(min = 1, max = 10))]
    times: Option<u8>,
}

#[derive(Serialize, JsonSchema)]
struct Greeting {
    text: String,
    /// On whose behalf: the gateway tells who asks, and the SDK has checked that it was the gateway.
    asked_by: String,
}

async fn say_hello(context: Context, hello: Hello) -> Result<Greeting, ActionError> {
    let text = format!("Hello, {}! ", hello.name).repeat(hello.times.unwrap_or(1).into());
    Ok(Greeting { text: text.trim_end().to_owned(), asked_by: context.principal().name.clone() })
}

pub(crate) fn greeter() -> Provider {
    provider("greeter").action("say-hello", say_hello).read().done()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    greeter().serve(Settings::from_env()?).await?;
    Ok(())
}
