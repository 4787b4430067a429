//! Answers that need not be asked again. Where no policy of an action reads what a single call brings (`context.input`,
//! `context.reason`, `context.surface`), the answer depends on the principal, the resource and the environment alone.
//! The policies and the registry are those of one [`Policies`](crate::Policies): a reload makes a new one, with nothing
//! remembered.

use std::{
    collections::{BTreeSet, HashMap},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{PoisonError, RwLock},
};

use cedar_policy::PolicySet;
use guichet_contract::PrincipalKind;

use crate::question::{Decision, Question};

/// How many answers are remembered; beyond it the memory is cleared, which costs one question each.
const MOST: usize = 10_000;

#[derive(Default)]
pub(crate) struct Memory {
    answers: RwLock<HashMap<u64, (Key, Decision)>>,
}

/// All that an answer depends on. Compared in whole: a hash alone decides nothing.
#[derive(Debug, PartialEq, Eq)]
struct Key {
    action: String,
    kind: PrincipalKind,
    name: String,
    agent: Option<String>,
    teams: BTreeSet<String>,
    resource: String,
    environment: String,
}

impl Memory {
    pub(crate) fn recall(&self, question: &Question<'_>) -> Option<Decision> {
        let answers = self.answers.read().unwrap_or_else(PoisonError::into_inner);
        let (key, decision) = answers.get(&hash_of(question))?;
        key.is_of(question).then(|| decision.clone())
    }

    pub(crate) fn keep(&self, question: &Question<'_>, decision: &Decision) {
        let mut answers = self.answers.write().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= MOST {
            answers.clear();
        }
        let _ = answers.insert(hash_of(question), (Key::of(question), decision.clone()));
    }
}

fn hash_of(question: &Question<'_>) -> u64 {
    let principal = question.principal;
    let mut hasher = DefaultHasher::new();
    (question.action.id.as_str(), question.resource, question.environment).hash(&mut hasher);
    (principal.kind, &principal.name, &principal.agent, &principal.teams).hash(&mut hasher);
    hasher.finish()
}

impl Key {
    fn of(question: &Question<'_>) -> Self {
        let principal = question.principal;
        Self {
            action: question.action.id.as_str().to_owned(),
            kind: principal.kind,
            name: principal.name.clone(),
            agent: principal.agent.clone(),
            teams: principal.teams.clone(),
            resource: question.resource.to_owned(),
            environment: question.environment.to_owned(),
        }
    }

    fn is_of(&self, question: &Question<'_>) -> bool {
        let principal = question.principal;
        self.action == question.action.id.as_str()
            && self.kind == principal.kind
            && self.name == principal.name
            && self.agent == principal.agent
            && self.teams == principal.teams
            && self.resource == question.resource
            && self.environment == question.environment
    }
}

/// Whether no policy of the set reads what a single call brings. Told from the text: where `context` stands in any other
/// way than as `context.environment`, also within a string, the answer is not remembered.
pub(crate) fn reads_no_call(policies: &PolicySet) -> bool {
    policies.policies().all(|policy| {
        // It holds or not by the reason that this call gives.
        if policy.annotation("reason").is_some() {
            return false;
        }
        let text = policy.to_string();
        text.match_indices("context").all(|(at, word)| {
            let rest = &text[at + word.len()..];
            rest.strip_prefix(".environment")
                .is_some_and(|rest| !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_'))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_call_does_not_touch_is_remembered() {
        for (condition, remembered) in [
            ("", true),
            ("when { context.environment == \"staging\" }", true),
            ("when { principal in resource.owner }", true),
            ("when { context.input.pid == 1 }", false),
            ("when { context has reason }", false),
            ("when { context[\"surface\"] == \"cli\" }", false),
            ("when { context.environment2 == \"x\" }", false),
            ("when { context.office_hours }", false),
            ("unless { context.on_call.contains(\"sre\") }", false),
        ] {
            let set: PolicySet =
                format!("permit (principal, action, resource) {condition};").parse().unwrap();
            assert_eq!(reads_no_call(&set), remembered, "{condition}");
        }
    }
}
