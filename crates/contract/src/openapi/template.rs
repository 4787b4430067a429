//! What names members of the input is checked against them: the templates of `resource` and `concurrency`, and the
//! examples.

use serde_json::Value;

use crate::action::{Example, required_members};

use super::{
    finding::{Findings, did_you_mean},
    place::At,
};

/// Checks a template such as `kafka/{cluster}/topics/{topic}`.
pub(super) fn check(field: &str, template: &str, pointer: &str, input: &Value, findings: &mut Findings) {
    let names = match placeholders(template) {
        Ok(names) => names,
        Err(why) => {
            findings.fault(
                pointer,
                format!("`{template}` is no template: {why}; write it as `kafka/{{cluster}}/topics`"),
            );
            return;
        }
    };
    for name in names {
        let Some(member) = member(input, name) else {
            findings.fault(
                pointer,
                format!("`{{{name}}}` names no member of the input{}; {}", near(input, name), offer(input)),
            );
            continue;
        };
        let types = member.get("type").map_or_else(Vec::new, |named| match named {
            Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
            named => named.as_str().into_iter().collect(),
        });
        if types.iter().any(|named| matches!(*named, "object" | "array")) {
            findings.fault(
                pointer,
                format!("`{{{name}}}` is a list or an object; a {field} is made of plain values"),
            );
        }
        if !required_members(input).any(|required| required == name) && member.get("default").is_none() {
            findings.warn(
                pointer,
                format!("`{{{name}}}` is optional: without it there is no {field}; make it required or give it a default"),
            );
        }
    }
    if field == "resource"
        && template.split('/').any(|part| part.is_empty() || part.contains(char::is_whitespace))
    {
        findings.fault(
            pointer,
            format!(
                "`{template}` has an empty part or white space; a resource is parts joined by single `/`"
            ),
        );
    }
}

/// Checks that an example gives members that exist, and all that are required.
pub(super) fn check_example(example: &Example, at: &At<'_>, input: &Value, findings: &mut Findings) {
    let given = At::new(&example.input, at.below("input"));
    for (name, place) in given.members() {
        if member(input, name).is_none() {
            findings.fault(
                place.pointer,
                format!("`{name}` is no member of the input{}; {}", near(input, name), offer(input)),
            );
        }
    }
    for name in required_members(input).filter(|name| example.input.get(name).is_none()) {
        findings.fault(&given.pointer, format!("the example lacks `{name}`, which the input requires"));
    }
}

/// A member of a flat input by name.
pub(super) fn member<'i>(input: &'i Value, name: &str) -> Option<&'i Value> {
    input.get("properties")?.get(name)
}

/// ` (did you mean …?)` among the members of a flat input.
pub(super) fn near(input: &Value, name: &str) -> String {
    did_you_mean(name, names(input))
}

/// The members of a flat input, in words.
pub(super) fn offer(input: &Value) -> String {
    let names: Vec<&str> = names(input).collect();
    if names.is_empty() { "it has none".to_owned() } else { format!("its members are {}", names.join(", ")) }
}

fn names(input: &Value) -> impl Iterator<Item = &str> {
    input.get("properties").and_then(Value::as_object).into_iter().flatten().map(|(name, _)| name.as_str())
}

fn placeholders(template: &str) -> Result<Vec<&str>, &'static str> {
    let mut names = Vec::new();
    let mut rest = template;
    while let Some(open) = rest.find(['{', '}']) {
        let inside = rest[open..].strip_prefix('{').ok_or("a `}` closes nothing")?;
        let close = inside.find(['{', '}']).filter(|close| inside[*close..].starts_with('}'));
        let close = close.ok_or("a `{` is not closed")?;
        if close == 0 {
            return Err("`{}` names nothing");
        }
        names.push(&inside[..close]);
        rest = &inside[close + 1..];
    }
    Ok(names)
}
