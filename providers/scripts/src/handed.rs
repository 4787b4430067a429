//! What a script is handed: its input as environment, as arguments and as JSON; who asks; its secrets.

use std::collections::BTreeMap;

use guichet_contract::Effect;
use guichet_provider_sdk::{ActionError, Context};
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value};

use crate::{
    header::{Header, Kind},
    runner::Hidden,
    settings::Settings,
};

/// Longest value of an environment variable or argument, bytes; Linux takes 128 KiB with the name.
const LONGEST: usize = 120 * 1024;

/// One part of an argument's template.
#[derive(Debug, PartialEq, Eq)]
enum Part<'a> {
    Text(&'a str),
    Member(&'a str),
}

fn parts(template: &str) -> Result<Vec<Part<'_>>, String> {
    let mut parts = Vec::new();
    let mut rest = template;
    while let Some((text, after)) = rest.split_once('{') {
        let (name, after) = after
            .split_once('}')
            .ok_or_else(|| format!("args: `{template}` has a `{{` that nothing closes"))?;
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        parts.push(Part::Member(name));
        rest = after;
    }
    if !rest.is_empty() || parts.is_empty() {
        parts.push(Part::Text(rest));
    }
    Ok(parts)
}

/// The variable in which a member is found: `sourceTopic-1` → `INPUT_SOURCETOPIC_1`.
fn variable(member: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    format!("INPUT_{}", member.chars().map(plain).collect::<String>())
}

/// What is wrong with how a header hands things over.
pub(crate) fn mistakes(header: &Header, settings: &Settings) -> Vec<String> {
    let mut mistakes = Vec::new();
    for template in &header.args {
        let parts = parts(template).unwrap_or_else(|why| {
            mistakes.push(why);
            Vec::new()
        });
        for part in parts {
            let Part::Member(name) = part else { continue };
            match header.inputs.get(name) {
                None => mistakes.push(format!("args: `{{{name}}}` is no input: add [input.{name}], or mend the name")),
                Some(member) if member.sensitive => mistakes.push(format!(
                    "args: `{{{name}}}` is sensitive, and everybody on the machine can see arguments: read {} instead",
                    variable(name)
                )),
                Some(_) => {}
            }
        }
        if template.contains('\0') {
            mistakes.push("args: an argument cannot contain NUL".to_owned());
        }
    }
    let mut variables = BTreeMap::new();
    for (name, member) in &header.inputs {
        if let Some(other) = variables.insert(variable(name), name) {
            mistakes
                .push(format!("inputs `{other}` and `{name}` would both be {}: rename one", variable(name)));
        }
        if member.sensitive && header.effect() == Effect::Read {
            mistakes.push(format!("input `{name}` is sensitive, and the input of a read travels in its URL: give it another effect"));
        }
    }
    for name in header.secrets.iter().filter(|name| !settings.secrets.contains_key(*name)) {
        mistakes
            .push(format!("secrets: `{name}` is not in the provider's settings: add [secrets.{name}] there"));
    }
    mistakes
}

/// A value as a script reads it: text as it is, anything else as JSON.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The input with the defaults of what was not given, and without nulls.
pub(crate) fn whole(header: &Header, input: &Value) -> Map<String, Value> {
    let given = input.as_object().cloned().unwrap_or_default();
    let mut whole: Map<String, Value> = given.into_iter().filter(|(_, value)| !value.is_null()).collect();
    for (name, member) in &header.inputs {
        if let Some(default) = &member.default {
            whole.entry(name.clone()).or_insert_with(|| default.clone());
        }
    }
    whole
}

/// Its arguments. One with a member that was not given is left out.
///
/// # Errors
/// A value that would be taken for an option.
pub(crate) fn arguments(header: &Header, input: &Map<String, Value>) -> Result<Vec<String>, ActionError> {
    let mut arguments = Vec::new();
    let mut after_dashes = false;
    for template in &header.args {
        after_dashes |= template == "--";
        let parts = parts(template).map_err(ActionError::failed)?;
        let mut argument = String::new();
        let mut is_there = true;
        for part in &parts {
            match part {
                Part::Text(text) => argument.push_str(text),
                Part::Member(name) => match input.get(*name) {
                    Some(value) => argument.push_str(&text(value)),
                    None => is_there = false,
                },
            }
        }
        if let (Some(Part::Member(name)), true, false) =
            (parts.first(), argument.starts_with('-'), after_dashes)
        {
            let is_text = header.inputs.get(*name).is_some_and(|member| member.r#type == Kind::String);
            if is_text {
                return Err(ActionError::invalid(
                    format!("/{name}"),
                    "it begins with `-`, which the script would take for an option",
                ));
            }
        }
        if is_there {
            arguments.push(argument);
        }
    }
    Ok(arguments)
}

/// Its environment, but for what the runner adds.
///
/// # Errors
/// A value that does not fit into a variable, or a secret that cannot be read.
pub(crate) fn environment(
    header: &Header,
    settings: &Settings,
    context: &Context,
    input: &Map<String, Value>,
    milliseconds: u128,
) -> Result<Vec<(String, String)>, ActionError> {
    let mut environment = Vec::new();
    for (name, value) in input {
        let value = text(value);
        if value.contains('\0') || value.len() > LONGEST {
            let why = format!("it has a NUL, or more than the {LONGEST} bytes that a script can be handed");
            return Err(ActionError::invalid(format!("/{name}"), why));
        }
        environment.push((variable(name), value));
    }
    let principal = context.principal();
    let mut requester = principal.name.clone();
    if let Some(agent) = &principal.agent {
        requester = format!("{requester} (through agent {agent})");
    }
    for (name, value) in [
        ("GUICHET_RUN", context.run().unwrap_or_default().to_owned()),
        ("GUICHET_REQUESTED_BY", requester),
        ("GUICHET_APPROVED_BY", context.approved_by().join(",")),
        ("GUICHET_ENVIRONMENT", context.environment().to_owned()),
        ("GUICHET_DEADLINE_MS", milliseconds.to_string()),
    ] {
        environment.push((name.to_owned(), value));
    }
    for name in &header.secrets {
        let place = settings.secrets.get(name).ok_or_else(|| missing(name, "it is not in the settings"))?;
        let secret = place.read().map_err(|why| missing(name, &why))?;
        environment.push((name.clone(), secret.expose_secret().to_owned()));
    }
    Ok(environment)
}

fn missing(name: &str, why: &str) -> ActionError {
    ActionError::unavailable(format!("the script needs the secret {name}, which cannot be had: {why}"))
        .next("tell the owners of the provider")
}

/// What must not appear in its output: secrets and sensitive input, also as they stand in JSON. Too short a text would hide
/// everything, so what has fewer than 4 characters is left.
pub(crate) fn hidden(header: &Header, environment: &[(String, String)]) -> Hidden {
    let is_hidden = |name: &String| {
        header.secrets.contains(name)
            || header.inputs.iter().any(|(member, declared)| declared.sensitive && variable(member) == *name)
    };
    let is_secret = |(name, _): &&(String, String)| header.secrets.contains(name);
    let secrets = environment.iter().filter(is_secret).map(|(_, value)| value.clone()).collect();
    let mut hidden = Vec::new();
    for (_, value) in environment.iter().filter(|(name, _)| is_hidden(name)) {
        let mut texts = vec![value.clone()];
        // An object or a list: each value in it alone, too.
        if let Ok(whole @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str(value) {
            leaves(&whole, &mut texts);
        }
        // Output is read line by line.
        let lines = texts.iter().flat_map(|text| text.lines()).map(str::trim);
        for text in lines.filter(|text| text.chars().count() >= 4) {
            hidden.push(text.to_owned());
            let quoted = Value::from(text).to_string();
            let quoted = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(&quoted);
            if quoted != text {
                hidden.push(quoted.to_owned());
            }
        }
    }
    // A longer one may contain a shorter one.
    hidden.sort_by_key(|text| std::cmp::Reverse(text.len()));
    Hidden { texts: hidden, secrets }
}

fn leaves(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text.clone()),
        Value::Number(number) => texts.push(number.to_string()),
        Value::Array(items) => items.iter().for_each(|item| leaves(item, texts)),
        Value::Object(members) => members.values().for_each(|member| leaves(member, texts)),
        Value::Null | Value::Bool(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::header::{Block, read};

    fn header(text: &str) -> Header {
        read(&Block { text: format!("title = 'T'\n{text}"), after_line: 0 }).unwrap()
    }

    #[test]
    fn an_argument_is_one_argument_whatever_is_in_it() {
        let header =
            header("args = ['--to={to}', '{name}', '{gone}']\n[input.to]\n[input.name]\n[input.gone]\n");
        let input = whole(&header, &json!({"to": "-x", "name": "a b; $(rm) 'q'\n"}));
        assert_eq!(arguments(&header, &input).unwrap(), ["--to=-x", "a b; $(rm) 'q'\n"]);
        let input = whole(&header, &json!({"to": "x", "name": "--force"}));
        let error = arguments(&header, &input).unwrap_err();
        assert_eq!(error.problem().errors[0].pointer, "/name");
    }

    #[test]
    fn what_a_header_cannot_hand_over_is_told() {
        let settings = Settings::from_toml("folder = 'x'", std::path::Path::new(".")).unwrap();
        for (text, words) in [
            ("args = ['{a}']", "`{a}` is no input"),
            ("args = ['{a}']\n[input.a]\nsensitive = true", "everybody on the machine can see arguments"),
            ("args = ['{a']\n[input.a]", "nothing closes"),
            ("[input.a-b]\n[input.a_b]", "would both be INPUT_A_B"),
            ("secrets = ['TOKEN']", "add [secrets.TOKEN]"),
            ("effect = 'read'\n[input.a]\nsensitive = true", "travels in its URL"),
        ] {
            let told = mistakes(&header(text), &settings).join("; ");
            assert!(told.contains(words), "{words}: {told}");
        }
    }

    #[test]
    fn what_is_hidden_is_hidden_in_json_too() {
        let header = header("secrets = ['TOKEN']\n[input.pin]\nsensitive = true\n");
        let environment = [("TOKEN", "a\"bcd"), ("INPUT_PIN", "12345678"), ("PATH", "/bin/x")]
            .map(|(n, v)| (n.to_owned(), v.to_owned()));
        let hidden = hidden(&header, &environment);
        assert_eq!(hidden.texts, ["12345678", "a\\\"bcd", "a\"bcd"]);
        assert_eq!(hidden.secrets, ["a\"bcd"]);
    }
}
