//! Input against the action's JSON Schema, told in the words of the person who typed it.

use guichet_contract::{FieldError, Problem, action::flag_name, code, depth};
use jsonschema::{ValidationError, error::ValidationErrorKind};
use serde_json::Value;

use crate::world::CompiledAction;

/// Longer names are nobody's typing mistake, and comparing them is dear.
const LONGEST_NAME: usize = 64;
/// At most so many faults are told at once.
const TOLD_AT_ONCE: usize = 20;

/// The input with the schema's defaults filled in, when it is valid.
///
/// # Errors
/// A problem that names every wrong member and its flag.
pub(crate) fn validate(action: &CompiledAction, input: &Value) -> Result<Value, Problem> {
    if depth::is_deeper_than(input, depth::DEEPEST) {
        return Err(Problem::new(
            code::INVALID_INPUT,
            format!("the input has more than {} levels", depth::DEEPEST),
        )
        .next(help(action)));
    }
    let Value::Object(mut members) = whole_numbers(input) else {
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
    let validator = action.validator().map_err(|not_offered| {
        Problem::new(
            code::INTERNAL,
            format!("no input of {} can be checked: {not_offered}", action.action.id),
        )
        .next("nothing was done; tell the operators of this gateway")
    })?;
    if validator.is_valid(&input) {
        return Ok(input);
    }
    let errors: Vec<FieldError> = validator
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

/// `1.0` is written `1`: JSON Schema holds both for the same integer, so resource, digest and provider must too.
fn whole_numbers(value: &Value) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0; // 2^53
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < EXACT => {
                #[expect(clippy::cast_possible_truncation, reason = "integral and below 2^53")]
                let whole = float as i64;
                Value::from(whole)
            }
            _ => value.clone(),
        },
        Value::Array(items) => items.iter().map(whole_numbers).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, member)| (name.clone(), whole_numbers(member))).collect()
        }
        other => other.clone(),
    }
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
            .take(TOLD_AT_ONCE)
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
    if given.len() > LONGEST_NAME {
        return None;
    }
    names
        .filter(|name| name.len() <= LONGEST_NAME)
        .map(|name| (strsim::damerau_levenshtein(given, name), name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
        .min()
        .map(|(_, name)| name)
}
