//! The flags that every command takes.

use clap::{Arg, ArgAction, ArgMatches, Command};
use clap_complete::ArgValueCandidates;

use crate::{arguments::internal_action::COMMENT, printer::Format, settings::Settings};

/// Long names that no member of an input may take.
pub(crate) const RESERVED: [&str; 14] = [
    "context",
    "output",
    "reason",
    "approval-description",
    "plan",
    "break-glass",
    "wait",
    "no-wait",
    "timeout",
    "yes",
    "input",
    "verbose",
    "help",
    "version",
];

const HEADING: &str = "Guichet";

/// Adds them to the root.
pub(crate) fn add(command: Command, settings: &Settings) -> Command {
    let arguments = [
        Arg::new("context")
            .long("context")
            .value_name("NAME")
            .help("Gateway to speak to, of those in `guichet context list`")
            .add(context_candidates(settings)),
        Arg::new("output")
            .long("output")
            .short('o')
            .value_name("table|json|yaml|csv")
            .value_parser(Format::NAMES)
            .hide_possible_values(true)
            .help("Form of the result [default: table]"),
        Arg::new("reason")
            .long("reason")
            .alias("approval-description")
            .value_name("TEXT")
            .help("Why; approvers and the audit trail see it (also --approval-description)"),
        Arg::new("yes").long("yes").short('y').action(ArgAction::SetTrue).help("Do not ask for confirmation"),
        Arg::new("verbose")
            .long("verbose")
            .action(ArgAction::SetTrue)
            .help("Tell what is done on the way, and all digests"),
        Arg::new("help").long("help").short('h').action(ArgAction::Help).help("Print this help"),
    ];
    let version =
        Arg::new("version").long("version").short('V').action(ArgAction::Version).help("Print the version");
    let command = command.disable_help_flag(true).disable_version_flag(true);
    arguments
        .into_iter()
        // After what only some commands take.
        .zip(100..)
        .map(|(argument, order)| argument.global(true).help_heading(HEADING).display_order(order))
        .fold(command, Command::arg)
        .arg(version.display_order(200).help_heading(HEADING))
}

/// The names of the contexts, for the shell.
pub(crate) fn context_candidates(settings: &Settings) -> ArgValueCandidates {
    let names: Vec<String> = settings.config.contexts.keys().cloned().collect();
    ArgValueCandidates::new(move || names.iter().map(clap_complete::CompletionCandidate::new).collect())
}

/// The flags of every action beside its input.
pub(crate) fn of_action(effect_is_read: bool) -> Vec<Arg> {
    let mut arguments = vec![
        Arg::new("input")
            .long("input")
            .value_name("JSON|@FILE|-")
            .help("The whole input as a JSON object; flags override its members"),
    ];
    if !effect_is_read {
        arguments.push(
            Arg::new("plan")
                .long("plan")
                .action(ArgAction::SetTrue)
                .help("Show what would happen and who must approve; change nothing"),
        );
    }
    // A read may need an approval too, and then is a run like any other.
    arguments.push(break_glass());
    arguments.extend(waiting());
    arguments.into_iter().map(|argument| argument.help_heading(HEADING)).collect()
}

/// Going on without approvals.
pub(crate) fn break_glass() -> Arg {
    Arg::new("break-glass")
        .long("break-glass")
        .action(ArgAction::SetTrue)
        .help("In an emergency: go on without approvals; needs --reason, is marked and reviewed")
}

/// The flags of everything that waits for a run.
pub(crate) fn waiting() -> Vec<Arg> {
    vec![
        Arg::new("wait")
            .long("wait")
            .action(ArgAction::SetTrue)
            .overrides_with("no-wait")
            .help("Wait for approval and for the end [default]")
            .help_heading(HEADING),
        Arg::new("no-wait")
            .long("no-wait")
            .action(ArgAction::SetTrue)
            .overrides_with("wait")
            .help("Submit and return; `guichet runs watch` follows later")
            .help_heading(HEADING),
        timeout(),
    ]
}

/// How long to wait.
pub(crate) fn timeout() -> Arg {
    Arg::new("timeout")
        .long("timeout")
        .value_name("SECONDS")
        .value_parser(clap::value_parser!(u64).range(1..=2_592_000))
        .help("Stop waiting after so many seconds (exit 10); the run goes on")
        .help_heading(HEADING)
}

/// The value of `--reason`, or of the flag that means the same where there is one.
pub(crate) fn reason(matches: &ArgMatches) -> Option<&str> {
    let comment = matches.try_get_one::<String>(COMMENT).ok().flatten();
    comment
        .or_else(|| matches.get_one::<String>("reason"))
        .map(|reason| reason.trim())
        .filter(|reason| !reason.is_empty())
}
