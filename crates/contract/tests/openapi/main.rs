//! How documents become actions, room by room: each file is a table or a few stories about one idea.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "these are tests, and tables of JSON read best when they are handed over"
)]

mod catalogue;
mod documents;
mod extension;
mod foreign;
mod lenient;
mod limits;
mod members;
mod mutation;
mod names;
mod schemas;
mod versions;

use guichet_contract::{
    Action,
    openapi::{Finding, Reading, Strictness, read},
};
use serde_json::{Value, json};

/// A document with these paths and components.
fn document(paths: Value, components: Value) -> Value {
    json!({"openapi": "3.1.0", "info": {"title": "Test", "version": "1"}, "paths": paths, "components": components})
}

/// A document with one `POST /things/{thing}` that has these fields as well.
fn posting(fields: Value, components: Value) -> Value {
    let mut operation = json!({
        "operationId": "changeThing",
        "parameters": [{"name": "thing", "in": "path", "required": true, "schema": {"type": "string"}}],
        "responses": {"204": {"description": "done"}},
    });
    for (name, value) in fields.as_object().unwrap() {
        operation[name] = value.clone();
    }
    document(json!({"/things/{thing}": {"post": operation}}), components)
}

/// A request body of this schema.
fn body(schema: Value) -> Value {
    json!({"required": true, "content": {"application/json": {"schema": schema}}})
}

/// What a document of our own says; it must be faultless.
fn strict(document: &Value) -> Reading {
    match read("test", document, Strictness::Strict) {
        Ok(reading) => reading,
        Err(faults) => panic!("{}", told(&faults)),
    }
}

/// The only action of a faultless document.
fn only(document: &Value) -> Action {
    let mut actions = strict(document).actions;
    assert_eq!(actions.len(), 1);
    actions.remove(0)
}

/// The faults of a document of our own.
fn faults(document: &Value) -> Vec<Finding> {
    match read("test", document, Strictness::Strict) {
        Ok(reading) => panic!("no fault was found, only {}", told(&reading.warnings)),
        Err(faults) => faults,
    }
}

/// Checks that exactly one fault is found, at this place, and that its message has these words.
#[track_caller]
fn one_fault(document: &Value, pointer: &str, words: &str) {
    let faults = faults(document);
    assert_eq!(faults.len(), 1, "{}", told(&faults));
    assert_eq!(faults[0].pointer, pointer, "{}", faults[0]);
    assert!(faults[0].message.contains(words), "{} does not say: {words}", faults[0]);
}

fn told(findings: &[Finding]) -> String {
    findings.iter().map(Finding::to_string).collect::<Vec<_>>().join("\n")
}

/// Pointers of an operation made by [`posting`].
fn at(below: &str) -> String {
    format!("/paths/~1things~1{{thing}}/post{below}")
}

/// The members of an action's input, in order.
fn members(action: &Action) -> Vec<&str> {
    action.input["properties"].as_object().unwrap().keys().map(String::as_str).collect()
}

/// Whether an input is valid, by a validator of others' making.
fn is_valid(action: &Action, input: &Value) -> bool {
    jsonschema::draft202012::options().build(&action.input).unwrap().is_valid(input)
}
