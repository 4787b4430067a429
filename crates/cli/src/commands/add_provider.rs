//! `guichet providers add`: a service that has an OpenAPI document becomes a provider, after a look at what that gives.

use std::path::Path;

use clap::ArgMatches;
use guichet_client::NewService;
use guichet_contract::{Addition, Became, Usable};
use serde_json::json;

use crate::{
    commands::{Cx, text},
    exit::Exit,
    failure::Failure,
    files,
    printer::{Printer, Row, text::plain},
    prompt,
};

/// Warnings that are told one by one.
const TOLD: usize = 20;

pub(super) fn add(cx: &Cx, matches: &ArgMatches, printer: &Printer) -> Result<Exit, Failure> {
    let owned = |name| text(matches, name).map(str::to_owned);
    let name = text(matches, "name").unwrap_or_default();
    let overlay = match text(matches, "overlay").map(Path::new) {
        None => None,
        Some(file) => Some(files::read(file)?.ok_or_else(|| {
            Failure::usage(format!("there is no file {}", file.display())).next("give the overlay's file")
        })?),
    };
    let service = NewService {
        openapi: owned("openapi").unwrap_or_default(),
        url: owned("url"),
        credential: owned("credential"),
        overlay,
    };
    let dry_run = matches.get_flag("dry-run");
    let asks = !dry_run && !matches.get_flag("yes") && printer.is_for_people() && prompt::is_possible();
    cx.online(printer, async |client| {
        if asks {
            let looked = client.add_provider(name, &service, true).await?;
            draw(&looked, printer);
            let at = plain(&looked.url);
            let question = match looked.became {
                Became::Replaced => format!("Replace the provider {} by this, at {at}?", plain(name)),
                _ => format!("Add it as {}, at {at}?", plain(name)),
            };
            if looked.became != Became::Unchanged && !prompt::confirm(&question)? {
                printer.outcome(Exit::Cancelled, "nothing was added");
                return Ok(Exit::Cancelled);
            }
        }
        let added = client.add_provider(name, &service, dry_run).await?;
        let at = plain(&added.url);
        let line = format!("{}: {} at {at}", added.became.as_str(), plain(&added.provider));
        if asks {
            printer.done(&added, &line);
        } else {
            draw(&added, printer);
            let line = if dry_run { format!("nothing was added; it would be {line}") } else { line };
            printer.note(&line);
        }
        if !dry_run && added.became == Became::Added {
            printer.note("nothing of it is allowed until a policy permits it");
        }
        Ok(Exit::Done)
    })
}

/// What is usable, and what is not and why.
fn draw(addition: &Addition, printer: &Printer) {
    let row = |usable: &Usable| {
        Row::from_iter([
            ("command".to_owned(), json!(usable.command.join(" "))),
            ("effect".to_owned(), json!(usable.effect)),
            ("title".to_owned(), json!(usable.title)),
        ])
    };
    let rows: Vec<Row> = addition.operations.iter().map(row).collect();
    printer.list(addition, &rows, "nothing is usable");
    let (usable, refused, odd) = (addition.operations.len(), addition.refused.len(), addition.warnings.len());
    printer.note(&format!(
        "{usable} usable, {refused} refused, {odd} {}",
        if odd == 1 { "warning" } else { "warnings" }
    ));
    for refused in &addition.refused {
        printer.note(&format!("refused: {}", plain(refused)));
    }
    for warning in addition.warnings.iter().take(TOLD) {
        printer.note(&format!("warning: {}", plain(warning)));
    }
    if odd > TOLD {
        printer.note(&format!("and {} more warnings; --output json has all of them", odd - TOLD));
    }
}
