//! An action that is performed at set times, for one principal, with one input.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    action::{ActionId, Effect},
    approval::{Approval, Decision},
    digest::Digest,
    id::{RunId, ScheduleId},
    plan::Plan,
    principal::{Principal, Surface},
    run::{Run, RunState},
};

/// Where a schedule stands. The legal moves are in the room `lifecycle`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleState {
    /// Waits for people.
    AwaitingApproval,
    /// Makes a run at each of its times.
    Active,
    /// Makes none until somebody resumes it.
    Paused,
    /// Has no more times, or nobody decided on it in time.
    Ended,
    /// An approver said no.
    Rejected,
}

impl ScheduleState {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::AwaitingApproval, Self::Active, Self::Paused, Self::Ended, Self::Rejected];

    /// The word on the wire and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AwaitingApproval => "awaiting_approval",
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Ended => "ended",
            Self::Rejected => "rejected",
        }
    }
}

impl fmt::Display for ScheduleState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What becomes of times at which no gateway was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Missed {
    /// They are left out.
    #[default]
    Skip,
    /// One run is made for all of them.
    Once,
}

impl Missed {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Once => "once",
        }
    }
}

impl FromStr for Missed {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "skip" => Ok(Self::Skip),
            "once" => Ok(Self::Once),
            _ => Err(format!("`{text}` is no policy for missed times: write `skip` or `once`")),
        }
    }
}

/// One of a schedule's times, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fired {
    /// The time.
    pub at: Timestamp,
    /// The run that was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// Why none was, or what is odd about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
}

/// A schedule as it is stored and shown. `input` is the true input in the store and the redacted one on the wire.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Schedule {
    /// Its id.
    pub id: ScheduleId,
    /// What people call it; unique in its environment while it exists.
    pub name: String,
    /// Counts its changes, from 1: who changes it says which one they saw.
    pub revision: u64,
    /// Where it stands.
    pub state: ScheduleState,
    /// Why it stands there, when that is not plain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// Who halted it, while it is paused and somebody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_by: Option<String>,
    /// When: a calendar expression of five fields (minute, hour, day of the month, month, day of the week), or `@daily` and the
    /// like.
    pub expression: String,
    /// IANA time zone in which the expression is read.
    pub zone: String,
    /// The expression in words. Told, not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_words: Option<String>,
    /// What becomes of times at which no gateway was there.
    pub missed: Missed,
    /// After this it makes no more runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
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
    /// Who made it. Its runs are theirs, and happen only while they may.
    pub requested_by: Principal,
    /// Through what it was made.
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
    /// What the provider said it would do, had it been done when the schedule was made. Each run is planned anew, and its
    /// plan is not held against this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
    /// The policies in force when it was made.
    pub policy_version: Digest,
    /// One hash over all that an approver is shown: see [`Schedule::compute_binding`].
    pub binding: Digest,
    /// Random, kept and never shown; as with a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
    /// What people must lift before it makes its first run.
    #[serde(default)]
    pub approvals: Vec<Approval>,
    /// What people decided so far.
    #[serde(default)]
    pub decisions: Vec<Decision>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When the waiting for people ends, while it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The next time at which it makes a run, while it is active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
    /// The next times, at most five; of one that waits or is paused, those it would have. Told, not kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub next: Vec<Timestamp>,
    /// The last of its times, and what came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Fired>,
    /// The last run that it made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run: Option<RunId>,
    /// W3C trace id of the call that made it, 32 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

impl Schedule {
    /// As it is kept: without what is only told.
    #[must_use]
    pub fn kept(self) -> Self {
        Self { in_words: None, next: Vec::new(), ..self }
    }

    /// The hash an approval is bound to: declaration, input, resource, principal chain, reason, the times and their end, and
    /// the conditions, salted. Neither the policies as a whole nor the plan: over the weeks both move, and what they move is
    /// held against this at each time.
    pub fn compute_binding(&self) -> Digest {
        let by = &self.requested_by;
        let conditions: Vec<Value> = self
            .approvals
            .iter()
            .map(|one| {
                json!({"policy": one.policy, "because": one.because, "by": one.by, "teams": one.teams, "count": one.count})
            })
            .collect();
        Digest::of_json(&json!({
            "action": self.action, "action_version": self.action_version, "input": self.input,
            "resource": self.resource, "principal": {"kind": by.kind, "name": by.name, "agent": by.agent},
            "reason": self.reason, "expression": self.expression, "zone": self.zone, "missed": self.missed,
            "until": self.until, "conditions": conditions, "salt": self.salt,
        }))
    }

    /// What its approvers decide on, as a run: what each of its times would make. So that the same door and the same people
    /// stand before both. Its id is the schedule's.
    pub fn as_run(&self) -> Run {
        Run {
            id: self.id.as_run(),
            action: self.action.clone(),
            action_version: self.action_version.clone(),
            command: self.command.clone(),
            title: self.title.clone(),
            effect: self.effect,
            environment: self.environment.clone(),
            state: match self.state {
                ScheduleState::AwaitingApproval => RunState::AwaitingApproval,
                ScheduleState::Active => RunState::Queued,
                ScheduleState::Paused => RunState::Cancelled,
                ScheduleState::Ended => RunState::Expired,
                ScheduleState::Rejected => RunState::Rejected,
            },
            requested_by: self.requested_by.clone(),
            surface: self.surface,
            reason: self.reason.clone(),
            input: self.input.clone(),
            resource: self.resource.clone(),
            owner: self.owner.clone(),
            plan: self.plan.clone(),
            policy_version: self.policy_version.clone(),
            binding: self.binding.clone(),
            salt: self.salt.clone(),
            approvals: self.approvals.clone(),
            decisions: self.decisions.clone(),
            broken_glass: None,
            cool_down_seconds: 0,
            undoes: None,
            undone_by: None,
            undo: None,
            concurrency: None,
            behind: None,
            schedule: Some(self.name.clone()),
            starts_at: None,
            waits_until: None,
            cancel_asked: None,
            timeout_seconds: None,
            created_at: self.created_at,
            expires_at: self.expires_at,
            started_at: None,
            finished_at: None,
            outcome: None,
            trace_id: self.trace_id.clone(),
            idempotency_key: None,
        }
    }
}
