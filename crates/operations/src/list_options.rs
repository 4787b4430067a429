//! Live values of one input, read from the provider with the caller's own rights.

use std::sync::Arc;

use guichet_admission::{Attempt, Call, Refusal};
use guichet_contract::{Choice, Effect, Problem, RecordVerdict, Verb, code};
use serde_json::{Map, Value};

use crate::{perform_read, platform::Platform};

/// At most so many choices are given.
pub const CHOICES_MAX: usize = 500;

/// The values that can be chosen for `member`, given what is known of the input so far.
///
/// # Errors
/// Unknown action, a member without options, an input that the options depend on and that is missing, policy,
/// and the provider's own.
pub async fn list_options(
    platform: &Arc<Platform>,
    call: &Call,
    action: &str,
    member: &str,
    known: &Value,
) -> Result<Vec<Choice>, Refusal> {
    let caller = platform.door.identify(call).await?;
    let world = platform.door.world();
    let mut record = platform.door.record_of(&caller, Verb::ListOptions, RecordVerdict::Refused);
    record.detail = Some(format!("{member} of {action}").chars().take(200).collect());
    let Some(found) = world.catalogue.action(action) else {
        let problem = Problem::new(code::UNKNOWN_ACTION, "there is no such action")
            .next("`guichet actions list` shows them");
        return Err(platform.door.refuse(record, problem).await);
    };
    let Some(options) = found.action.options.get(member) else {
        let problem = Problem::new(code::NOT_OFFERED, format!("{action} offers no choices for `{member}`"))
            .next("type the value");
        return Err(platform.door.refuse(record, problem).await);
    };
    let source = guichet_contract::ActionId::new(&found.action.provider, &options.operation);
    if world.catalogue.action(source.as_str()).is_none_or(|source| source.action.effect != Effect::Read) {
        let problem = Problem::new(
            code::NOT_OFFERED,
            format!("the choices for `{member}` come from {source}, which is no read"),
        );
        return Err(platform.door.refuse(record, problem).await);
    }
    let mut input = Map::new();
    for (theirs, ours) in &options.with {
        let Some(value) = known.get(ours) else {
            let problem =
                Problem::new(code::INVALID_INPUT, format!("the choices for `{member}` depend on `{ours}`"))
                    .next(format!("give `{ours}` first"));
            return Err(platform.door.refuse(record, problem).await);
        };
        input.insert(theirs.clone(), value.clone());
    }
    let attempt = Attempt { action: source.0, input: Value::Object(input), reason: None };
    let result = perform_read::perform_read(platform, caller, attempt, Verb::ListOptions).await?;
    let rows = result.pointer(&options.rows).and_then(Value::as_array).cloned().unwrap_or_default();
    Ok(rows.iter().take(CHOICES_MAX).filter_map(|row| choice(row, &options.value, &options.label)).collect())
}

fn choice(row: &Value, value: &str, label: &[String]) -> Option<Choice> {
    let value = row.pointer(value)?.clone();
    let words: Vec<String> =
        label.iter().filter_map(|pointer| row.pointer(pointer)).map(text).filter(|t| !t.is_empty()).collect();
    let label =
        if words.is_empty() { text(&value) } else { format!("{}  {}", text(&value), words.join("  ")) };
    Some(Choice { value, label })
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}
