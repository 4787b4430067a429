//! What is told of a decision of the policies: which of them took it, what it would need, and who could.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    action::{Action, ActionId, Effect},
    digest::Digest,
    id::RunId,
    principal::{Principal, PrincipalKind, Surface},
};

/// What the policies answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Yes, at once.
    Allowed,
    /// Yes, once people have said so.
    NeedsApproval,
    /// No.
    Refused,
    /// It depends on an input or a resource that was not given.
    Depends,
}

impl Answer {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::NeedsApproval => "needs_approval",
            Self::Refused => "refused",
            Self::Depends => "depends",
        }
    }
}

/// What a policy does when it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Says {
    /// It permits.
    Permits,
    /// It forbids, and nobody can lift that.
    Forbids,
    /// It forbids until people lift it.
    WaitsFor,
}

impl Says {
    /// As people read it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Permits => "permits",
            Self::Forbids => "forbids",
            Self::WaitsFor => "waits for approval",
        }
    }
}

/// One policy as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyTold {
    /// Its id.
    pub id: String,
    /// What it does.
    pub says: Says,
    /// Where it stands: `policy/approvals.cedar:3`, or `provider NAME`.
    pub place: String,
    /// Its sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sentence: Option<String>,
}

/// One approval that is needed, and who can give it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApprovalTold {
    /// Id of the policy that asks for it.
    pub policy: String,
    /// Why.
    pub because: String,
    /// The team; absent when the resource has no owner, so that nobody can give it, or while the resource is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// Where that team reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat: Option<String>,
    /// How many distinct people, at least 1.
    pub count: u8,
    /// Who has said yes already (of a run).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub given: Vec<String>,
    /// Who could say yes, by name.
    pub people: Vec<String>,
}

/// Why the policies answer as they do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Explanation {
    /// What they answer.
    pub answer: Answer,
    /// To whom.
    pub principal: Principal,
    /// About which action.
    pub action: ActionId,
    /// What that does to the world.
    pub effect: Effect,
    /// About which run, when one was asked about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// On what; absent while that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// The team that owns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Where.
    pub environment: String,
    /// Through what.
    pub surface: Surface,
    /// The policies that decided; with `depends`, those that it depends on.
    pub decided_by: Vec<PolicyTold>,
    /// Why not, in sentences; empty unless it is refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// What people would have to lift, all of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<ApprovalTold>,
    /// The policies about this action that did not hold here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub did_not_hold: Vec<PolicyTold>,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// What else is worth knowing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Version of the policies.
    pub policy_version: Digest,
}

/// Somebody who can.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Able {
    /// Their name.
    pub name: String,
    /// What they are.
    pub kind: PrincipalKind,
    /// At once, with an approval, or depending on the input.
    pub answer: Answer,
    /// The policies that permit it, or that it depends on.
    pub policies: Vec<PolicyTold>,
    /// What they would wait for, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits_for: Vec<String>,
}

/// Who can do something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WhoCan {
    /// What.
    pub action: ActionId,
    /// On what; absent while that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// The team that owns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Where.
    pub environment: String,
    /// Those who can, by name.
    pub able: Vec<Able>,
    /// How many were asked about: the users of this gateway.
    pub asked: usize,
    /// Members of teams whom this gateway does not know as users.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_users: Vec<String>,
    /// Version of the policies.
    pub policy_version: Digest,
}

/// Somebody who can say yes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AbleToApprove {
    /// Their name.
    pub name: String,
    /// Ids of the policies whose approval their yes counts for.
    pub lifts: Vec<String>,
    /// Ids of the policies that permit them to approve.
    pub policies: Vec<String>,
}

/// Who can say yes to something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WhoCanApprove {
    /// What the policies answer to who asks.
    pub answer: Answer,
    /// Who asks, or would.
    pub requester: Principal,
    /// For what.
    pub action: ActionId,
    /// The run, when one was asked about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// On what; absent while that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// What must be lifted, all of it.
    pub approvals: Vec<ApprovalTold>,
    /// Those who can, by name.
    pub able: Vec<AbleToApprove>,
    /// Why not, in sentences, when it would be refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}

/// How an action looks to somebody before its input is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Outlook {
    /// What the policies answer.
    pub answer: Answer,
    /// Why not, or what it waits for or depends on, in words; absent when it is allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// Ids of the policies that decide, or that it depends on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
}

/// An action, and how it looks to whoever asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OfferedAction {
    /// The action.
    #[serde(flatten)]
    pub action: Action,
    /// Whether the asker may do it, as far as it can be said before its input is known.
    pub for_me: Outlook,
    /// Since when its provider is not there: one that registers itself, and none of its instances has a lease that holds. Absent
    /// while it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent_since: Option<Timestamp>,
}
