//! An action that is named within a built-in command, by its id or its words, with the flags that its own command takes.

use clap::{ArgMatches, Command};
use guichet_contract::Action;
use serde_json::{Map, Value};

use crate::{
    arguments::{
        Places, action, globals, input,
        schema::{Member, members},
    },
    commands::{Cx, actions},
    failure::Failure,
};

/// What was typed: words, and then flags.
pub(super) fn typed(matches: &ArgMatches) -> (Vec<String>, Vec<String>) {
    let mut named: Vec<String> = matches.get_many::<String>("what").into_iter().flatten().cloned().collect();
    let count = named.iter().take_while(|word| !word.starts_with('-')).count();
    let flags = named.split_off(count);
    (named, flags)
}

/// The action, and what its flags say.
pub(super) struct Named {
    pub(super) action: Action,
    /// The input; none when no flag of it was given.
    pub(super) input: Option<Map<String, Value>>,
    pub(super) reason: Option<String>,
}

/// Finds the action of these words and what takes its flags.
pub(super) fn find(cx: &Cx, named: &[String]) -> Result<(Action, Vec<String>, Vec<Member>), Failure> {
    let catalogue = cx.catalogue()?;
    let places = Places::of(&catalogue);
    let action = actions::find(&catalogue, &places, named)?;
    let words = places.words_of(&action.id).unwrap_or(&action.command).to_vec();
    Ok((action.clone(), words, members(action)))
}

/// Reads its flags. `line` is what was typed before the action.
pub(super) fn read(
    cx: &Cx,
    line: &str,
    (action, words, members): (Action, Vec<String>, Vec<Member>),
    flags: &[String],
) -> Result<Named, Failure> {
    let command = action::fill(bare(), &action, &words).bin_name(format!("{line} {}", action.id));
    let below = parse(globals::add(command, &cx.settings), flags)?;
    let input = input::collect(&below, &members, input::FLAG)?;
    let given = !input.is_empty() || below.contains_id("input");
    let reason = globals::reason(&below).map(str::to_owned);
    Ok(Named { action, input: given.then_some(input), reason })
}

/// A command without a name of its own.
pub(super) fn bare() -> Command {
    Command::new("guichet").version(env!("CARGO_PKG_VERSION")).no_binary_name(true)
}

pub(super) fn parse(command: Command, flags: &[String]) -> Result<ArgMatches, Failure> {
    command.try_get_matches_from(flags).map_err(|error| Failure::Clap(Box::new(error)))
}

/// Takes `--NAME VALUE` from among an action's flags, where the action has none of that name.
pub(super) fn take(flags: &mut Vec<String>, taken: &[&str], name: &str) -> Result<Option<String>, Failure> {
    if taken.contains(&name) {
        return Ok(None);
    }
    let flag = format!("--{name}");
    let is_it = |typed: &String| {
        typed.strip_prefix(&flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    };
    let Some(at) = flags.iter().position(is_it) else { return Ok(None) };
    let typed = flags.remove(at);
    match typed.split_once('=') {
        Some((_, value)) => Ok(Some(value.to_owned())),
        None if at < flags.len() => Ok(Some(flags.remove(at))),
        None => Err(Failure::usage(format!("{flag} needs a value"))),
    }
}
