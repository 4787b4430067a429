//! `DELETE /v1/session`: the session ends.

use std::sync::Arc;

use axum::{extract::State, routing::delete};
use guichet_operations::sign_out;
use http::{Method, StatusCode};

use crate::{answer::Refused, api::Endpoint, extract::Caller, state::Gateway};

pub(crate) fn endpoint() -> Endpoint {
    Endpoint::new(Method::DELETE, "/v1/session", "sign_out", "End the session", delete(handle))
        .answers_as(204, "Ended", "")
}

async fn handle(State(gateway): State<Arc<Gateway>>, Caller(call): Caller) -> Result<StatusCode, Refused> {
    sign_out::sign_out(&gateway.platform, &call).await?;
    Ok(StatusCode::NO_CONTENT)
}
