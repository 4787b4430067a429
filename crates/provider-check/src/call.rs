//! One call as the gateway makes it: the flat input spread over path, query and body, the token, the headers. A case changes
//! what it wants wrong.

use std::{borrow::Cow, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use guichet_contract::{Action, Clock as _, Digest, Effect, SystemClock, action::Place};
use jiff::{SignedDuration, Timestamp};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, RequestBuilder};
use serde_json::{Map, Value, json};

use crate::{
    Kit,
    answer::{Answer, Not},
    keys,
};

/// What stays as it is in a path segment or a query: the unreserved characters of RFC 3986.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// How long an answer may take.
const ANSWER_TIME: Duration = Duration::from_secs(40);

/// Who signs a call.
#[derive(Debug, Clone)]
pub(crate) enum Signer {
    /// The key that is served.
    Current,
    /// One that is not, under its own name.
    Stranger,
    /// One that is not, under the name of the one that is.
    Forger,
    /// The key that is served, without saying which it is.
    Unnamed,
    /// This instead of a token; nothing at all when empty.
    Text(String),
}

/// A call before it is sent.
#[derive(Clone)]
pub(crate) struct Call<'k> {
    kit: &'k Kit,
    action: &'k Action,
    input: Value,
    claims: Map<String, Value>,
    headers: Vec<(String, String)>,
    signer: Signer,
    journal: Option<Map<String, Value>>,
    body: Option<Vec<u8>>,
}

impl<'k> Call<'k> {
    pub(crate) fn new(kit: &'k Kit, action: &'k Action, input: Value) -> Self {
        let input = flat(action, input);
        let mut call = Self {
            kit,
            action,
            claims: Map::new(),
            headers: Vec::new(),
            signer: Signer::Current,
            journal: None,
            body: None,
            input: input.clone(),
        };
        let now = SystemClock.now();
        for (name, value) in [
            ("iss", json!("guichet/conformance")),
            ("aud", json!(kit.name)),
            ("sub", json!("ada")),
            ("kind", json!("person")),
            ("teams", json!(["conformance"])),
            ("environment", json!("conformance")),
            ("action", json!(action.operation)),
            ("iat", json!(now)),
            ("nbf", json!(now)),
            ("exp", json!(seconds_after(now, 60))),
            ("jti", json!(keys::fresh_id())),
        ] {
            call = call.claim(name, value);
        }
        if action.effect == Effect::Read {
            return call;
        }
        let run = keys::fresh_id();
        call.claim("input", json!(Digest::of_json(&input)))
            .claim("approved_by", json!(["omar"]))
            .for_run(&run)
    }

    /// Sets a claim; `null` removes it.
    pub(crate) fn claim(mut self, name: &str, value: Value) -> Self {
        let _ = if value.is_null() {
            self.claims.shift_remove(name)
        } else {
            self.claims.insert(name.to_owned(), value)
        };
        self
    }

    /// Sets a header; an empty one is not sent.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        if !value.is_empty() {
            self.headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    pub(crate) fn for_run(self, run: &str) -> Self {
        self.claim("run", json!(run)).header("idempotency-key", run)
    }

    pub(crate) fn run(&self) -> String {
        self.claims.get("run").and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    pub(crate) fn mode(self, mode: &str) -> Self {
        self.header("guichet-mode", mode)
    }

    pub(crate) fn signed_by(mut self, signer: Signer) -> Self {
        self.signer = signer;
        self
    }

    /// With what is done, and its digest in the token.
    pub(crate) fn handing(mut self, journal: &Map<String, Value>) -> Self {
        if journal.is_empty() {
            return self;
        }
        self.journal = Some(journal.clone());
        let digest = Digest::of_json(&Value::Object(journal.clone()));
        self.claim("journal", json!(digest)).header("guichet-journal", "body")
    }

    /// As the approved plan says.
    pub(crate) fn planned(self, bound: &Value) -> Self {
        let text = URL_SAFE_NO_PAD.encode(bound.to_string());
        self.claim("plan", json!(Digest::of_json(bound))).header("guichet-plan", &text)
    }

    /// With this body instead of the input's.
    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// As it is told to people: without the token.
    pub(crate) fn told(&self) -> String {
        let (uri, body) = self.spread();
        let headers: Vec<String> = self
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.chars().take(60).collect::<String>()))
            .collect();
        let headers =
            if headers.is_empty() { String::new() } else { format!(" with {}", headers.join(", ")) };
        let body = self.body.as_deref().map_or(Cow::Borrowed(&body[..]), String::from_utf8_lossy);
        let body: String = body.chars().take(300).collect();
        let body = if body.is_empty() { body } else { format!(" and the body {body}") };
        format!("{} {uri}{headers}{body}", self.action.http.method)
    }

    /// The token and everything else, ready to go.
    fn request(&self) -> RequestBuilder {
        let (uri, body) = self.spread();
        let method = Method::from_bytes(self.action.http.method.as_bytes()).unwrap_or(Method::GET);
        let mut request = self.kit.client.request(method, self.kit.url(&uri));
        let key = self.kit.desk.current();
        let claims = Value::Object(self.claims.clone());
        let token = match &self.signer {
            Signer::Current => key.sign(&claims, Some(&key.kid)),
            Signer::Unnamed => key.sign(&claims, None),
            Signer::Stranger => {
                self.kit.desk.stranger.sign(&claims, Some(self.kit.desk.stranger.kid.as_str()))
            }
            Signer::Forger => self.kit.desk.stranger.sign(&claims, Some(&key.kid)),
            Signer::Text(text) => text.clone(),
        };
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let accept = if self.action.long {
            "text/event-stream, application/json"
        } else {
            "application/json, */*;q=0.5"
        };
        request = request.header("accept", accept);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        match &self.body {
            Some(body) => request.header("content-type", "application/json").body(body.clone()),
            None if !body.is_empty() => request.header("content-type", "application/json").body(body),
            None => request,
        }
    }

    /// The token that this call would bear.
    pub(crate) fn token(&self) -> String {
        let key = self.kit.desk.current();
        key.sign(&Value::Object(self.claims.clone()), Some(&key.kid))
    }

    /// Sends it and hears the whole answer.
    pub(crate) async fn send(&self) -> Result<Answer, Not> {
        self.heard().await.map_err(|why| {
            Not::held(&self.told(), "an answer", &format!("the connection ended without one: {why}"))
        })
    }

    /// Sends it; why no answer came, where none did.
    pub(crate) async fn heard(&self) -> Result<Answer, String> {
        let answer = self.begin().await?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = answer.bytes().await.map_err(|error| error.to_string())?;
        Ok(Answer { sent: self.told(), status, headers, body })
    }

    /// Sends it and hears the head of the answer.
    pub(crate) async fn begin(&self) -> Result<reqwest::Response, String> {
        self.request().timeout(ANSWER_TIME).send().await.map_err(|error| causes(&error))
    }

    /// Path with query, and body.
    fn spread(&self) -> (String, String) {
        let empty = Map::new();
        let input = self.input.as_object().unwrap_or(&empty);
        let mut path = self.action.http.path.clone();
        let mut query: Vec<String> = Vec::new();
        let (mut members, mut whole, mut takes_body) = (Map::new(), None, false);
        for parameter in &self.action.http.parameters {
            takes_body |= matches!(parameter.place, Place::Body | Place::BodyMember);
            let Some(value) = input.get(&parameter.name) else { continue };
            let wire = &parameter.wire_name;
            match parameter.place {
                Place::Path => path = path.replace(&format!("{{{wire}}}"), &encoded(&text_of(value))),
                Place::Query => {
                    let texts: Vec<String> = match value {
                        Value::Array(items) if parameter.explode => items.iter().map(text_of).collect(),
                        Value::Array(items) => {
                            vec![items.iter().map(text_of).collect::<Vec<_>>().join(",")]
                        }
                        other => vec![text_of(other)],
                    };
                    query.extend(texts.iter().map(|text| format!("{}={}", encoded(wire), encoded(text))));
                }
                // The kit's own actions have none, and of others only reads with an example are called.
                Place::Header | Place::Cookie => {}
                Place::BodyMember => {
                    let _ = members.insert(wire.clone(), value.clone());
                }
                Place::Body => whole = Some(value.clone()),
            }
        }
        // What the document does not know goes where the others go, so that a case can send it.
        for (name, value) in input {
            if self.action.http.parameters.iter().any(|parameter| parameter.name == *name) {
                continue;
            }
            if takes_body {
                let _ = members.insert(name.clone(), value.clone());
            } else {
                query.push(format!("{}={}", encoded(name), encoded(&text_of(value))));
            }
        }
        if !query.is_empty() {
            path = format!("{path}?{}", query.join("&"));
        }
        let body = match whole {
            Some(value) => Some(value),
            None => takes_body.then_some(Value::Object(members)),
        };
        let body = match &self.journal {
            Some(journal) => json!({"input": body, "journal": journal}).to_string(),
            None => body.map(|body| body.to_string()).unwrap_or_default(),
        };
        (path, body)
    }
}

/// The input with the names of the flat input, which may be others than those on the wire: `query_reason`.
fn flat(action: &Action, input: Value) -> Value {
    let Value::Object(members) = input else { return input };
    let named = |wire: String| {
        let known = action.http.parameters.iter().find(|parameter| parameter.wire_name == wire);
        known.map_or(wire, |parameter| parameter.name.clone())
    };
    members.into_iter().map(|(name, value)| (named(name), value)).collect()
}

/// So many seconds after a moment.
pub(crate) fn seconds_after(moment: Timestamp, seconds: i64) -> Timestamp {
    moment.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(moment)
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// An error with what caused it.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
