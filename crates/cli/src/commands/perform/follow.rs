//! Waiting for a run: approvals, log, progress, its end. Leaving is harmless: the run goes on.

use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use guichet_client::Client;
use guichet_contract::{EventKind, Run, RunEvent, StepState};
use tokio::time::Instant;

use crate::{
    commands::{Cx, now, perform::conclude},
    exit::Exit,
    failure::Failure,
    printer::{Printer, progress::Progress},
};

/// Why nothing more is waited for.
enum Stopped {
    Ended,
    TimedOut,
    Interrupted,
}

/// Follows a run to its end, for at most `timeout` seconds, and tells how it ended.
pub(crate) async fn to_its_end(
    cx: &Cx,
    client: &Client,
    mut run: Run,
    timeout: Option<u64>,
    printer: &Printer,
) -> Result<Exit, Failure> {
    let mut because = None;
    if !run.state.is_final() {
        let mut progress = printer.progress();
        let stopped = follow(client, &mut run, &mut because, timeout, &mut progress).await;
        progress.end();
        match stopped? {
            Stopped::Ended => run = client.get_run(&run.id.to_string()).await?,
            Stopped::TimedOut => return Ok(conclude::still_waiting(&run, printer)),
            Stopped::Interrupted => return Ok(conclude::interrupted(&run, printer)),
        }
    }
    let view = cx.known_action(run.action.as_str()).and_then(|action| action.view);
    Ok(conclude::ended(&run, because.as_deref(), view.as_ref(), printer))
}

async fn follow(
    client: &Client,
    run: &mut Run,
    because: &mut Option<String>,
    timeout: Option<u64>,
    progress: &mut Progress,
) -> Result<Stopped, Failure> {
    let mut events = client.follow_run(run.id, None);
    let mut second = tokio::time::interval(Duration::from_secs(1));
    let deadline = timeout.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let interrupt = tokio::signal::ctrl_c();
    tokio::pin!(interrupt);
    // Looked at once, so that Ctrl-C is heard as soon as something stands on the terminal.
    if interrupt.as_mut().now_or_never().is_some() {
        return Ok(Stopped::Interrupted);
    }
    progress.stands(run, now());
    loop {
        tokio::select! {
            event = events.next() => match event {
                None => return Ok(Stopped::Ended),
                Some(event) => take(client, run, because, progress, event?).await?,
            },
            _ = second.tick(), if progress.is_live() => progress.stands(run, now()),
            () = sleep_until(deadline), if deadline.is_some() => return Ok(Stopped::TimedOut),
            _ = &mut interrupt => return Ok(Stopped::Interrupted),
        }
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

async fn take(
    client: &Client,
    run: &mut Run,
    because: &mut Option<String>,
    progress: &mut Progress,
    event: RunEvent,
) -> Result<(), Failure> {
    match event.kind {
        EventKind::State { state, because: why } => {
            // Events from before we looked tell nothing new.
            if state != run.state && !run.state.is_final() {
                let before = run.state;
                *run = client.get_run(&run.id.to_string()).await?;
                if run.state == before {
                    // Read from where the news has not arrived yet.
                    run.state = state;
                }
            }
            if why.is_some() {
                *because = why;
            }
            progress.stands(run, now());
        }
        EventKind::Decision { decision } => {
            if !run.decisions.contains(&decision) {
                run.decisions.push(decision);
            }
            progress.stands(run, now());
        }
        EventKind::Comment { by, asks, text } => {
            progress.log(&format!("{by} {}: {text}", if asks { "asks" } else { "says" }));
            if asks {
                progress.log(&format!("  answer with: guichet runs comment {} \"…\"", run.id.short()));
            }
        }
        EventKind::Log { line } => progress.log(&line),
        EventKind::Progress { percent, message } => progress.advanced(percent, message.as_deref(), now()),
        EventKind::Step { name, state, result } => {
            let why = result.as_ref().and_then(|why| why.as_str()).filter(|_| state == StepState::Failed);
            progress.step(&name, state, event.at, why);
        }
        EventKind::Waiting { name, until } => progress.waits(&name, until, now()),
        EventKind::CancelAsked { by, .. } => {
            if run.cancel_asked.is_none() {
                *run = client.get_run(&run.id.to_string()).await?;
            }
            progress.log(&format!("{by} asked that it be stopped"));
            progress.stands(run, now());
        }
        EventKind::Outcome { .. } => {}
    }
    Ok(())
}
