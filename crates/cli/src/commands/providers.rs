//! `guichet providers …`: services that perform the actions, how they are, and freeing the name of one that is gone.

use clap::ArgMatches;
use serde_json::json;

use crate::{
    commands::{Cx, subcommand, text},
    exit::Exit,
    failure::Failure,
    printer::{
        Printer, Row,
        text::{cell, moment, plain},
    },
};

pub(crate) fn run(cx: &Cx, matches: &ArgMatches, printer: &Printer) -> Result<Exit, Failure> {
    match subcommand(matches)? {
        ("remove", matches) => remove(cx, text(matches, "name").unwrap_or_default(), printer),
        _ => list(cx, printer),
    }
}

fn remove(cx: &Cx, name: &str, printer: &Printer) -> Result<Exit, Failure> {
    cx.online(printer, async |client| {
        client.remove_provider(name).await?;
        printer.note(&format!("the name {} is nobody's again", plain(name)));
        Ok(Exit::Done)
    })
}

fn list(cx: &Cx, printer: &Printer) -> Result<Exit, Failure> {
    cx.online(printer, async |client| {
        let providers = client.list_providers().await?;
        let row = |provider: &guichet_client::ProviderStatus| {
            let problem = provider.problem.as_ref().map(|problem| match problem.get("detail") {
                Some(detail) => cell(detail),
                None => cell(problem),
            });
            let since = provider.since.as_deref();
            let since = since.map(|text| text.parse().map_or_else(|_| text.to_owned(), moment));
            Row::from_iter([
                ("name".to_owned(), json!(provider.name)),
                ("state".to_owned(), json!(provider.state)),
                ("operations".to_owned(), provider.operations.clone()),
                ("since".to_owned(), json!(since)),
                ("instances".to_owned(), json!(provider.owner.as_ref().map(|_| provider.instances.len()))),
                ("warnings".to_owned(), json!(provider.warnings.len())),
                ("problem".to_owned(), json!(problem)),
            ])
        };
        printer.list(&providers, &providers.iter().map(row).collect::<Vec<_>>(), "no providers");
        Ok(Exit::Done)
    })
}
