//! `guichet reviews …`: what went on without approval, and somebody else's look at it.

use clap::ArgMatches;
use guichet_client::Reviewed;
use serde_json::json;

use crate::{
    arguments::globals,
    commands::{Cx, now, subcommand, text},
    exit::Exit,
    failure::Failure,
    printer::{
        Printer, Row,
        card::Card,
        text::{duration, moment},
    },
    prompt,
};

pub(crate) fn run(cx: &Cx, matches: &ArgMatches, printer: &Printer) -> Result<Exit, Failure> {
    let (verb, matches) = subcommand(matches)?;
    let id = text(matches, "run").unwrap_or_default();
    match verb {
        "list" => list(cx, matches, printer),
        "close" => close(cx, matches, id, printer),
        _ => cx.online(printer, async |client| {
            let reviewed = client.read_review(id).await?;
            printer.card(&reviewed, &card(cx, &reviewed, printer));
            Ok(Exit::Done)
        }),
    }
}

fn list(cx: &Cx, matches: &ArgMatches, printer: &Printer) -> Result<Exit, Failure> {
    cx.online(printer, async |client| {
        let reviews = client.list_reviews(matches.get_flag("overdue")).await?;
        let now = now();
        let row = |reviewed: &Reviewed| {
            let run = &reviewed.run;
            let left = duration(reviewed.review.due_at.duration_since(now));
            let sentence = run.plan.as_ref().map_or(&run.title, |plan| &plan.sentence);
            Row::from_iter([
                ("run".to_owned(), json!(run.id.short())),
                (
                    "due".to_owned(),
                    json!(if reviewed.overdue { "overdue".to_owned() } else { format!("in {left}") }),
                ),
                ("what was done".to_owned(), json!(sentence)),
                ("by".to_owned(), json!(run.requested_by.to_string())),
                ("at".to_owned(), json!(moment(reviewed.review.opened_at))),
                ("reason".to_owned(), json!(run.reason)),
            ])
        };
        printer.list(&reviews, &reviews.iter().map(row).collect::<Vec<_>>(), "no open reviews");
        Ok(Exit::Done)
    })
}

fn close(cx: &Cx, matches: &ArgMatches, id: &str, printer: &Printer) -> Result<Exit, Failure> {
    let given = globals::reason(matches).map(str::to_owned);
    if given.is_none() && !prompt::is_possible() {
        return Err(Failure::usage("--reason is missing: what you looked at and what you found")
            .next("guichet reviews close RUN --reason \"…\""));
    }
    cx.online(printer, async |client| {
        let words = if let Some(words) = given {
            words
        } else {
            let reviewed = client.read_review(id).await?;
            printer.card_aside(&card(cx, &reviewed, printer));
            prompt::ask_optional("What did you find?")?
                .ok_or_else(|| Failure::usage("a review is closed with words"))?
        };
        let reviewed = client.close_review(id, &words).await?;
        printer.done(&reviewed, &format!("closed: the review of run {}", reviewed.run.id.short()));
        Ok(Exit::Done)
    })
}

fn card(cx: &Cx, reviewed: &Reviewed, printer: &Printer) -> Card {
    let card = Card::of_run(&reviewed.run, &cx.command_of(&reviewed.run), now(), printer.verbose);
    match &reviewed.review.closed {
        Some(closed) => {
            card.with("Reviewed by", format!("{}, {}: {}", closed.by, moment(closed.at), closed.words))
        }
        None if reviewed.overdue => card.with("Review", "overdue"),
        None => card.with("Review", format!("due {}", moment(reviewed.review.due_at))),
    }
}
