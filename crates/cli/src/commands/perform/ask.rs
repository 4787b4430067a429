//! Values that are required and were not typed: asked for on a terminal, told as an error elsewhere.

use guichet_client::Client;
use serde_json::{Map, Value, json};

use crate::{
    arguments::{
        example::command_line,
        globals,
        input::missing,
        schema::{Kind, Member},
    },
    commands::perform::Attempt,
    exit::Exit,
    failure::Failure,
    printer::text::{cell, plain},
    prompt::{self, Choice},
};

/// An error that names all missing flags, with a command line that would do.
pub(super) fn nothing_missing(attempt: &Attempt<'_>, input: &Map<String, Value>) -> Result<(), Failure> {
    let missing = missing(attempt.members, input);
    if missing.is_empty() {
        return Ok(());
    }
    let flags: Vec<String> = missing.iter().map(|member| format!("--{}", member.flag)).collect();
    let mut example = input.clone();
    for member in &missing {
        example.insert(member.name.clone(), sample(attempt, member));
    }
    let reason = globals::reason(attempt.matches);
    let reason = reason.or_else(|| attempt.action.approval.as_ref().map(|_| "why it is needed"));
    let line = command_line(attempt.words, attempt.members, &example.into(), reason);
    Err(Failure::new(Exit::Usage, "Missing values", flags.join(", ")).next(format!("for example: {line}")))
}

/// From the action's own examples, else something of the right form.
fn sample(attempt: &Attempt<'_>, member: &Member) -> Value {
    let given = attempt.action.examples.iter().find_map(|example| example.input.get(&member.name));
    given.cloned().unwrap_or_else(|| match &member.kind {
        Kind::Integer { minimum, .. } => json!(minimum.unwrap_or(1)),
        Kind::Number => json!(1.5),
        Kind::Boolean => json!(true),
        Kind::Enum(values) => values.first().cloned().unwrap_or_default(),
        Kind::Json => json!({}),
        Kind::Secret => json!("@FILE"),
        Kind::Array(_) | Kind::Text | Kind::Bytes => json!(member.name.to_uppercase()),
    })
}

/// Asks for what is missing: a picker where the gateway knows the values, else a question by kind. A value
/// that others need in order to be offered is asked for first.
pub(super) async fn for_missing(
    attempt: &Attempt<'_>,
    client: &Client,
    input: &mut Map<String, Value>,
) -> Result<(), Failure> {
    loop {
        let open = missing(attempt.members, input);
        if open.is_empty() {
            return Ok(());
        }
        if !prompt::is_possible() {
            return nothing_missing(attempt, input);
        }
        let waits_for_another = |member: &Member| {
            let options = attempt.action.options.get(&member.name);
            options.is_some_and(|options| {
                options
                    .with
                    .values()
                    .any(|needed| *needed != member.name && open.iter().any(|other| other.name == *needed))
            })
        };
        // Where two wait for each other the first one is asked for as it is.
        let next = open.iter().find(|member| !waits_for_another(member)).or(open.first());
        let Some(member) = next else { return Ok(()) };
        let value = value(attempt, client, member, input).await?;
        input.insert(member.name.clone(), value);
    }
}

async fn value(
    attempt: &Attempt<'_>,
    client: &Client,
    member: &Member,
    input: &Map<String, Value>,
) -> Result<Value, Failure> {
    let title = format!("--{}:", member.flag);
    if member.live {
        let known = Value::Object(input.clone());
        match client.list_options(&attempt.action.id, &member.name, &known, None).await {
            Ok(items) if !items.is_empty() => {
                let value = prompt::pick(&title, items.into_iter().map(choice).collect())?;
                return Ok(if matches!(member.kind, Kind::Array(_)) { json!([value]) } else { value });
            }
            Ok(_) => attempt.printer.note(&format!("there is nothing to choose from for --{}", member.flag)),
            Err(error) => {
                let why = Failure::from(error).summary();
                attempt.printer.note(&format!("the values of --{} cannot be listed: {why}", member.flag));
            }
        }
    }
    let help = member.description.as_deref().map(plain);
    match &member.kind {
        Kind::Secret => {
            let secret = prompt::ask_hidden(&title)?;
            Ok(secret.reveal().into())
        }
        Kind::Boolean => {
            let question = help.unwrap_or_else(|| title.clone());
            Ok(prompt::confirm(question.trim_end_matches(['.', ':', '?']))?.into())
        }
        kind if !kind.words().is_empty() => {
            let words = kind.words();
            let choices = words.into_iter().map(|word| Choice { value: json!(word), label: word }).collect();
            let word = prompt::pick(&title, choices)?;
            let value = kind.read(word.as_str().unwrap_or_default()).map_err(Failure::usage)?;
            Ok(if matches!(kind, Kind::Array(_)) { json!([value]) } else { value })
        }
        kind => {
            let reader = kind.clone();
            let read = move |text: &str| {
                if text.trim().is_empty() { Err("it is required".to_owned()) } else { reader.read(text) }
            };
            let value = prompt::ask(&title, help.as_deref(), read)?;
            Ok(if matches!(kind, Kind::Array(_)) { json!([value]) } else { value })
        }
    }
}

fn choice(item: guichet_contract::Choice) -> Choice {
    let value = cell(&item.value);
    let label = plain(&item.label);
    let label = match label.as_str() {
        "" => value,
        label if label.starts_with(&value) => label.to_owned(),
        label => format!("{value}  {label}"),
    };
    Choice { value: item.value, label }
}
