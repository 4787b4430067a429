//! `guichet internal-action`: every action by the name of its service and its own, its input as JSON.

use clap::{Arg, ArgAction, Command, builder::ValueHint};
use clap_complete::{ArgValueCandidates, CompletionCandidate};

use crate::{
    arguments::{builtin::group, globals},
    cache::Remembered,
};

/// The group's name.
pub(crate) const NAME: &str = "internal-action";
/// The arguments that say which.
pub(crate) const SERVICE: &str = "service";
pub(crate) const ACTION: &str = "action";
/// What is meant by `--input` elsewhere.
pub(crate) const PAYLOAD: &str = "--payload";
/// What is meant by `--reason` elsewhere.
pub(crate) const COMMENT: &str = "comment";

/// The commands, without what the shell is offered.
pub(crate) fn command() -> Command {
    let service = || {
        Arg::new(SERVICE).long("service").value_name("NAME").help("Service whose action it is: a provider")
    };
    let action = Arg::new(ACTION)
        .long("action")
        .value_name("NAME")
        .help("Its operation id, or the last word of its command")
        .required(true);
    let payload = Arg::new("input")
        .long(PAYLOAD.trim_start_matches('-'))
        .value_name("JSON|@FILE|-")
        .value_hint(ValueHint::AnyPath)
        .help("The whole input as a JSON object [default: {}]");
    let comment = Arg::new(COMMENT)
        .long("comment")
        .value_name("TEXT")
        .help("Why; approvers and the audit trail see it (the same as --reason)");
    let plan = Arg::new("plan")
        .long("plan")
        .action(ArgAction::SetTrue)
        .help("Show what would happen and who must approve; change nothing");
    let execute = Command::new("execute")
        .about("Perform an action, exactly as its own command would")
        .arg(service().required(true))
        .args([action, payload, comment, plan, globals::break_glass()])
        .args(globals::waiting())
        .after_help(
            "Example:\n  guichet internal-action execute --service my-service --action my-action-name \\\n    --payload \
             '{\"foo\":\"bar\"}' --comment \"I need to… because…\"",
        );
    group(NAME, "Any action of any service, by its name and with JSON")
        .subcommand(Command::new("list").about("All of them, by service").arg(service()))
        .subcommand(execute)
}

/// With the services and actions of a catalogue, for the shell. `typed` are the words of the line so far: with a service
/// among them, its own actions are offered.
pub(crate) fn offer(command: Command, catalogue: &Remembered, typed: &[String]) -> Command {
    let entries = catalogue.entries();
    let mut services: Vec<String> = entries.iter().map(|entry| entry.provider.clone()).collect();
    services.sort_unstable();
    services.dedup();
    let is_chosen = |service: &String| {
        typed.iter().any(|word| {
            word == service || word.strip_prefix("--service=").is_some_and(|value| value == service)
        })
    };
    let chosen: Vec<&String> = services.iter().filter(|service| is_chosen(service)).collect();
    let of_them = entries.iter().filter(|entry| chosen.is_empty() || chosen.contains(&&entry.provider));
    let actions: Vec<(String, String)> = of_them
        .map(|entry| {
            let operation = entry.id.as_str().split_once('.').map_or(entry.id.as_str(), |(_, name)| name);
            (operation.to_owned(), entry.title.clone())
        })
        .collect();
    let of_services =
        ArgValueCandidates::new(move || services.iter().map(CompletionCandidate::new).collect());
    let of_actions = ArgValueCandidates::new(move || {
        let candidate = |(name, title): &(String, String)| {
            CompletionCandidate::new(name).help(Some(title.clone().into()))
        };
        actions.iter().map(candidate).collect()
    });
    command
        .mut_subcommand("list", |list| list.mut_arg(SERVICE, |service| service.add(of_services.clone())))
        .mut_subcommand("execute", |execute| {
            execute
                .mut_arg(SERVICE, |service| service.add(of_services.clone()))
                .mut_arg(ACTION, |action| action.add(of_actions.clone()))
        })
}
