//! `POST /v1/policy/explain` and, without an input, `GET /v1/policy/explain`: why the policies answer as they do.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    routing::{get, post},
};
use guichet_contract::Explanation;
use guichet_operations::{About, explain_policy};
use http::Method;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    answer::Refused,
    api::Endpoint,
    extract::{Caller, JsonBody, Params},
    state::Gateway,
};

/// What the policies are asked about: an action, with what of a call is known, or a run.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// A run's full or short id.
    run: Option<String>,
    /// An action's id, where no run is meant.
    action: Option<String>,
    /// The action's flat input; without it, what depends on it is told as such.
    input: Option<Map<String, Value>>,
    /// What it would act on; as the input says when absent.
    resource: Option<String>,
    /// Why, as a requester would say.
    reason: Option<String>,
    /// As this user; the caller, or a run's requester, when absent. Another one needs the right to audit.
    #[serde(rename = "as")]
    as_user: Option<String>,
}

/// The same without an input.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// A run's full or short id.
    run: Option<String>,
    /// An action's id, where no run is meant.
    action: Option<String>,
    /// What it would act on.
    resource: Option<String>,
    /// As this user; the caller, or a run's requester, when absent. Another one needs the right to audit.
    #[serde(rename = "as")]
    as_user: Option<String>,
}

impl From<Subject> for About {
    fn from(subject: Subject) -> Self {
        let Subject { run, action, input, resource, reason, as_user } = subject;
        Self { run, action, input, resource, reason, as_user }
    }
}

/// Without a body.
pub(crate) fn by_name() -> Endpoint {
    Endpoint::new(
        Method::GET,
        "/v1/policy/explain",
        "explain_policy_by_name",
        "Why the policies answer as they do, before the input is known or about a run",
        get(handle_named),
    )
    .query::<Named>()
    .answers::<Explanation>(200, "The policies that decided, and what would be needed")
}

async fn handle_named(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
    Params(Named { run, action, resource, as_user }): Params<Named>,
) -> Result<Json<Explanation>, Refused> {
    let about = About { run, action, resource, as_user, ..About::default() };
    Ok(Json(explain_policy::explain_policy(&gateway.platform, &call, &about).await?))
}

pub(crate) fn endpoint() -> Endpoint {
    Endpoint::new(
        Method::POST,
        "/v1/policy/explain",
        "explain_policy",
        "Why the policies answer as they do",
        post(handle),
    )
    .takes::<Subject>()
    .answers::<Explanation>(200, "The policies that decided, and what would be needed")
}

async fn handle(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
    JsonBody(body): JsonBody<Subject>,
) -> Result<Json<Explanation>, Refused> {
    Ok(Json(explain_policy::explain_policy(&gateway.platform, &call, &body.into()).await?))
}
