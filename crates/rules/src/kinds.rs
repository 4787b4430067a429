//! Kinds of actions: those that no policy can tell apart.
//!
//! A policy speaks of an action by its name, by its groups (effect, provider) and by the shape of its input. Actions that no
//! policy names and that are alike in the rest are one kind: what is found out about one of them holds for all. So a
//! catalogue of ten thousand actions is checked and prepared as the few kinds it consists of.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use guichet_contract::{Action, Effect};

use crate::shape::Seen;

/// All kinds of a catalogue.
pub(crate) struct Kinds<'a> {
    kinds: Vec<Kind<'a>>,
    /// The kind of each action, in their order.
    of_actions: Vec<usize>,
}

/// One kind.
pub(crate) struct Kind<'a> {
    /// The first of its actions, for all of them.
    pub(crate) first: &'a Action,
    /// What of their inputs and plans policies can see.
    pub(crate) seen: Seen,
}

/// What policies can tell actions apart by; the name only of an action that one of them names.
type Key<'a> = (Effect, &'a str, Seen, Option<&'a str>);

impl<'a> Kinds<'a> {
    /// Of these actions, where policies name some.
    pub(crate) fn of(actions: &'a [Arc<Action>], named: &HashSet<&str>) -> Self {
        let mut known: HashMap<Key<'a>, usize> = HashMap::new();
        let mut kinds = Vec::new();
        let mut of_action = |action: &'a Action| {
            let seen = Seen::of(action);
            let name = Some(action.id.as_str()).filter(|id| named.contains(id));
            let key = (action.effect, action.provider.as_str(), seen, name);
            if let Some(kind) = known.get(&key) {
                return *kind;
            }
            let kind = kinds.len();
            kinds.push(Kind { first: action, seen: key.2.clone() });
            known.insert(key, kind);
            kind
        };
        let of_actions = actions.iter().map(|action| of_action(action)).collect();
        Self { kinds, of_actions }
    }

    /// All of them.
    pub(crate) fn all(&self) -> &[Kind<'a>] {
        &self.kinds
    }

    /// The kind of each action as its place in [`Kinds::all`], in their order.
    pub(crate) fn of_actions(&self) -> &[usize] {
        &self.of_actions
    }
}

#[cfg(test)]
mod tests {
    use guichet_contract::{
        Catalogue,
        openapi::{self, Strictness},
    };
    use serde_json::json;

    use super::*;

    #[test]
    fn actions_are_one_kind_unless_a_policy_can_tell_them_apart() {
        let get = |id: &str, kind: &str| {
            json!({"get": {"operationId": id, "responses": {}, "parameters": [
                {"name": "n", "in": "query", "schema": {"type": kind}}
            ]}})
        };
        let paths = json!({"/a": get("a", "string"), "/b": get("b", "string"), "/c": get("c", "integer"), "/d": get("d", "string")});
        let document = json!({"openapi": "3.1.0", "info": {"title": "T", "version": "1"}, "paths": paths});
        let of = |provider: &str| openapi::read(provider, &document, Strictness::Lenient).unwrap().actions;
        let catalogue = Catalogue::new("staging", [of("one"), of("two")].concat());
        let kinds =
            |named: &[&str]| Kinds::of(&catalogue.actions, &named.iter().copied().collect()).all().len();
        // Two providers, two shapes each; a name of its own makes a kind of its own.
        assert_eq!((kinds(&[]), kinds(&["one.a"]), kinds(&["one.a", "one.c", "two.x"])), (4, 5, 5));
        let all = Kinds::of(&catalogue.actions, &HashSet::new());
        for (action, kind) in catalogue.actions.iter().zip(all.of_actions()) {
            let first = all.all()[*kind].first;
            assert_eq!((&action.provider, Seen::of(action)), (&first.provider, Seen::of(first)));
        }
    }
}
