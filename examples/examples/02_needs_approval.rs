//! An action that someone must approve, and a plan that tells them what they approve.

use guichet_provider_sdk::{ActionError, Context, Plan, Provider, Settings, provider, team};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
struct Flush {
    cache: String,
}

/// Changes nothing. What moves by itself is a `moving_fact`; were another fact to differ when it runs, the
/// approval would be void. `bound_to` comes back in `flush`.
async fn plan_flush(_: Context, flush: Flush) -> Result<Plan, ActionError> {
    let generation = generation_of(&flush.cache)?;
    Ok(Plan::new(format!("Empty cache '{}'", flush.cache))
        .fact("generation", generation)
        .moving_fact("entries", 12_000)
        .bound_to(generation))
}

async fn flush(context: Context, flush: Flush) -> Result<u64, ActionError> {
    let generation = generation_of(&flush.cache)?;
    if context.planned::<u64>()?.is_some_and(|planned| planned != generation) {
        return Err(ActionError::conflict(format!(
            "cache '{}' was emptied since it was planned",
            flush.cache
        ))
        .next("run the command again to plan anew"));
    }
    Ok(12_000)
}

fn generation_of(cache: &str) -> Result<u64, ActionError> {
    if cache == "prices" {
        Ok(7)
    } else {
        Err(ActionError::not_found(format!("there is no cache '{cache}'")))
    }
}

pub(crate) fn caches() -> Provider {
    provider("caches")
        .action("flush", flush)
        .destroy()
        .plan(plan_flush)
        .approval(team("pricing").because("the next minutes are slow for every customer"))
        .resource("caches/{cache}")
        .done()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    caches().serve(Settings::from_env()?).await?;
    Ok(())
}
