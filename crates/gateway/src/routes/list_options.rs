//! `POST /v1/actions/{action}/options/{member}`: live values of one input.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    routing::post,
};
use guichet_contract::Choice;
use guichet_operations::list_options;
use http::Method;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    answer::{List, Refused},
    api::Endpoint,
    extract::{Caller, JsonBody},
    state::Gateway,
};

/// What is known of the input so far.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// Members that are known.
    #[serde(default)]
    input: Map<String, Value>,
    /// Only choices whose label contains this, whatever the case.
    #[serde(default)]
    search: String,
}

pub(crate) fn endpoint() -> Endpoint {
    Endpoint::new(
        Method::POST,
        "/v1/actions/{action}/options/{member}",
        "list_options",
        "Live values of an input",
        post(handle),
    )
    .takes::<Known>()
    .answers::<List<Choice>>(200, "At most 500 choices")
}

async fn handle(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
    Path((action, member)): Path<(String, String)>,
    JsonBody(body): JsonBody<Known>,
) -> Result<Json<List<Choice>>, Refused> {
    let known = Value::Object(body.input);
    let mut choices = list_options::list_options(&gateway.platform, &call, &action, &member, &known).await?;
    let search = body.search.to_lowercase();
    choices.retain(|choice| choice.label.to_lowercase().contains(&search));
    Ok(Json(List::whole(choices)))
}
