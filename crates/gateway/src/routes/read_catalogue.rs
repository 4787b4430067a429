//! `GET /v1/catalogue`: everything this gateway offers, with an ETag.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
    routing::get,
};
use guichet_contract::Catalogue;
use guichet_operations::read_catalogue;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use crate::{answer::Refused, api::Endpoint, extract::Caller, state::Gateway};

pub(crate) fn endpoint() -> Endpoint {
    Endpoint::new(
        Method::GET,
        "/v1/catalogue",
        "read_catalogue",
        "Everything this gateway offers",
        get(handle),
    )
    .answers::<Catalogue>(200, "The catalogue; its digest is the ETag")
    .answers_as(304, "Not changed since the ETag in If-None-Match", "")
}

async fn handle(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let catalogue = read_catalogue::read_catalogue(&gateway.platform, &call).await?;
    let etag = format!("\"{}\"", catalogue.digest);
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let unchanged =
        known.is_some_and(|known| known.split(',').any(|tag| tag.trim().trim_start_matches("W/") == etag));
    let mut response =
        if unchanged { StatusCode::NOT_MODIFIED.into_response() } else { Json(&*catalogue).into_response() };
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    Ok(response)
}
