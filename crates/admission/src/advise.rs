//! What a refusal tells to do next when no policy permits it: who can, and where to ask. Looked for only after a no, and
//! told only to somebody who is signed in.

use std::sync::Arc;

use guichet_contract::{Plan, Principal, PrincipalKind, Problem};

use crate::{
    admitted::ActionCall,
    ask::Thought,
    caller::Caller,
    door::{Attempt, Door, No, resource_of},
    validate,
    world::{CompiledAction, World},
};

/// So many people are named.
const NAMED: usize = 3;
/// So many are asked about, the likeliest first: a refusal stays cheap in a company of thousands.
const ASKED_ABOUT: usize = 24;

impl Door {
    /// The problem of an attempt, with those who could do it when no policy permits it to the caller.
    pub(crate) fn advise_attempt(
        &self,
        world: &Arc<World>,
        caller: &Caller,
        action: &Arc<CompiledAction>,
        attempt: &Attempt,
        no: No,
    ) -> Problem {
        let No { problem, by_default } = no;
        if !by_default {
            return problem;
        }
        let Ok(input) = validate::validate(action, &attempt.input) else { return problem };
        match resource_of(action, &input) {
            Ok(resource) => {
                let thought = Thought {
                    action: Arc::clone(action),
                    owner: world.registry.owner_of(&resource).map(str::to_owned),
                    input: Some(input),
                    resource: Some(resource),
                    environment: world.environment.clone(),
                    surface: caller.surface,
                    reason: attempt.reason.clone(),
                    plan: None,
                    now: self.now(),
                };
                self.advise(world, caller, &thought, problem)
            }
            Err(_) => problem,
        }
    }

    /// The same for a call whose plan made it be refused.
    pub(crate) fn advise_call(&self, caller: &Caller, wanted: &ActionCall, plan: &Plan, no: No) -> Problem {
        let No { problem, by_default } = no;
        if !by_default {
            return problem;
        }
        let thought = Thought {
            action: Arc::clone(&wanted.action),
            input: Some(wanted.input.clone()),
            resource: Some(wanted.resource.clone()),
            owner: wanted.owner.clone(),
            environment: wanted.world.environment.clone(),
            surface: caller.surface,
            reason: wanted.reason.clone(),
            plan: Some(plan.clone()),
            now: self.now(),
        };
        self.advise(&wanted.world, caller, &thought, problem)
    }

    fn advise(&self, world: &World, caller: &Caller, thought: &Thought, problem: Problem) -> Problem {
        let next = self.advice(world, &caller.principal, thought);
        problem.next(next)
    }

    /// What somebody whom no policy permits something can do next: whom to ask, and where.
    pub fn advice(&self, world: &World, asker: &Principal, thought: &Thought) -> String {
        let plain = Principal { agent: None, ..asker.clone() };
        if asker.agent.is_some() && thought.can(&world.policies, &plain) {
            return format!("{} can do it, without the agent", plain.name);
        }
        let mut able = Vec::new();
        for name in
            self.likely(world, thought).into_iter().filter(|name| *name != asker.name).take(ASKED_ABOUT)
        {
            let person = world.principal(&name, PrincipalKind::Person);
            if thought.can(&world.policies, &person) {
                able.push(name);
                if able.len() == NAMED {
                    break;
                }
            }
        }
        words(world, thought, &able)
    }

    /// Persons who may be able to, the likeliest first: those of the owner, of the teams that policies name, all others.
    fn likely(&self, world: &World, thought: &Thought) -> Vec<String> {
        let is_person = |name: &str| self.identity().kind_of(name) == Some(PrincipalKind::Person);
        let teams = thought.owner.iter().cloned();
        let teams = teams.chain(world.policies.teams_permitted(thought.action.action.id.as_str()));
        let mut found: Vec<String> = Vec::new();
        for team in teams {
            for name in world.registry.members_of(&team) {
                if found.len() > ASKED_ABOUT {
                    return found;
                }
                if !found.contains(name) && is_person(name) {
                    found.push(name.clone());
                }
            }
        }
        let others = self.identity().everybody().into_iter();
        let others = others.filter(|(_, kind)| *kind == PrincipalKind::Person).map(|(name, _)| name);
        for name in others.take(2 * ASKED_ABOUT) {
            if found.len() <= ASKED_ABOUT && !found.contains(&name) {
                found.push(name);
            }
        }
        found
    }
}

fn words(world: &World, thought: &Thought, able: &[String]) -> String {
    let owner = thought.owner.as_deref().and_then(|team| world.registry.team(team));
    let chat = owner.and_then(|team| team.chat.as_deref());
    let place = chat.map_or_else(String::new, |chat| format!(", in {chat}"));
    match (able, owner) {
        ([], Some(team)) => {
            format!("ask team {}, which owns it{place}, or propose a policy that permits it", team.name)
        }
        ([], None) => "propose a policy that permits it; the registry names no owner to ask".to_owned(),
        (able, owner) => {
            let of_owner = owner
                .filter(|team| able.iter().all(|name| world.registry.members_of(&team.name).contains(name)));
            let (others, last) = able.split_at(able.len() - 1);
            let who = match others {
                [] => last.join(""),
                others => format!("{} or {}", others.join(", "), last.join("")),
            };
            match of_owner {
                Some(team) => format!("ask {who} of team {}, which owns it{place}", team.name),
                None => format!("ask {who}, who can do it"),
            }
        }
    }
}
