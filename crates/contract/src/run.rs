//! One attempt by a principal to perform an action with one input, as it is shown to people and machines.

use std::{borrow::Cow, fmt};

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    action::{ActionId, Effect},
    approval::{Approval, Approvers, Decision},
    digest::Digest,
    id::RunId,
    plan::Plan,
    principal::{Principal, Surface},
    problem::Problem,
};

/// Where a run stands. The legal moves are in the room `lifecycle`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Admitted and planned; nothing decided yet. Never stored: the first stored state follows at once.
    Planned,
    /// Waits for people.
    AwaitingApproval,
    /// May start; a worker will take it.
    Queued,
    /// The provider was called.
    Running,
    /// The provider said that it is done.
    Succeeded,
    /// The provider said that it is not done, or never received the call.
    Failed,
    /// Withdrawn before it started, or stopped by the provider on request.
    Cancelled,
    /// The provider was called and its answer never came: it may or may not have been done.
    Unknown,
    /// An approver said no.
    Rejected,
    /// Nobody decided in time.
    Expired,
    /// What was approved is no longer what would run.
    Voided,
}

impl RunState {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Planned,
        Self::AwaitingApproval,
        Self::Queued,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
        Self::Unknown,
        Self::Rejected,
        Self::Expired,
        Self::Voided,
    ];

    /// The word on the wire and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::AwaitingApproval => "awaiting_approval",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Voided => "voided",
        }
    }

    /// Nothing more will happen to it.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Planned | Self::AwaitingApproval | Self::Queued | Self::Running)
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for RunState {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| format!("`{text}` is no state of a run"))
    }
}

/// A run as it is stored and shown. `input` is the true input in the store and the redacted one on the wire.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Run {
    /// Its id; also the `Idempotency-Key` the provider sees.
    pub id: RunId,
    /// What is to be done.
    pub action: ActionId,
    /// The declaration it was admitted under.
    pub action_version: Digest,
    /// The words of the command, for people.
    pub command: Vec<String>,
    /// The action's title, for people.
    pub title: String,
    /// What it does to the world.
    pub effect: Effect,
    /// Where.
    pub environment: String,
    /// Where it stands.
    pub state: RunState,
    /// Who asked.
    pub requested_by: Principal,
    /// Through what.
    pub surface: Surface,
    /// Why, in the requester's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The flat input.
    pub input: Value,
    /// What it acts on, narrowed by the plan.
    pub resource: String,
    /// The team that owns the resource, when the registry knows one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// What the provider says it would do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
    /// The policies in force when it was admitted.
    pub policy_version: Digest,
    /// One hash over all that an approver is shown and all that must not change: see [`Run::compute_binding`].
    pub binding: Digest,
    /// Random, kept and never shown: without it the binding, which is shown, would let a short secret in the input be
    /// guessed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
    /// What people must lift before it may start.
    #[serde(default)]
    pub approvals: Vec<Approval>,
    /// What people decided so far.
    #[serde(default)]
    pub decisions: Vec<Decision>,
    /// Its requester went on without approvals, in an emergency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken_glass: Option<BrokenGlass>,
    /// Seconds that its start is delayed after everything was lifted; 0 for none.
    #[serde(default)]
    pub cool_down_seconds: u32,
    /// Seconds that it may take, where policies give it less than its action does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u32>,
    /// The run that this one undoes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undoes: Option<RunId>,
    /// The run that undoes this one, or has undone it: one that has not ended, or has succeeded. Read from that run, not
    /// kept with this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undone_by: Option<RunId>,
    /// How it can be undone, once it is done. Told, not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<UndoOffer>,
    /// Of runs of this provider with the same key one is performed at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<String>,
    /// The run that goes before it, while it waits for others of its key. Told, not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind: Option<RunId>,
    /// Name of the schedule that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// When it starts, while it cools down. Told, not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<Timestamp>,
    /// Until when it waits, while it only waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_until: Option<Timestamp>,
    /// Who asked that it be stopped after it had started. Whether it was, its state tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel_asked: Option<CancelAsked>,
    /// When it was submitted.
    pub created_at: Timestamp,
    /// When the waiting ends, while it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When the provider was called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it came to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// What came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// W3C trace id, 32 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// The requester's own key against double submission.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
}

/// Somebody asked that a run under way be stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CancelAsked {
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
}

/// What was skipped in an emergency, and until when somebody else must have looked at it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BrokenGlass {
    /// The conditions that nobody lifted.
    #[serde(default)]
    pub skipped: Vec<Approval>,
    /// Seconds that it would have cooled down before its start, and did not; 0 for none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub waived_seconds: u32,
    /// Until when the review should be closed.
    pub review_due_at: Timestamp,
}

impl BrokenGlass {
    /// The id of the condition that stands for a wait that was skipped alone.
    pub const WAIT: &str = "cool-down";

    /// Whom it concerns, as conditions: those that were skipped. Where only a wait was, nobody was to be asked, and it is
    /// the owner's people who are told and who look at it afterwards.
    pub fn concerns(&self, owner: Option<&str>) -> Cow<'_, [Approval]> {
        if !self.skipped.is_empty() || self.waived_seconds == 0 {
            return Cow::Borrowed(&self.skipped);
        }
        Cow::Owned(vec![Approval {
            policy: Self::WAIT.to_owned(),
            because: format!("it was to wait {} s before it starts", self.waived_seconds),
            by: Approvers::Owner,
            teams: Approvers::Owner.meant(owner),
            count: 1,
            expires_at: self.review_due_at,
        }])
    }

    /// What it went without, in words: `the approvals of a, b and the wait of 600 s`.
    pub fn in_words(&self) -> String {
        let policies: Vec<&str> = self.skipped.iter().map(|approval| approval.policy.as_str()).collect();
        let approvals = (!policies.is_empty()).then(|| format!("the approvals of {}", policies.join(", ")));
        let wait = (self.waived_seconds > 0).then(|| format!("the wait of {} s", self.waived_seconds));
        approvals.into_iter().chain(wait).collect::<Vec<_>>().join(" and ")
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
fn is_zero(seconds: &u32) -> bool {
    *seconds == 0
}

/// The look that somebody else takes at a run that broke the glass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Review {
    /// Of which run.
    pub run: RunId,
    /// When the glass was broken.
    pub opened_at: Timestamp,
    /// Until when it should be closed.
    pub due_at: Timestamp,
    /// Who closed it, when, and in which words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<ReviewClosed>,
}

/// How a review was closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReviewClosed {
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// What they found.
    pub words: String,
}

/// The action that would undo a run, with the inputs it would take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UndoOffer {
    /// The action.
    pub action: ActionId,
    /// Its flat input; sensitive members redacted.
    pub input: Value,
}

impl Run {
    /// When it starts, while it waits only for its cool-down to pass.
    pub fn begins_at(&self) -> Option<Timestamp> {
        if self.state != RunState::Queued || self.cool_down_seconds == 0 {
            return None;
        }
        let lifted_at = self.decisions.iter().map(|decision| decision.at).chain([self.created_at]).max()?;
        lifted_at.checked_add(SignedDuration::from_secs(i64::from(self.cool_down_seconds))).ok()
    }

    /// The key of the line it stands in once it is queued: no two providers share one.
    pub fn line(&self) -> Option<String> {
        self.concurrency.as_ref().map(|key| format!("{}:{key}", self.action.provider()))
    }

    /// The hash an approval is bound to: action version, input, resource, principal chain, policy version and
    /// plan digest (sentence 6 of the house), salted.
    pub fn compute_binding(&self) -> Digest {
        let by = &self.requested_by;
        Digest::of_json(&json!({
            "action": self.action, "action_version": self.action_version, "input": self.input,
            "resource": self.resource, "principal": {"kind": by.kind, "name": by.name, "agent": by.agent},
            "policy_version": self.policy_version, "plan": self.plan.as_ref().map(Plan::digest), "salt": self.salt,
        }))
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeStatus {
    /// Done.
    Succeeded,
    /// Not done.
    Failed,
    /// Stopped on request.
    Cancelled,
    /// Nobody can say.
    Unknown,
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Outcome {
    /// How it ended.
    pub status: OutcomeStatus,
    /// What the provider answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Box<Problem>>,
}

impl Outcome {
    /// Done, with what the provider answered.
    pub fn succeeded(result: Value) -> Self {
        Self { status: OutcomeStatus::Succeeded, result: Some(result), problem: None }
    }
    /// Not done, and why.
    pub fn failed(problem: Problem) -> Self {
        Self { status: OutcomeStatus::Failed, result: None, problem: Some(Box::new(problem)) }
    }
    /// Stopped on request, with what is left to say.
    pub fn cancelled(problem: Option<Problem>) -> Self {
        Self { status: OutcomeStatus::Cancelled, result: None, problem: problem.map(Box::new) }
    }
    /// Nobody can say, and why.
    pub fn unknown(problem: Problem) -> Self {
        Self { status: OutcomeStatus::Unknown, result: None, problem: Some(Box::new(problem)) }
    }
}
