//! `guichet providers …`: services that perform the actions, how they are, adding one, and freeing the name of one that is gone.

use clap::ArgMatches;
use guichet_contract::ProviderStatus;
use serde_json::json;

use crate::{
    commands::{Cx, add_provider, subcommand, text},
    exit::Exit,
    failure::Failure,
    printer::{
        Printer, Row,
        card::Card,
        text::{moment, plain},
    },
    prompt,
};

pub(crate) fn run(cx: &Cx, matches: &ArgMatches, printer: &Printer) -> Result<Exit, Failure> {
    match subcommand(matches)? {
        ("add", matches) => add_provider::add(cx, matches, printer),
        ("remove", matches) => remove(cx, matches, printer),
        ("describe", matches) => describe(cx, text(matches, "name").unwrap_or_default(), printer),
        _ => list(cx, printer),
    }
}

fn remove(cx: &Cx, matches: &ArgMatches, printer: &Printer) -> Result<Exit, Failure> {
    let name = text(matches, "name").unwrap_or_default();
    if !matches.get_flag("yes") && printer.is_for_people() && prompt::is_possible() {
        let question = format!("Remove the provider {}? Its actions are offered no more.", plain(name));
        if !prompt::confirm(&question)? {
            printer.outcome(Exit::Cancelled, "nothing was removed");
            return Ok(Exit::Cancelled);
        }
    }
    cx.online(printer, async |client| {
        client.remove_provider(name).await?;
        printer.note(&format!("the name {} is nobody's again", plain(name)));
        Ok(Exit::Done)
    })
}

fn describe(cx: &Cx, name: &str, printer: &Printer) -> Result<Exit, Failure> {
    cx.online(printer, async |client| {
        let provider = client.read_provider(name).await?;
        printer.card(&provider, &card(&provider));
        Ok(Exit::Done)
    })
}

fn card(provider: &ProviderStatus) -> Card {
    let mut card = Card::default()
        .with("Provider", provider.name.clone())
        .with("State", provider.state.clone())
        .with("Since", moment(provider.since))
        .maybe("Problem", provider.problem.clone())
        .with("Operations", provider.operations.to_string())
        .maybe("Document", provider.document.as_ref().map(ToString::to_string))
        .maybe("Owner", provider.owner.clone());
    if let Some(service) = &provider.service {
        card = card
            .with("Answers at", service.url.clone())
            .with("Document at", service.openapi.clone())
            .maybe("Credential", service.credential.clone())
            .maybe("Overlay", service.overlay.as_ref().map(|text| format!("{} bytes", text.len())));
    }
    for instance in &provider.instances {
        card =
            card.with("Instance", format!("{} at {}, until {}", instance.id, instance.url, instance.until));
    }
    for refused in &provider.refused {
        card = card.with("Left out", refused.clone());
    }
    // What was left out is among the warnings too.
    let warnings = provider.warnings.iter().filter(|told| !provider.refused.contains(told));
    warnings.fold(card, |card, warning| card.with("Warning", warning.clone()))
}

fn list(cx: &Cx, printer: &Printer) -> Result<Exit, Failure> {
    cx.online(printer, async |client| {
        let providers = client.list_providers().await?;
        let row = |provider: &ProviderStatus| {
            let registers = provider.owner.is_some() && provider.service.is_none();
            let instances = registers.then_some(provider.instances.len());
            Row::from_iter([
                ("name".to_owned(), json!(provider.name)),
                ("state".to_owned(), json!(provider.state)),
                ("operations".to_owned(), json!(provider.operations)),
                ("since".to_owned(), json!(moment(provider.since))),
                ("instances".to_owned(), json!(instances)),
                ("left out".to_owned(), json!(provider.refused.len())),
                (
                    "warnings".to_owned(),
                    json!(provider.warnings.len().saturating_sub(provider.refused.len())),
                ),
                ("problem".to_owned(), json!(provider.problem)),
            ])
        };
        printer.list(&providers, &providers.iter().map(row).collect::<Vec<_>>(), "no providers");
        Ok(Exit::Done)
    })
}
