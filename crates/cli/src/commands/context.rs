//! `guichet context …`: gateways by name. Only files; no gateway is asked.

use clap::ArgMatches;
use serde_json::json;

use crate::{
    cache,
    commands::{Cx, subcommand, text},
    credentials::Credentials,
    exit::Exit,
    failure::Failure,
    printer::{Printer, Row, card::Card},
    settings::{self, Config, Context, ContextEntry},
};

pub(crate) fn run(cx: &Cx, matches: &ArgMatches, printer: &Printer) -> Result<Exit, Failure> {
    let (verb, matches) = subcommand(matches)?;
    let name = || text(matches, "name").unwrap_or_default();
    match verb {
        "list" => {
            list(cx, printer);
            Ok(())
        }
        "use" => use_it(cx, name(), printer),
        "add" => add(cx, name(), matches, printer),
        "remove" => remove(cx, name(), printer),
        _ => show(cx, printer),
    }
    .map(|()| Exit::Done)
}

fn list(cx: &Cx, printer: &Printer) {
    let config = &cx.settings.config;
    let in_use = cx.settings.context_if_any().map(|context| context.name.as_str());
    let row = |(name, entry): (&String, &ContextEntry)| {
        Row::from_iter([
            ("in use".to_owned(), json!(if in_use == Some(name) { "*" } else { "" })),
            ("name".to_owned(), json!(name)),
            ("gateway".to_owned(), json!(entry.gateway)),
        ])
    };
    let rows: Vec<Row> = config.contexts.iter().map(row).collect();
    printer.list(config, &rows, "no contexts yet: guichet login --gateway https://… --user NAME");
}

fn show(cx: &Cx, printer: &Printer) -> Result<(), Failure> {
    let context = cx.settings.context()?;
    let state = cache::load_state(&cx.settings);
    let signed_in = cx.settings.token(&context.gateway)?.is_some();
    let token = match (signed_in, cx.settings.has_env_token()) {
        (true, true) => "from GUICHET_TOKEN",
        (true, false) => "a session of `guichet login`",
        (false, _) => "none: guichet login",
    };
    let card = Card::default()
        .with("Context", context.name.clone())
        .with("Gateway", context.gateway.clone())
        .maybe("Environment", state.as_ref().map(|state| state.environment.clone()))
        .with("Token", token)
        .maybe("Insecure", context.insecure.then_some("plain http:// is taken to any host"));
    let whole = json!({
        "name": context.name, "gateway": context.gateway, "insecure": context.insecure,
        "environment": state.map(|state| state.environment), "signed_in": signed_in,
    });
    printer.card(&whole, &card);
    Ok(())
}

fn known<'c>(config: &'c Config, name: &str) -> Result<&'c ContextEntry, Failure> {
    config.contexts.get(name).ok_or_else(|| {
        Failure::new(Exit::NotFound, "Unknown context", format!("there is no context `{name}`"))
            .next("guichet context list")
    })
}

fn use_it(cx: &Cx, name: &str, printer: &Printer) -> Result<(), Failure> {
    let mut config = cx.settings.config.clone();
    let gateway = known(&config, name)?.gateway.clone();
    config.current = Some(name.to_owned());
    cx.settings.save(&config)?;
    printer.outcome(Exit::Done, &format!("in use: {name} ({gateway})"));
    Ok(())
}

fn add(cx: &Cx, name: &str, matches: &ArgMatches, printer: &Printer) -> Result<(), Failure> {
    settings::check_name(name)?;
    let gateway = text(matches, "gateway").unwrap_or_default().trim_end_matches('/').to_owned();
    let entry = ContextEntry { gateway: gateway.clone(), insecure: matches.get_flag("insecure") };
    let context = Context { name: name.to_owned(), gateway, insecure: entry.insecure };
    settings::connect(&context, None)?;
    let mut config = cx.settings.config.clone();
    config.contexts.insert(name.to_owned(), entry);
    config.current.get_or_insert_with(|| name.to_owned());
    cx.settings.save(&config)?;
    printer.outcome(Exit::Done, &format!("added: {name} ({})", context.gateway));
    printer.note(&format!("next: guichet login --context {name} --user NAME"));
    Ok(())
}

fn remove(cx: &Cx, name: &str, printer: &Printer) -> Result<(), Failure> {
    let mut config = cx.settings.config.clone();
    let gateway = known(&config, name)?.gateway.clone();
    config.contexts.remove(name);
    if config.current.as_deref() == Some(name) {
        config.current = None;
    }
    cx.settings.save(&config)?;
    Credentials::forget(&cx.settings.config_dir, gateway.trim_end_matches('/'))?;
    let cache = cx.settings.cache_dir(name);
    match std::fs::remove_dir_all(&cache) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Failure::file(&cache, error));
        }
        _ => {}
    }
    printer.outcome(Exit::Done, &format!("removed: {name}"));
    Ok(())
}
