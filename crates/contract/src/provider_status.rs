//! How a provider stands, as its gateway sees it.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    digest::Digest,
    registration::{Instance, Service},
};

/// How a provider stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProviderStatus {
    /// Its name.
    pub name: String,
    /// `ready`, `unreachable`, `refused` (its document), `resting` (after failures), `absent` (it registers itself, and no
    /// instance is there).
    pub state: String,
    /// How many operations it offers.
    pub operations: usize,
    /// Since when it is in this state.
    pub since: Timestamp,
    /// What is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// What is odd in its document.
    pub warnings: Vec<String>,
    /// Operations and scripts that were left out, each with its place and the reason.
    #[serde(default)]
    pub refused: Vec<String>,
    /// Digest of its document with what is added to it; absent until it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<Digest>,
    /// Who registers it or added it; absent for one that is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The instances that are there, of one that registers itself.
    #[serde(default)]
    pub instances: Vec<Instance>,
    /// How it is reached, when it was added. In a list without its overlay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Service>,
}
