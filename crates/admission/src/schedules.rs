//! The door for schedules: what is done to them, and each of their times.

use std::sync::Arc;

use guichet_contract::{
    Approval, Approvers, Decision, Principal, Problem, Record, RecordVerdict, Run, Schedule, TokenId, Verb,
    approval::lifted_by, code,
};
use guichet_identity::{Identified, Scope};
use guichet_rules::{LiftRefusal, Waiting};
use guichet_store::TokenKind;
use jiff::Timestamp;

use crate::{
    admitted::{ActionCall, Admitted},
    caller::Caller,
    door::{Attempt, Door, check_action, check_reason, check_scope, describe_run},
    refusal::Refusal,
    unfit::Unfit,
};

/// Fills in what a record says of a schedule.
pub fn describe_schedule(record: &mut Record, schedule: &Schedule) {
    describe_asked(record, &schedule.as_run());
}

/// Fills in what a record says of a run, or of the schedule that stands for one ([`Schedule::as_run`]), by the record's verb.
pub(crate) fn describe_asked(record: &mut Record, run: &Run) {
    describe_run(record, run);
    if matches!(record.verb, Verb::ApproveRun | Verb::RejectRun) {
        return;
    }
    record.run = None;
    record.detail = run.schedule.as_ref().map(|name| format!("schedule {name}"));
}

impl Door {
    /// One of a schedule's times: its requester as they are now, with a right no greater than a personal token of theirs for
    /// this one effect would give.
    ///
    /// # Errors
    /// They are no longer a user, the action is gone, its input is no longer valid, or policy. Nothing is recorded: whoever
    /// asks writes down what becomes of the schedule.
    pub fn admit_firing(&self, schedule: &Schedule) -> Result<Admitted<ActionCall>, Unfit> {
        let world = self.world();
        let by = &schedule.requested_by;
        if self.identity().kind_of(&by.name) != Some(by.kind) {
            return Err(Problem::new(
                code::REFUSED,
                format!("{} is no longer a user of this gateway", by.name),
            )
            .next("somebody else must make the schedule anew")
            .into());
        }
        let Some(action) = world.catalogue.action(schedule.action.as_str()).map(Arc::clone) else {
            return Err(Unfit::not_offered(&world, &schedule.action, |detail| {
                Problem::new(code::UNKNOWN_ACTION, detail)
                    .next("resume the schedule when it is offered again")
            }));
        };
        let principal = Principal { teams: world.registry.teams_of(&by.name), ..by.clone() };
        let identified = Identified {
            principal: by.clone(),
            token: TokenId(schedule.id.0),
            token_kind: TokenKind::Personal,
            scopes: vec![Scope::from(schedule.effect).as_str().to_owned()],
            expires_at: schedule.until.unwrap_or(Timestamp::MAX),
        };
        let caller = Caller {
            principal,
            identified: Arc::new(identified),
            surface: schedule.surface,
            traceparent: None,
        };
        let attempt = Attempt {
            action: schedule.action.to_string(),
            input: schedule.input.clone(),
            reason: schedule.reason.clone(),
        };
        let wanted = check_action(&world, &caller, &action, &attempt, self.now()).map_err(|no| no.problem)?;
        Ok(Admitted { caller, wanted })
    }

    /// What people said to the schedule, where it lifts everything that its run needs now: the schedule is the one that they
    /// were shown, each condition is one of those they lifted, and who lifted it still may. Else none, and the run asks
    /// for all of it, as any other does.
    pub fn lifted_beforehand(&self, schedule: &Schedule, wanted: &ActionCall) -> Option<Vec<Decision>> {
        let same = schedule.compute_binding() == schedule.binding
            && schedule.action_version == wanted.action().version
            && schedule.resource == wanted.resource
            && schedule.until.is_some_and(|until| self.now() <= until);
        if !same {
            return None;
        }
        let asked = schedule.as_run();
        let lifted = wanted.conditions.iter().all(|condition| {
            schedule.approvals.iter().any(|approval| {
                let is_the_same = (&approval.policy, &approval.because, &approval.by, &approval.teams)
                    == (&condition.policy, &condition.because, &condition.by, &condition.teams)
                    && approval.count == condition.count;
                let counting = self.still_counting(&asked, &condition.policy);
                is_the_same && lifted_by(approval, &counting) >= usize::from(condition.count.max(1))
            })
        });
        lifted.then_some(asked.decisions)
    }

    /// The right to halt, let go on or remove a schedule: its requester's, and that of those who may approve it; where it
    /// needs no approval, of those of the resource's owner who may approve what their team is asked for. What another has
    /// halted its requester does not let go on.
    ///
    /// # Errors
    /// Anybody else, a token without the scope, a reason that is too long; recorded.
    pub async fn admit_schedule_change(
        &self,
        caller: &Caller,
        schedule: &Schedule,
        verb: Verb,
        reason: Option<&str>,
    ) -> Result<(), Refusal> {
        let is_own = schedule.requested_by.is_same_actor(&caller.principal);
        let halted_by = schedule
            .paused_by
            .as_deref()
            .filter(|by| verb == Verb::ResumeSchedule && *by != caller.principal.name);
        let checked = if let (true, Some(by)) = (is_own, halted_by) {
            Err(Problem::new(code::REFUSED, format!("{by} has halted it, so you cannot let it go on"))
                .next(format!("ask {by}")))
        } else if is_own {
            check_scope(&caller.identified, schedule.effect.into())
        } else {
            check_scope(&caller.identified, Scope::Approve).and_then(|()| {
                self.may_halt(&caller.principal, schedule).map_err(|why| not_theirs(schedule, &why))
            })
        };
        let Err(problem) = checked.and_then(|()| check_reason(reason)) else { return Ok(()) };
        let mut record = self.record_of(caller, verb, RecordVerdict::Refused);
        describe_schedule(&mut record, schedule);
        Err(self.refuse(record, problem).await)
    }

    /// Whether this principal may see this schedule: who may see its runs, and who may halt it.
    pub fn may_see_schedule(&self, principal: &Principal, schedule: &Schedule) -> bool {
        self.may_see(principal, &schedule.as_run()) || self.may_halt(principal, schedule).is_ok()
    }

    fn may_halt(&self, principal: &Principal, schedule: &Schedule) -> Result<(), LiftRefusal> {
        let asked = schedule.as_run();
        let by_owner;
        let approvals = if asked.approvals.is_empty() {
            by_owner = [Approval {
                policy: "owner".to_owned(),
                because: "it is owned".to_owned(),
                by: Approvers::Owner,
                teams: Approvers::Owner.meant(schedule.owner.as_deref()),
                count: 1,
                expires_at: Timestamp::MAX,
            }];
            &by_owner[..]
        } else {
            &asked.approvals
        };
        let world = self.world();
        world.policies.can_lift(principal, &Waiting::on(&asked, approvals), self.now()).map(|_| ())
    }
}

fn not_theirs(schedule: &Schedule, why: &LiftRefusal) -> Problem {
    let by = &schedule.requested_by.name;
    Problem::new(code::REFUSED, format!("it is {by}'s schedule, and {why}"))
        .next(format!("ask {by}, or somebody who may approve it"))
}
