//! What was typed, as the flat JSON input of an action.

use std::fs;

use clap::{ArgMatches, parser::ValueSource};
use serde_json::{Map, Value};

use crate::{
    arguments::{
        action::{id, no_id},
        schema::{Kind, Member, read_secret},
    },
    failure::Failure,
};

/// How the whole input is given to an action's own command.
pub(crate) const FLAG: &str = "--input";

/// The whole input first, which was given by `flag`, then the flags of its members, which win.
pub(crate) fn collect(
    matches: &ArgMatches,
    members: &[Member],
    flag: &str,
) -> Result<Map<String, Value>, Failure> {
    let mut input = match matches.get_one::<String>("input") {
        Some(given) => whole(given, flag)?,
        None => Map::new(),
    };
    for member in members {
        if let Some(mut value) = typed(matches, member) {
            if member.kind == Kind::Secret {
                let text = value.as_str().unwrap_or_default();
                let secret =
                    read_secret(text).map_err(|why| Failure::usage(format!("--{}: {why}", member.flag)))?;
                value = secret.into();
            }
            input.insert(member.name.clone(), value);
        }
    }
    Ok(input)
}

fn typed(matches: &ArgMatches, member: &Member) -> Option<Value> {
    let was_typed = |id: &str| {
        matches.try_contains_id(id).unwrap_or(false)
            && matches.value_source(id) == Some(ValueSource::CommandLine)
    };
    let name = id(&member.name);
    match member.kind {
        Kind::Boolean if was_typed(&name) => Some(Value::Bool(true)),
        Kind::Boolean if was_typed(&no_id(&member.name)) => Some(Value::Bool(false)),
        Kind::Boolean => None,
        Kind::Array(_) if was_typed(&name) => {
            Some(matches.get_many::<Value>(&name)?.cloned().collect::<Vec<_>>().into())
        }
        _ if was_typed(&name) => matches.get_one::<Value>(&name).cloned(),
        _ => None,
    }
}

/// `JSON`, `@FILE` or `-`.
fn whole(given: &str, flag: &str) -> Result<Map<String, Value>, Failure> {
    let (text, place) = match given.strip_prefix('@') {
        Some(path) => {
            let text = fs::read_to_string(path);
            (text.map_err(|error| Failure::usage(format!("{flag}: {path}: {error}")))?, path)
        }
        None if given == "-" => {
            let text = std::io::read_to_string(std::io::stdin());
            (text.map_err(|error| Failure::usage(format!("{flag}: {error}")))?, "standard input")
        }
        None => (given.to_owned(), flag),
    };
    serde_json::from_str(&text)
        .map_err(|error| Failure::usage(format!("{place} is not a JSON object: {error}")))
}

/// The required members that are not there yet.
pub(crate) fn missing<'m>(members: &'m [Member], input: &Map<String, Value>) -> Vec<&'m Member> {
    members.iter().filter(|member| member.required && !input.contains_key(&member.name)).collect()
}

#[cfg(test)]
mod tests {
    use clap::{Arg, Command};

    use super::*;

    #[test]
    fn what_is_no_json_is_told_by_the_flag_that_was_typed() {
        for flag in [FLAG, "--payload"] {
            let input = Arg::new("input").long(flag.trim_start_matches('-').to_owned());
            let typed = Command::new("guichet").arg(input).get_matches_from(["guichet", flag, "{"]);
            let failure = collect(&typed, &[], flag).unwrap_err();
            assert!(format!("{failure:?}").contains(&format!("{flag} is not a JSON object")), "{failure:?}");
        }
    }
}
