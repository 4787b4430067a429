//! `POST /v1/actions/{action}/runs`: a read is answered, a change becomes a run.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse as _, Response},
    routing::post,
};
use guichet_contract::Run;
use guichet_operations::{
    Attempt,
    submit_run::{self, Manner, Submitted},
};
use http::{HeaderValue, Method, StatusCode, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    answer::Refused,
    api::Endpoint,
    extract::{Caller, IdempotencyKey, JsonBody},
    state::Gateway,
};

/// An attempt.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// The action's flat input.
    #[serde(default)]
    pub(crate) input: Map<String, Value>,
    /// Why.
    #[serde(default)]
    pub(crate) reason: Option<String>,
    /// Go on without the approvals that are needed, in an emergency. Policy says who may; a review is opened.
    #[serde(default)]
    pub(crate) break_glass: bool,
}

impl Wanted {
    pub(crate) fn attempt(self, action: String) -> Attempt {
        Attempt { action, input: Value::Object(self.input), reason: self.reason }
    }
}

/// What a read answers.
#[derive(Serialize, JsonSchema)]
pub struct ReadResult {
    /// The provider's answer.
    result: Value,
}

pub(crate) fn endpoint() -> Endpoint {
    Endpoint::new(Method::POST, "/v1/actions/{action}/runs", "submit_run", "Perform an action", post(handle))
        .takes::<Wanted>()
        .idempotent("the run that it made the first time")
        .answers::<ReadResult>(
            200,
            "A read: its result. A repeated Idempotency-Key: the run of the first time",
        )
        .answers::<Run>(202, "A change: the run, at Location")
}

async fn handle(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
    IdempotencyKey(key): IdempotencyKey,
    Path(action): Path<String>,
    JsonBody(body): JsonBody<Wanted>,
) -> Result<Response, Refused> {
    let manner = Manner { idempotency_key: key, break_glass: body.break_glass, ..Manner::default() };
    let submitted = submit_run::submit_run(&gateway.platform, &call, body.attempt(action), manner).await?;
    Ok(answer(submitted))
}

pub(crate) fn answer(submitted: Submitted) -> Response {
    let (status, run) = match submitted {
        Submitted::Read(result) => return Json(ReadResult { result }).into_response(),
        Submitted::Run(run) => (StatusCode::ACCEPTED, run),
        Submitted::Repeated(run) => (StatusCode::OK, run),
    };
    let location = HeaderValue::from_str(&format!("/v1/runs/{}", run.id));
    let mut response = (status, Json(run)).into_response();
    if let Ok(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}
