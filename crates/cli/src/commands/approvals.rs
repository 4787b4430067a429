//! `guichet approvals …`: a yes or a no, to exactly what was shown.

use clap::ArgMatches;
use guichet_client::Client;
use guichet_contract::{Run, RunState, Verdict};
use serde_json::{Value, json};

use crate::{
    arguments::globals,
    commands::{Cx, now, schedules, subcommand, text},
    exit::Exit,
    failure::Failure,
    printer::{
        Printer, Row,
        card::Card,
        text::{duration, words},
    },
    prompt,
};

pub(crate) fn run(cx: &Cx, matches: &ArgMatches, printer: &Printer) -> Result<Exit, Failure> {
    let (verb, matches) = subcommand(matches)?;
    match verb {
        "list" => list(cx, matches, printer),
        "approve" => approve(cx, matches, printer),
        "reject" => reject(cx, matches, printer),
        _ => cx.online(printer, async |client| {
            let run = client.get_run(text(matches, "run").unwrap_or_default()).await?;
            printer.card(&run, &Card::of_run(&run, &cx.command_of(&run), now(), printer.verbose));
            Ok(Exit::Done)
        }),
    }
}

fn list(cx: &Cx, matches: &ArgMatches, printer: &Printer) -> Result<Exit, Failure> {
    cx.online(printer, async |client| {
        let mine = !matches.get_flag("all");
        let limit = matches.get_one::<u16>("limit").copied().unwrap_or(50);
        let page = client.list_approvals(mine, Some(limit), None).await?;
        let now = now();
        let row = |run: &Run| {
            let left = run.expires_at.map(|at| duration(at.duration_since(now)));
            let sentence = run.plan.as_ref().map_or(&run.title, |plan| &plan.sentence);
            Row::from_iter([
                ("run".to_owned(), json!(run.id.short())),
                ("what happens".to_owned(), json!(sentence)),
                ("requested by".to_owned(), json!(run.requested_by.to_string())),
                ("reason".to_owned(), json!(run.reason)),
                ("expires in".to_owned(), json!(left)),
            ])
        };
        let nothing =
            if mine { "nothing waits for you (--all shows what waits for others)" } else { "nothing waits" };
        let mut rows: Vec<Row> = page.items.iter().map(row).collect();
        // A schedule is what all of its runs would be, at its times.
        rows.extend(page.schedules.iter().map(|schedule| {
            let mut row = row(&schedule.as_run());
            row.insert("run".to_owned(), json!(format!("schedule {}", schedule.name)));
            let times = schedules::in_words(schedule);
            if let Some(sentence) = row.get("what happens").and_then(Value::as_str) {
                row.insert("what happens".to_owned(), json!(format!("{sentence}, {times}")));
            }
            row
        }));
        printer.list(&page, &rows, nothing);
        if let (Some(one), true) = (page.schedules.first(), printer.is_for_people()) {
            printer.note(&format!("schedules are decided by name: guichet schedules approve {}", one.name));
        }
        if page.next.is_some() {
            printer.note("there may be more runs: --limit");
        }
        Ok(Exit::Done)
    })
}

fn ids(matches: &ArgMatches) -> impl Iterator<Item = &String> {
    matches.get_many::<String>("run").into_iter().flatten()
}

/// Each by itself: one refusal does not keep the others from being decided. The first one decides the exit code.
fn approve(cx: &Cx, matches: &ArgMatches, printer: &Printer) -> Result<Exit, Failure> {
    let asks = !matches.get_flag("yes");
    if asks && !prompt::is_possible() {
        return Err(Failure::usage("there is no terminal to ask for confirmation")
            .next("read the card with `guichet approvals show RUN`, then approve with --yes"));
    }
    cx.online(printer, async |client| {
        let mut first = Exit::Done;
        for id in ids(matches) {
            let decided = approve_one(cx, client, id, asks, globals::reason(matches), printer).await;
            let exit = decided.unwrap_or_else(|failure| printer.failure(&failure));
            if first == Exit::Done {
                first = exit;
            }
            if exit == Exit::Interrupted {
                break;
            }
        }
        Ok(first)
    })
}

async fn approve_one(
    cx: &Cx,
    client: &Client,
    id: &str,
    asks: bool,
    reason: Option<&str>,
    printer: &Printer,
) -> Result<Exit, Failure> {
    let shown = client.get_run(id).await?;
    printer.card_aside(&Card::of_run(&shown, &cx.command_of(&shown), now(), printer.verbose));
    if asks && shown.state == RunState::AwaitingApproval {
        let question = format!("Approve this in {}?", shown.environment);
        if !prompt::confirm(&question)? {
            printer.outcome(Exit::Cancelled, &format!("not approved: run {} still waits", shown.id.short()));
            return Ok(Exit::Cancelled);
        }
    }
    let run = client.approve_run(&shown.id.to_string(), Some(&shown.binding), reason).await?;
    printer.done(&run, &format!("approved: run {} is {}", run.id.short(), words(run.state.as_str())));
    Ok(Exit::Done)
}

fn reject(cx: &Cx, matches: &ArgMatches, printer: &Printer) -> Result<Exit, Failure> {
    let reason = match globals::reason(matches) {
        Some(reason) => reason.to_owned(),
        None if prompt::is_possible() => prompt::ask_optional("Why not?")?
            .ok_or_else(|| Failure::usage("a no needs a reason: the requester sees it"))?,
        None => {
            return Err(Failure::usage("--reason is missing: the requester sees why")
                .next("guichet approvals reject RUN --reason \"…\""));
        }
    };
    cx.online(printer, async |client| {
        let mut first = Exit::Done;
        for id in ids(matches) {
            let exit = match client.reject_run(id, &reason).await.map_err(Failure::from) {
                Ok(run) => {
                    let by = run.decisions.iter().rev().find(|decision| decision.verdict == Verdict::Reject);
                    let by = by.map(|decision| format!(" by {}", decision.by)).unwrap_or_default();
                    printer.done(&run, &format!("rejected: run {}{by}", run.id.short()));
                    Exit::Done
                }
                Err(failure) => printer.failure(&failure),
            };
            if first == Exit::Done {
                first = exit;
            }
        }
        Ok(first)
    })
}
