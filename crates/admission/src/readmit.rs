//! The door once more, at the moment a run is to start: what was true when it was submitted must still be true.

use std::sync::Arc;

use guichet_contract::{Approval, Decision, Plan, Principal, Problem, Run, approval::lifted_by, code};
use guichet_rules::{BreakGlassQuestion, Waiting};

use crate::{
    admitted::ActionCall,
    door::{Door, authorize, narrow, resource_of},
    unfit::Unfit,
    validate,
};

fn void(detail: String) -> Problem {
    Problem::new(code::BINDING_CHANGED, detail).next("submit it again; what will happen is shown anew")
}

impl Door {
    /// Checks a queued run anew, with the plan as it is now: the requester still exists and may; action, policies, resource and owner are those
    /// that were shown; every approval that is needed now was given, by people who may still give it.
    ///
    /// # Errors
    /// What has changed: the run is void. Or that this cannot be seen yet.
    pub fn readmit(&self, run: &Run, plan: Option<&Plan>) -> Result<ActionCall, Unfit> {
        let wanted = self.judged(run, plan)?;
        self.check_lifted(run, &wanted).map_err(void)?;
        Ok(wanted)
    }

    /// The same without the approvals: whether what was shown is still what would run.
    ///
    /// # Errors
    /// What has changed: the run is void. Or that this cannot be seen yet.
    pub fn unchanged(&self, run: &Run) -> Result<ActionCall, Unfit> {
        self.judged(run, run.plan.as_ref())
    }

    fn judged(&self, run: &Run, plan: Option<&Plan>) -> Result<ActionCall, Unfit> {
        let world = self.world();
        let Some(action) = world.catalogue.action(run.action.as_str()).map(Arc::clone) else {
            return Err(Unfit::not_offered(&world, &run.action, void));
        };
        if action.action.version != run.action_version {
            return Err(void(format!(
                "the declaration of {} has changed since it was submitted",
                run.action
            ))
            .into());
        }
        if *world.policies.version() != run.policy_version {
            return Err(void("the policies have changed since it was submitted".into()).into());
        }
        if self.identity().kind_of(&run.requested_by.name) != Some(run.requested_by.kind) {
            return Err(void(format!("{} is no longer a user of this gateway", run.requested_by.name)).into());
        }
        let input = validate::validate(&action, &run.input).map_err(|problem| void(problem.detail))?;
        let resource = resource_of(&action, &input).map_err(|problem| void(problem.detail))?;
        let mut wanted = ActionCall {
            world: Arc::clone(&world),
            action,
            input,
            reason: run.reason.clone(),
            resource,
            owner: None,
            conditions: Vec::new(),
            policies: Vec::new(),
            cool_down_seconds: 0,
            timeout_seconds: None,
        };
        let principal =
            Principal { teams: world.registry.teams_of(&run.requested_by.name), ..run.requested_by.clone() };
        if let Some(plan) = &run.plan {
            narrow(&mut wanted, plan).map_err(|problem| void(problem.detail))?;
        }
        authorize(&mut wanted, &principal, run.surface, plan, self.now())
            .map_err(|no| void(format!("{} may no longer do this: {}", principal.name, no.problem.detail)))?;
        if run.compute_binding() != run.binding {
            return Err(void("the stored run is not the one that was shown".into()).into());
        }
        Ok(wanted)
    }

    /// What was skipped covers what is needed now, and who skipped it may still do so.
    fn check_glass(&self, run: &Run, wanted: &ActionCall, skipped: &[Approval]) -> Result<(), String> {
        let new = wanted
            .conditions
            .iter()
            .find(|condition| !skipped.iter().any(|approval| approval.policy == condition.policy));
        if let Some(condition) = new {
            return Err(format!("it now needs an approval that was not skipped ({})", condition.because));
        }
        let world = self.world();
        let principal =
            Principal { teams: world.registry.teams_of(&run.requested_by.name), ..run.requested_by.clone() };
        let decision = world.policies.may_break_glass(&BreakGlassQuestion {
            principal: &principal,
            action: run.action.as_str(),
            effect: run.effect,
            resource: &run.resource,
            environment: &run.environment,
            now: self.now(),
        });
        if decision.is_allowed() {
            return Ok(());
        }
        Err(format!("{} may no longer go on without approvals", principal.name))
    }

    /// The decisions of those who may still lift this condition.
    pub(crate) fn still_counting(&self, run: &Run, policy: &String) -> Vec<Decision> {
        let world = self.world();
        let counts = |decision: &&Decision| {
            let Some(kind) = self.identity().kind_of(&decision.by) else { return false };
            let teams = world.registry.teams_of(&decision.by);
            let approver = Principal { kind, teams, ..Principal::person(&decision.by) };
            let lifts = world.policies.can_lift(&approver, &Waiting::of(run), self.now());
            lifts.is_ok_and(|lifts| lifts.contains(policy))
        };
        run.decisions.iter().filter(counts).cloned().collect()
    }

    fn check_lifted(&self, run: &Run, wanted: &ActionCall) -> Result<(), String> {
        if let Some(glass) = &run.broken_glass {
            return self.check_glass(run, wanted, &glass.skipped);
        }
        for condition in &wanted.conditions {
            let Some(approval) = run.approvals.iter().find(|approval| approval.policy == condition.policy)
            else {
                return Err(format!(
                    "it now needs an approval that nobody was asked for ({})",
                    condition.because
                ));
            };
            let still_counting = self.still_counting(run, &condition.policy);
            if lifted_by(approval, &still_counting) < usize::from(condition.count.max(approval.count)) {
                return Err(format!(
                    "an approval no longer counts ({}): who gave it may no longer give it",
                    condition.because
                ));
            }
        }
        // How long it must wait can depend on the moment, on who is on call, say; it waited what was needed when it was
        // submitted.
        if wanted.cool_down_seconds() > run.cool_down_seconds {
            return Err(format!(
                "it now needs a longer wait before it starts: {} s instead of {} s",
                wanted.cool_down_seconds(),
                run.cool_down_seconds
            ));
        }
        // The same with how long it may take: half of it, cut off by a time-out nobody was shown, helps no one.
        let (now, shown) =
            (wanted.timeout_seconds(), run.timeout_seconds.unwrap_or(wanted.action().timeout_seconds));
        if now < shown {
            return Err(format!("it may now take {now} s at most, instead of {shown} s"));
        }
        Ok(())
    }
}
