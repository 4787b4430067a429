//! Who acts, and through what.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What kind of actor a principal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PrincipalKind {
    /// A human being.
    Person,
    /// A program with an identity of its own.
    ServiceAccount,
    /// One job of a CI system.
    CiJob,
}

/// Who acts: a person, a service account or a CI job; possibly an agent on their behalf.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Principal {
    /// What kind of actor.
    pub kind: PrincipalKind,
    /// Unique within its kind, 1–100 characters.
    pub name: String,
    /// Teams the registry (or the identity provider) puts this principal in.
    #[serde(default)]
    pub teams: BTreeSet<String>,
    /// The agent that acts on behalf of this principal, when one does. An agent never approves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
}

impl Principal {
    /// A person without teams.
    pub fn person(name: impl Into<String>) -> Self {
        Self { kind: PrincipalKind::Person, name: name.into(), teams: BTreeSet::new(), agent: None }
    }

    /// The same principal in these teams.
    #[must_use]
    pub fn in_teams<T: Into<String>>(mut self, teams: impl IntoIterator<Item = T>) -> Self {
        self.teams = teams.into_iter().map(Into::into).collect();
        self
    }

    /// Whether both are the same actor. Teams and agent do not count: a person remains the same
    /// person when an agent works for them, which is what "never the requester" must compare.
    pub fn is_same_actor(&self, other: &Principal) -> bool {
        self.kind == other.kind && self.name == other.name
    }
}

/// Between a name and its agent, as both are shown.
const THROUGH: &str = " (through agent ";

impl Principal {
    /// The name in what [`Display`](std::fmt::Display) made of a principal.
    pub fn name_in(shown: &str) -> &str {
        shown.split_once(THROUGH).map_or(shown, |(name, _)| name)
    }
}

impl std::fmt::Display for Principal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.agent {
            Some(agent) => write!(f, "{}{THROUGH}{agent})", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// Where a call met the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "snake_case")]
pub enum Surface {
    /// The command line `guichet`.
    Cli,
    /// The web portal.
    Portal,
    /// A chat client.
    Chat,
    /// Any other HTTP client.
    #[default]
    Rest,
    /// An AI agent through the Model Context Protocol.
    Mcp,
    /// A CI job.
    Ci,
    /// The gateway itself: expiry, recovery after a crash.
    Gateway,
}

impl Surface {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cli => "cli",
            Self::Portal => "portal",
            Self::Chat => "chat",
            Self::Rest => "rest",
            Self::Mcp => "mcp",
            Self::Ci => "ci",
            Self::Gateway => "gateway",
        }
    }
}
