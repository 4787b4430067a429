//! Providers that are built in: by kind, so that the rest of the gateway knows none by name.

use std::{path::Path, sync::Arc};

use anyhow::Context as _;
use axum::Router;
use guichet_provider_scripts::{Finding, Scripts};
use guichet_provider_sdk::{KeyRing, Keys, Provider};

/// What can stand in `embedded = "…"`.
pub const KINDS: &[&str] = &["kafka", "postgres", "scripts"];

/// The provider of this kind, under this name, ready to be called in process.
///
/// It must be called inside the runtime that the provider shall work in.
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
        "scripts" => {
            let scripts = scripts(name, settings)?;
            let prepared = scripts.provider_told(name).prepare(Keys::shared(Arc::clone(keys)));
            prepared.check().with_context(|| format!("provider {name}"))?;
            let router = prepared.router();
            drop(tokio::spawn(scripts.keep_up(prepared)));
            return Ok(router);
        }
        other => anyhow::bail!("no provider `{other}` is built in"),
    };
    provider.check().with_context(|| format!("provider {name}"))?;
    Ok(provider.router(Keys::shared(Arc::clone(keys))))
}

/// What is wrong or odd with what a built-in provider is made of, beyond its settings: for `scripts`, each script of its folder.
///
/// # Errors
/// Settings that cannot be read.
pub fn findings(kind: &str, name: &str, settings: &Path) -> anyhow::Result<Vec<Finding>> {
    match kind {
        "scripts" => Ok(scripts(name, settings)?.findings(name)),
        _ => Ok(Vec::new()),
    }
}

fn scripts(name: &str, settings: &Path) -> anyhow::Result<Scripts> {
    let at = || format!("settings of provider {name}");
    let settings = guichet_provider_scripts::Settings::from_file(settings).with_context(at)?;
    Scripts::open(settings).with_context(at)
}
