//! A message in a chat, posted to an incoming webhook: Slack's blocks, or an Adaptive Card for Teams.
//!
//! The address is the secret: whoever has it can post. It is in no log, no record and no error. Words of people and
//! providers are shown as they are, and never read as formatting, links or mentions.

use std::time::Duration;

use guichet_contract::{Clock, Message};
use guichet_operations::{NotDelivered, Tried};
use reqwest::header::CONTENT_TYPE;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::{
    card,
    causes::with_causes,
    settings::{ChatFormat, ChatSettings},
    webhook,
};

/// Characters of one value; more is cut off.
const VALUE_MAX: usize = 500;
/// Lines of the card; a message has limits (Slack: 50 blocks, Teams: 28 KB).
const ROWS_MAX: usize = 40;
/// Characters of Slack's header, and fields of one of its sections.
const SLACK: (usize, usize) = (150, 10);

/// A room of a chat, ready.
#[derive(Debug)]
pub struct Chat {
    settings: ChatSettings,
    client: reqwest::Client,
}

impl Chat {
    /// Ready to post. Nothing is sent yet.
    ///
    /// # Errors
    /// When the machine's TLS roots cannot be used.
    pub fn new(settings: ChatSettings, timeout: Duration) -> Result<Self, String> {
        Ok(Self { settings, client: webhook::client(timeout)? })
    }

    /// Posts it once.
    pub(crate) async fn post(&self, message: &Message, clock: &dyn Clock) -> Tried {
        let body = body(self.settings.format, message);
        let sent = self
            .client
            .post(self.settings.url.expose_secret())
            .header(CONTENT_TYPE, "application/json; charset=utf-8")
            .body(body.to_string())
            .send()
            .await;
        match sent {
            Ok(answer) => webhook::judged(answer.status(), answer.headers(), clock.now()),
            Err(error) => Err(NotDelivered::later(with_causes(&error.without_url()))).into(),
        }
    }
}

fn body(format: ChatFormat, message: &Message) -> Value {
    let sentence = card::one_line(&message.sentence);
    let mut rows = card::rows(message);
    let to: Vec<&str> = message.to.iter().map(|to| to.name.as_str()).collect();
    if !to.is_empty() {
        rows.insert(0, ("Told to".to_owned(), to.join(", ")));
    }
    rows.truncate(ROWS_MAX);
    let rows = rows.into_iter().map(|(name, value)| (name.trim().to_owned(), cut(&value, VALUE_MAX)));
    let what = card::purpose(message);
    match format {
        ChatFormat::Slack => slack(&sentence, rows, what, &message.command),
        ChatFormat::Teams => teams(&sentence, rows, what, &message.command),
    }
}

fn slack(sentence: &str, rows: impl Iterator<Item = (String, String)>, what: &str, command: &str) -> Value {
    let plain = |text: String| json!({"type": "plain_text", "text": text, "emoji": false});
    let mut blocks = vec![
        json!({"type": "header", "text": plain(cut(sentence, SLACK.0))}),
        json!({"type": "section", "text": plain(format!("{what}: {command}"))}),
    ];
    let fields: Vec<Value> = rows.map(|(name, value)| plain(format!("{name}\n{value}"))).collect();
    blocks.extend(fields.chunks(SLACK.1).map(|fields| json!({"type": "section", "fields": fields})));
    // What notifications show. Only here is text read as formatting: these three would begin a link or a mention.
    let text = sentence.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    json!({"text": text, "mrkdwn": false, "blocks": blocks})
}

fn teams(sentence: &str, rows: impl Iterator<Item = (String, String)>, what: &str, command: &str) -> Value {
    // Rich text, because a text block or a fact would be read as Markdown.
    let line = |runs: Value| json!({"type": "RichTextBlock", "inlines": runs});
    let mut body = vec![
        line(json!([{"type": "TextRun", "text": sentence, "weight": "Bolder", "size": "Medium"}])),
        line(json!([
            {"type": "TextRun", "text": format!("{what}: ")},
            {"type": "TextRun", "text": command, "fontType": "Monospace"},
        ])),
    ];
    body.extend(rows.map(|(name, value)| {
        line(json!([
            {"type": "TextRun", "text": format!("{name}: "), "isSubtle": true},
            {"type": "TextRun", "text": value},
        ]))
    }));
    json!({"type": "message", "attachments": [{
        "contentType": "application/vnd.microsoft.card.adaptive",
        "content": {
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
            "type": "AdaptiveCard",
            "version": "1.4",
            "body": body,
        },
    }]})
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    format!("{}…", text.chars().take(most - 1).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Message {
        crate::card::tests::message()
    }

    #[test]
    fn a_card_in_either_form() {
        insta::assert_json_snapshot!("slack", body(ChatFormat::Slack, &message()));
        insta::assert_json_snapshot!("teams", body(ChatFormat::Teams, &message()));
    }

    #[test]
    fn words_of_people_and_providers_format_nothing_and_call_nobody() {
        let evil = "<!channel> *approved* [here](https://evil.test)\n> yes".to_owned();
        let message = Message { reason: Some(evil.clone()), sentence: evil, ..message() };
        let slack = body(ChatFormat::Slack, &message);
        assert!(!slack["text"].as_str().unwrap().contains('<'), "{slack}");
        assert!(!slack.to_string().contains("\"type\":\"mrkdwn\""), "{slack}");
        let teams = body(ChatFormat::Teams, &message).to_string();
        assert!(!teams.contains("TextBlock\",\"text") && !teams.contains("FactSet"), "{teams}");
    }

    #[test]
    fn what_is_long_is_cut_to_the_limits() {
        let long = "word ".repeat(2_000);
        let input: serde_json::Map<String, Value> =
            (0..100).map(|number| (format!("member-{number}"), long.clone().into())).collect();
        let long = Message { reason: Some(long.clone()), sentence: long, input: input.into(), ..message() };
        let slack = body(ChatFormat::Slack, &long);
        assert!(slack["blocks"][0]["text"]["text"].as_str().unwrap().chars().count() <= 150);
        let blocks = slack["blocks"].as_array().unwrap();
        assert!(blocks.len() <= 50);
        assert!(
            blocks.iter().all(|block| block["fields"].as_array().is_none_or(|fields| fields.len() <= 10))
        );
    }
}
