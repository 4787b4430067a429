//! One file per command. Here: what every command is handed, and which file answers to which words.
//!
//! The async runtime and the client are made in [`Cx::online`], so that a command that needs no network
//! starts neither.

mod actions;
mod add_provider;
mod approvals;
mod audit;
mod check_provider;
mod context;
mod deliveries;
mod internal_action;
mod login;
mod logout;
mod named;
mod perform;
mod policy;
mod providers;
mod reviews;
mod runs;
mod schedules;
mod tokens;
mod trail;
mod verify;
mod version;
mod whoami;

use std::time::Duration;

use clap::ArgMatches;
use guichet_client::Client;
use guichet_contract::{Action, Catalogue, Clock as _, Run, SystemClock, code};
use jiff::Timestamp;

use crate::{
    arguments::{self, Places, example::command_line, schema::members},
    cache::{self, Asking, Remembered},
    exit::Exit,
    failure::Failure,
    printer::Printer,
    settings::Settings,
};

/// How long a command may be held up by looking for a newer catalogue after its work is done.
const REFRESH_AFTER: Duration = Duration::from_secs(2);
/// How long a mistyped command may be held up by it.
const REFRESH_FIRST: Duration = Duration::from_secs(10);

/// What every command is handed.
pub(crate) struct Cx {
    pub(crate) settings: Settings,
    catalogue: Option<Remembered>,
    places: Places,
    refreshed: bool,
}

impl Cx {
    /// From what was needed to read the command line.
    pub(crate) fn new(
        settings: Settings,
        catalogue: Option<Remembered>,
        places: Places,
        refreshed: bool,
    ) -> Self {
        Self { settings, catalogue, places, refreshed }
    }

    /// Does what needs the gateway, then looks whether the catalogue is still the newest.
    pub(crate) fn online(
        &self,
        printer: &Printer,
        work: impl AsyncFnOnce(&Client) -> Result<Exit, Failure>,
    ) -> Result<Exit, Failure> {
        let client = self.settings.client()?;
        printer.detail(&format!("gateway: {}", client.url()));
        runtime()?.block_on(async {
            let result = work(&client).await;
            if self.should_refresh(&result)
                && let Ok(context) = self.settings.context()
            {
                let refreshing = cache::refresh(&client, &self.settings, context, Asking::IfNewer);
                match tokio::time::timeout(REFRESH_AFTER, refreshing).await {
                    Ok(Ok(Some(_))) => printer.detail("the catalogue was refreshed"),
                    Ok(Ok(None)) => {}
                    Ok(Err(failure)) => printer.detail(&format!("catalogue: {}", failure.summary())),
                    Err(_) => printer.detail("catalogue: no answer in time"),
                }
            }
            result
        })
    }

    fn should_refresh(&self, result: &Result<Exit, Failure>) -> bool {
        match result {
            // The cache knows an action that the gateway does not.
            Err(Failure::Problem(_, problem)) if problem.code == code::UNKNOWN_ACTION => true,
            Err(Failure::Problem(Exit::Unreachable | Exit::NotSignedIn, _)) => false,
            _ => !self.refreshed && !cache::is_fresh(&self.settings),
        }
    }

    /// The catalogue: from the cache, else from the gateway.
    pub(crate) fn catalogue(&self) -> Result<Catalogue, Failure> {
        if let Some(catalogue) = self.remembered().and_then(|catalogue| catalogue.whole()) {
            return Ok(catalogue);
        }
        refresh_catalogue(&self.settings, Asking::Anew)?.and_then(|catalogue| catalogue.whole()).ok_or_else(
            || {
                Failure::new(
                    Exit::Failed,
                    "No catalogue",
                    "the gateway gives none, and none that is remembered can be read",
                )
            },
        )
    }

    fn remembered(&self) -> Option<Remembered> {
        self.catalogue.clone().or_else(|| cache::load_catalogue(&self.settings))
    }

    /// The action of this id, when it is known without asking.
    pub(crate) fn known_action(&self, id: &str) -> Option<Action> {
        self.remembered()?.action(id)
    }

    /// The command line that would ask for what this run asks for.
    pub(crate) fn command_of(&self, run: &Run) -> String {
        let members =
            self.known_action(run.action.as_str()).map(|action| members(&action)).unwrap_or_default();
        let words = self.places.words_of(&run.action).unwrap_or(&run.command);
        command_line(words, &members, &run.input, None)
    }
}

/// Asks the gateway for its catalogue, outside any other work.
pub(crate) fn refresh_catalogue(settings: &Settings, asking: Asking) -> Result<Option<Remembered>, Failure> {
    let context = settings.context()?;
    let client = settings.client()?;
    runtime()?.block_on(async {
        tokio::time::timeout(REFRESH_FIRST, cache::refresh(&client, settings, context, asking))
            .await
            .unwrap_or_else(|_| {
                Err(Failure::new(Exit::Unreachable, "Gateway unreachable", "it did not answer in time"))
            })
    })
}

/// The present moment.
fn now() -> Timestamp {
    SystemClock.now()
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Failed, "Runtime", format!("it cannot be started: {error}")))
}

/// Finds the file that answers.
pub(crate) fn dispatch(cx: &Cx, matches: &ArgMatches, printer: &Printer) -> Result<Exit, Failure> {
    let (first, below) = matches.subcommand().ok_or_else(|| Failure::usage("a command is missing"))?;
    match first {
        "login" => login::run(cx, below, printer),
        "logout" => logout::run(cx, printer),
        "whoami" => whoami::run(cx, printer),
        "context" => context::run(cx, below, printer),
        "actions" => actions::run(cx, below, printer),
        "internal-action" => internal_action::run(cx, below, printer),
        "runs" => runs::run(cx, below, printer),
        "approvals" => approvals::run(cx, below, printer),
        "reviews" => reviews::run(cx, below, printer),
        "schedules" => schedules::run(cx, below, printer),
        "deliveries" => deliveries::run(cx, below, printer),
        "audit" => audit::run(cx, below, printer),
        "policy" => policy::run(cx, below, printer),
        "tokens" => tokens::run(cx, below, printer),
        "providers" => providers::run(cx, below, printer),
        "provider" => check_provider::run(below, printer),
        "completion" => {
            let shell = below.get_one::<String>("shell").map_or("bash", String::as_str);
            printer.raw(&arguments::completion::script(shell)?);
            Ok(Exit::Done)
        }
        "version" => version::run(cx, printer),
        _ => {
            let (words, leaf) = walk(first, below);
            let line = words.join(" ");
            let id = cx.places.action_at(&words);
            let id = id.ok_or_else(|| Failure::usage(format!("`{line}` is no command")))?;
            let action = cx.known_action(id.as_str()).ok_or_else(|| {
                let what =
                    format!("what is remembered of `{line}` cannot be read, and the gateway gives no other");
                Failure::new(Exit::Unreachable, "No catalogue", what)
                    .next("try again when the gateway answers")
            })?;
            perform::run(cx, &action, &words, leaf, arguments::input::FLAG, printer)
        }
    }
}

/// The words of a provider's command, and what was typed after them.
fn walk<'m>(first: &str, below: &'m ArgMatches) -> (Vec<String>, &'m ArgMatches) {
    let mut words = vec![first.to_owned()];
    let mut leaf = below;
    while let Some((word, below)) = leaf.subcommand() {
        words.push(word.to_owned());
        leaf = below;
    }
    (words, leaf)
}

/// The subcommand of a group; clap has made sure that there is one.
fn subcommand(matches: &ArgMatches) -> Result<(&str, &ArgMatches), Failure> {
    matches.subcommand().ok_or_else(|| Failure::usage("a command is missing"))
}

/// A text argument, when this command has it and it was given.
fn text<'m>(matches: &'m ArgMatches, name: &str) -> Option<&'m str> {
    matches.try_get_one::<String>(name).ok().flatten().map(String::as_str)
}
