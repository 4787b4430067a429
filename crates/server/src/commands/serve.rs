//! `guichetd serve` and `guichetd work`: until SIGTERM or Ctrl-C, then drained.

use std::{path::Path, process::ExitCode, sync::Arc};

use anyhow::{Context as _, anyhow};
use guichet_gateway::ServeSettings;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use crate::{
    assemble::{Role, assemble},
    config::Config,
    telemetry,
    whole_file::write_whole,
};

/// Serves, or works, or both.
///
/// # Errors
/// Whatever keeps it from starting.
pub fn serve(role: Role, file: &Path, ready_file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let config = Config::load(file).map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        anyhow!("the configuration is not usable:\n{}", faults.join("\n"))
    })?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no async runtime")?;
    runtime.block_on(serve_config(role, &config, ready_file))
}

async fn serve_config(role: Role, config: &Config, ready_file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let telemetry = telemetry::install(&config.telemetry, &config.environment)?;
    let assembled = assemble(role, config, None, Arc::clone(&telemetry.tracer)).await?;
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("{} cannot be listened on; choose another `listen`", config.listen))?;
    let url = format!("http://{}", listener.local_addr()?);
    let stop = CancellationToken::new();
    let settings = ServeSettings { connections: config.limits.connections, ..ServeSettings::default() };
    let served = tokio::spawn(assembled.serve(listener, settings, stop.clone()));
    if let Some(path) = ready_file {
        let text = serde_json::json!({"url": url}).to_string();
        write_whole(path, text.as_bytes(), 0o644).context("the ready file cannot be written")?;
    }
    tracing::info!(url, environment = config.environment, ?role, "guichetd answers");
    stopped().await?;
    tracing::info!("stopping: no new work is taken, what has begun finishes");
    stop.cancel();
    served.await.context("a part of the gateway failed while it stopped")?;
    telemetry.flush();
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

async fn stopped() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
