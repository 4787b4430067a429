//! `guichet tokens …`: personal tokens for scripts and tools.

use clap::ArgMatches;
use serde_json::json;

use crate::{
    commands::{Cx, subcommand, text},
    exit::Exit,
    failure::Failure,
    printer::{Printer, Row, text::moment},
};

const DAY: u64 = 86_400;

pub(crate) fn run(cx: &Cx, matches: &ArgMatches, printer: &Printer) -> Result<Exit, Failure> {
    let (verb, matches) = subcommand(matches)?;
    cx.online(printer, async |client| {
        match verb {
            "list" => {
                let page = client.list_tokens().await?;
                let row = |token: &guichet_client::TokenInfo| {
                    Row::from_iter([
                        ("id".to_owned(), json!(token.id)),
                        ("name".to_owned(), json!(token.name)),
                        ("scopes".to_owned(), json!(token.scopes)),
                        ("expires".to_owned(), json!(token.expires_at.map(moment))),
                        ("last used".to_owned(), json!(token.last_used_at.map(moment))),
                    ])
                };
                printer.list(&page, &page.items.iter().map(row).collect::<Vec<_>>(), "no tokens");
            }
            "create" => {
                let days = matches.get_one::<u32>("expires-in").copied().unwrap_or(30);
                let scopes: Vec<String> =
                    matches.get_many::<String>("scope").into_iter().flatten().cloned().collect();
                let name = text(matches, "name").unwrap_or_default();
                let made = client.create_token(name, u64::from(days) * DAY, &scopes).await?;
                let whole = json!({
                    "id": made.id, "name": made.name, "token": made.token.reveal(),
                    "scopes": made.scopes, "expires_at": made.expires_at,
                });
                let until = made.expires_at.map(|at| format!(", until {}", moment(at))).unwrap_or_default();
                let text = format!("made: {} ({}){until}; it is shown this once", made.name, made.id);
                // On standard output alone, so that it can be piped into a secret store.
                printer.secret(&whole, made.token.reveal(), &text);
            }
            _ => {
                let id = text(matches, "id").unwrap_or_default();
                client.revoke_token(id).await?;
                printer.outcome(Exit::Done, &format!("revoked: {id}"));
            }
        }
        Ok(Exit::Done)
    })
}
