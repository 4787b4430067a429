//! Asking the policies about anybody, without admitting anything: what `guichet policy` and the tests of policies do. It is
//! the door's own way (validate, resource, [`Policies::authorize`](guichet_rules::Policies::authorize)), so that there is
//! no second opinion.

use std::sync::Arc;

use guichet_contract::{Approval, Plan, Principal, PrincipalKind, Problem, Surface, code};
use guichet_rules::{Decision, Foresight, Policies, Prospect, Question, Waiting, lies_under};
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    door::{resource_of, unknown_action},
    validate,
    world::{CompiledAction, World},
};

/// An attempt that is only thought of.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The action's id.
    pub action: &'a str,
    /// The flat input; none while it is not known.
    pub input: Option<&'a Value>,
    /// What a plan would narrow the resource to; the action's own resource when absent.
    pub resource: Option<&'a str>,
    /// Where; the world's own environment when absent.
    pub environment: Option<&'a str>,
    /// Through what.
    pub surface: Surface,
    /// Why, in the requester's words.
    pub reason: Option<&'a str>,
    /// What the provider says it would do, where it was asked.
    pub plan: Option<&'a Plan>,
    /// When: who is on call and whether people are at work depends on it.
    pub now: Timestamp,
}

/// A thought that fits the catalogue: ready to be asked about anybody.
#[derive(Debug, Clone)]
pub struct Thought {
    /// The action.
    pub action: Arc<CompiledAction>,
    /// The valid input, defaults filled in; none while it is not known.
    pub input: Option<Value>,
    /// On what; none while that is not known.
    pub resource: Option<String>,
    /// The team that owns it.
    pub owner: Option<String>,
    /// Where.
    pub environment: String,
    /// Through what.
    pub surface: Surface,
    /// Why.
    pub reason: Option<String>,
    /// What it would do.
    pub plan: Option<Plan>,
    /// When.
    pub now: Timestamp,
}

impl World {
    /// Holds an attempt against the catalogue, as the door does with a call. An input that is not known leaves open what
    /// depends on it; where the action takes an empty one, that one is meant.
    ///
    /// # Errors
    /// Unknown action, invalid input, a resource that is none or does not lie under the action's.
    pub fn think(&self, asked: &Asked<'_>) -> Result<Thought, Problem> {
        let Some(action) = self.catalogue.action(asked.action).map(Arc::clone) else {
            return Err(unknown_action(self, asked.action));
        };
        let input = match asked.input {
            Some(input) => Some(validate::validate(&action, input)?),
            None => validate::validate(&action, &Value::Object(serde_json::Map::new())).ok(),
        };
        let declared = input.as_ref().map(|input| resource_of(&action, input)).transpose()?;
        let resource = match (asked.resource, declared) {
            (None, declared) => declared,
            (Some(given), declared) => {
                guichet_rules::check_resource(given).map_err(|why| Problem::new(code::INVALID_INPUT, why))?;
                if let Some(declared) = declared.filter(|declared| !lies_under(given, declared)) {
                    return Err(Problem::new(
                        code::INVALID_INPUT,
                        format!("{given} does not lie under {declared}, which this input is about"),
                    )
                    .next("leave the resource out, or name one below it"));
                }
                Some(given.to_owned())
            }
        };
        let owner =
            resource.as_deref().and_then(|resource| self.registry.owner_of(resource)).map(str::to_owned);
        Ok(Thought {
            action,
            input,
            resource,
            owner,
            environment: asked.environment.unwrap_or(&self.environment).to_owned(),
            surface: asked.surface,
            reason: asked.reason.filter(|reason| !reason.trim().is_empty()).map(str::to_owned),
            plan: asked.plan.cloned(),
            now: asked.now,
        })
    }

    /// A user of this name and kind, in the teams the registry knows.
    pub fn principal(&self, name: &str, kind: PrincipalKind) -> Principal {
        Principal { kind, teams: self.registry.teams_of(name), ..Principal::person(name) }
    }
}

impl Thought {
    /// What these policies answer to this principal.
    pub fn ask(&self, policies: &Policies, principal: &Principal) -> Foresight {
        let action = &self.action.action;
        let (Some(input), Some(resource)) = (&self.input, &self.resource) else {
            return policies.foresee(&Prospect {
                principal,
                action,
                resource: self.resource.as_deref(),
                environment: &self.environment,
                surface: self.surface,
            });
        };
        Foresight::Decided(policies.authorize(&Question {
            principal,
            action,
            input,
            resource,
            environment: &self.environment,
            surface: self.surface,
            reason: self.reason.as_deref(),
            plan: self.plan.as_ref(),
            now: self.now,
        }))
    }

    /// Whether this principal could, at once, with an approval, or once they have written what is asked for.
    pub fn can(&self, policies: &Policies, principal: &Principal) -> bool {
        match self.ask(policies, principal) {
            Foresight::Decided(Decision::Allowed { .. } | Decision::NeedsApproval { .. }) => true,
            Foresight::Decided(refused @ Decision::Refused { .. }) => refused.wants_reason(),
            Foresight::Depends(_) => false,
        }
    }

    /// What this would wait for when `requester` asked for it, with these conditions: what [`approvers`] are asked about.
    pub fn waiting<'a>(&'a self, requester: &'a Principal, approvals: &'a [Approval]) -> Waiting<'a> {
        let action = &self.action.action;
        Waiting {
            requester,
            action: action.id.as_str(),
            effect: action.effect,
            resource: self.resource.as_deref().unwrap_or_default(),
            environment: &self.environment,
            approvals,
        }
    }
}

/// Who of these persons could lift which conditions, asked as a decision on a run is.
pub fn approvers(
    world: &World,
    waiting: &Waiting<'_>,
    now: Timestamp,
    people: impl IntoIterator<Item = String>,
) -> Vec<(String, Vec<String>)> {
    let lifts = |name: String| {
        let person = world.principal(&name, PrincipalKind::Person);
        world.policies.can_lift(&person, waiting, now).ok().map(|lifts| (name, lifts))
    };
    people.into_iter().filter_map(lifts).collect()
}
