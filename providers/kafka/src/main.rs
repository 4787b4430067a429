//! `guichet-provider-kafka`: the provider as a process of its own.
//!
//! `GUICHET_KAFKA_SETTINGS` names its TOML file (default `kafka.toml`); the rest is the SDK's `Settings`.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use guichet_provider_kafka::Settings;

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
    let path = std::env::var_os("GUICHET_KAFKA_SETTINGS").unwrap_or_else(|| "kafka.toml".into());
    let settings = Settings::from_file(&PathBuf::from(path)).context("the provider has no clusters")?;
    let provider = guichet_provider_kafka::provider(&settings)?;
    provider.serve(guichet_provider_sdk::Settings::from_env()?).await?;
    Ok(())
}
