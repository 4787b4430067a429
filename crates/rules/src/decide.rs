//! Asking the policies: permit, refusal, or what people must lift.

use cedar_policy::{AuthorizationError, PolicySet, RestrictedExpression};
use guichet_contract::{Approvers, Principal, PrincipalKind};
use jiff::Timestamp;

use crate::{
    Policies, Rule,
    policies::Slice,
    question::{ApproveQuestion, BreakGlassQuestion, Condition, Decision, Question, Reason, Why},
    request::{Asked, ask},
    resource::check_resource,
};

const KEEPERS: &str = "tell those who keep the policies";

impl Policies {
    /// Whether a principal may do this: at once, after approval, or not.
    pub fn authorize(&self, question: &Question<'_>) -> Decision {
        let Question { principal, action, resource, environment, .. } = *question;
        let Some(slice) = self.slice(action.id.as_str()) else {
            return unknown(action.id.as_str());
        };
        if slice.reads_no_call
            && let Some(decision) = self.memory.recall(question)
        {
            return decision;
        }
        let input = match slice.seen.input.express(question.input) {
            Ok(input) => input,
            Err(unfit) => {
                let sentence = format!("the policies cannot judge this input: {unfit}");
                return Decision::refused(Why::CannotJudge, sentence, Some("correct the input".to_owned()));
            }
        };
        // What no policy reads must not refuse: an answer that is remembered would not have it judged.
        let plan = question.plan.filter(|_| !slice.reads_no_call);
        let plan = match plan.map(|plan| slice.seen.express_plan(plan)).transpose() {
            Ok(plan) => plan.flatten(),
            Err(unfit) => {
                let sentence = format!("the policies cannot judge this plan: {unfit}");
                let next = "tell the owners of the provider: its plans are not as it declares them";
                return Decision::refused(Why::CannotJudge, sentence, Some(next.to_owned()));
            }
        };
        let mut context = vec![
            text("environment", environment),
            text("surface", question.surface.as_str()),
            ("input".to_owned(), input),
        ];
        context.extend(plan.map(|plan| ("plan".to_owned(), plan)));
        context.extend(question.reason.map(|reason| text("reason", reason)));
        context.extend(self.moment(principal, question.now));
        let what = format!("do `{}` on `{resource}` in {environment}", action.id);
        let lifted_by = Lifted::ByPeople { reason: question.reason };
        let decision =
            self.decide((slice, action.id.as_str()), principal, resource, context, &what, lifted_by);
        if slice.reads_no_call {
            self.memory.keep(question, &decision);
        }
        decision
    }

    /// Whether a principal may say yes to what another asked for. The requester, an agent and whoever is no person may
    /// not, whatever the policies say; these three are built in and no policy can remove them.
    pub fn may_approve(&self, question: &ApproveQuestion<'_>) -> Decision {
        let ApproveQuestion { approver, requester, action, resource, environment, .. } = *question;
        if let Some(reason) = crate::lift::built_in(approver, requester) {
            return Decision::refused(Why::Forbidden, reason.to_string(), None);
        }
        let mut context = vec![
            text("environment", environment),
            text("action", action),
            text("effect", question.effect.as_str()),
            text("requester", &requester.name),
        ];
        context.extend(question.because.map(|because| text("because", because)));
        context.extend(self.moment(approver, question.now));
        let what = format!("approve `{action}` on `{resource}` in {environment}");
        self.ask_verb("approve", approver, resource, context, &what)
    }

    /// Whether a principal may go on without approvals. An agent may not, nor may whoever is no person: built in.
    pub fn may_break_glass(&self, question: &BreakGlassQuestion<'_>) -> Decision {
        let BreakGlassQuestion { principal, action, resource, environment, .. } = *question;
        if principal.agent.is_some() || principal.kind != PrincipalKind::Person {
            let sentence = "only a person breaks the glass, and no agent does so for them".to_owned();
            return Decision::refused(Why::Forbidden, sentence, None);
        }
        let mut context = vec![
            text("environment", environment),
            text("action", action),
            text("effect", question.effect.as_str()),
        ];
        context.extend(self.moment(principal, question.now));
        let what = format!("break the glass for `{action}` on `{resource}` in {environment}");
        self.ask_verb("break_glass", principal, resource, context, &what)
    }

    /// What a policy can know of the moment.
    fn moment(&self, principal: &Principal, now: Timestamp) -> [(String, RestrictedExpression); 2] {
        let calendar = self.registry.calendar();
        let teams = calendar.on_call(&principal.name, now);
        let teams = teams.into_iter().map(|team| RestrictedExpression::new_string(team.to_owned()));
        [
            ("on_call".to_owned(), RestrictedExpression::new_set(teams)),
            ("office_hours".to_owned(), RestrictedExpression::new_bool(calendar.is_office_hours(now))),
        ]
    }

    /// Whether a principal may use a verb of the gateway's own: `view_run`, `audit`, `register_instance`, `add_provider`,
    /// `remove_provider`, `read_deliveries`, `replay_delivery` or `ping_channel`.
    pub fn may(&self, principal: &Principal, verb: &str, resource: &str, environment: &str) -> Decision {
        let asked_here = [
            "view_run",
            "audit",
            "register_instance",
            "add_provider",
            "remove_provider",
            "read_deliveries",
            "replay_delivery",
            "ping_channel",
        ];
        if !asked_here.contains(&verb) {
            return unknown(verb);
        }
        let what = format!("{} `{resource}` in {environment}", verb.replace('_', " "));
        self.ask_verb(verb, principal, resource, vec![text("environment", environment)], &what)
    }

    /// An approval of an approval there is not: a `forbid` on a verb refuses, annotated or not.
    fn ask_verb(
        &self,
        verb: &str,
        principal: &Principal,
        resource: &str,
        context: Vec<(String, RestrictedExpression)>,
        what: &str,
    ) -> Decision {
        match self.slice(verb) {
            Some(slice) => self.decide((slice, verb), principal, resource, context, what, Lifted::Never),
            None => unknown(verb),
        }
    }

    fn decide(
        &self,
        (slice, action): (&Slice, &str),
        principal: &Principal,
        resource: &str,
        context: Vec<(String, RestrictedExpression)>,
        what: &str,
        lifted: Lifted<'_>,
    ) -> Decision {
        if let Err(error) = check_resource(resource) {
            let next = Some("correct the input".to_owned());
            return Decision::refused(Why::CannotJudge, error.to_string(), next);
        }
        let asked = match ask(&self.names, &self.registry, slice, action, principal, resource, context) {
            Ok(asked) => asked,
            Err(why) => {
                let sentence = format!("the policies could not be asked ({why}), so the answer is no");
                return Decision::refused(Why::CannotJudge, sentence, Some(KEEPERS.to_owned()));
            }
        };
        let forbids = match self.satisfied(&slice.forbids, &asked) {
            Ok(forbids) => forbids,
            Err(reasons) => return Decision::Refused { reasons },
        };
        let hard: Vec<Reason> = forbids
            .iter()
            .filter(|rule| matches!(lifted, Lifted::Never) || !rule.is_soft())
            .map(|rule| forbidden(rule))
            .collect();
        if !hard.is_empty() {
            return Decision::Refused { reasons: hard };
        }
        let permits = match self.satisfied(&slice.permits, &asked) {
            Ok(permits) => permits,
            Err(reasons) => return Decision::Refused { reasons },
        };
        if permits.is_empty() {
            return self.not_permitted(principal, resource, what);
        }
        if let Lifted::ByPeople { reason } = lifted {
            let unwritten: Vec<Reason> = forbids.iter().filter_map(|rule| unwritten(rule, reason)).collect();
            if !unwritten.is_empty() {
                return Decision::Refused { reasons: unwritten };
            }
        }
        let policies = permits.iter().map(|rule| rule.id.clone()).collect();
        let cool_down_seconds = forbids.iter().map(|rule| rule.cool_down_seconds).max().unwrap_or(0);
        let timeout_seconds = forbids.iter().filter_map(|rule| rule.timeout_seconds).min();
        let conditions: Vec<Condition> =
            forbids.iter().flat_map(|rule| self.conditions(rule, resource)).collect();
        if conditions.is_empty() {
            Decision::Allowed { policies, cool_down_seconds, timeout_seconds }
        } else {
            Decision::NeedsApproval { conditions, policies, cool_down_seconds, timeout_seconds }
        }
    }

    fn satisfied(&self, set: &PolicySet, asked: &Asked) -> Result<Vec<&Rule>, Vec<Reason>> {
        self.satisfied_among(set, asked, |_| true)
    }

    /// The policies of a set that hold here, by id, of those that `counts`. One that cannot be evaluated might have been
    /// the one that forbids, so it refuses: Cedar itself would go on without it.
    pub(crate) fn satisfied_among(
        &self,
        set: &PolicySet,
        asked: &Asked,
        counts: impl Fn(&str) -> bool,
    ) -> Result<Vec<&Rule>, Vec<Reason>> {
        let response = self.authorizer.is_authorized(&asked.request, set, &asked.entities);
        let mut failed: Vec<Reason> = response
            .diagnostics()
            .errors()
            .map(|AuthorizationError::PolicyEvaluationError(error)| error)
            .filter(|error| counts(error.policy_id().as_ref()))
            .map(|error| {
                let id: &str = error.policy_id().as_ref();
                Reason {
                    policy: Some(id.to_owned()),
                    sentence: format!(
                        "the policy `{id}` could not be evaluated ({}), so the answer is no",
                        error.inner()
                    ),
                    next: Some(KEEPERS.to_owned()),
                    kind: Why::CannotJudge,
                }
            })
            .collect();
        if !failed.is_empty() {
            failed.sort_by(|one, other| one.policy.cmp(&other.policy));
            return Err(failed);
        }
        // Every policy of a set is in `rules`: both are made of one list.
        let held = response.diagnostics().reason().map(AsRef::<str>::as_ref).filter(|id| counts(id));
        let mut rules: Vec<&Rule> = held.filter_map(|id| self.rules.get(id)).collect();
        rules.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(rules)
    }

    fn not_permitted(&self, principal: &Principal, resource: &str, what: &str) -> Decision {
        let next = match self.registry.owner_of(resource) {
            Some(team) => format!("ask team {team}, which owns it, or propose a policy that permits it"),
            None => "propose a policy that permits it; the registry names no owner to ask".to_owned(),
        };
        let sentence = format!("no policy permits {principal} to {what}");
        Decision::refused(Why::NotPermitted, sentence, Some(next))
    }

    /// One condition, or one for each part of `@by("… and …")`.
    pub(crate) fn conditions(&self, rule: &Rule, resource: &str) -> Vec<Condition> {
        let Some(lifting) = &rule.lifting else { return Vec::new() };
        let owner = self.registry.owner_of(resource);
        let parts = lifting.by.parts();
        let condition = |by: &Approvers| Condition {
            policy: if parts.len() == 1 { rule.id.clone() } else { format!("{}:{by}", rule.id) },
            because: lifting.because.clone(),
            by: by.clone(),
            teams: by.meant(owner),
            count: lifting.count,
            expires_seconds: lifting.expires_seconds,
        };
        parts.iter().map(condition).collect()
    }
}

/// What lifts a `forbid` here.
#[derive(Clone, Copy)]
enum Lifted<'a> {
    /// Nothing: there is no approval of an approval.
    Never,
    /// People, waiting, and what the requester writes.
    ByPeople { reason: Option<&'a str> },
}

/// A refusal that the requester lifts by writing; `None` when it is written.
fn unwritten(rule: &Rule, reason: Option<&str>) -> Option<Reason> {
    let writing = rule.writing.as_ref()?;
    let lacks = writing.lacks(reason)?;
    let why = rule.description.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    Some(Reason {
        policy: Some(rule.id.clone()),
        sentence: format!("this needs {lacks}{why}"),
        next: Some(format!("give `--reason \"…\"`; what to write: {}", writing.template)),
        kind: Why::Unwritten,
    })
}

pub(crate) fn forbidden(rule: &Rule) -> Reason {
    Reason {
        policy: Some(rule.id.clone()),
        sentence: rule.description.clone().unwrap_or_else(|| format!("the policy `{}` forbids it", rule.id)),
        next: rule.next.clone(),
        kind: Why::Forbidden,
    }
}

pub(crate) fn unknown(name: &str) -> Decision {
    let sentence = format!("the policies do not know `{name}`, so the answer is no");
    Decision::refused(
        Why::CannotJudge,
        sentence,
        Some("look into the catalogue for what there is".to_owned()),
    )
}

pub(crate) fn text(name: &str, value: &str) -> (String, RestrictedExpression) {
    (name.to_owned(), RestrictedExpression::new_string(value.to_owned()))
}
