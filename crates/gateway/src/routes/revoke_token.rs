//! `DELETE /v1/tokens/{token}`: a token is taken back.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    routing::delete,
};
use guichet_operations::revoke_token;
use http::{Method, StatusCode};

use crate::{answer::Refused, api::Endpoint, extract::Caller, state::Gateway};

pub(crate) fn endpoint() -> Endpoint {
    Endpoint::new(Method::DELETE, "/v1/tokens/{token}", "revoke_token", "Take a token back", delete(handle))
        .answers_as(204, "Revoked", "")
}

async fn handle(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
    Path(token): Path<String>,
) -> Result<StatusCode, Refused> {
    revoke_token::revoke_token(&gateway.platform, &call, &token).await?;
    Ok(StatusCode::NO_CONTENT)
}
