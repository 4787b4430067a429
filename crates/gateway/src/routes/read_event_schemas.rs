//! `/v1/event-schemas`: what events say, for whoever receives them.

use axum::{Json, extract::Path, routing::get};
use guichet_contract::{Occasion, Problem, code, event_schema};
use http::Method;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::{
    answer::{List, Refused},
    api::Endpoint,
};

/// One type of event.
#[derive(Serialize, JsonSchema)]
pub struct EventType {
    /// The event's `type`: `dev.guichet.run_ended`.
    r#type: String,
    /// The word in `[[notify]]`: `run_ended`.
    occasion: Occasion,
    /// The event's `dataschema`, and the schema's `$id`.
    dataschema: String,
    /// Path of the schema at this gateway.
    schema: String,
}

pub(crate) fn list() -> Endpoint {
    Endpoint::new(
        Method::GET,
        "/v1/event-schemas",
        "list_event_schemas",
        "The types of events, and where their schemas are",
        get(handle_list),
    )
    .answers::<List<EventType>>(200, "All types")
    .open()
}

pub(crate) fn one() -> Endpoint {
    Endpoint::new(
        Method::GET,
        "/v1/event-schemas/{type}",
        "read_event_schema",
        "The JSON Schema (2020-12) of what an event of this type says in `data`",
        get(handle_one),
    )
    .answers::<Value>(200, "The schema")
    .open()
}

async fn handle_list() -> Json<List<EventType>> {
    let types = Occasion::ALL.into_iter().map(|occasion| EventType {
        r#type: event_schema::type_of(occasion),
        occasion,
        dataschema: event_schema::name_of(occasion),
        schema: format!("/v1/event-schemas/{}", event_schema::type_of(occasion)),
    });
    Json(List::whole(types.collect()))
}

async fn handle_one(Path(kind): Path<String>) -> Result<Json<Value>, Refused> {
    let Some(occasion) = event_schema::occasion_of(&kind) else {
        let problem = Problem::new(code::NOT_FOUND, "there is no type of event of this name");
        return Err(problem.next("`GET /v1/event-schemas` lists them").into());
    };
    Ok(Json(event_schema::data_schema(occasion)))
}
