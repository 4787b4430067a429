//! `guichet internal-action …`: every action by the name of its service and its own. Which ones there are is the
//! catalogue's affair; what becomes of one is that of the action's own command.

use std::collections::BTreeMap;

use clap::ArgMatches;
use guichet_contract::{Action, Catalogue};
use serde_json::json;

use crate::{
    arguments::{
        Places,
        internal_action::{ACTION, PAYLOAD, SERVICE},
        nearest,
    },
    cache::Asking,
    commands::{Cx, perform, refresh_catalogue, subcommand, text},
    exit::Exit,
    failure::Failure,
    printer::{Printer, Row, text::moment},
};

pub(crate) fn run(cx: &Cx, matches: &ArgMatches, printer: &Printer) -> Result<Exit, Failure> {
    match subcommand(matches)? {
        ("list", matches) => list(cx, text(matches, SERVICE), printer),
        (_, matches) => execute(cx, matches, printer),
    }
}

fn list(cx: &Cx, service: Option<&str>, printer: &Printer) -> Result<Exit, Failure> {
    // The newest, when the gateway can be asked; else what is remembered.
    let newer = refresh_catalogue(&cx.settings, Asking::IfNewer).ok().flatten();
    let catalogue = match newer.and_then(|newer| newer.whole()) {
        Some(newer) => newer,
        None => cx.catalogue()?,
    };
    let places = Places::of(&catalogue);
    let mut actions: Vec<&Action> = catalogue.actions.iter().map(|action| &**action).collect();
    actions.retain(|action| service.is_none_or(|service| action.provider == service));
    actions.sort_by(|one, other| (&one.provider, &one.operation).cmp(&(&other.provider, &other.operation)));
    let absent = absent(cx, printer);
    let rows: Vec<Row> = actions
        .iter()
        .map(|action| {
            let approval =
                action.approval.as_ref().map(|approval| format!("{} of {}", approval.count, approval.by));
            let command = places.words_of(&action.id).map(|words| words.join(" "));
            let state = absent.get(&action.provider).map(|since| format!("not there since {since}"));
            let state = (!absent.is_empty()).then(|| ("state".to_owned(), json!(state.unwrap_or_default())));
            let row = [
                ("service".to_owned(), json!(action.provider)),
                ("action".to_owned(), json!(action.operation)),
                ("effect".to_owned(), json!(action.effect)),
                ("approval".to_owned(), json!(approval.unwrap_or_default())),
                ("command".to_owned(), json!(command.unwrap_or_default())),
                ("title".to_owned(), json!(action.title)),
            ];
            row.into_iter().chain(state).collect()
        })
        .collect();
    printer.list(&actions, &rows, "no service offers such an action");
    Ok(Exit::Done)
}

/// The services of which no instance is there, and since when; none when the gateway cannot be asked.
fn absent(cx: &Cx, printer: &Printer) -> BTreeMap<String, String> {
    let mut absent = BTreeMap::new();
    let asked = cx.online(printer, async |client| {
        for provider in client.list_providers().await? {
            if provider.state == "absent" {
                absent.insert(provider.name, moment(provider.since));
            }
        }
        Ok(Exit::Done)
    });
    if let Err(failure) = asked {
        printer.detail(&format!("which services are there is not known: {}", failure.summary()));
    }
    absent
}

fn execute(cx: &Cx, matches: &ArgMatches, printer: &Printer) -> Result<Exit, Failure> {
    let service = text(matches, SERVICE).unwrap_or_default();
    let named = text(matches, ACTION).unwrap_or_default();
    let catalogue = cx.catalogue()?;
    let (catalogue, found) = match find(&catalogue, service, named) {
        Ok(action) => (catalogue, action),
        // It may be new.
        Err(unknown) => {
            match refresh_catalogue(&cx.settings, Asking::IfNewer)?.and_then(|newer| newer.whole()) {
                Some(newer) => {
                    let action = find(&newer, service, named)?;
                    (newer, action)
                }
                None => return Err(unknown),
            }
        }
    };
    let words = Places::of(&catalogue).words_of(&found.id).unwrap_or(&found.command).to_vec();
    perform::run(cx, &found, &words, matches, PAYLOAD, printer)
}

/// The action of this service with this operation id, with this whole id, or whose command ends in this word.
fn find(catalogue: &Catalogue, service: &str, named: &str) -> Result<Action, Failure> {
    let of_service = || catalogue.actions.iter().filter(|action| action.provider == service);
    let is_named = |action: &&&Action| action.operation == named || action.id.as_str() == named;
    let actions: Vec<&Action> = of_service().map(|action| &**action).collect();
    if actions.is_empty() {
        let services: Vec<&str> = catalogue.actions.iter().map(|action| action.provider.as_str()).collect();
        let near = nearest::did_you_mean(service, &services);
        return Err(unknown(
            format!("no service `{service}` offers an action{near}"),
            "guichet internal-action list",
        ));
    }
    if let Some(action) = actions.iter().find(is_named) {
        return Ok((*action).clone());
    }
    let by_word: Vec<&&Action> =
        actions.iter().filter(|action| action.command.last().is_some_and(|word| word == named)).collect();
    match by_word.as_slice() {
        [action] => Ok((**action).clone()),
        [] => {
            let names: Vec<&str> = actions.iter().map(|action| action.operation.as_str()).collect();
            let near = nearest::did_you_mean(named, &names);
            let what = format!("service {service} offers no action `{named}`{near}");
            Err(unknown(what, &format!("guichet internal-action list --service {service}")))
        }
        several => {
            let ids: Vec<&str> = several.iter().map(|action| action.operation.as_str()).collect();
            let what = format!("commands of {} of {service} end in `{named}`", ids.join(" and of "));
            Err(Failure::new(Exit::Usage, "Which action", what).next("name one by its operation id"))
        }
    }
}

fn unknown(what: String, next: &str) -> Failure {
    Failure::new(Exit::NotFound, "Unknown action", what).next(next)
}
