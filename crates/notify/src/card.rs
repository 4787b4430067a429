//! A message as lines of name and value, and as the plain text of a mail.

use std::fmt::Write as _;

use guichet_contract::{Message, Occasion};
use serde_json::Value;

/// Characters of one value of an input or a plan; more is cut off.
const VALUE_MAX: usize = 200;
/// Characters of a subject.
const SUBJECT_MAX: usize = 150;

/// The subject: where, what it is about, and the run, so that it can be found again.
pub(crate) fn subject(message: &Message) -> String {
    let text = format!("[{}] {} ({})", message.environment, message.sentence, message.short_id);
    let text = one_line(&text);
    if text.chars().count() <= SUBJECT_MAX {
        return text;
    }
    let sentence: String = one_line(&message.sentence).chars().take(SUBJECT_MAX / 2).collect();
    format!("[{}] {sentence}… ({})", message.environment, message.short_id)
}

/// What is known of it, as name and value; each in one line.
pub(crate) fn rows(message: &Message) -> Vec<(String, String)> {
    let mut rows: Vec<(String, String)> = Vec::new();
    let mut row = |name: &str, value: Option<String>| {
        rows.extend(value.map(|value| (one_line(name), one_line(&value))));
    };
    row("Environment", Some(message.environment.clone()));
    row("Action", Some(format!("{} ({})", message.title, message.action)));
    row("Effect", Some(word(&message.effect)));
    row("Resource", Some(message.resource.clone()));
    row("Owner", message.owner.clone());
    row("Asked by", Some(message.requested_by.to_string()));
    row("Reason", message.reason.clone());
    row("Plan", message.plan.clone());
    for fact in &message.facts {
        row(&format!("  {}", fact.name), Some(short(&fact.value)));
    }
    for (name, value) in message.input.as_object().into_iter().flatten() {
        row(&format!("  --{name}"), Some(short(value)));
    }
    for asked in &message.approvals {
        let teams: Vec<String> = asked.teams.iter().map(|team| format!("team {team}")).collect();
        let team = if teams.is_empty() {
            "nobody, because the resource has no owner".to_owned()
        } else {
            teams.join(" or ")
        };
        let needed = format!("{} ({team}; {} of {} given)", asked.because, asked.given, asked.count);
        row("Needs", Some(needed));
    }
    row("Expires", message.expires_at.map(|at| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()));
    row(
        "Decided",
        message.by.as_ref().zip(message.verdict).map(|(by, verdict)| format!("{by}: {}", word(&verdict))),
    );
    row("Because", message.because.clone());
    if let Some(ended) = &message.outcome {
        row("Outcome", Some(word(&ended.status)));
        row(
            "Problem",
            ended.code.clone().zip(ended.detail.clone()).map(|(code, why)| format!("{code}: {why}")),
        );
        row("Next", ended.next.clone());
    }
    if message.occasion == Occasion::Ping {
        row("Delivery", Some(message.run.to_string()));
    } else {
        row("Run", Some(format!("{} ({})", message.run, message.state)));
        row("Binding", Some(message.binding.clone()));
    }
    rows
}

/// What its command is for.
pub(crate) fn purpose(message: &Message) -> &'static str {
    if message.occasion == Occasion::ApprovalRequested {
        "To look at it and approve"
    } else {
        "To look at it"
    }
}

/// The text: the sentence, what to type, and the card.
pub(crate) fn text(message: &Message) -> String {
    let rows = rows(message);
    let what = purpose(message);
    let mut text = format!("{}.\n\n{what}:\n\n    {}\n\n", one_line(&message.sentence), message.command);
    let wide = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    for (name, value) in rows {
        let _written = writeln!(text, "{name:wide$}  {value}");
    }
    text
}

/// A line cannot begin another: no control character survives.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

fn short(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if text.chars().count() <= VALUE_MAX {
        return text;
    }
    format!("{}…", text.chars().take(VALUE_MAX).collect::<String>())
}

/// The word on the wire.
fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The example of `docs/events.md`.
    pub(crate) fn message() -> Message {
        let page = include_str!("../../../docs/events.md");
        let begin = page.find("\"data\": ").unwrap() + 8;
        let mut values = serde_json::Deserializer::from_str(&page[begin..]).into_iter::<Message>();
        values.next().unwrap().unwrap()
    }

    #[test]
    fn a_card_has_everything_at_a_glance() {
        assert_eq!(
            subject(&message()),
            "[staging] dana asks for approval in staging: Terminate backend 14024 on shop (1a2b3c4d)"
        );
        insta::assert_snapshot!(text(&message()));
    }

    #[test]
    fn no_words_of_people_or_providers_begin_a_line_of_their_own() {
        let evil = "x\r\nBcc: eve@corp.test\r\n\r\nApproved by omar".to_owned();
        let mut message = Message { reason: Some(evil.clone()), because: Some(evil.clone()), ..message() };
        message.sentence = evil;
        assert!(!subject(&message).contains(['\r', '\n']));
        let lines: Vec<String> = text(&message).lines().map(str::to_owned).collect();
        assert!(
            !lines.iter().any(|line| line.starts_with("Bcc") || line.starts_with("Approved")),
            "{lines:?}"
        );
    }

    #[test]
    fn a_subject_has_an_end() {
        let long = Message { sentence: "word ".repeat(100), ..message() };
        let subject = subject(&long);
        assert!(subject.chars().count() <= SUBJECT_MAX && subject.ends_with("… (1a2b3c4d)"), "{subject}");
    }
}
