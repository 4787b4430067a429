//! An answer in full, small enough to be kept and given twice.

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use guichet_contract::Problem;
use http::{HeaderValue, StatusCode, header};
use serde_json::Value;

/// One answer: a result or a problem.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    /// Done, with this result.
    Done(Value),
    /// Not done, and why.
    Problem(Box<Problem>),
    /// The work was cut short and nobody can say how far it came.
    Lost,
}

impl Answer {
    pub(crate) fn problem(problem: impl Into<Box<Problem>>) -> Self {
        Self::Problem(problem.into())
    }

    /// How much memory it holds, roughly, in bytes.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Done(value) => weight_of(value),
            Self::Problem(problem) => 256 + problem.detail.len(),
            Self::Lost => 16,
        }
    }
}

fn weight_of(value: &Value) -> usize {
    32 + match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(weight_of).sum(),
        Value::Object(members) => members.iter().map(|(name, value)| name.len() + weight_of(value)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        match self {
            Self::Done(Value::Null) => StatusCode::NO_CONTENT.into_response(),
            Self::Done(value) => with_body(StatusCode::OK, "application/json", value.to_string()),
            Self::Problem(problem) => {
                let status =
                    StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                let body = serde_json::to_string(&problem).unwrap_or_default();
                let mut response = with_body(status, "application/problem+json", body);
                if status == StatusCode::UNAUTHORIZED {
                    let _ = response
                        .headers_mut()
                        .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                }
                response
            }
            // No problem+json: a problem would mean «not done». A bare 504 means that nobody knows.
            Self::Lost => with_body(
                StatusCode::GATEWAY_TIMEOUT,
                "text/plain; charset=utf-8",
                "the provider stopped while it performed this run; nobody knows how far it came\n",
            ),
        }
    }
}

pub(crate) fn with_body(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response {
    (status, [(header::CONTENT_TYPE, HeaderValue::from_static(kind))], body.into()).into_response()
}
