//! `guichet provider check`: plays the gateway towards a provider, and tells which cases of the protocol do not hold.

use std::net::{Ipv4Addr, SocketAddr};

use clap::ArgMatches;
use guichet_provider_check::{Case, CheckError, Options, Report, Status, Target, check};
use serde_json::json;

use crate::{
    commands::{runtime, subcommand, text},
    exit::Exit,
    failure::Failure,
    printer::{Printer, Row},
};

/// Where keys are served to a provider that somebody else has started.
const KEYS: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 7099);

pub(crate) fn run(matches: &ArgMatches, printer: &Printer) -> Result<Exit, Failure> {
    let (_, matches) = subcommand(matches)?;
    let target = match matches.get_many::<String>("command") {
        Some(words) => Target::Command(words.cloned().collect()),
        None => Target::Url(text(matches, "url").unwrap_or_default().to_owned()),
    };
    let own = match target {
        Target::Url(_) => SocketAddr::from(KEYS),
        Target::Command(_) => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
    };
    let options = Options {
        target,
        keys: matches.get_one::<SocketAddr>("keys").copied().unwrap_or(own),
        name: text(matches, "name").map(str::to_owned),
        only: text(matches, "only").map(str::to_owned),
    };
    let heard = |case: &Case| printer.detail(&format!("{} {}", case.status.as_str(), case.name));
    let report = runtime()?.block_on(async {
        tokio::select! {
            report = check(options, heard) => report.map_err(Failure::from),
            // The provider that the kit has started would not hear of it; it ends with the kit.
            asked = told_to_end() => Err(asked),
        }
    })?;
    tell(&report, printer);
    Ok(if report.holds() { Exit::Done } else { Exit::Failed })
}

/// Ready when this process is told to end, with what is said then.
async fn told_to_end() -> Failure {
    #[cfg(unix)]
    {
        use futures_util::future::select_all;
        use tokio::signal::unix::{SignalKind, signal};
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let mut signals: Vec<_> = kinds.into_iter().filter_map(|kind| signal(kind).ok()).collect();
        if signals.is_empty() {
            std::future::pending::<()>().await;
        }
        let _ = select_all(signals.iter_mut().map(|signal| Box::pin(signal.recv()))).await;
    }
    #[cfg(not(unix))]
    let _ = tokio::signal::ctrl_c().await;
    Failure::new(Exit::Interrupted, "Interrupted", "not every case was tried; what the kit started was ended")
}

fn tell(report: &Report, printer: &Printer) {
    let row = |case: &Case| {
        Row::from_iter([
            ("case".to_owned(), json!(case.name)),
            ("result".to_owned(), json!(case.status.as_str())),
            ("what".to_owned(), json!(case.skipped.as_deref().unwrap_or(case.checks))),
        ])
    };
    printer.list(report, &report.cases.iter().map(row).collect::<Vec<_>>(), "no case has this in its name");
    for case in &report.cases {
        let Some(failure) = &case.failure else { continue };
        printer.note("");
        printer.outcome(Exit::Failed, &format!("{}: {}", case.name, case.checks));
        for (label, text) in [
            ("sent", failure.sent.as_str()),
            ("expected", &failure.expected),
            ("came", &failure.came),
            ("why", failure.why),
        ] {
            printer.note(&format!("  {label:<9} {text}"));
        }
        printer.note(&format!("  {:<9} docs/provider-protocol.md, «{}»", "page", case.section));
    }
    let count = |status| report.count(status);
    let exit = if report.holds() { Exit::Done } else { Exit::Failed };
    printer.outcome(
        exit,
        &format!(
            "{}: {} passed, {} failed, {} skipped",
            report.provider,
            count(Status::Passed),
            count(Status::Failed),
            count(Status::Skipped)
        ),
    );
}

impl From<CheckError> for Failure {
    fn from(error: CheckError) -> Self {
        let usage = matches!(error, CheckError::Url(_) | CheckError::NoName);
        let exit = if usage { Exit::Usage } else { Exit::Unreachable };
        let failure = Self::new(exit, "Nothing could be checked", error.to_string());
        match error {
            CheckError::Keys(..) => {
                failure.next("give another address with --keys, and the same in GUICHET_GATEWAY")
            }
            CheckError::Nobody { .. } => failure
                .next("start the provider, or let the kit start it: `guichet provider check -- COMMAND`"),
            _ => failure,
        }
    }
}
