//! All actions a gateway knows. Every surface is drawn from it.

use std::{cmp::Ordering, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{action::Action, digest::Digest};

/// All actions a gateway knows, in the order of their commands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Catalogue {
    /// Digest over all actions; the ETag of `GET /v1/catalogue`.
    pub digest: Digest,
    /// The environment this gateway serves: `staging`, `production` …
    pub environment: String,
    /// Sorted by command. Each is held once, however many look at it.
    #[serde(with = "shared")]
    #[schemars(with = "Vec<Action>")]
    pub actions: Vec<Arc<Action>>,
}

impl Catalogue {
    /// From actions in any order.
    pub fn new<A: Into<Arc<Action>>>(
        environment: impl Into<String>,
        actions: impl IntoIterator<Item = A>,
    ) -> Self {
        let mut actions: Vec<Arc<Action>> = actions.into_iter().map(Into::into).collect();
        actions.sort_by(Self::order);
        let environment = environment.into();
        // All that surfaces draw, so that a new title or example reaches them too.
        let drawn = actions.iter().map(|action| serde_json::to_vec(&**action).unwrap_or_default());
        let digest = Digest::of_lines(std::iter::once(environment.clone().into_bytes()).chain(drawn));
        Self { digest, environment, actions }
    }

    /// How the actions of a catalogue are sorted: by command, then by id.
    pub fn order(one: &Arc<Action>, other: &Arc<Action>) -> Ordering {
        one.command.cmp(&other.command).then_with(|| one.id.cmp(&other.id))
    }

    /// The action of this id.
    pub fn action(&self, id: &str) -> Option<&Action> {
        self.actions.iter().find(|action| action.id.as_str() == id).map(|action| &**action)
    }
}

/// Shared actions, written and read as if they were not.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::action::Action;

    pub(super) fn serialize<S: Serializer>(actions: &[Arc<Action>], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(actions.iter().map(|action| &**action))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Arc<Action>>, D::Error> {
        Vec::<Action>::deserialize(from).map(|actions| actions.into_iter().map(Arc::new).collect())
    }
}
