//! `GET /v1/tokens`: one's own tokens, without their secrets.

use std::sync::Arc;

use axum::{Json, extract::State, routing::get};
use guichet_contract::TokenId;
use guichet_operations::create_token;
use http::Method;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    answer::{List, Refused},
    api::Endpoint,
    extract::Caller,
    state::Gateway,
};

/// A personal token.
#[derive(Serialize, JsonSchema)]
pub struct TokenRow {
    /// Its public id.
    id: TokenId,
    /// What it is for.
    name: String,
    /// What it is limited to.
    scopes: Vec<String>,
    /// When it was made.
    created_at: Timestamp,
    /// When it ends.
    expires_at: Timestamp,
    /// When it was last used, within a minute.
    last_used_at: Option<Timestamp>,
}

pub(crate) fn endpoint() -> Endpoint {
    Endpoint::new(Method::GET, "/v1/tokens", "list_tokens", "One's own personal tokens", get(handle))
        .answers::<List<TokenRow>>(200, "Tokens that were not revoked, newest first")
}

async fn handle(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
) -> Result<Json<List<TokenRow>>, Refused> {
    let tokens = create_token::list_tokens(&gateway.platform, &call).await?;
    let rows = tokens
        .into_iter()
        .map(|token| TokenRow {
            id: token.id,
            name: token.name,
            scopes: token.scopes,
            created_at: token.created_at,
            expires_at: token.expires_at,
            last_used_at: token.last_used_at,
        })
        .collect();
    Ok(Json(List::whole(rows)))
}
