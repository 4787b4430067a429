//! `POST /v1/session`: a password becomes a session.

use std::sync::Arc;

use axum::{Json, extract::State, routing::post};
use guichet_contract::{Principal, TokenId};
use guichet_operations::sign_in;
use http::{Method, StatusCode};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    answer::Refused,
    api::Endpoint,
    extract::{Caller, OpenBody},
    state::Gateway,
};

/// Name and password.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// The user's name.
    user: String,
    /// The user's password. Never logged.
    #[schemars(extend("writeOnly" = true))]
    password: String,
}

/// A session just opened.
#[derive(Serialize, JsonSchema)]
pub struct SignedIn {
    /// Send it as `Authorization: Bearer …`; it is told once.
    token: String,
    /// Its public id.
    token_id: TokenId,
    /// When it ends.
    expires_at: Timestamp,
    /// Who signed in.
    principal: Principal,
    /// The environment this gateway serves.
    environment: String,
}

pub(crate) fn endpoint() -> Endpoint {
    Endpoint::new(Method::POST, "/v1/session", "sign_in", "Sign in with a password", post(handle))
        .takes::<SignIn>()
        .answers::<SignedIn>(201, "A session")
        .open()
}

async fn handle(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
    OpenBody(body): OpenBody<SignIn>,
) -> Result<(StatusCode, Json<SignedIn>), Refused> {
    let platform = &gateway.platform;
    let (issued, principal) = sign_in::sign_in(platform, &call, &body.user, &body.password).await?;
    let answer = SignedIn {
        token_id: issued.token.id,
        expires_at: issued.token.expires_at,
        token: issued.secret,
        principal,
        environment: platform.door.world().environment.clone(),
    };
    Ok((StatusCode::CREATED, Json(answer)))
}
