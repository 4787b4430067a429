//! A provider's OpenAPI document, fetched when it may have changed.

use std::time::Duration;

use bytes::Bytes;
use guichet_contract::Digest;
use http::{Request, StatusCode, header};
use http_body_util::Full;
use serde_json::Value;

use crate::{
    answer::{BodyError, read_body},
    provider::Provider,
    transport::NoAnswer,
};

/// How long reading a document may take.
const TIME: Duration = Duration::from_secs(20);

/// A provider's document.
#[derive(Debug, Clone)]
pub struct Document {
    /// As it was served.
    pub value: Value,
    /// Digest of its content.
    pub digest: Digest,
}

/// Why there is none.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DocumentError {
    /// No answer.
    #[error("{0}")]
    Unreachable(String),
    /// An answer that is no document.
    #[error("{0}")]
    Unusable(String),
}

impl Provider {
    /// Reads the document; `None` when it has not changed since it was last read.
    ///
    /// # Errors
    /// What happened, for the operator.
    pub async fn read_document(&self) -> Result<Option<Document>, DocumentError> {
        let uri = format!("{}/openapi.json", self.transport.base());
        let mut request =
            Request::builder().method("GET").uri(&uri).header(header::ACCEPT, "application/json");
        if let Some(etag) = self.standing().etag.clone() {
            request = request.header(header::IF_NONE_MATCH, etag);
        }
        let request = request
            .body(Full::new(Bytes::new()))
            .map_err(|error| DocumentError::Unusable(format!("{uri} is no usable address: {error}")))?;
        let answer = tokio::time::timeout(TIME, async {
            let response = self.transport.send(request, true).await.map_err(|error| match error {
                NoAnswer::NotConnected(why) | NoAnswer::Cut(why) => {
                    DocumentError::Unreachable(format!("{uri}: {why}"))
                }
            })?;
            let (head, body) = response.into_parts();
            if head.status == StatusCode::NOT_MODIFIED {
                return Ok(None);
            }
            if !head.status.is_success() {
                return Err(DocumentError::Unreachable(format!("{uri} answered {}", head.status)));
            }
            let body = read_body(body, self.limits.document_bytes).await.map_err(|error| match error {
                BodyError::TooLarge(limit) => {
                    DocumentError::Unusable(format!("{uri} is larger than {limit} bytes"))
                }
                BodyError::Cut(why) => DocumentError::Unreachable(format!("{uri} was cut off: {why}")),
            })?;
            let value: Value = serde_json::from_slice(&body)
                .map_err(|error| DocumentError::Unusable(format!("{uri} is no JSON: {error}")))?;
            let etag = head.headers.get(header::ETAG).and_then(|etag| etag.to_str().ok()).map(str::to_owned);
            Ok(Some((value, etag)))
        });
        match answer.await {
            Err(_) => {
                Err(DocumentError::Unreachable(format!("{uri} did not answer within {} s", TIME.as_secs())))
            }
            Ok(Err(error)) => Err(error),
            Ok(Ok(None)) => Ok(None),
            Ok(Ok(Some((value, etag)))) => {
                self.standing().etag = etag;
                let digest = Digest::of_json(&value);
                if self.standing().document.as_ref() == Some(&digest) {
                    return Ok(None);
                }
                Ok(Some(Document { value, digest }))
            }
        }
    }
}
