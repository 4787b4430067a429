//! What is asked of the policies, and what they answer.

use guichet_contract::{Action, Approval, Approvers, Effect, Plan, Principal, Surface};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// May this principal do this?
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Who.
    pub principal: &'a Principal,
    /// What, as the catalogue declares it.
    pub action: &'a Action,
    /// With what; already valid against the action's schema.
    pub input: &'a Value,
    /// On what: see [`crate::resource_of`].
    pub resource: &'a str,
    /// Where.
    pub environment: &'a str,
    /// Through what.
    pub surface: Surface,
    /// Why, in their words.
    pub reason: Option<&'a str>,
    /// What the provider says it would do, once it was asked.
    pub plan: Option<&'a Plan>,
    /// When: who is on call and whether people are at work depends on it.
    pub now: Timestamp,
}

/// May this principal say yes to what another asked for?
#[derive(Debug, Clone, Copy)]
pub struct ApproveQuestion<'a> {
    /// Who would say yes.
    pub approver: &'a Principal,
    /// Who asked.
    pub requester: &'a Principal,
    /// Id of the action.
    pub action: &'a str,
    /// What it does to the world.
    pub effect: Effect,
    /// What it acts on.
    pub resource: &'a str,
    /// Where.
    pub environment: &'a str,
    /// Why an approval is asked, in the policy's words.
    pub because: Option<&'a str>,
    /// When.
    pub now: Timestamp,
}

/// May this principal go on without the approvals that are needed, in an emergency?
#[derive(Debug, Clone, Copy)]
pub struct BreakGlassQuestion<'a> {
    /// Who.
    pub principal: &'a Principal,
    /// Id of the action.
    pub action: &'a str,
    /// What it does to the world.
    pub effect: Effect,
    /// What it acts on.
    pub resource: &'a str,
    /// Where.
    pub environment: &'a str,
    /// When.
    pub now: Timestamp,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Yes.
    Allowed {
        /// Ids of the policies that permit it.
        policies: Vec<String>,
        /// Seconds that the start is delayed; 0 for none.
        cool_down_seconds: u32,
        /// Seconds that it may take at most, where policies say so.
        timeout_seconds: Option<u32>,
    },
    /// Yes, once people have lifted these conditions, all of them.
    NeedsApproval {
        /// At least one.
        conditions: Vec<Condition>,
        /// Ids of the policies that permit it.
        policies: Vec<String>,
        /// Seconds that the start is delayed after that; 0 for none.
        cool_down_seconds: u32,
        /// Seconds that it may take at most, where policies say so.
        timeout_seconds: Option<u32>,
    },
    /// No.
    Refused {
        /// At least one.
        reasons: Vec<Reason>,
    },
}

impl Decision {
    /// Whether it is a yes without conditions.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed { .. })
    }

    /// Whether it is a no only because nothing permits it: who can, and whom to ask, is what to tell then.
    pub fn is_by_default(&self) -> bool {
        matches!(self, Self::Refused { reasons } if reasons.iter().all(|reason| reason.kind == Why::NotPermitted))
    }

    /// Whether it is a no only as long as the requester has not written what is asked for.
    pub fn wants_reason(&self) -> bool {
        matches!(self, Self::Refused { reasons } if reasons.iter().all(|reason| reason.kind == Why::Unwritten))
    }

    pub(crate) fn refused(kind: Why, sentence: String, next: Option<String>) -> Self {
        Self::Refused { reasons: vec![Reason { policy: None, sentence, next, kind }] }
    }
}

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// Id of the policy that says so; `None` when none permits it, and for what is built in.
    pub policy: Option<String>,
    /// Why, for people.
    pub sentence: String,
    /// What to do next.
    pub next: Option<String>,
    /// Of what kind it is.
    pub kind: Why,
}

/// Of what kind a reason against something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// A policy, or what is built in, says no.
    Forbidden,
    /// No policy says yes.
    NotPermitted,
    /// Something is to be written by the requester.
    Unwritten,
    /// The policies could not be asked, or not about this.
    CannotJudge,
}

/// A condition that people can lift.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Id of the policy that asks for it.
    pub policy: String,
    /// Why, in the policy's words.
    pub because: String,
    /// Who can lift it, as declared.
    pub by: Approvers,
    /// The teams that `by` means here, any of them; none when the resource has no owner, so that nobody can lift it.
    pub teams: Vec<String>,
    /// How many distinct people, at least 1.
    pub count: u8,
    /// Seconds until nobody can lift it any more.
    pub expires_seconds: u32,
}

impl Condition {
    /// As it is kept with a run, its time counted from `now`.
    pub fn into_approval(self, now: Timestamp) -> Approval {
        let wait = SignedDuration::from_secs(i64::from(self.expires_seconds));
        Approval {
            expires_at: now.checked_add(wait).unwrap_or(Timestamp::MAX),
            policy: self.policy,
            because: self.because,
            by: self.by,
            teams: self.teams,
            count: self.count,
        }
    }
}

impl std::fmt::Display for Condition {
    /// `destroying data: 2 people of team dba`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let teams: Vec<String> = self.teams.iter().map(|team| format!("team {team}")).collect();
        match (teams.join(" or "), self.count) {
            (teams, _) if teams.is_empty() => write!(
                f,
                "{}: the owner of the resource, but the registry names none, so nobody can approve it",
                self.because
            ),
            (teams, 1) => write!(f, "{}: one person of {teams}", self.because),
            (teams, count) => write!(f, "{}: {count} people of {teams}", self.because),
        }
    }
}
