//! `GET /v1/session`: whom the gateway takes the caller for.

use std::sync::Arc;

use axum::{Json, extract::State, routing::get};
use guichet_contract::{Principal, TokenId};
use guichet_operations::who_am_i;
use http::Method;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{answer::Refused, api::Endpoint, extract::Caller, state::Gateway};

/// The caller.
#[derive(Serialize, JsonSchema)]
pub struct WhoAmI {
    /// Who.
    principal: Principal,
    /// The environment this gateway serves.
    environment: String,
    /// The session or token the call came with.
    token_id: TokenId,
    /// `session` or `personal`.
    token_kind: String,
    /// What the token is limited to; empty means no limit.
    scopes: Vec<String>,
    /// When the token ends.
    expires_at: Timestamp,
}

pub(crate) fn endpoint() -> Endpoint {
    Endpoint::new(Method::GET, "/v1/session", "who_am_i", "Who the caller is", get(handle))
        .answers::<WhoAmI>(200, "The caller")
}

async fn handle(State(gateway): State<Arc<Gateway>>, Caller(call): Caller) -> Result<Json<WhoAmI>, Refused> {
    let caller = who_am_i::who_am_i(&gateway.platform, &call).await?;
    let identified = &caller.identified;
    Ok(Json(WhoAmI {
        environment: gateway.platform.door.world().environment.clone(),
        token_id: identified.token,
        token_kind: identified.token_kind.as_str().to_owned(),
        scopes: identified.scopes.clone(),
        expires_at: identified.expires_at,
        principal: caller.principal,
    }))
}
