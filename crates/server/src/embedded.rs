//! Providers that are built in: by kind, so that the rest of the gateway knows none by name.

use std::{path::Path, sync::Arc};

use anyhow::Context as _;
use axum::Router;
use guichet_provider_sdk::{KeyRing, Keys, Provider};

/// What can stand in `embedded = "…"`.
pub const KINDS: &[&str] = &["kafka", "postgres"];

/// The provider of this kind, under this name, ready to be called in process.
///
/// # Errors
/// Settings that cannot be read, or a declaration that contradicts itself.
pub fn router(kind: &str, name: &str, settings: &Path, keys: &Arc<KeyRing>) -> anyhow::Result<Router> {
    let provider: Provider = match kind {
        "kafka" => {
            let settings = guichet_provider_kafka::Settings::from_file(settings)
                .with_context(|| format!("settings of provider {name}"))?;
            guichet_provider_kafka::provider(&settings)
                .with_context(|| format!("settings of provider {name}"))?
                .named(name)
        }
        "postgres" => {
            let settings = guichet_provider_postgres::Settings::from_file(settings)
                .with_context(|| format!("settings of provider {name}"))?;
            guichet_provider_postgres::provider(&settings)
                .with_context(|| format!("settings of provider {name}"))?
                .named(name)
        }
        other => anyhow::bail!("no provider `{other}` is built in"),
    };
    provider.check().with_context(|| format!("provider {name}"))?;
    Ok(provider.router(Keys::shared(Arc::clone(keys))))
}
