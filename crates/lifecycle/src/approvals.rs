//! What one person's yes or no does to a run that waits for people.

use guichet_contract::{
    Decision, Digest, Principal, PrincipalKind, Run, RunState, Verdict,
    approval::{all_lifted, lifted_by},
};
use jiff::Timestamp;

use crate::transition::Event;

/// Why a decision does not count. Nothing of it is kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecisionError {
    /// The run waits for nobody.
    #[error("this run does not wait for a decision: it is {state}")]
    NotWaiting {
        /// Where it stands.
        state: RunState,
    },
    /// Too late.
    #[error("the time to decide ended at {at}: nobody can decide on this run any more")]
    Expired {
        /// When the waiting ended.
        at: Timestamp,
    },
    /// One person, one word.
    #[error(
        "you have decided already: {by} said yes at {at}, and one person counts once; to stop the run after all, \
         another approver can reject it or its requester cancel it"
    )]
    AlreadyDecided {
        /// Who.
        by: String,
        /// When they did.
        at: Timestamp,
    },
    /// The requester decides never, whatever the policies say.
    #[error("this is your own run: nobody decides on what they asked for; to withdraw it, cancel it")]
    OwnRun,
    /// Decisions are for people: no agent (even on behalf of a person), no service account, no CI job.
    #[error("only a person decides, and no agent does so for them")]
    AgentCannotApprove,
    /// The person looked at something else than what would run.
    #[error(
        "what you were shown ({}) is not what would run now ({}): what you saw has changed",
        shown.short(), now.short()
    )]
    BindingChanged {
        /// The binding of the card the person saw.
        shown: Digest,
        /// The binding of the run.
        now: Digest,
    },
    /// No policy lets this person lift anything of this run.
    #[error("you are not among those who can approve this run")]
    NotAnApprover,
}

/// Takes one person's decision: what to write down, and the event that follows from it, if one does.
///
/// - `by` is who decides, `lifts` the ids of the policies that this person may lift (the room `rules` computes
///   them). Somebody who may lift nothing may not say no either.
/// - `shown_binding` is what the person was shown. It is compared for a yes only: a no does no harm to what it
///   was not meant for, and nobody should have to look twice to stop something.
/// - A yes is not taken back: one person has one word in a run, so that nobody can be counted twice in any way.
/// - `now` may lie before earlier decisions (clocks are set back): order is not taken from it.
///
/// `None` as event: the decision counts, and the run goes on waiting.
pub fn decide(
    run: &Run,
    by: &Principal,
    verdict: Verdict,
    lifts: Vec<String>,
    shown_binding: Option<&Digest>,
    reason: Option<String>,
    now: Timestamp,
) -> Result<(Decision, Option<Event>), DecisionError> {
    if run.state != RunState::AwaitingApproval {
        return Err(DecisionError::NotWaiting { state: run.state });
    }
    // Who may never decide hears so before anything else about the run.
    if by.agent.is_some() || by.kind != PrincipalKind::Person {
        return Err(DecisionError::AgentCannotApprove);
    }
    if by.is_same_actor(&run.requested_by) {
        return Err(DecisionError::OwnRun);
    }
    if let Some(at) = waiting_ends(run).filter(|at| now > *at) {
        return Err(DecisionError::Expired { at });
    }
    let lifts = liftable(run, lifts);
    if lifts.is_empty() {
        return Err(DecisionError::NotAnApprover);
    }
    if let Some(earlier) = run.decisions.iter().find(|decision| decision.by == by.name) {
        return Err(DecisionError::AlreadyDecided { by: by.name.clone(), at: earlier.at });
    }
    if verdict == Verdict::Reject {
        let decision = Decision { by: by.name.clone(), verdict, lifts: Vec::new(), reason, at: now };
        return Ok((decision, Some(Event::Rejected)));
    }
    if let Some(shown) = shown_binding.filter(|shown| **shown != run.binding) {
        return Err(DecisionError::BindingChanged { shown: shown.clone(), now: run.binding.clone() });
    }
    let decision = Decision { by: by.name.clone(), verdict, lifts, reason, at: now };
    let event = completes(run, &decision).then_some(Event::Lifted);
    Ok((decision, event))
}

/// The first moment after which something that is still to be lifted can no longer be.
fn waiting_ends(run: &Run) -> Option<Timestamp> {
    let open = run
        .approvals
        .iter()
        .filter(|approval| lifted_by(approval, &run.decisions) < usize::from(approval.count.max(1)));
    open.map(|approval| approval.expires_at).chain(run.expires_at).min()
}

/// Of the policies a person may lift, those this run waits for. An approval without a team is one that nobody
/// can lift: if the machinery that lifts it is missing, the answer is no.
fn liftable(run: &Run, lifts: Vec<String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::with_capacity(lifts.len());
    for policy in lifts {
        let waits =
            run.approvals.iter().any(|approval| approval.policy == policy && !approval.teams.is_empty());
        if waits && !kept.contains(&policy) {
            kept.push(policy);
        }
    }
    kept
}

/// Whether this decision is the last one needed. A yes in the requester's own name does not count, even if one
/// were found in the store: [`decide`] never lets one in.
fn completes(run: &Run, decision: &Decision) -> bool {
    let requester = &run.requested_by;
    let counted: Vec<Decision> = run
        .decisions
        .iter()
        .filter(|earlier| requester.kind != PrincipalKind::Person || earlier.by != requester.name)
        .chain([decision])
        .cloned()
        .collect();
    all_lifted(&run.approvals, &counted)
}
