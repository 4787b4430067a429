//! `guichet version`: this program's version and where it would go. Asks nobody.

use serde_json::json;

use crate::{
    commands::Cx,
    exit::Exit,
    failure::Failure,
    printer::{Printer, card::Card},
};

#[expect(clippy::unnecessary_wraps, reason = "every command answers alike")]
pub(crate) fn run(cx: &Cx, printer: &Printer) -> Result<Exit, Failure> {
    let version = env!("CARGO_PKG_VERSION");
    let card = Card::default().with("guichet", version).maybe("Environment", cx.settings.place());
    let context = cx.settings.context_if_any();
    let whole = json!({
        "version": version,
        "context": context.map(|context| &context.name),
        "gateway": context.map(|context| &context.gateway),
    });
    printer.card(&whole, &card);
    Ok(Exit::Done)
}
