//! Input against the action's JSON Schema, told in the words of the person who typed it.

use guichet_contract::{FieldError, Problem, action::flag_name, code};
use jsonschema::{ValidationError, error::ValidationErrorKind};
use serde_json::Value;

use crate::world::CompiledAction;

/// At most so many faults are told at once.
const TOLD_AT_ONCE: usize = 20;

/// The input with the schema's defaults filled in, when it is valid.
///
/// # Errors
/// A problem that names every wrong member and its flag.
pub(crate) fn validate(action: &CompiledAction, input: Value) -> Result<Value, Problem> {
    let Value::Object(mut members) = input else {
        return Err(Problem::new(
            code::INVALID_INPUT,
            format!("the input of {} is a JSON object with the action's inputs as members", action.action.id),
        )
        .next(help(action)));
    };
    if let Some(properties) = action.action.input.get("properties").and_then(Value::as_object) {
        for (name, schema) in properties {
            if let Some(default) = schema.get("default") {
                members.entry(name.clone()).or_insert_with(|| default.clone());
            }
        }
    }
    let input = Value::Object(members);
    if action.validator.is_valid(&input) {
        return Ok(input);
    }
    let errors: Vec<FieldError> = action
        .validator
        .iter_errors(&input)
        .take(TOLD_AT_ONCE)
        .flat_map(|error| field_errors(action, &error))
        .collect();
    let what = match errors.len() {
        1 => "one input is".to_owned(),
        n => format!("{n} inputs are"),
    };
    Err(Problem::new(code::INVALID_INPUT, format!("{what} not as {} takes it", action.action.id))
        .errors(errors)
        .next(help(action)))
}

fn help(action: &CompiledAction) -> String {
    format!("see `guichet {} --help`", action.action.command.join(" "))
}

fn field_errors(action: &CompiledAction, error: &ValidationError<'_>) -> Vec<FieldError> {
    let pointer = error.instance_path().as_str().to_owned();
    match error.kind() {
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            vec![at(&format!("{pointer}/{name}"), "is required".to_owned())]
        }
        ValidationErrorKind::AdditionalProperties { unexpected } => unexpected
            .iter()
            .map(|name| {
                let hint = nearest(name, known_members(action))
                    .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
                FieldError {
                    flag: None,
                    pointer: format!("{pointer}/{name}"),
                    message: format!("is not an input of this action{hint}"),
                }
            })
            .collect(),
        // Masked: a wrong value may be a secret typed into the wrong place.
        _ => vec![at(&pointer, error.masked_with("the value").to_string())],
    }
}

fn at(pointer: &str, message: String) -> FieldError {
    let first = pointer.split('/').nth(1).filter(|name| !name.is_empty());
    FieldError {
        pointer: pointer.to_owned(),
        flag: first.map(|name| format!("--{}", flag_name(name))),
        message,
    }
}

fn known_members(action: &CompiledAction) -> impl Iterator<Item = &str> {
    action
        .action
        .input
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(name, _)| name.as_str())
}

/// The nearest of the names, when it is near enough to be meant.
pub(crate) fn nearest<'a>(given: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    names
        .map(|name| (strsim::damerau_levenshtein(given, name), name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
        .min()
        .map(|(_, name)| name)
}
