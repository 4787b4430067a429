//! An answer in full, small enough to be kept and given twice.

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use guichet_contract::{Problem, code};
use http::{HeaderValue, StatusCode, header};
use jiff::Timestamp;
use serde_json::Value;

/// One answer: a result or a problem.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    /// Done, with this result.
    Done(Value),
    /// Not done, and why.
    Problem(Box<Problem>),
    /// Stopped on request, with what is left to say.
    Cancelled(Option<Box<Problem>>),
    /// Put away until then; whoever calls again goes on from the journal.
    Waits {
        /// Name of the pause.
        name: String,
        /// Until when.
        until: Timestamp,
    },
    /// Put away; whoever calls again goes on from the journal.
    Abandoned,
    /// The work was cut short and nobody can say how far it came.
    Lost,
}

impl Answer {
    pub(crate) fn problem(problem: impl Into<Box<Problem>>) -> Self {
        Self::Problem(problem.into())
    }

    /// Whether a later call shall find it: what was only put away begins anew.
    pub(crate) fn is_kept(&self) -> bool {
        !matches!(self, Self::Waits { .. } | Self::Abandoned)
    }

    /// How much memory it holds, roughly, in bytes.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Done(value) => weight_of(value),
            Self::Problem(problem) => 256 + problem.detail.len(),
            Self::Cancelled(problem) => 256 + problem.as_ref().map_or(0, |problem| problem.detail.len()),
            Self::Waits { .. } | Self::Abandoned | Self::Lost => 16,
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
            Self::Cancelled(problem) => {
                let stopped = || Problem::new(code::RUN_CANCELLED, "it was stopped on request").into();
                Self::Problem(problem.unwrap_or_else(stopped)).into_response()
            }
            // No problem+json: a problem would mean «not done». A bare 504 means that nobody knows.
            Self::Waits { .. } | Self::Abandoned | Self::Lost => with_body(
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
