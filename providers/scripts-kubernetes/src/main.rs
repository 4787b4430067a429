//! `guichet-provider-scripts-kubernetes`: the provider as a process of its own.
//!
//! `GUICHET_SCRIPTS_SETTINGS` names its TOML file (default `scripts.toml`), `GUICHET_SCRIPTS_NAME` what the gateway calls it
//! (default `scripts`); the rest is the SDK's `Settings`. With the word `check` it only tells what is wrong: in its settings,
//! its scripts, and what the cluster lets it do.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::Context as _;
use guichet_provider_scripts::{Finding, Scripts, Settings};
use guichet_provider_scripts_kubernetes::{Cluster, Kubernetes, KubernetesRunner, findings, keep_swept};

#[tokio::main]
async fn main() -> ExitCode {
    // Two libraries for cryptography in one process make the first connection panic; which one is said here.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let is_check = std::env::args().nth(1).is_some_and(|word| word == "check");
    let answered = if is_check { check().await } else { serve().await.map(|()| ExitCode::SUCCESS) };
    answered.unwrap_or_else(|error| {
        if is_check {
            say(&format!("{error:#}"));
        } else {
            tracing::error!("{error:#}");
        }
        ExitCode::FAILURE
    })
}

/// What stands in the environment, read once.
struct Given {
    settings: Settings,
    kubernetes: Kubernetes,
    name: String,
}

#[expect(clippy::disallowed_methods, reason = "the settings of this program")]
fn given() -> anyhow::Result<Given> {
    let path = std::env::var_os("GUICHET_SCRIPTS_SETTINGS").unwrap_or_else(|| "scripts.toml".into());
    let path = PathBuf::from(path);
    let settings = Settings::from_file(&path).context("the provider has no scripts")?;
    let base = path.parent().unwrap_or(std::path::Path::new("."));
    let kubernetes = Kubernetes::of(&settings, base)?;
    let name = std::env::var("GUICHET_SCRIPTS_NAME").unwrap_or_else(|_| "scripts".to_owned());
    Ok(Given { settings, kubernetes, name })
}

async fn serve() -> anyhow::Result<()> {
    tracing_subscriber::fmt().json().with_max_level(tracing::Level::INFO).init();
    let Given { settings, kubernetes, name } = given()?;
    let cluster = Cluster::connect(&kubernetes).await?;
    // A cluster that does not answer yet may do so later, and no script is left out for it.
    let told = findings(&cluster, &kubernetes, &settings).await;
    let told = told.into_iter().map(|finding| Finding { grave: false, ..finding }).collect();
    drop(tokio::spawn(keep_swept(cluster.clone())));
    let runner = KubernetesRunner::new(cluster, kubernetes, &settings);
    let scripts = Scripts::run_by(settings, Arc::new(runner), told);
    scripts.serve(&name, guichet_provider_sdk::Settings::from_env()?).await?;
    Ok(())
}

async fn check() -> anyhow::Result<ExitCode> {
    let Given { settings, kubernetes, name } = given()?;
    let cluster = Cluster::connect(&kubernetes).await?;
    let told = findings(&cluster, &kubernetes, &settings).await;
    let runner = KubernetesRunner::new(cluster, kubernetes, &settings);
    let all: Vec<Finding> = Scripts::run_by(settings, Arc::new(runner), told).findings(&name);
    for finding in &all {
        say(&format!("{}: {finding}", if finding.grave { "error" } else { "note" }));
    }
    let is_well = !all.iter().any(|finding| finding.grave);
    if is_well {
        say("all is well");
    }
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[expect(clippy::print_stdout, reason = "this is what was asked for")]
fn say(line: &str) {
    println!("{line}");
}
