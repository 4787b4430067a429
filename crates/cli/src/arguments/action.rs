//! The command of one action: its flags, and the page that `--help` shows.

use clap::{
    Arg, ArgAction, Command,
    builder::{PossibleValuesParser, TypedValueParser as _},
};
use guichet_contract::Action;
use jiff::SignedDuration;
use serde_json::Value;

use crate::{
    arguments::{
        example::command_line,
        globals,
        schema::{Kind, Member, members},
    },
    printer::text::duration,
};

/// Clap's name of a member, apart from the names of the flags of every command.
pub(crate) fn id(member: &str) -> String {
    format!("in:{member}")
}

/// Clap's name of the flag that says no to a member.
pub(crate) fn no_id(member: &str) -> String {
    format!("no:{member}")
}

/// Fills the (still empty) command of an action. `words` are the words it is reached by.
pub(crate) fn fill(mut command: Command, action: &Action, words: &[String]) -> Command {
    let members = members(action);
    command = command
        .about(action.title.clone())
        .before_help(page(action))
        .after_help(examples(action, &members, words))
        .help_template("{before-help}{usage-heading} {usage}\n\n{all-args}{after-help}")
        .subcommand_help_heading("Commands")
        .next_line_help(false);
    for member in &members {
        for argument in flags(member) {
            command = command.arg(argument.help_heading("Input"));
        }
    }
    command.args(globals::of_action(action.effect == guichet_contract::Effect::Read))
}

fn flags(member: &Member) -> Vec<Arg> {
    let mut flag = Arg::new(id(&member.name)).long(member.flag.clone());
    let help = help(member);
    if !help.is_empty() {
        flag = flag.help(help);
    }
    if let Some(alias) = &member.alias {
        flag = flag.alias(alias.clone());
    }
    if member.kind == Kind::Boolean {
        let says_no = member.required || member.default == Some(Value::Bool(true));
        let mut flags = vec![flag.action(ArgAction::SetTrue)];
        if says_no {
            let no = Arg::new(no_id(&member.name))
                .long(format!("no-{}", member.flag))
                .action(ArgAction::SetTrue)
                .overrides_with(id(&member.name))
                .help(format!("The opposite of --{}", member.flag));
            flags[0] = flags[0].clone().overrides_with(no_id(&member.name));
            flags.push(no);
        }
        return flags;
    }
    let kind = member.kind.clone();
    flag = flag
        .value_name(kind.value_name())
        .allow_hyphen_values(matches!(scalar(&kind), Kind::Integer { .. } | Kind::Number | Kind::Secret));
    flag = match &kind {
        Kind::Array(_) => flag.action(ArgAction::Append),
        _ => flag.action(ArgAction::Set),
    };
    let words = kind.words();
    flag = if words.is_empty() {
        flag.value_parser(move |text: &str| kind.read(text))
    } else {
        flag.hide_possible_values(true).value_parser(
            PossibleValuesParser::new(words).try_map(move |word| kind.read(&word).map_err(Refusal)),
        )
    };
    vec![flag]
}

/// Clap wants an error type where it maps a checked word.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refusal(String);

fn scalar(kind: &Kind) -> &Kind {
    match kind {
        Kind::Array(item) => item,
        kind => kind,
    }
}

fn help(member: &Member) -> String {
    let mut help = member.description.as_deref().map(one_line).unwrap_or_default();
    let mut remarks = Vec::new();
    if member.required {
        remarks.push("required".to_owned());
    }
    if matches!(member.kind, Kind::Array(_)) {
        remarks.push("may be repeated".to_owned());
    }
    if member.live {
        remarks.push("offered by a picker on a terminal".to_owned());
    }
    match &member.default {
        Some(Value::String(default)) => remarks.push(format!("default: {default}")),
        Some(Value::Null) | None => {}
        Some(default) => remarks.push(format!("default: {default}")),
    }
    if !remarks.is_empty() {
        if !help.is_empty() {
            help.push(' ');
        }
        help.push('(');
        help.push_str(&remarks.join("; "));
        help.push(')');
    }
    help
}

fn page(action: &Action) -> String {
    let mut page = action.title.clone();
    if let Some(description) = &action.description
        && description.trim() != action.title.trim()
    {
        page.push_str("\n\n");
        page.push_str(description.trim());
    }
    page.push_str("\n\n");
    page.push_str(&told(action));
    page.push('\n');
    page
}

/// What it does to the world and who must agree, in lines.
pub(crate) fn told(action: &Action) -> String {
    let effect = match action.effect {
        guichet_contract::Effect::Read => "read: looks, changes nothing",
        guichet_contract::Effect::Change if action.confirm => {
            "change: can be changed back; you are asked before"
        }
        guichet_contract::Effect::Change => "change: can be changed back",
        guichet_contract::Effect::Destroy => "destroy: removes something; you are asked before",
    };
    let mut lines = vec![format!("Effect:    {effect}")];
    if let Some(approval) = &action.approval {
        let because = approval.because.as_ref().map(|because| format!(" ({because})")).unwrap_or_default();
        lines.push(format!("Approval:  {} of {}{because}", approval.count, approval.by));
    } else if action.effect != guichet_contract::Effect::Read {
        lines.push("Approval:  none of the provider's; the policy may ask for one".to_owned());
    }
    if action.cool_down_seconds > 0 {
        let delay = duration(SignedDuration::from_secs(action.cool_down_seconds.into()));
        lines.push(format!("Starts:    {delay} after everybody agreed; it can be cancelled until then"));
    }
    if let Some(undo) = &action.undo {
        lines.push(format!("Undone by: {}.{}", action.provider, undo.operation));
    }
    if let Some(resource) = &action.resource {
        lines.push(format!("Resource:  {resource}"));
    }
    lines.push(format!("Provider:  {} ({})", action.provider, action.id));
    lines.join("\n")
}

fn examples(action: &Action, members: &[Member], words: &[String]) -> String {
    if action.examples.is_empty() {
        return String::new();
    }
    let reason = action.approval.as_ref().map(|_| "why it is needed");
    let mut text = "Examples:".to_owned();
    for example in &action.examples {
        text.push_str("\n  # ");
        text.push_str(&one_line(&example.title));
        text.push_str("\n  ");
        text.push_str(&command_line(words, members, &example.input, reason));
    }
    text
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
