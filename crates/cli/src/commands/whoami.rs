//! `guichet whoami`: who the gateway takes one for.

use crate::{
    commands::Cx,
    exit::Exit,
    failure::Failure,
    printer::{Printer, card::Card, text::moment},
};

pub(crate) fn run(cx: &Cx, printer: &Printer) -> Result<Exit, Failure> {
    cx.online(printer, async |client| {
        let identity = client.who_am_i().await?;
        let teams: Vec<&str> = identity.principal.teams.iter().map(String::as_str).collect();
        let card = Card::default()
            .with("Name", identity.principal.to_string())
            .with("Teams", if teams.is_empty() { "none".to_owned() } else { teams.join(", ") })
            .with("Environment", identity.environment.clone())
            .with("Gateway", client.url())
            .maybe("Signed in by", identity.token_kind.clone())
            .maybe("Limited to", (!identity.scopes.is_empty()).then(|| identity.scopes.join(", ")))
            .maybe("Until", identity.expires_at.map(moment));
        printer.card(&identity, &card);
        Ok(Exit::Done)
    })
}
