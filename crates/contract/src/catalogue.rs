//! All actions a gateway knows. Every surface is drawn from it.

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
    /// Sorted by command.
    pub actions: Vec<Action>,
}

impl Catalogue {
    /// From actions in any order.
    pub fn new(environment: impl Into<String>, mut actions: Vec<Action>) -> Self {
        actions.sort_by(|a, b| a.command.cmp(&b.command).then_with(|| a.id.cmp(&b.id)));
        let environment = environment.into();
        // All that surfaces draw, so that a new title or example reaches them too.
        let drawn = serde_json::to_value(&actions).unwrap_or_default();
        let digest = Digest::of_json(&serde_json::json!({"environment": environment, "actions": drawn}));
        Self { digest, environment, actions }
    }

    /// The action of this id.
    pub fn action(&self, id: &str) -> Option<&Action> {
        self.actions.iter().find(|action| action.id.as_str() == id)
    }
}
