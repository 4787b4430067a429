//! `guichet deliveries …`: what became of notices, try by try, sending one once more, and seeing whether a channel works.

use std::time::Duration;

use clap::ArgMatches;
use guichet_client::{Client, DeliveryFilter, Page};
use guichet_contract::{Attempt, Delivery, DeliveryState, Occasion, RunId, code};
use serde_json::json;

use crate::{
    commands::{Cx, audit::when, now, perform::submit, subcommand, text},
    exit::Exit,
    failure::Failure,
    printer::{
        Printer, Row,
        card::Card,
        text::{moment, words},
    },
};

/// So many are replayed by one command.
const AT_ONCE: usize = 1_000;
/// The longest page that a gateway gives.
const PAGE: u16 = 500;
/// How often it is asked what came of a ping: for a minute and a half together, since a receiver has a minute at most, and what was
/// queued before comes first.
const LOOKS: u32 = 25;
/// Before the first look and, growing by a quarter each time, before a later one.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

pub(crate) fn run(cx: &Cx, matches: &ArgMatches, printer: &Printer) -> Result<Exit, Failure> {
    let (verb, matches) = subcommand(matches)?;
    match verb {
        "list" => list(cx, matches, printer),
        "replay" => replay(cx, matches, printer),
        "ping" => ping(cx, matches, printer),
        _ => cx.online(printer, async |client| {
            let delivery = client.read_delivery(text(matches, "delivery").unwrap_or_default()).await?;
            printer.card(&delivery, &card(&delivery));
            Ok(Exit::Done)
        }),
    }
}

fn filter(matches: &ArgMatches) -> Result<DeliveryFilter, Failure> {
    let owned = |name| text(matches, name).map(str::to_owned);
    let since = text(matches, "since").map(|text| when(text, now())).transpose()?;
    let states: Vec<&str> = matches
        .try_get_many::<String>("state")
        .ok()
        .flatten()
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    Ok(DeliveryFilter {
        state: (!states.is_empty()).then(|| states.join(",")),
        channel: owned("channel"),
        run: owned("run"),
        event: owned("event"),
        since: since.map(|at| at.to_string()),
        limit: matches.try_get_one::<u16>("limit").ok().flatten().copied(),
        cursor: None,
    })
}

fn list(cx: &Cx, matches: &ArgMatches, printer: &Printer) -> Result<Exit, Failure> {
    let filter = filter(matches)?;
    cx.online(printer, async |client| {
        let page = client.list_deliveries(&filter).await?;
        printer.list(&page, &page.items.iter().map(row).collect::<Vec<_>>(), "no deliveries");
        if page.next.is_some() {
            printer.note("there are more: --limit, or narrow with --channel, --state, --run, --since");
        }
        Ok(Exit::Done)
    })
}

fn replay(cx: &Cx, matches: &ArgMatches, printer: &Printer) -> Result<Exit, Failure> {
    let named: Vec<String> =
        matches.get_many::<String>("deliveries").into_iter().flatten().cloned().collect();
    let wanted = DeliveryFilter {
        state: Some(DeliveryState::GivenUp.as_str().to_owned()),
        limit: Some(PAGE),
        ..filter(matches)?
    };
    cx.online(printer, async |client| {
        let (ids, more) =
            if named.is_empty() { given_up(client, &wanted).await? } else { (named.clone(), false) };
        let mut replayed = Vec::with_capacity(ids.len());
        let mut failed = None;
        for id in &ids {
            let sent = submit::once(printer, async |key| client.replay_delivery(id, key).await).await;
            match sent {
                Ok(delivery) => replayed.push(delivery),
                // One that cannot be sent once more keeps none of the others away.
                Err(failure @ Failure::Problem(_, _)) if is_its_own(&failure) => {
                    failed.get_or_insert(failure);
                }
                Err(failure) => {
                    failed = Some(match failure {
                        Failure::Problem(Exit::Unreachable, _) => {
                            failure.next("look with `guichet deliveries list` before you try again")
                        }
                        other => other,
                    });
                    break;
                }
            }
        }
        let page = Page { items: replayed, next: None };
        printer.list(&page, &page.items.iter().map(row).collect::<Vec<_>>(), "nothing to replay");
        let (done, all) = (page.items.len(), ids.len());
        if all > 0 {
            let more = if more { "; there are more: say it again for these" } else { "" };
            printer.note(&format!("replayed: {done} of {all}{more}"));
        }
        failed.map_or(Ok(Exit::Done), Err)
    })
}

/// Sends one and waits for what comes of it.
fn ping(cx: &Cx, matches: &ArgMatches, printer: &Printer) -> Result<Exit, Failure> {
    let channel = text(matches, "channel").unwrap_or_default();
    cx.online(printer, async |client| {
        let sent = submit::once(printer, async |key| client.ping_channel(channel, key).await).await;
        let sent = sent.map_err(|failure| match failure {
            Failure::Problem(Exit::Unreachable, _) => {
                failure.next("look with `guichet deliveries list` before you try again")
            }
            other => other,
        })?;
        let (id, mut delivery, mut pause) = (sent.id.to_string(), sent, PAUSES.0);
        for _ in 0..LOOKS {
            if delivery.state != DeliveryState::Waiting {
                break;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 5 / 4).min(PAUSES.1);
            match client.read_delivery(&id).await {
                Ok(now) => delivery = now,
                Err(error) if error.is_passing() => {}
                Err(error) => {
                    printer.card(&delivery, &card(&delivery));
                    let next = format!(
                        "the ping is sent: `guichet deliveries show {id}` tells who may look what comes of it"
                    );
                    return Err(Failure::from(error).next(next));
                }
            }
        }
        printer.card(&delivery, &card(&delivery));
        Ok(match delivery.state {
            DeliveryState::Delivered => Exit::Done,
            DeliveryState::Waiting => {
                printer
                    .note(&format!("it still waits: `guichet deliveries show {id}` tells what comes of it"));
                Exit::Waiting
            }
            DeliveryState::GivenUp | DeliveryState::Dropped => {
                let why = delivery.last.as_ref().map_or_else(|| words(delivery.state.as_str()), outcome);
                printer.note(&format!("{channel} did not take it: {why}"));
                Exit::Failed
            }
        })
    })
}

/// Whether a refusal concerns this delivery alone: replayed too often, being tried, or forgotten meanwhile.
fn is_its_own(failure: &Failure) -> bool {
    let Failure::Problem(_, problem) = failure else { return false };
    [code::WRONG_STATE, code::UNKNOWN_DELIVERY].contains(&problem.code.as_str())
}

/// Ids of what was given up, of the newest that one command replays the oldest first; and whether there are more than one command replays.
async fn given_up(client: &Client, wanted: &DeliveryFilter) -> Result<(Vec<String>, bool), Failure> {
    let mut ids = Vec::new();
    let mut cursor = None;
    loop {
        let page = client.list_deliveries(&DeliveryFilter { cursor, ..wanted.clone() }).await?;
        ids.extend(page.items.iter().map(|delivery| delivery.id.to_string()));
        cursor = page.next;
        if cursor.is_none() || ids.len() >= AT_ONCE {
            let more = cursor.is_some() || ids.len() > AT_ONCE;
            ids.truncate(AT_ONCE);
            ids.reverse();
            return Ok((ids, more));
        }
    }
}

/// The run it tells of; a ping tells of none.
fn run_of(delivery: &Delivery) -> Option<RunId> {
    (delivery.occasion != Occasion::Ping).then_some(delivery.run)
}

/// One delivery of a list.
fn row(delivery: &Delivery) -> Row {
    Row::from_iter([
        ("delivery".to_owned(), json!(delivery.id)),
        ("state".to_owned(), json!(words(delivery.state.as_str()))),
        ("channel".to_owned(), json!(delivery.channel)),
        ("occasion".to_owned(), json!(words(delivery.occasion.as_str()))),
        ("run".to_owned(), json!(run_of(delivery).map(|run| run.short()))),
        ("at".to_owned(), json!(moment(delivery.at))),
        ("tries".to_owned(), json!(delivery.tries)),
        ("last".to_owned(), json!(delivery.last.as_ref().map(outcome))),
        ("next".to_owned(), json!(delivery.next_try_at.map(moment))),
    ])
}

/// How a try ended: `delivered (204)`, or why it was not taken.
fn outcome(attempt: &Attempt) -> String {
    let status = attempt.status.map(|status| format!(" ({status})")).unwrap_or_default();
    attempt.why.clone().unwrap_or_else(|| format!("{}{status}", words(attempt.result.as_str())))
}

fn card(delivery: &Delivery) -> Card {
    let mut card = Card::default()
        .with("Delivery", delivery.id.to_string())
        .with("State", words(delivery.state.as_str()))
        .with("Channel", delivery.channel.clone())
        .with("Event", format!("{} (webhook-id)", delivery.event))
        .with("Occasion", delivery.occasion.as_str())
        .maybe("Run", run_of(delivery).map(|run| run.to_string()))
        .with("Happened", moment(delivery.at))
        .maybe("Ended", delivery.ended_at.map(moment))
        .maybe("Next try", delivery.next_try_at.map(moment));
    if delivery.replays > 0 {
        card = card.with("Replays", delivery.replays.to_string());
    }
    for attempt in &delivery.attempts {
        let replay =
            if attempt.replay > 0 { format!(" of replay {}", attempt.replay) } else { String::new() };
        let to = attempt.recipient.as_ref().map(|to| format!(" to {to}")).unwrap_or_default();
        let result = attempt.why.as_ref().map(|_| format!("{}, ", words(attempt.result.as_str())));
        let line = format!(
            "{}{to}, {} ms: {}{}",
            moment(attempt.at),
            attempt.duration_ms,
            result.unwrap_or_default(),
            outcome(attempt)
        );
        card = card.with(&format!("Try {}{replay}", attempt.number), line);
    }
    card
}
