//! `guichet actions …`: what can be done, from the catalogue.

use clap::ArgMatches;
use guichet_contract::{Action, ActionId, Catalogue};
use serde_json::json;

use crate::{
    arguments::{Places, action::told, example::command_line, schema::members},
    commands::{Cx, subcommand},
    exit::Exit,
    failure::Failure,
    printer::{Printer, Row, card::Card},
    prompt,
};

pub(crate) fn run(cx: &Cx, matches: &ArgMatches, printer: &Printer) -> Result<Exit, Failure> {
    let (verb, matches) = subcommand(matches)?;
    let catalogue = cx.catalogue()?;
    let words = |name| matches.get_many::<String>(name).into_iter().flatten().cloned().collect::<Vec<_>>();
    match verb {
        "list" => draw(&catalogue, &catalogue.actions.iter().collect::<Vec<_>>(), printer),
        "search" => draw(&catalogue, &search(&catalogue, &words("words").join(" ")), printer),
        _ => show(&catalogue, &words("action"), printer)?,
    }
    Ok(Exit::Done)
}

fn draw(catalogue: &Catalogue, actions: &[&Action], printer: &Printer) {
    let places = Places::of(catalogue);
    let row = |action: &&Action| {
        let words = places.words_of(&action.id).map(|words| words.join(" ")).unwrap_or_default();
        let approval =
            action.approval.as_ref().map(|approval| format!("{} of {}", approval.count, approval.by));
        Row::from_iter([
            ("command".to_owned(), json!(words)),
            ("effect".to_owned(), json!(action.effect)),
            ("approval".to_owned(), json!(approval.unwrap_or_default())),
            ("title".to_owned(), json!(action.title)),
            ("id".to_owned(), json!(action.id)),
        ])
    };
    printer.list(&actions, &actions.iter().map(row).collect::<Vec<_>>(), "no action answers to that");
}

/// The nearest first: the words of the command count for more than title and description.
fn search<'c>(catalogue: &'c Catalogue, words: &str) -> Vec<&'c Action> {
    let mut matcher = prompt::matcher();
    let mut found: Vec<(u32, &Action)> = catalogue
        .actions
        .iter()
        .filter_map(|action| {
            let command =
                prompt::score(&mut matcher, words, &action.command.join(" ")).map(|score| score * 2);
            let told = format!("{} {} {}", action.command.join(" "), action.title, action.id);
            let told = prompt::score(&mut matcher, words, &told);
            Some((command.into_iter().chain(told).max()?, action))
        })
        .collect();
    found.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
    found.into_iter().map(|(_, action)| action).collect()
}

/// The action of this id, or at these words.
pub(super) fn find<'c>(
    catalogue: &'c Catalogue,
    places: &Places,
    words: &[String],
) -> Result<&'c Action, Failure> {
    let id = match words {
        [id] if catalogue.action(id).is_some() => Some(id.as_str()),
        words => places.action_at(words).map(ActionId::as_str),
    };
    id.and_then(|id| catalogue.action(id)).ok_or_else(|| {
        let words = words.join(" ");
        Failure::new(Exit::NotFound, "Unknown action", format!("there is no action `{words}`"))
            .next(format!("guichet actions search {words}"))
    })
}

fn show(catalogue: &Catalogue, words: &[String], printer: &Printer) -> Result<(), Failure> {
    let places = Places::of(catalogue);
    let action = find(catalogue, &places, words)?;
    let place = places.words_of(&action.id).unwrap_or(&action.command);
    let members = members(action);
    let mut card = Card::default()
        .with("Command", format!("guichet {}", place.join(" ")))
        .with("Title", action.title.clone())
        .maybe("Description", action.description.clone());
    for line in told(action).lines() {
        if let Some((label, text)) = line.split_once(':') {
            card = card.with(label, text.trim());
        }
    }
    for member in &members {
        let kind = member.kind.value_name();
        let required = if member.required { ", required" } else { "" };
        let about = member.description.clone().unwrap_or_default();
        card = card.with(&format!("--{}", member.flag), format!("{kind}{required}  {about}"));
    }
    for example in &action.examples {
        let reason = action.approval.as_ref().map(|_| "why it is needed");
        card = card.with("Example", command_line(place, &members, &example.input, reason));
    }
    printer.card(action, &card.with("Version", action.version.short()));
    Ok(())
}
