//! What a question to the policies is about: an action that is only thought of, or a run; asked by whom, about whom.

use std::{collections::BTreeSet, sync::Arc};

use guichet_admission::{Asked, Call, Caller, Refusal, Thought, World, ask::approvers, door::GatewayVerb};
use guichet_contract::{
    Approval, ApprovalTold, Principal, PrincipalKind, Problem, Record, RecordVerdict, Run, Verb,
    approval::Verdict, code,
};
use guichet_rules::{Condition, Waiting};
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::{
    platform::{Platform, store_problem},
    read_runs,
};

/// An action with what of a call is known, or a run.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// A run's full or short id.
    pub run: Option<String>,
    /// An action's id, where no run is meant.
    pub action: Option<String>,
    /// The flat input; none while it is not known.
    pub input: Option<Map<String, Value>>,
    /// On what; what the input says when absent.
    pub resource: Option<String>,
    /// Why, in the requester's words.
    pub reason: Option<String>,
    /// As whom; the caller, or the run's requester, when absent.
    pub as_user: Option<String>,
}

/// The same, found.
pub(crate) struct Subject {
    pub(crate) world: Arc<World>,
    pub(crate) caller: Caller,
    /// As whom.
    pub(crate) principal: Principal,
    pub(crate) thought: Thought,
    pub(crate) run: Option<Run>,
}

impl Subject {
    /// Finds it, and records that it was asked. Asking about others than oneself, or with a verb that is about others,
    /// needs the right to audit; a run must be one that the caller may see.
    pub(crate) async fn find(
        platform: &Arc<Platform>,
        call: &Call,
        about: &About,
        verb: Verb,
    ) -> Result<Self, Refusal> {
        let door = &platform.door;
        let mut caller = door.identify(call).await?;
        let about_another = about.as_user.as_deref().is_some_and(|name| name != caller.principal.name);
        let audits = about_another || verb != Verb::ExplainPolicy;
        let admitted = match (audits, &about.run) {
            (true, _) => door.admit_gateway(caller, GatewayVerb::AskPolicies(verb)).await?,
            (false, Some(_)) => door.admit_gateway(caller, GatewayVerb::ReadRuns).await?,
            (false, None) => door.admit_gateway(caller, GatewayVerb::LookAround).await?,
        };
        caller = admitted.caller().clone();
        let run = match &about.run {
            Some(id) => Some(read_runs::find(platform, &caller, id, verb).await?),
            None => None,
        };
        let world = door.world();
        let found = thought(&world, &caller, about, run.as_ref(), platform.clock.now()).and_then(|thought| {
            let principal = match (about.as_user.as_deref(), &run) {
                (Some(name), _) if name == caller.principal.name => caller.principal.clone(),
                (Some(name), _) => {
                    let kind = door.identity().kind_of(name).ok_or_else(|| unknown_user(name))?;
                    world.principal(name, kind)
                }
                (None, Some(run)) => {
                    let by = &run.requested_by;
                    Principal { teams: world.registry.teams_of(&by.name), ..by.clone() }
                }
                (None, None) => caller.principal.clone(),
            };
            Ok((thought, principal))
        });
        match found {
            Ok((thought, principal)) => {
                let subject = Self { world, caller, principal, thought, run };
                if audits {
                    subject.note(platform, verb).await?;
                } else {
                    platform.note_shown(&subject.caller, verb, |record| subject.describe(record)).await;
                }
                Ok(subject)
            }
            Err(problem) => {
                let record = door.record_of(&caller, verb, RecordVerdict::Refused);
                Err(door.refuse(record, problem).await)
            }
        }
    }

    async fn note(&self, platform: &Platform, verb: Verb) -> Result<(), Refusal> {
        let mut record = platform.door.record_of(&self.caller, verb, RecordVerdict::Allowed);
        self.describe(&mut record);
        record.detail = (verb != Verb::WhoCan).then(|| format!("as {}", self.principal));
        platform.store.append_soon(record).await.map_err(|error| store_problem(&error).into())
    }

    fn describe(&self, record: &mut Record) {
        record.action = Some(self.thought.action.action.id.clone());
        record.resource.clone_from(&self.thought.resource);
        record.run = self.run.as_ref().map(|run| run.id);
        record.policy_version = Some(self.world.policies.version().clone());
    }

    /// These conditions in words, with those who could lift each: what [`Subject::approvers`] found.
    pub(crate) fn approvals(
        &self,
        conditions: &[Condition],
        able: &[(String, Vec<String>)],
    ) -> Vec<ApprovalTold> {
        let blind = self.thought.resource.is_none();
        let tell = |condition: &Condition| {
            let teams = if blind && condition.by.to_string() == "owner" {
                Vec::new()
            } else {
                condition.teams.clone()
            };
            let given = self.run.iter().flat_map(|run| &run.decisions).filter(|decision| {
                decision.verdict == Verdict::Approve && decision.lifts.contains(&condition.policy)
            });
            ApprovalTold {
                policy: condition.policy.clone(),
                because: condition.because.clone(),
                chat: teams
                    .first()
                    .and_then(|team| self.world.registry.team(team))
                    .and_then(|team| team.chat.clone()),
                team: (!teams.is_empty()).then(|| teams.join(" or ")),
                count: condition.count,
                given: given.map(|decision| decision.by.clone()).collect(),
                people: able
                    .iter()
                    .filter(|(_, lifts)| lifts.contains(&condition.policy))
                    .map(|(name, _)| name.clone())
                    .collect(),
            }
        };
        conditions.iter().map(tell).collect()
    }

    /// Who could lift which of these conditions, by name, asked as a decision on a run is. Only the members of their teams
    /// are asked: nobody else can. Hundreds of them are some milliseconds of evaluation.
    pub(crate) fn approvers(
        &self,
        platform: &Platform,
        conditions: &[Condition],
    ) -> Vec<(String, Vec<String>)> {
        let now = platform.clock.now();
        let registry = &self.world.registry;
        let teams: BTreeSet<&String> = conditions.iter().flat_map(|condition| &condition.teams).collect();
        let members: BTreeSet<&String> =
            teams.into_iter().flat_map(|team| registry.members_of(team)).collect();
        let is_person =
            |name: &&String| platform.door.identity().kind_of(name) == Some(PrincipalKind::Person);
        let people = members.into_iter().filter(is_person).cloned();
        let approvals: Vec<Approval> =
            conditions.iter().cloned().map(|condition| condition.into_approval(now)).collect();
        let waiting = match &self.run {
            Some(run) => Waiting::on(run, &approvals),
            None => self.thought.waiting(&self.principal, &approvals),
        };
        approvers(&self.world, &waiting, now, people)
    }
}

fn thought(
    world: &World,
    caller: &Caller,
    about: &About,
    run: Option<&Run>,
    now: Timestamp,
) -> Result<Thought, Problem> {
    if let Some(run) = run {
        return world.think(&Asked {
            action: run.action.as_str(),
            input: Some(&run.input),
            resource: Some(&run.resource),
            environment: None,
            surface: run.surface,
            reason: run.reason.as_deref(),
            plan: run.plan.as_ref(),
            now,
        });
    }
    let Some(action) = about.action.as_deref() else {
        return Err(Problem::new(code::BAD_REQUEST, "neither an action nor a run is named")
            .next("give `action` or `run`"));
    };
    let input = about.input.clone().map(Value::Object);
    world.think(&Asked {
        action,
        input: input.as_ref(),
        resource: about.resource.as_deref(),
        environment: None,
        surface: caller.surface,
        reason: about.reason.as_deref(),
        plan: None,
        now,
    })
}

fn unknown_user(name: &str) -> Problem {
    let shown: String = name.chars().take(100).collect();
    Problem::new(code::INVALID_INPUT, format!("no user of this gateway is called `{shown}`"))
        .next("the users stand in the gateway's configuration; a team's member who is none cannot sign in")
}
