//! A message as a CloudEvent 1.0 in JSON (structured mode). `docs/events.md` is its page.

use guichet_contract::{Message, event_schema};
use serde::Serialize;

/// The media type of the body.
pub(crate) const MEDIA_TYPE: &str = "application/cloudevents+json; charset=utf-8";

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
struct CloudEvent<'a> {
    specversion: &'static str,
    id: String,
    source: String,
    r#type: String,
    subject: String,
    time: String,
    datacontenttype: &'static str,
    dataschema: String,
    data: &'a Message,
}

/// The body of a webhook.
///
/// # Errors
/// Never in practice: a message is plain data.
pub(crate) fn body(message: &Message) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&CloudEvent {
        specversion: "1.0",
        id: message.id.to_string(),
        source: format!("/guichet/{}", message.environment),
        r#type: event_schema::type_of(message.occasion),
        subject: message.run.to_string(),
        time: message.at.to_string(),
        datacontenttype: "application/json",
        dataschema: event_schema::name_of(message.occasion),
        data: message,
    })
}
