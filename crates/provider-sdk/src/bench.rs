//! A bench to try a provider on, without a gateway: calls are signed with a key of the bench's own and go
//! through the provider's router, so that what holds here holds behind a gateway.
//!
//! ```no_run
//! # use guichet_provider_sdk::{Provider, bench::Bench};
//! # use serde_json::json;
//! # async fn run(provider: Provider) -> Result<(), Box<dyn std::error::Error>> {
//! let bench = Bench::new(provider)?;
//! let greeting = bench.call("say-hello", json!({"name": "Ada"})).await?;
//! # Ok(()) }
//! ```

mod long_run;

use std::sync::Arc;

use axum::{Router, body::Body, response::Response};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
pub use guichet_contract::Action;
use guichet_contract::{
    Clock, Effect, Plan, Principal, Problem,
    action::Place,
    code,
    openapi::{self, Strictness},
};
use http::{Request, header};
use http_body_util::BodyExt as _;
use jiff::{SignedDuration, Timestamp};
use pasetors::{
    keys::{AsymmetricKeyPair, Generate as _},
    paserk::{FormatAsPaserk as _, Id},
    version4::{PublicToken, V4},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};
use tower::ServiceExt as _;

use crate::{
    keys::Keys,
    prepared::{Prepared, ReadyAction},
    provider::{Mistakes, Provider},
};

pub use long_run::LongRun;

/// Signs calls as a gateway does.
pub struct Bench {
    prepared: Prepared,
    router: Router,
    keys: AsymmetricKeyPair<V4>,
    kid: String,
    clock: Arc<dyn Clock>,
    principal: Principal,
}

impl Bench {
    /// A bench for this provider, whose declarations must be right.
    pub fn new(provider: impl Into<Provider>) -> Result<Self, BenchError> {
        let provider = provider.into();
        let no_key = |error: pasetors::errors::Error| BenchError::NoKey(error.to_string());
        let no_text = |error: std::fmt::Error| BenchError::NoKey(error.to_string());
        let keys = AsymmetricKeyPair::<V4>::generate().map_err(no_key)?;
        let (mut public, mut kid) = (String::new(), String::new());
        keys.public.fmt(&mut public).map_err(no_text)?;
        Id::from(&keys.public).fmt(&mut kid).map_err(no_text)?;
        let clock = Arc::clone(&provider.clock);
        let prepared =
            provider.prepare(Keys::fixed([public]).map_err(|error| BenchError::NoKey(error.to_string()))?);
        prepared.check()?;
        let principal = Principal::person("bench");
        Ok(Self { router: prepared.router(), prepared, keys, kid, clock, principal })
    }

    /// Ends as a process that is told to stop. Answers how many changes are still under way after `limit`.
    pub async fn stop(&self, limit: std::time::Duration) -> usize {
        self.prepared.drain(limit).await
    }

    /// Calls as this principal from now on.
    #[must_use]
    pub fn acting_as(mut self, principal: Principal) -> Self {
        self.principal = principal;
        self
    }

    /// The provider's router, for requests of one's own.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// An operation as the gateway reads it in the provider's document: the words of its command, its flags, who must approve.
    ///
    /// # Errors
    /// No such operation.
    pub fn action(&self, operation: &str) -> Result<Action, Box<Problem>> {
        let desk = self.prepared.desk();
        let document: Value = serde_json::from_slice(&desk.document)
            .map_err(|error| Problem::new(code::PROVIDER_PROTOCOL, error.to_string()))?;
        let reading = openapi::read(&desk.name, &document, Strictness::Strict).map_err(|findings| {
            let told: Vec<String> = findings.iter().map(|finding| finding.message.clone()).collect();
            Problem::new(code::PROVIDER_PROTOCOL, told.join("; "))
        })?;
        let found = reading.actions.into_iter().find(|action| action.operation == operation);
        found.ok_or_else(|| unknown(operation).into())
    }

    /// Calls an operation with a flat input, as a run of its own when it is a change.
    pub async fn call(&self, operation: &str, input: Value) -> Result<Value, Box<Problem>> {
        self.perform(operation, input, None).await
    }

    /// Asks for the plan.
    pub async fn plan(&self, operation: &str, input: Value) -> Result<Plan, Box<Problem>> {
        let request = self.request(operation, &input, Call::plan)?;
        let plan = result_of(self.send(request).await).await?;
        serde_json::from_value(plan)
            .map_err(|error| Problem::new(code::PROVIDER_PROTOCOL, error.to_string()).into())
    }

    /// Performs an operation; with what `plan` is bound to, as after its approval.
    pub async fn perform(
        &self,
        operation: &str,
        input: Value,
        plan: Option<&Plan>,
    ) -> Result<Value, Box<Problem>> {
        let bound = plan.and_then(|plan| plan.bound.as_ref());
        let request = self.request(operation, &input, |call| match bound {
            Some(bound) => call.header("guichet-plan", URL_SAFE_NO_PAD.encode(bound.to_string())),
            None => call,
        })?;
        result_of(self.send(request).await).await
    }

    /// A signed request; `change` may alter the call before it is signed.
    pub fn request(
        &self,
        operation: &str,
        input: &Value,
        change: impl FnOnce(Call) -> Call,
    ) -> Result<Request<Body>, Box<Problem>> {
        let desk = self.prepared.desk();
        let mut actions = desk.actions.iter();
        let action =
            actions.find(|action| action.operation == operation).ok_or_else(|| unknown(operation))?;
        let call = change(Call::new(self, action, input));
        let footer = json!({"kid": self.kid}).to_string();
        let token = PublicToken::sign(
            &self.keys.secret,
            Value::Object(call.claims).to_string().as_bytes(),
            Some(footer.as_bytes()),
            None,
        )
        .map_err(|error| Problem::new(code::INTERNAL, format!("the bench cannot sign: {error:?}")))?;
        let (uri, body) = spread(action, input);
        let mut request = Request::builder()
            .method(action.method.clone())
            .uri(uri)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, format!("Bearer {token}"));
        for (name, value) in call.headers {
            request = request.header(name, value);
        }
        request.body(Body::from(body)).map_err(|error| Problem::new(code::INTERNAL, error.to_string()).into())
    }

    /// Sends a request through the provider's router.
    pub async fn send(&self, request: Request<Body>) -> Response {
        match self.router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

fn unknown(operation: &str) -> Problem {
    Problem::new(code::UNKNOWN_ACTION, format!("the provider has no operation `{operation}`"))
}

/// Why there is no bench.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The provider is declared wrongly.
    #[error(transparent)]
    Mistakes(#[from] Mistakes),
    /// The bench has no key to sign with.
    #[error("the bench cannot make a key: {0}")]
    NoKey(String),
}

/// A call before it is signed.
pub struct Call {
    claims: Map<String, Value>,
    headers: Vec<(String, String)>,
}

impl Call {
    fn new(bench: &Bench, action: &ReadyAction, input: &Value) -> Self {
        let now = bench.clock.now();
        let principal = &bench.principal;
        let mut call = Self { claims: Map::new(), headers: Vec::new() };
        call = call
            .claim("iss", "guichet/bench")
            .claim("aud", bench.prepared.name())
            .claim("sub", principal.name.as_str())
            .claim("kind", json!(principal.kind))
            .claim("teams", json!(principal.teams))
            .claim("environment", "bench")
            .claim("action", action.operation.as_str())
            .claim("iat", json!(now))
            .claim("nbf", json!(now))
            .claim("exp", json!(later(now, 60)))
            .claim("jti", bench.clock.new_uuid().to_string());
        if let Some(agent) = &principal.agent {
            call = call.claim("agent", agent.as_str());
        }
        if action.effect != Effect::Read {
            let run = bench.clock.new_uuid().to_string();
            call = call
                .claim("input", json!(action.input.digest(input)))
                .claim("approved_by", json!([]))
                .as_run(&run);
        }
        call
    }

    /// Sets a claim; `Value::Null` removes it.
    #[must_use]
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        match value.into() {
            Value::Null => drop(self.claims.remove(name)),
            value => drop(self.claims.insert(name.to_owned(), value)),
        }
        self
    }

    /// Adds or replaces a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// As this run: claim and `Idempotency-Key`.
    #[must_use]
    pub fn as_run(self, run: &str) -> Self {
        self.claim("run", run).header("idempotency-key", run)
    }

    /// Asks for the plan.
    #[must_use]
    pub fn plan(self) -> Self {
        self.header("guichet-mode", "plan")
    }
}

/// What a response says: its result, or its problem.
pub async fn result_of(response: Response) -> Result<Value, Box<Problem>> {
    let status = response.status();
    let unclear = |error: String| Box::new(Problem::new(code::PROVIDER_PROTOCOL, error));
    let body = response.into_body().collect().await.map_err(|error| unclear(error.to_string()))?.to_bytes();
    if !status.is_success() {
        // Not in the protocol's form: a gateway takes it as «nobody can say».
        let silent = || {
            Box::new(Problem::new(code::PROVIDER_SILENT, String::from_utf8_lossy(&body).trim().to_owned()))
        };
        return Err(serde_json::from_slice(&body).unwrap_or_else(|_| silent()));
    }
    if body.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&body).map_err(|error| unclear(error.to_string()))
}

/// `seconds` after a moment.
pub fn later(moment: Timestamp, seconds: i64) -> Timestamp {
    moment.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(moment)
}

/// Spreads a flat input over path, query and body, as the gateway does.
fn spread(action: &ReadyAction, input: &Value) -> (String, String) {
    let (mut path, mut query, mut body) = (action.path.clone(), Vec::new(), Map::new());
    for (name, value) in input.as_object().into_iter().flatten() {
        let place = action.places.iter().find(|(known, _)| known == name).map(|(_, place)| *place);
        match place {
            Some(Place::Path) => path = path.replace(&format!("{{{name}}}"), &encoded(value)),
            Some(Place::Query) if value.is_null() => {}
            Some(Place::Query) => {
                let items = value.as_array().map_or_else(|| vec![value], |items| items.iter().collect());
                query.extend(items.into_iter().map(|item| format!("{name}={}", encoded(item))));
            }
            _ if action.input.has_body() => drop(body.insert(name.clone(), value.clone())),
            _ => query.push(format!("{name}={}", encoded(value))),
        }
    }
    let uri = if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) };
    let body = if action.input.has_body() { Value::Object(body).to_string() } else { String::new() };
    (uri, body)
}

fn encoded(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    utf8_percent_encode(&text, NON_ALPHANUMERIC).to_string()
}
