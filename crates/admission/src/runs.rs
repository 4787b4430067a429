//! The door for what is done to runs: who may decide, stop, go on without approval, look at it afterwards, or see it at
//! all.

use guichet_contract::{Principal, PrincipalKind, Problem, RecordVerdict, Run, Verb, Verdict, code};
use guichet_identity::Scope;
use guichet_rules::{BreakGlassQuestion, Decision, LiftRefusal};

use crate::{
    admitted::{ActionCall, Admitted, Deciding},
    caller::Caller,
    door::{Door, allowed_or_problem, check_reason, check_scope, describe, describe_run},
    refusal::Refusal,
};

impl Door {
    /// The right to decide on this run.
    ///
    /// # Errors
    /// The requester, an agent, a token without the scope, or not an approver; recorded.
    pub async fn admit_decision(
        &self,
        caller: Caller,
        run: &Run,
        verdict: Verdict,
    ) -> Result<Admitted<Deciding>, Refusal> {
        let world = self.world();
        let lifts = check_scope(&caller.identified, Scope::Approve).and_then(|()| {
            world
                .policies
                .can_lift(&caller.principal, run, self.now())
                .map_err(|refusal| lift_problem(&refusal, run))
        });
        match lifts {
            Ok(lifts) => Ok(Admitted { caller, wanted: Deciding { lifts } }),
            Err(problem) => {
                let verb = if verdict == Verdict::Approve { Verb::ApproveRun } else { Verb::RejectRun };
                let mut record = self.record_of(&caller, verb, RecordVerdict::Refused);
                describe_run(&mut record, run);
                Err(self.refuse(record, problem).await)
            }
        }
    }

    /// The right to go on without the approvals this needs. A reason must be given.
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

    /// The right to close the review of a run. `waiting` is the run with the conditions it skipped as its approvals.
    ///
    /// # Errors
    /// One's own run, or nobody who could have lifted one of them; recorded.
    pub async fn admit_review(&self, caller: &Caller, waiting: &Run) -> Result<(), Refusal> {
        let world = self.world();
        let checked = check_scope(&caller.identified, Scope::Approve).and_then(|()| {
            world
                .policies
                .can_lift(&caller.principal, waiting, self.now())
                .map(|_| ())
                .map_err(|refusal| lift_problem(&refusal, waiting))
        });
        let Err(problem) = checked else { return Ok(()) };
        let mut record = self.record_of(caller, Verb::CloseReview, RecordVerdict::Refused);
        describe_run(&mut record, waiting);
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
        let lifts = |run: &Run| world.policies.can_lift(principal, run, self.now()).is_ok();
        run.requested_by.is_same_actor(principal)
            || matches!(
                world.policies.may(principal, "view_run", &run.resource, &world.environment),
                Decision::Allowed { .. }
            )
            || lifts(run)
            // Who was skipped sees what they were skipped for.
            || run.broken_glass.as_ref().is_some_and(|glass| {
                lifts(&Run { approvals: glass.skipped.clone(), ..run.clone() })
            })
    }
}

fn lift_problem(refusal: &LiftRefusal, run: &Run) -> Problem {
    let mut who: Vec<String> = run
        .approvals
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
