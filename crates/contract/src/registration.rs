//! A provider that registered itself, or a service that somebody added: who owns its name, and where it answers.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    digest::Digest,
    principal::{Principal, PrincipalKind},
};

/// A provider that registered itself, or a service that somebody added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Registration {
    /// The provider's name, a–z, 0–9 and -, 1–50 characters.
    pub provider: String,
    /// What kind of principal owns the name.
    pub owner_kind: PrincipalKind,
    /// Whose the name is: the principal that took it first.
    pub owner: String,
    /// How often it was written, from 1.
    pub revision: u64,
    /// When the name was taken.
    pub registered_at: Timestamp,
    /// When the last of those that are no longer listed was there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_at: Option<Timestamp>,
    /// Where it answers, by id; also those whose lease ran out a short while ago. None of a service.
    pub instances: Vec<Instance>,
    /// The service, when it was added and does not register itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Service>,
    /// Digest of the service's document, without its overlay, as it was when it was added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<Digest>,
}

/// A service that has an OpenAPI document and knows nothing of gateways, as it was added. It has no lease: it is believed to
/// be there until it is removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Service {
    /// Where its document is.
    pub openapi: String,
    /// What the paths of its document are appended to, without a slash at the end.
    pub url: String,
    /// The name of the credential in the gateway's configuration that it is shown; never a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// What is added to its document: the text of an OpenAPI Overlay, YAML or JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlay: Option<String>,
}

/// One process that answers for a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Instance {
    /// Its id, chosen by itself, 1–64 characters.
    pub id: String,
    /// Where its paths begin, without a slash at the end.
    pub url: String,
    /// The `ETag` of the document that it serves, when it told one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
    /// Since when it is there without a break, with this address and this document.
    pub since: Timestamp,
    /// When its lease ends.
    pub until: Timestamp,
}

impl Instance {
    /// Whether its lease holds.
    pub fn is_live(&self, now: Timestamp) -> bool {
        now < self.until
    }
}

impl Registration {
    /// Whether the name is this principal's.
    pub fn is_of(&self, principal: &Principal) -> bool {
        self.owner_kind == principal.kind && self.owner == principal.name
    }

    /// The instances whose lease holds.
    pub fn live(&self, now: Timestamp) -> impl Iterator<Item = &Instance> {
        self.instances.iter().filter(move |instance| instance.is_live(now))
    }

    /// Since when nobody answers; none while somebody does. A service is never absent.
    pub fn absent_since(&self, now: Timestamp) -> Option<Timestamp> {
        if self.service.is_some() || self.live(now).next().is_some() {
            return None;
        }
        let ended = self.instances.iter().map(|instance| instance.until);
        Some(ended.chain(self.left_at).max().unwrap_or(self.registered_at))
    }
}
