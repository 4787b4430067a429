//! What somebody who adds a service as a provider is told: what became of it, what of its document is usable, and what is not
//! and why.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    action::{Action, Effect},
    digest::Digest,
};

/// What became of it, or would.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Became {
    /// There was none of this name.
    Added,
    /// It takes the place of what its owner added before.
    Replaced,
    /// It is there, exactly so.
    Unchanged,
}

impl Became {
    /// The word that it has on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Replaced => "replaced",
            Self::Unchanged => "unchanged",
        }
    }
}

/// What somebody who adds a service is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Addition {
    /// The provider.
    pub provider: String,
    /// What became of it, or would.
    pub became: Became,
    /// It was only looked; nothing is kept.
    pub dry_run: bool,
    /// Where its document is.
    pub openapi: String,
    /// Where it answers.
    pub url: String,
    /// Digest of its document, without the overlay.
    pub document: Digest,
    /// Digest of the document that was there before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Digest>,
    /// What is usable.
    pub operations: Vec<Usable>,
    /// Operations that are not usable, each with its place and the reason; the first 1,000.
    pub refused: Vec<String>,
    /// What is odd in its document; the first 1,000.
    pub warnings: Vec<String>,
}

/// One operation that is usable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Usable {
    /// The words of its command.
    pub command: Vec<String>,
    /// What it does to the world.
    pub effect: Effect,
    /// What it is.
    pub title: String,
}

impl From<&Action> for Usable {
    fn from(action: &Action) -> Self {
        Self { command: action.command.clone(), effect: action.effect, title: action.title.clone() }
    }
}
