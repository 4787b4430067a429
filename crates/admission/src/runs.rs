//! The door for what is done to runs: who may decide, stop, go on without approval, look at it afterwards, or see it at
//! all.

use guichet_contract::{
    Approval, BrokenGlass, Principal, PrincipalKind, Problem, RecordVerdict, Run, Verb, Verdict, code,
};
use guichet_identity::Scope;
use guichet_rules::{BreakGlassQuestion, Decision, LiftRefusal, Waiting};
use jiff::Timestamp;

use crate::{
    admitted::{ActionCall, Admitted, Deciding},
    caller::Caller,
    door::{AUDITED, Door, allowed_or_problem, check_reason, check_scope, describe, describe_run},
    refusal::Refusal,
    schedules::describe_asked,
    world::World,
};

impl Door {
    /// The right to decide on this run, or on the schedule that stands for one; `verb` says which decision.
    ///
    /// # Errors
    /// The requester, an agent, a token without the scope, or not an approver; recorded.
    pub async fn admit_decision(
        &self,
        caller: Caller,
        run: &Run,
        verb: Verb,
    ) -> Result<Admitted<Deciding>, Refusal> {
        let world = self.world();
        let lifts = check_scope(&caller.identified, Scope::Approve).and_then(|()| {
            world
                .policies
                .can_lift(&caller.principal, &Waiting::of(run), self.now())
                .map_err(|refusal| lift_problem(&refusal, &run.approvals))
        });
        match lifts {
            Ok(lifts) => Ok(Admitted { caller, wanted: Deciding { lifts } }),
            Err(problem) => {
                let mut record = self.record_of(&caller, verb, RecordVerdict::Refused);
                describe_asked(&mut record, run);
                Err(self.refuse(record, problem).await)
            }
        }
    }

    /// The right to go on without the approvals and the wait that this needs. A reason must be given.
    ///
    /// # Errors
    /// Policy, an agent, or no reason; recorded.
    pub async fn admit_break_glass(&self, admitted: &Admitted<ActionCall>) -> Result<(), Refusal> {
        let (caller, wanted) = (&admitted.caller, &admitted.wanted);
        let problem = if wanted.reason.is_none() {
            Problem::new(
                code::REASON_REQUIRED,
                "breaking the glass needs a reason: those who are skipped read it",
            )
            .next("give `--reason \"…\"`")
        } else {
            let decision = wanted.world.policies.may_break_glass(&BreakGlassQuestion {
                principal: &caller.principal,
                action: wanted.action().id.as_str(),
                effect: wanted.action().effect,
                resource: &wanted.resource,
                environment: &wanted.world.environment,
                now: self.now(),
            });
            match allowed_or_problem(&decision) {
                Ok(()) => return Ok(()),
                Err(problem) => problem,
            }
        };
        let mut record = self.record_of(caller, Verb::BreakGlass, RecordVerdict::Refused);
        describe(&mut record, wanted);
        Err(self.refuse(record, problem).await)
    }

    /// The right to close the review of a run that broke the glass: of who could have lifted one of the conditions that it
    /// skipped. Where these name nobody, because the resource has no owner, of who may audit and did not ask for it.
    ///
    /// # Errors
    /// One's own run, or nobody who could have lifted one of them; recorded.
    pub async fn admit_review(&self, caller: &Caller, run: &Run, glass: &BrokenGlass) -> Result<(), Refusal> {
        let skipped = glass.concerns(run.owner.as_deref());
        let checked = check_scope(&caller.identified, Scope::Approve).and_then(|()| {
            may_review(&self.world(), &caller.principal, run, &skipped, self.now()).map_err(|refusal| {
                let problem = lift_problem(&refusal, &skipped);
                if !names_nobody(&skipped) || matches!(refusal, LiftRefusal::OwnRun | LiftRefusal::Agent) {
                    return problem;
                }
                problem.next("nobody owns the resource, so somebody who may audit looks at it")
            })
        });
        let Err(problem) = checked else { return Ok(()) };
        let mut record = self.record_of(caller, Verb::CloseReview, RecordVerdict::Refused);
        describe_run(&mut record, run);
        Err(self.refuse(record, problem).await)
    }

    /// The right to withdraw this run: its requester's, with a token that could have asked for it. While it cools down,
    /// also that of those who approved it.
    ///
    /// # Errors
    /// Someone else's run, a token without the scope, a reason that is too long; recorded.
    pub async fn admit_cancel(
        &self,
        caller: &Caller,
        run: &Run,
        reason: Option<&str>,
    ) -> Result<(), Refusal> {
        let approved_it = run.decisions.iter().any(|decision| {
            decision.verdict == Verdict::Approve
                && decision.by == caller.principal.name
                && caller.principal.kind == PrincipalKind::Person
                && caller.principal.agent.is_none()
        });
        let checked = if approved_it && run.begins_at().is_some() {
            check_scope(&caller.identified, Scope::Approve).and_then(|()| check_reason(reason))
        } else if run.requested_by.is_same_actor(&caller.principal) {
            check_scope(&caller.identified, run.effect.into()).and_then(|()| check_reason(reason))
        } else {
            Err(Problem::new(code::REFUSED, format!("only {} can cancel this run", run.requested_by.name))
                .next("an approver can reject it"))
        };
        let Err(problem) = checked else { return Ok(()) };
        let mut record = self.record_of(caller, Verb::CancelRun, RecordVerdict::Refused);
        describe_run(&mut record, run);
        Err(self.refuse(record, problem).await)
    }

    /// Whether this principal may see this run: its requester always, others by policy.
    pub fn may_see(&self, principal: &Principal, run: &Run) -> bool {
        let world = self.world();
        run.requested_by.is_same_actor(principal)
            || matches!(
                world.policies.may(principal, "view_run", &run.resource, &world.environment),
                Decision::Allowed { .. }
            )
            || world.policies.can_lift(principal, &Waiting::of(run), self.now()).is_ok()
            // Who was skipped, or is to look at it, sees what it was for.
            || run.broken_glass.as_ref().is_some_and(|glass| {
                let skipped = glass.concerns(run.owner.as_deref());
                may_review(&world, principal, run, &skipped, self.now()).is_ok()
            })
    }
}

/// As if it still waited: who could have said yes then may look at it now. Where there was nobody to ask, a review could
/// never be closed, so whoever may audit does it.
fn may_review(
    world: &World,
    principal: &Principal,
    run: &Run,
    skipped: &[Approval],
    now: Timestamp,
) -> Result<(), LiftRefusal> {
    let Err(refusal) = world.policies.can_lift(principal, &Waiting::on(run, skipped), now) else {
        return Ok(());
    };
    let audits = || world.policies.may(principal, "audit", AUDITED, &world.environment).is_allowed();
    let is_another = matches!(refusal, LiftRefusal::NotAnApprover { .. });
    if is_another && names_nobody(skipped) && principal.kind == PrincipalKind::Person && audits() {
        return Ok(());
    }
    Err(refusal)
}

fn names_nobody(skipped: &[Approval]) -> bool {
    skipped.iter().all(|approval| approval.teams.is_empty())
}

fn lift_problem(refusal: &LiftRefusal, approvals: &[Approval]) -> Problem {
    let mut who: Vec<String> = approvals
        .iter()
        .map(|approval| approval.who().unwrap_or_else(|| "nobody (the resource has no owner)".to_owned()))
        .collect();
    who.sort();
    who.dedup();
    let who = format!("it can be decided by {}", who.join(" and "));
    match refusal {
        LiftRefusal::OwnRun => {
            Problem::new(code::OWN_RUN, "you asked for this run yourself, so you cannot decide on it")
                .next(format!("ask someone else: {who}"))
        }
        LiftRefusal::Agent => {
            Problem::new(code::AGENT_CANNOT_APPROVE, "an agent never decides, also not on behalf of a person")
                .next("decide yourself, signed in as a person")
        }
        LiftRefusal::NotAnApprover { sentence, policies } => {
            Problem::new(code::NOT_AN_APPROVER, sentence.clone()).policies(policies.clone()).next(who)
        }
    }
}
