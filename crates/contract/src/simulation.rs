//! What other policies would have answered to what was recorded.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    action::ActionId,
    digest::Digest,
    explanation::Answer,
    principal::{PrincipalKind, Surface},
};

/// How an answer would change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// A no would become a yes, or an approval would no longer be needed.
    NewlyAllowed,
    /// It would be refused.
    NewlyRefused,
    /// It would wait for people.
    NewlyNeedsApproval,
    /// It would wait for other people than now.
    OtherApprovals,
}

impl Change {
    /// As people read it.
    pub fn words(self) -> &'static str {
        match self {
            Self::NewlyAllowed => "newly allowed",
            Self::NewlyRefused => "newly refused",
            Self::NewlyNeedsApproval => "newly needs approval",
            Self::OtherApprovals => "other approvals",
        }
    }
}

/// What would change for one principal and one action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Changed {
    /// How.
    pub change: Change,
    /// The action.
    pub action: ActionId,
    /// Who, by name.
    pub principal: String,
    /// What they are.
    pub kind: PrincipalKind,
    /// The agent that acted for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// What the policies in force answer.
    pub now: Answer,
    /// What the others would answer.
    pub then: Answer,
    /// How many records.
    pub records: u64,
    /// The newest of them.
    pub example: Example,
}

/// One record that would have been answered otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Example {
    /// Its index in the ledger.
    pub index: u64,
    /// When.
    pub at: Timestamp,
    /// On what.
    pub resource: String,
    /// Through what.
    pub surface: Surface,
    /// Why it would be so, in words.
    pub because: String,
    /// Ids of the policies that would decide.
    pub policies: Vec<String>,
}

/// Records of which nobody can say what would be answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CannotTell {
    /// Why.
    pub why: String,
    /// How many.
    pub records: u64,
}

/// What other policies would have answered to what was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Simulation {
    /// The oldest moment that was looked at.
    pub since: Timestamp,
    /// The newest.
    pub until: Timestamp,
    /// Version of the policies in force.
    pub now: Digest,
    /// Version of those that were tried.
    pub then: Digest,
    /// How many records were held against both.
    pub replayed: u64,
    /// How many of them are answered the same.
    pub unchanged: u64,
    /// What would change, most records first, at most 500 rows.
    pub changes: Vec<Changed>,
    /// Records that would change and are in no row.
    pub more: u64,
    /// Never guessed.
    pub cannot_tell: Vec<CannotTell>,
    /// What is odd in the policies that were tried.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}
