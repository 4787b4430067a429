//! One flat input out of what goes to the path, the query, headers and the body: every member gets a name of its own.
//!
//! On a clash the path keeps the bare name, then the query, then headers, then the body; who loses is called by its
//! place and name, `body_name`. Names also clash when they would be the same flag on the command line, or one of
//! the flags that the command line keeps for itself. `x-guichet: {name: …}` comes before all of this.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::action::{Parameter, flag_name};

use super::{
    OWN_FLAGS,
    finding::Findings,
    member::{Member, Needed, place_word},
};

/// Members that may bear one name, each with a number behind it.
const MOST_OF_ONE_NAME: usize = 1_000;

/// The names of the members, in their order. `None` in place of one that could not be named.
pub(super) fn names(members: &[Member], findings: &mut Findings) -> Vec<Option<String>> {
    // Flag → name and pointer of who has it.
    let mut taken: BTreeMap<String, (String, String)> = BTreeMap::new();
    let mut names: Vec<Option<String>> = vec![None; members.len()];
    for (member, slot) in members.iter().zip(&mut names) {
        let Some((name, pointer)) = &member.extension.name else { continue };
        let flag = flag_name(name);
        if OWN_FLAGS.contains(&flag.as_str()) {
            findings.fault(
                pointer,
                format!("`--{flag}` is a flag of the command line itself; choose another name"),
            );
        } else if let Some((other, other_pointer)) = taken.get(&flag) {
            findings.fault(
                pointer,
                format!("`{name}` is taken: `{other}` at {other_pointer} has the same flag `--{flag}`; choose another name"),
            );
        } else if flag.is_empty() {
            findings.fault(pointer, format!("`{name}` makes no flag; choose a name with letters or digits"));
        } else {
            taken.insert(flag, (name.clone(), pointer.clone()));
            *slot = Some(name.clone());
        }
    }
    // Members come in the order of precedence: path, query, header, body.
    for (member, slot) in members.iter().zip(&mut names) {
        if member.extension.name.is_some() {
            continue;
        }
        let bare = member.wire_name.clone();
        let placed = format!("{}_{bare}", place_word(member.place));
        if flag_name(&bare).is_empty() {
            findings.doubt(
                &member.pointer,
                format!(
                    "`{bare}` has no letter or digit for a flag; give it one with `x-guichet: {{name: …}}`"
                ),
            );
        }
        let is_free = |name: &String| {
            let flag = flag_name(name);
            !flag.is_empty() && !OWN_FLAGS.contains(&flag.as_str()) && !taken.contains_key(&flag)
        };
        let free = [&bare, &placed].into_iter().find(|name| is_free(name)).cloned();
        let name = free.or_else(|| {
            findings.doubt(
                &member.pointer,
                format!("`{bare}` and `{placed}` are both taken in this input; name one of them with `x-guichet: {{name: …}}`"),
            );
            (2..=MOST_OF_ONE_NAME).map(|number| format!("{placed}_{number}")).find(is_free)
        });
        if let Some(name) = name {
            taken.insert(flag_name(&name), (name.clone(), member.pointer.clone()));
            *slot = Some(name);
        }
    }
    names
}

/// The schema of the flat input, and where each member goes.
pub(super) fn input(
    members: Vec<Member>,
    names: &[Option<String>],
    definitions: Map<String, Value>,
) -> (Value, Vec<Parameter>) {
    let mut properties = Map::new();
    let mut parameters = Vec::new();
    let mut required: Vec<&str> = Vec::new();
    let (mut body, mut needed_with_body) = (Vec::new(), Vec::new());
    for (member, name) in members.into_iter().zip(names) {
        let Some(name) = name else { continue };
        if place_word(member.place) == "body" {
            body.push(name);
        }
        match member.needed {
            Needed::Always => required.push(name),
            Needed::WithBody => needed_with_body.push(name.as_str()),
            Needed::No => {}
        }
        properties.insert(name.clone(), Value::Object(member.schema));
        parameters.push(Parameter {
            name: name.clone(),
            wire_name: member.wire_name,
            place: member.place,
            explode: member.explode,
            style: member.style,
            content_type: member.content_type,
        });
    }
    // Put together by hand: `json!` would copy all of it.
    let members = [
        ("type", json!("object")),
        ("properties", Value::Object(properties)),
        ("required", json!(required)),
        ("additionalProperties", Value::Bool(false)),
    ];
    let mut input =
        Value::Object(members.map(|(name, value)| (name.to_owned(), value)).into_iter().collect());
    if !needed_with_body.is_empty() {
        // An optional body: nothing of it, or all that it requires.
        let each: Map<String, Value> =
            body.iter().map(|name| ((*name).clone(), json!(needed_with_body))).collect();
        input["dependentRequired"] = Value::Object(each);
    }
    if !definitions.is_empty() {
        input["$defs"] = Value::Object(definitions);
    }
    (input, parameters)
}
