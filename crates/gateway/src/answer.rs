//! Answers: problems as RFC 9457, lists as pages.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use guichet_contract::Problem;
use guichet_operations::Refusal;
use http::{HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A problem on its way out.
#[derive(Debug)]
pub struct Refused(Refusal);

/// In an answer's extensions: the code of a problem that no record tells of yet. The itinerary makes one.
#[derive(Debug, Clone)]
pub(crate) struct Unrecorded(pub(crate) String);

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self(problem.into())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Refusal { problem, recorded } = self.0;
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(&*problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Ok(methods) = HeaderValue::try_from(problem.allow.join(", "))
            && !methods.is_empty()
        {
            headers.insert(header::ALLOW, methods);
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if matches!(status.as_u16(), 429 | 503) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if !recorded {
            response.extensions_mut().insert(Unrecorded(problem.code.clone()));
        }
        response
    }
}

/// A part of a list.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct List<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Hand this in as `cursor` to read on; null at the end.
    pub next: Option<String>,
}

impl<T> List<T> {
    /// A list that is whole.
    pub fn whole(items: Vec<T>) -> Self {
        Self { items, next: None }
    }
}
