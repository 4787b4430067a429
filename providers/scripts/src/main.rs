//! `guichet-provider-scripts`: the provider as a process of its own.
//!
//! `GUICHET_SCRIPTS_SETTINGS` names its TOML file (default `scripts.toml`), `GUICHET_SCRIPTS_NAME` what the gateway calls it
//! (default `scripts`); the rest is the SDK's `Settings`.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use guichet_provider_scripts::{Scripts, Settings};

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().json().with_max_level(tracing::Level::INFO).init();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the settings of this program")]
async fn run() -> anyhow::Result<()> {
    let path = std::env::var_os("GUICHET_SCRIPTS_SETTINGS").unwrap_or_else(|| "scripts.toml".into());
    let name = std::env::var("GUICHET_SCRIPTS_NAME").unwrap_or_else(|_| "scripts".to_owned());
    let settings = Settings::from_file(&PathBuf::from(path)).context("the provider has no scripts")?;
    let scripts = Scripts::open(settings)?;
    scripts.serve(&name, guichet_provider_sdk::Settings::from_env()?).await?;
    Ok(())
}
