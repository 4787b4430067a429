//! Deliveries of notices: look, send once more, see whether a channel works.

use guichet_contract::Delivery;
use reqwest::Method;
use serde::Serialize;
use serde_json::json;

use crate::{
    client::{Client, Page},
    error::Error,
};

/// Which deliveries to list.
#[derive(Debug, Clone, Default, Serialize)]
pub struct DeliveryFilter {
    /// Only in these states, separated by commas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Only through this channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// Only of this run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Only of this event: the `webhook-id` that a receiver sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// Only of what happened not before (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// At most so many, 1–500.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u16>,
    /// Where to go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

impl Client {
    /// `GET /v1/deliveries`: the newest first.
    pub async fn list_deliveries(&self, filter: &DeliveryFilter) -> Result<Page<Delivery>, Error> {
        let response = self.send(self.request(Method::GET, &["deliveries"]).query(filter)).await?;
        self.json(response).await
    }

    /// `GET /v1/deliveries/{delivery}`: with all its tries.
    pub async fn read_delivery(&self, delivery: &str) -> Result<Delivery, Error> {
        let response = self.send(self.request(Method::GET, &["deliveries", delivery])).await?;
        self.json(response).await
    }

    /// `POST /v1/deliveries/{delivery}/replay`: sends it once more. The same key does it once.
    pub async fn replay_delivery(&self, delivery: &str, key: &str) -> Result<Delivery, Error> {
        let request = self.request(Method::POST, &["deliveries", delivery, "replay"]);
        let request = request.header("idempotency-key", key).json(&json!({}));
        self.json(self.send(request).await?).await
    }

    /// `POST /v1/channels/{channel}/ping`: sends an event that tells of nothing. The same key does it once.
    pub async fn ping_channel(&self, channel: &str, key: &str) -> Result<Delivery, Error> {
        let request = self.request(Method::POST, &["channels", channel, "ping"]);
        let request = request.header("idempotency-key", key).json(&json!({}));
        self.json(self.send(request).await?).await
    }
}
