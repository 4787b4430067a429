//! Deliveries: each notice on its way through one channel, try by try, until it was taken or given up.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    id::{DeliveryId, RunId},
    notice::Occasion,
};

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// It is to be tried, for the first time or again.
    Waiting,
    /// Everybody whom the channel serves was told.
    Delivered,
    /// Somebody was not told and is not tried again, unless it is replayed; or no gateway has the channel any more.
    GivenUp,
    /// It was not sent: there was nobody to tell any more.
    Dropped,
}

impl DeliveryState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Waiting, Self::Delivered, Self::GivenUp, Self::Dropped];

    /// The word in the store and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::GivenUp => "given_up",
            Self::Dropped => "dropped",
        }
    }
}

impl fmt::Display for DeliveryState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for DeliveryState {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.iter().map(|state| state.as_str()).collect();
            format!("`{text}` is no state of a delivery; there is {}", known.join(", "))
        })
    }
}

/// How one try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AttemptResult {
    /// The other side took it.
    Delivered,
    /// It did not, and it is tried again.
    Failed,
    /// It did not, and it is not tried again.
    GivenUp,
    /// It was begun, and how it ended was not written down: the gateway died meanwhile, or its store failed. It is
    /// tried again.
    Unknown,
}

impl AttemptResult {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::GivenUp => "given_up",
            Self::Unknown => "unknown",
        }
    }
}

/// One try to tell one recipient. It holds nothing of what was sent and nothing of what was answered but the status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Attempt {
    /// Of which replay it is; 0 for the first time around.
    pub replay: u32,
    /// The how-manieth try since then, from 1.
    pub number: u32,
    /// Whom it was for; absent for a channel that is one recipient as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<String>,
    /// When it began.
    pub at: Timestamp,
    /// How long it took, milliseconds.
    pub duration_ms: u64,
    /// How it ended.
    pub result: AttemptResult,
    /// Status of the answer (HTTP), when there was an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why it was not taken, 500 characters at most. Never an address, which may hold a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// When it is tried again; where several are told of the same, not before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_try_at: Option<Timestamp>,
}

/// A notice on its way through one channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Delivery {
    /// Its own id; a replay keeps it.
    pub id: DeliveryId,
    /// Id of what happened: the event's `id` and the header `webhook-id`, the same for all channels.
    pub event: Uuid,
    /// Name of the channel.
    pub channel: String,
    /// On what occasion.
    pub occasion: Occasion,
    /// The run it tells of; the id of a schedule where it tells of one; its own id where it tells of none, as a ping.
    pub run: RunId,
    /// When that happened.
    pub at: Timestamp,
    /// Where it stands.
    pub state: DeliveryState,
    /// How often it was replayed.
    pub replays: u32,
    /// How many tries are known, those of all recipients and replays together.
    pub tries: u64,
    /// When it is tried next; a moment that is past while a try is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_try_at: Option<Timestamp>,
    /// When it came to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// The latest try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Attempt>,
    /// All tries in their order, the latest 500 at most; only where one delivery is asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
}
