//! Providers on loopback: `things` counts its effects, `vault` takes secrets. What reaches their wire is counted before
//! the SDK sees it, so that a second call is noticed even where the SDK would answer it from memory.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    extract::Request,
    middleware::{self, Next},
};
use guichet_provider_sdk::{ActionError, Context, KeyRing, Keys, Provider, provider};
use guichet_testkit::{Builder, Effects, bench};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

/// How often a run was sent to be performed, by its Idempotency-Key.
#[derive(Clone, Default)]
pub(crate) struct Calls(Arc<Mutex<BTreeMap<String, usize>>>);

impl Calls {
    pub(crate) fn of(&self, run: &str) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(run).copied().unwrap_or_default()
    }

    fn note(&self, request: &Request) {
        let headers = request.headers();
        if headers.contains_key("guichet-mode") {
            return;
        }
        if let Some(run) = headers.get("idempotency-key").and_then(|run| run.to_str().ok()) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(run.to_owned()).or_default() += 1;
        }
    }

    fn counting(&self, router: Router) -> Router {
        let calls = self.clone();
        router.layer(middleware::from_fn(move |request: Request, next: Next| {
            calls.note(&request);
            next.run(request)
        }))
    }
}

/// Served until dropped.
pub(crate) struct Providers {
    pub(crate) effects: Effects,
    pub(crate) builder: Builder,
    pub(crate) calls: Calls,
    /// Filled from `/v1/keys` once the gateway answers.
    pub(crate) keys: Arc<KeyRing>,
    /// Name and address, for the configuration.
    pub(crate) served: Vec<(&'static str, String)>,
    stop: CancellationToken,
}

impl Drop for Providers {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Providers {
    pub(crate) async fn serve() -> Self {
        let (effects, calls, builder) = (Effects::default(), Calls::default(), Builder::default());
        let keys = Arc::clone(&builder.keys);
        let stop = CancellationToken::new();
        let mut served = Vec::new();
        for (name, provider) in
            [("things", effects.provider()), ("vault", vault()), ("builder", builder.provider())]
        {
            let router = calls.counting(provider.router(Keys::shared(Arc::clone(&keys))));
            served.push((name, bench::serve(router, &stop).await.unwrap()));
        }
        Self { effects, builder, calls, keys, served, stop }
    }
}

#[derive(Deserialize, JsonSchema)]
struct Secret {
    /// Where it is put.
    #[allow(dead_code, reason = "what is put where is of no interest here")]
    place: String,
    /// The secret.
    #[schemars(extend("x-guichet" = {"sensitive": true}))]
    value: String,
}

#[derive(Deserialize, JsonSchema)]
struct Letter {
    /// What it says.
    text: String,
}

#[derive(Serialize, JsonSchema)]
struct Kept {
    length: usize,
}

/// `put-secret` (one member is sensitive), `put-letter` (the whole input is).
fn vault() -> Provider {
    provider("vault")
        .action("put-secret", |_: Context, secret: Secret| async move {
            Ok::<_, ActionError>(Kept { length: secret.value.len() })
        })
        .command("vault put")
        .action("put-letter", |_: Context, letter: Letter| async move {
            Ok::<_, ActionError>(Kept { length: letter.text.len() })
        })
        .command("vault write")
        .sensitive()
        .into()
}
