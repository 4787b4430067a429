//! What the provider says a run would do. Making one changes nothing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::digest::Digest;

/// What a run would do, in the provider's words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// One sentence, for the approver: "Delete topic 'x' on cluster 'default'". Only what does not move by
    /// itself: it is part of the digest.
    pub sentence: String,
    /// What an approver should know before saying yes.
    #[serde(default)]
    pub facts: Vec<Fact>,
    /// The resource it would touch, when that is narrower than what the input alone tells. Must lie under
    /// the resource of the action (`postgres/shop` → `postgres/shop/applications/checkout`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// What the plan is about, exactly (for instance a backend's start time). Handed back to the provider
    /// when it performs, so that it acts on this and on nothing else. Part of the digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<Value>,
}

/// One thing an approver should know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Fact {
    /// A short name, unique in the plan: `blocked sessions`.
    pub name: String,
    /// Text, number, or a list of them.
    pub value: Value,
    /// It may change by itself between approval and execution (a lag, an age): not part of the digest.
    #[serde(default)]
    pub moves: bool,
}

impl Plan {
    /// A plan of one sentence.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self { sentence: sentence.into(), facts: Vec::new(), resource: None, bound: None }
    }

    /// Adds a fact; if it has changed when the run starts, the approval is void.
    #[must_use]
    pub fn fact(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.facts.push(Fact { name: name.into(), value: value.into(), moves: false });
        self
    }

    /// Adds a fact that may change by itself.
    #[must_use]
    pub fn moving_fact(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.facts.push(Fact { name: name.into(), value: value.into(), moves: true });
        self
    }

    /// Names the narrower resource.
    #[must_use]
    pub fn on(mut self, resource: impl Into<String>) -> Self {
        self.resource = Some(resource.into());
        self
    }

    /// Names what exactly it is about.
    #[must_use]
    pub fn bound_to(mut self, bound: impl Into<Value>) -> Self {
        self.bound = Some(bound.into());
        self
    }

    /// Digest of all that must stay the same until it is performed.
    pub fn digest(&self) -> Digest {
        let facts: Vec<Value> =
            self.facts.iter().filter(|fact| !fact.moves).map(|fact| json!([fact.name, fact.value])).collect();
        Digest::of_json(&json!({
            "sentence": self.sentence, "facts": facts, "resource": self.resource, "bound": self.bound,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_does_not_count_and_what_matters_does() {
        let plan = Plan::new("Stop it").fact("query", "select 1").moving_fact("blocked sessions", 3);
        let later = Plan::new("Stop it").fact("query", "select 1").moving_fact("blocked sessions", 9);
        assert_eq!(plan.digest(), later.digest());
        assert_ne!(plan.digest(), Plan::new("Stop it").fact("query", "select 2").digest());
        assert_ne!(plan.digest(), plan.clone().bound_to("backend 7").digest());
        assert_ne!(plan.digest(), plan.clone().on("postgres/shop/x").digest());
    }
}
