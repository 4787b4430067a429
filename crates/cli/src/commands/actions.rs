//! `guichet actions …`: what can be done, from the catalogue.

use std::collections::BTreeMap;

use clap::ArgMatches;
use guichet_contract::{Action, ActionId, Answer, Catalogue, OfferedAction, Outlook};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    arguments::{Places, action::told, example::command_line, schema::members},
    commands::{Cx, subcommand},
    exit::Exit,
    failure::Failure,
    printer::{Printer, Row, card::Card, text::moment},
    prompt,
};

pub(crate) fn run(cx: &Cx, matches: &ArgMatches, printer: &Printer) -> Result<Exit, Failure> {
    let (verb, matches) = subcommand(matches)?;
    let catalogue = cx.catalogue()?;
    let words = |name| matches.get_many::<String>(name).into_iter().flatten().cloned().collect::<Vec<_>>();
    match verb {
        "list" => {
            let outlooks = outlooks(cx, None, printer);
            draw(
                &catalogue,
                &catalogue.actions.iter().map(|action| &**action).collect::<Vec<_>>(),
                outlooks.as_ref(),
                printer,
            );
        }
        "search" => draw(&catalogue, &search(&catalogue, &words("words").join(" ")), None, printer),
        _ => {
            let places = Places::of(&catalogue);
            let action = find(&catalogue, &places, &words("action"))?;
            let outlooks = outlooks(cx, Some(&action.id), printer);
            show(action, &places, outlooks.as_ref(), printer);
        }
    }
    Ok(Exit::Done)
}

type Outlooks = BTreeMap<ActionId, Seen>;

/// How an action looks to the caller.
struct Seen {
    for_me: Outlook,
    /// Since when its provider is not there.
    absent_since: Option<Timestamp>,
}

/// What the caller may do, asked of the gateway. The catalogue is shown without it when the gateway cannot be asked.
fn outlooks(cx: &Cx, only: Option<&ActionId>, printer: &Printer) -> Option<Outlooks> {
    let mut found = Outlooks::new();
    let asked = cx.online(printer, async |client| {
        let offered = match only {
            Some(action) => vec![client.read_action(action).await?],
            None => client.search_actions("").await?,
        };
        found.extend(offered.into_iter().map(|offered| {
            let OfferedAction { action, for_me, absent_since } = offered;
            (action.id, Seen { for_me, absent_since })
        }));
        Ok(Exit::Done)
    });
    match asked {
        Ok(_) => Some(found),
        Err(failure) => {
            printer.note(&format!("what you may do is not shown: {}", failure.summary()));
            None
        }
    }
}

fn not_there(seen: &Seen) -> Option<String> {
    seen.absent_since.map(|since| format!("not there since {}", moment(since)))
}

fn for_you(outlook: &Outlook) -> String {
    match (outlook.answer, &outlook.because) {
        (Answer::Allowed, _) => "yes".to_owned(),
        (Answer::NeedsApproval, _) => "with approval".to_owned(),
        (Answer::Refused, _) if outlook.policies.is_empty() => "no: no policy permits it".to_owned(),
        (Answer::Refused, because) => format!("no: {}", because.as_deref().unwrap_or("forbidden")),
        (Answer::Depends, because) => because.clone().unwrap_or_else(|| "depends on its input".to_owned()),
    }
}

fn draw(catalogue: &Catalogue, actions: &[&Action], outlooks: Option<&Outlooks>, printer: &Printer) {
    let places = Places::of(catalogue);
    let someone_is_absent =
        outlooks.is_some_and(|outlooks| outlooks.values().any(|seen| seen.absent_since.is_some()));
    let row = |action: &&Action| {
        let words = places.words_of(&action.id).map(|words| words.join(" ")).unwrap_or_default();
        let seen = outlooks.map(|outlooks| outlooks.get(&action.id));
        let outlook = seen.map(|seen| seen.map(|seen| for_you(&seen.for_me)).unwrap_or_default());
        let absent = seen.flatten().and_then(not_there).unwrap_or_default();
        let approval =
            action.approval.as_ref().map(|approval| format!("{} of {}", approval.count, approval.by));
        let mut row = vec![("command".to_owned(), json!(words)), ("effect".to_owned(), json!(action.effect))];
        row.extend(outlook.map(|outlook| ("for you".to_owned(), json!(outlook))));
        row.extend(someone_is_absent.then(|| ("provider".to_owned(), json!(absent))));
        row.extend([
            ("approval".to_owned(), json!(approval.unwrap_or_default())),
            ("title".to_owned(), json!(action.title)),
            ("id".to_owned(), json!(action.id)),
        ]);
        Row::from_iter(row)
    };
    let whole: Vec<Value> = actions.iter().map(|action| whole(action, outlooks)).collect();
    printer.list(&whole, &actions.iter().map(row).collect::<Vec<_>>(), "no action answers to that");
}

/// The action as JSON; with what the caller may do, where that is known.
fn whole(action: &Action, outlooks: Option<&Outlooks>) -> Value {
    let mut whole = json!(action);
    if let Some(seen) = outlooks.and_then(|outlooks| outlooks.get(&action.id)) {
        whole["for_me"] = json!(seen.for_me);
        if let Some(since) = seen.absent_since {
            whole["absent_since"] = json!(since);
        }
    }
    whole
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
            Some((command.into_iter().chain(told).max()?, &**action))
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

fn show(action: &Action, places: &Places, outlooks: Option<&Outlooks>, printer: &Printer) {
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
    let outlook = outlooks.and_then(|outlooks| outlooks.get(&action.id));
    card = card
        .maybe("For you", outlook.map(|seen| for_you(&seen.for_me)))
        .maybe("Provider", outlook.and_then(not_there));
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
    printer.card(&whole(action, outlooks), &card.with("Version", action.version.short()));
}
