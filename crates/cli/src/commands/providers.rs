//! `guichet providers list`: services that perform the actions, and how they are.

use serde_json::json;

use crate::{
    commands::Cx,
    exit::Exit,
    failure::Failure,
    printer::{
        Printer, Row,
        text::{cell, moment},
    },
};

pub(crate) fn run(cx: &Cx, printer: &Printer) -> Result<Exit, Failure> {
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
