//! `guichet runs …`: what was asked for and what came of it.

use clap::ArgMatches;
use guichet_client::RunFilter;
use guichet_contract::{Run, RunState};
use serde_json::json;

use crate::{
    arguments::globals,
    commands::{
        Cx, now,
        perform::{follow, submit},
        subcommand, text,
    },
    exit::Exit,
    failure::Failure,
    printer::{
        Printer, Row,
        card::Card,
        text::{moment, words},
    },
};

pub(crate) fn run(cx: &Cx, matches: &ArgMatches, printer: &Printer) -> Result<Exit, Failure> {
    let (verb, matches) = subcommand(matches)?;
    cx.online(printer, async |client| {
        let run = text(matches, "run").unwrap_or_default();
        match verb {
            "list" => {
                let page = client.list_runs(&filter(matches)?).await?;
                printer.list(&page, &page.items.iter().map(row).collect::<Vec<_>>(), "no runs");
                if page.next.is_some() {
                    printer.note("there are more: --limit, or narrow with --state, --action, --requested-by");
                }
                Ok(Exit::Done)
            }
            "watch" => {
                let run = client.get_run(run).await?;
                let timeout = matches.get_one::<u64>("timeout").copied();
                follow::to_its_end(cx, client, run, timeout, printer).await
            }
            "comment" => {
                let run = client.comment_run(run, text(matches, "text").unwrap_or_default()).await?;
                printer.done(&run, &format!("said: run {} tells it to those who follow it", run.id.short()));
                Ok(Exit::Done)
            }
            "undo" => {
                let given = globals::reason(matches).map(str::to_owned);
                let undo = async |reason: Option<&str>| {
                    submit::once(printer, async |key| client.undo_run(run, reason, key).await).await
                };
                let undoing = submit::with_reason(printer, given, undo).await?;
                printer.note(&format!("undoing with run {}", undoing.id.short()));
                if matches.get_flag("no-wait") {
                    printer.done(&undoing, &format!("submitted: run {}", undoing.id.short()));
                    return Ok(Exit::Done);
                }
                let timeout = matches.get_one::<u64>("timeout").copied();
                follow::to_its_end(cx, client, undoing, timeout, printer).await
            }
            "cancel" => {
                let run = client.cancel_run(run, globals::reason(matches)).await?;
                let text = format!("asked: run {} is {}", run.id.short(), words(run.state.as_str()));
                printer.done(&run, &text);
                Ok(Exit::Done)
            }
            _ => {
                let run = client.get_run(run).await?;
                let card = Card::of_run(&run, &cx.command_of(&run), now(), printer.verbose);
                printer.card(&run, &card);
                Ok(Exit::Done)
            }
        }
    })
}

fn filter(matches: &ArgMatches) -> Result<RunFilter, Failure> {
    let states = matches.get_many::<String>("state").into_iter().flatten();
    Ok(RunFilter {
        state: states
            .map(|state| state.parse::<RunState>())
            .collect::<Result<_, _>>()
            .map_err(Failure::usage)?,
        action: text(matches, "action").map(str::to_owned),
        requested_by: text(matches, "requested-by").map(str::to_owned),
        limit: Some(matches.get_one::<u16>("limit").copied().unwrap_or(50)),
        cursor: None,
    })
}

/// Where it stands, and whether it went on without approval.
fn state(run: &Run) -> String {
    let mut state = words(run.state.as_str());
    if run.state == RunState::Running && run.cancel_asked.is_some() {
        state.push_str(" (asked to stop)");
    } else if let Some(until) = run.waits_until {
        state = format!("{state} (waits until {})", moment(until));
    }
    if run.broken_glass.is_some() { format!("{state} (glass broken)") } else { state }
}

/// One run of a list.
pub(crate) fn row(run: &Run) -> Row {
    Row::from_iter([
        ("run".to_owned(), json!(run.id.short())),
        ("state".to_owned(), json!(state(run))),
        ("command".to_owned(), json!(run.command.join(" "))),
        ("resource".to_owned(), json!(run.resource)),
        ("requested by".to_owned(), json!(run.requested_by.to_string())),
        ("at".to_owned(), json!(moment(run.created_at))),
        ("reason".to_owned(), json!(run.reason)),
    ])
}
