//! A provider as its owner would write it, with the SDK: one read, one change that changes nothing, and some lists that
//! the records of `ledger` tell of.

use anyhow::{Result, anyhow};
use guichet_provider_sdk::{ActionError, Context, Keys, NoInput, provider};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::ITEM;

#[derive(Deserialize, JsonSchema)]
struct Which {
    /// Which item.
    #[expect(dead_code, reason = "every item is the same")]
    id: u64,
}

#[derive(Deserialize, JsonSchema)]
struct Listed {
    /// Of which database.
    #[expect(dead_code, reason = "every list is empty")]
    identifier: String,
    /// How many rows at most.
    #[expect(dead_code, reason = "every list is empty")]
    limit: u32,
}

/// How many lists there are: `list-0`, `list-1` and so on.
pub(crate) const LISTS: u64 = 20;

async fn list_nothing(_: Context, _: Listed) -> Result<Vec<Value>, ActionError> {
    Ok(Vec::new())
}

async fn change_nothing(_: Context, _: NoInput) -> Result<(), ActionError> {
    Ok(())
}

/// Serves under this name for the gateway at this address, whose keys it fetches with the first call.
pub(super) async fn serve(gateway: &str, name: &str) -> Result<()> {
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        return Err(anyhow!("another TLS provider was installed before"));
    }
    let item: Value = serde_json::from_str(ITEM)?;
    let read_item = move |_: Context, _: Which| {
        let item = item.clone();
        async move { Ok::<_, ActionError>(item) }
    };
    let mut bench = provider(name)
        .action("read-item", read_item)
        .route("GET", "/items/{id}")
        .action("noop", change_nothing)
        .change()
        .done();
    for number in 0..LISTS {
        bench = bench
            .action(format!("list-{number}"), list_nothing)
            .route("GET", format!("/lists/{number}"))
            .read()
            .resource("postgres/{identifier}")
            .done();
    }
    let listener = super::listen().await?;
    bench.prepare(Keys::from_gateway(gateway)?).serve_until(listener, std::future::pending()).await;
    Ok(())
}
