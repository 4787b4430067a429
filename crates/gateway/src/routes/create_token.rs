//! `POST /v1/tokens`: a token for a program.

use std::sync::Arc;

use axum::{Json, extract::State, routing::post};
use guichet_contract::TokenId;
use guichet_operations::create_token;
use http::{Method, StatusCode};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    answer::Refused,
    api::Endpoint,
    extract::{Caller, JsonBody},
    state::Gateway,
};

/// What the token shall be.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    /// What it is for, 1–100 characters.
    name: String,
    /// How long it holds, 60 seconds to 366 days.
    expires_in_seconds: i64,
    /// `read`, `change`, `destroy`, `approve`; empty means all its owner may.
    #[serde(default)]
    scopes: Vec<String>,
}

/// A token just made.
#[derive(Serialize, JsonSchema)]
pub struct CreatedToken {
    /// Its public id.
    id: TokenId,
    /// Send it as `Authorization: Bearer …`; it is told once.
    token: String,
    /// What it is for.
    name: String,
    /// What it is limited to.
    scopes: Vec<String>,
    /// When it ends.
    expires_at: Timestamp,
}

pub(crate) fn endpoint() -> Endpoint {
    Endpoint::new(Method::POST, "/v1/tokens", "create_token", "Make a personal token", post(handle))
        .takes::<CreateToken>()
        .answers::<CreatedToken>(201, "The token; its secret is told once")
}

async fn handle(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
    JsonBody(body): JsonBody<CreateToken>,
) -> Result<(StatusCode, Json<CreatedToken>), Refused> {
    let issued = create_token::create_token(
        &gateway.platform,
        &call,
        &body.name,
        body.expires_in_seconds,
        body.scopes,
    )
    .await?;
    let answer = CreatedToken {
        id: issued.token.id,
        token: issued.secret,
        name: issued.token.name,
        scopes: issued.token.scopes,
        expires_at: issued.token.expires_at,
    };
    Ok((StatusCode::CREATED, Json(answer)))
}
