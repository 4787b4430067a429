//! Who can lift the conditions of a run.

use guichet_contract::{Approval, Effect, Principal, PrincipalKind, Run};
use jiff::Timestamp;

use crate::{
    Policies,
    question::{ApproveQuestion, Decision},
};

/// Why somebody cannot decide on a run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LiftRefusal {
    /// They asked for it themselves.
    #[error("who asked for a run never decides on it")]
    OwnRun,
    /// An agent acts for them.
    #[error("an agent never decides on a run, also not on behalf of a person")]
    Agent,
    /// None of the conditions is theirs to lift.
    #[error("{sentence}")]
    NotAnApprover {
        /// Why, for people.
        sentence: String,
        /// Policies that say so, when it was policies.
        policies: Vec<String>,
    },
}

/// What waits for people: as much of a run as decides who they are. Also what is only thought of waits so, and what was
/// skipped in an emergency.
#[derive(Debug, Clone, Copy)]
pub struct Waiting<'a> {
    /// Who asked.
    pub requester: &'a Principal,
    /// Id of the action.
    pub action: &'a str,
    /// What it does to the world.
    pub effect: Effect,
    /// On what.
    pub resource: &'a str,
    /// Where.
    pub environment: &'a str,
    /// The conditions.
    pub approvals: &'a [Approval],
}

impl<'a> Waiting<'a> {
    /// What this run waits for, or waited for.
    pub fn of(run: &'a Run) -> Self {
        Self::on(run, &run.approvals)
    }

    /// This run, as if these were its conditions.
    pub fn on(run: &'a Run, approvals: &'a [Approval]) -> Self {
        Self {
            requester: &run.requested_by,
            action: run.action.as_str(),
            effect: run.effect,
            resource: &run.resource,
            environment: &run.environment,
            approvals,
        }
    }
}

/// What no policy can allow.
pub(crate) fn built_in(approver: &Principal, requester: &Principal) -> Option<LiftRefusal> {
    if approver.agent.is_some() {
        Some(LiftRefusal::Agent)
    } else if approver.is_same_actor(requester) {
        Some(LiftRefusal::OwnRun)
    } else if approver.kind != PrincipalKind::Person {
        // Else one could approve oneself through an account of one's own.
        Some(LiftRefusal::NotAnApprover {
            sentence: format!("only people decide on a run, and {} is none", approver.name),
            policies: Vec::new(),
        })
    } else {
        None
    }
}

impl Policies {
    /// The conditions that this principal can lift: ids of their policies, at least one. They must be in a
    /// team the condition names, and the policies must let them `approve`. Neither its expiry nor what others decided
    /// counts here; `now` is for who is on call.
    ///
    /// # Errors
    /// Why they can lift none.
    pub fn can_lift(
        &self,
        approver: &Principal,
        waiting: &Waiting<'_>,
        now: Timestamp,
    ) -> Result<Vec<String>, LiftRefusal> {
        if let Some(refusal) = built_in(approver, waiting.requester) {
            return Err(refusal);
        }
        let teams = self.registry.with_parents(&approver.teams);
        let theirs: Vec<&Approval> = waiting
            .approvals
            .iter()
            .filter(|approval| approval.teams.iter().any(|team| teams.contains(team.as_str())))
            .collect();
        if theirs.is_empty() {
            return Err(LiftRefusal::NotAnApprover {
                sentence: not_theirs(approver, waiting),
                policies: Vec::new(),
            });
        }
        let mut lifted = Vec::new();
        let (mut sentences, mut policies) = (Vec::new(), Vec::new());
        for approval in theirs {
            let decision = self.may_approve(&ApproveQuestion {
                approver,
                requester: waiting.requester,
                action: waiting.action,
                effect: waiting.effect,
                resource: waiting.resource,
                environment: waiting.environment,
                because: Some(&approval.because),
                now,
            });
            match decision {
                Decision::Allowed { .. } => lifted.push(approval.policy.clone()),
                Decision::Refused { reasons } => {
                    for reason in reasons {
                        if !sentences.contains(&reason.sentence) {
                            sentences.push(reason.sentence);
                        }
                        policies.extend(reason.policy);
                    }
                }
                // No verb of the gateway waits for approval; if one ever did, this is no yes.
                Decision::NeedsApproval { .. } => {}
            }
        }
        if lifted.is_empty() {
            policies.sort();
            policies.dedup();
            return Err(LiftRefusal::NotAnApprover { sentence: sentences.join("; "), policies });
        }
        Ok(lifted)
    }
}

fn not_theirs(approver: &Principal, waiting: &Waiting<'_>) -> String {
    if waiting.approvals.is_empty() {
        return "this run waits for no approval".to_owned();
    }
    let mut teams: Vec<&str> =
        waiting.approvals.iter().flat_map(|approval| &approval.teams).map(String::as_str).collect();
    teams.sort_unstable();
    teams.dedup();
    if teams.is_empty() {
        return format!("nobody can approve this run: the registry names no owner of {}", waiting.resource);
    }
    format!("{} is in none of the teams that can approve this run ({})", approver.name, teams.join(", "))
}
