//! Beside the routes that a program has already, registered with the gateway by itself. `walks/add-a-provider.md` goes through it.

use axum::{Router, routing::get};
use guichet_provider_sdk::{ActionError, Context, Provider, Settings, provider, team};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What somebody has to say.
#[derive(Deserialize, JsonSchema)]
struct MyInput {
    /// What is to be counted.
    foo: String,
}

/// What they get.
#[derive(Serialize, JsonSchema)]
struct MyResult {
    letters: usize,
    asked_by: String,
}

async fn my_action(context: Context, input: MyInput) -> Result<MyResult, ActionError> {
    if input.foo.is_empty() {
        return Err(ActionError::conflict("there is nothing to count").next("say something in `foo`"));
    }
    Ok(MyResult { letters: input.foo.chars().count(), asked_by: context.principal().name.clone() })
}

pub(crate) fn my_service() -> Provider {
    provider("my-service").action("my-action-name", my_action).approval(team("my-team")).done()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().init();
    let guichet = my_service().mount(Settings::from_env()?)?;
    let app = Router::new().route("/", get(async || "my own page\n")).nest("/guichet", guichet.router());
    let listener = tokio::net::TcpListener::bind(guichet.listen()).await?;
    axum::serve(listener, app).with_graceful_shutdown(guichet.stopping()?).await?;
    guichet.finish().await;
    Ok(())
}
