//! A provider's OpenAPI document, fetched when it may have changed.

use std::path::Path;

use bytes::Bytes;
use guichet_contract::Digest;
use http::{Request, StatusCode, header};
use http_body_util::Full;
use serde_json::Value;

use crate::{
    answer::{BodyError, read_body},
    provider::{DocumentPlace, Provider, origin},
    transport::NoAnswer,
};

/// From this size on, bytes, a document is parsed where it keeps no other call waiting.
const LARGE: usize = 256 * 1024;

/// What is asked for: a document that comes in both is read sooner as JSON.
const ACCEPT: &str = "application/json, application/yaml;q=0.9, */*;q=0.5";

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
        let read = match self.foreign.as_ref().map(|foreign| &foreign.document) {
            Some(DocumentPlace::File(path)) => {
                Some((parse(&path.display().to_string(), &self.file(path).await?)?, None))
            }
            Some(DocumentPlace::Url(url)) => self.ask(url).await?,
            None => self.ask(&format!("{}/openapi.json", self.transport.base())).await?,
        };
        let Some((value, etag)) = read else { return Ok(None) };
        let digest = Digest::of_json(&value);
        let mut standing = self.standing();
        standing.etag = etag;
        // The one in force, or one that was seen already and is not taken.
        if [&standing.document, &standing.served].into_iter().any(|known| known.as_ref() == Some(&digest)) {
            return Ok(None);
        }
        standing.served = Some(digest.clone());
        Ok(Some(Document { value, digest }))
    }

    async fn file(&self, path: &Path) -> Result<Bytes, DocumentError> {
        let unusable = |why: String| DocumentError::Unusable(format!("{}: {why}", path.display()));
        let size = tokio::fs::metadata(path).await.map_err(|error| unusable(error.to_string()))?.len();
        if usize::try_from(size).is_ok_and(|size| size > self.limits.document_bytes) {
            return Err(unusable(format!("larger than {} bytes", self.limits.document_bytes)));
        }
        tokio::fs::read(path).await.map(Bytes::from).map_err(|error| unusable(error.to_string()))
    }

    async fn ask(&self, uri: &str) -> Result<Option<(Value, Option<String>)>, DocumentError> {
        let mut request = Request::builder().method("GET").uri(uri).header(header::ACCEPT, ACCEPT);
        if let Some(etag) = self.standing().etag.clone() {
            request = request.header(header::IF_NONE_MATCH, etag);
        }
        let mut request = request
            .body(Full::new(Bytes::new()))
            .map_err(|error| DocumentError::Unusable(format!("{uri} is no usable address: {error}")))?;
        // A document that lies elsewhere is nobody's who may see what the service is shown.
        if let Some(foreign) = self.foreign.as_ref().filter(|_| origin(uri) == origin(self.transport.base()))
        {
            let written = foreign.credentials.write(&mut request).await;
            written.map_err(|error| DocumentError::Unreachable(error.problem().detail.clone()))?;
        }
        let time = self.limits.document_time;
        let answer = tokio::time::timeout(time, async {
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
            let value = if body.len() < LARGE {
                parse(uri, &body)?
            } else {
                let place = uri.to_owned();
                tokio::task::spawn_blocking(move || parse(&place, &body))
                    .await
                    .map_err(|error| DocumentError::Unusable(format!("{uri} could not be read: {error}")))??
            };
            let etag = head.headers.get(header::ETAG).and_then(|etag| etag.to_str().ok()).map(str::to_owned);
            Ok(Some((value, etag)))
        });
        answer.await.unwrap_or_else(|_| {
            Err(DocumentError::Unreachable(format!("{uri} did not answer within {} s", time.as_secs())))
        })
    }
}

/// A document's text, JSON or YAML.
///
/// # Errors
/// Why it is neither, with the place of the first mistake.
pub fn parse_text(text: &[u8]) -> Result<Value, String> {
    let is_json = text.iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|byte| *byte == b'{');
    if is_json {
        return serde_json::from_slice(text).map_err(|error| format!("this is no JSON: {error}"));
    }
    // The usual limits are for configuration; documents of a thousand operations have a million values. Anchors keep theirs.
    let options = serde_saphyr::options! {
        strict_booleans: true,
        budget: serde_saphyr::budget! { max_events: 20_000_000, max_nodes: 10_000_000, max_depth: 128 },
    };
    let read = serde_saphyr::from_slice_with_options(text, options);
    read.map_err(|error| format!("this is neither JSON nor YAML: {}", error.without_snippet()))
}

fn parse(place: &str, text: &[u8]) -> Result<Value, DocumentError> {
    parse_text(text).map_err(|why| DocumentError::Unusable(format!("{place}: {why}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_are_json_or_yaml() {
        for (text, expected) in [
            (&b" {\"openapi\": \"3.1.0\"}"[..], json!({"openapi": "3.1.0"})),
            (
                b"---\nswagger: '2.0'\nresponses:\n  200: {a: 1.5}\n  '404': [no, 1]\n",
                json!({"swagger": "2.0", "responses": {"200": {"a": 1.5}, "404": ["no", 1]}}),
            ),
        ] {
            assert_eq!(parse_text(text), Ok(expected));
        }
        assert!(parse_text(b"a: [").unwrap_err().contains("neither JSON nor YAML"));
        assert!(parse_text(b"{").unwrap_err().contains("no JSON"));
    }
}
