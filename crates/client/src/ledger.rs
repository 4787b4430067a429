//! Reading the audit trail: search, export, checkpoints and tiles. Verifying is the room `ledger`'s affair.

use std::{collections::VecDeque, pin::Pin};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use guichet_contract::record::LedgerRecord;
use reqwest::Method;
use serde::Serialize;

use crate::{
    client::{Client, Page},
    error::Error,
    lines::LineSplitter,
};

/// Which records to list; see `GET /v1/records` in the gateway's OpenAPI document. Times are RFC 3339.
#[derive(Debug, Clone, Default, Serialize)]
#[expect(missing_docs, reason = "the fields are the record's own words, see contract::record")]
pub struct RecordFilter {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verb: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// Leaves as they come.
pub struct Export {
    /// Index of the first.
    pub first: u64,
    /// Each exactly as it was hashed.
    pub lines: Pin<Box<dyn Stream<Item = Result<Vec<u8>, Error>> + Send>>,
}

impl Client {
    /// `GET /v1/records`: entries of the audit trail, the newest first.
    pub async fn list_records(&self, filter: &RecordFilter) -> Result<Page<LedgerRecord>, Error> {
        let response = self.send(self.request(Method::GET, &["records"]).query(filter)).await?;
        self.json(response).await
    }

    /// `GET /v1/ledger/checkpoint`: the newest signed note (C2SP signed-note, tlog-checkpoint).
    pub async fn checkpoint(&self) -> Result<String, Error> {
        let response = self.send(self.request(Method::GET, &["ledger", "checkpoint"])).await?;
        self.text(response).await
    }

    /// `GET /v1/ledger/key`: the keys that sign checkpoints, as C2SP note verifier keys; the current one first, several
    /// while one takes the place of another.
    pub async fn ledger_keys(&self) -> Result<Vec<String>, Error> {
        let response = self.send(self.request(Method::GET, &["ledger", "key"])).await?;
        let text = self.text(response).await?;
        Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
    }

    /// `GET /v1/ledger/tile/…`: one tile of hashes (C2SP tlog-tiles). `width` is 1–255 for a partial tile,
    /// `None` for a full one.
    pub async fn tile(&self, level: u8, index: u64, width: Option<u8>) -> Result<Vec<u8>, Error> {
        let segments = tile_path(level, index, width);
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let response = self.send(self.request(Method::GET, &segments)).await?;
        self.bytes(response).await
    }

    /// `GET /v1/ledger/export?from=N`: the leaves from index `from`, each line exactly the hashed text.
    /// The gateway may end before the last leaf; ask again from where it ended. It begins later than `from` when those
    /// before were archived and pruned.
    pub async fn export_records(&self, from: u64) -> Result<Export, Error> {
        struct Reading {
            client: Client,
            pieces: Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>,
            splitter: Option<LineSplitter>,
            ready: VecDeque<Vec<u8>>,
        }
        let request = self.request(Method::GET, &["ledger", "export"]).query(&[("from", from)]);
        let response = self.open(request).await?;
        let first =
            response.headers().get("guichet-first-index").and_then(|value| value.to_str().ok()?.parse().ok());
        let reading = Reading {
            client: self.clone(),
            pieces: Box::pin(response.bytes_stream()),
            splitter: Some(LineSplitter::default()),
            ready: VecDeque::new(),
        };
        let first = first.unwrap_or(from).max(from);
        Ok(Export {
            first,
            lines: Box::pin(stream::unfold(reading, |mut reading| async move {
                loop {
                    if let Some(line) = reading.ready.pop_front() {
                        return Some((Ok(line), reading));
                    }
                    let mut splitter = reading.splitter.take()?;
                    let silence = reading.client.timeouts().silence;
                    match tokio::time::timeout(silence, reading.pieces.next()).await {
                        Err(_) => return Some((Err(reading.client.silent(silence)), reading)),
                        Ok(None) => reading.ready.extend(splitter.finish()),
                        Ok(Some(Err(error))) => return Some((Err(reading.client.network(&error)), reading)),
                        Ok(Some(Ok(piece))) => {
                            let Ok(lines) = splitter.push(&piece) else {
                                let error = reading.client.protocol("a line has no end".to_owned(), None);
                                return Some((Err(error), reading));
                            };
                            reading.ready.extend(lines);
                            reading.splitter = Some(splitter);
                        }
                    }
                }
            })),
        })
    }
}

/// The path rules of C2SP tlog-tiles: groups of three digits, all but the last with an `x` before them.
fn tile_path(level: u8, index: u64, width: Option<u8>) -> Vec<String> {
    let mut groups = vec![format!("{:03}", index % 1000)];
    let mut rest = index / 1000;
    while rest > 0 {
        groups.insert(0, format!("x{:03}", rest % 1000));
        rest /= 1000;
    }
    if let Some(width) = width {
        if let Some(last) = groups.last_mut() {
            last.push_str(".p");
        }
        groups.push(width.to_string());
    }
    let mut segments = vec!["ledger".to_owned(), "tile".to_owned(), level.to_string()];
    segments.append(&mut groups);
    segments
}

#[cfg(test)]
mod tests {
    use super::tile_path;

    #[test]
    fn tiles_are_where_the_specification_says() {
        // The examples of https://c2sp.org/tlog-tiles
        for (level, index, width, path) in [
            (0, 0, None, "ledger/tile/0/000"),
            (0, 1_234_067, None, "ledger/tile/0/x001/x234/067"),
            (1, 273, Some(112), "ledger/tile/1/273.p/112"),
        ] {
            assert_eq!(tile_path(level, index, width).join("/"), path);
        }
    }
}
