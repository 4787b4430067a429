//! What the provider says a run would do. Making one changes nothing.

use std::{collections::BTreeSet, fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
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
    /// It is a number that may move so far from what was approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Within>,
}

impl Fact {
    /// In words, how far it may move; `None` when it must stay as it is.
    pub fn freedom(&self) -> Option<String> {
        if self.moves {
            return Some("may change".to_owned());
        }
        self.within.map(|within| format!("may move by {within}"))
    }

    /// Whether the value now is still what was approved.
    fn allows(&self, now: &Value) -> bool {
        if self.moves || self.value == *now {
            return true;
        }
        match (self.within, self.value.as_f64(), now.as_f64()) {
            (Some(within), Some(before), Some(now)) => (now - before).abs() <= within.of(before),
            _ => false,
        }
    }
}

/// How far a number may move: `10%` of what was approved, or `5` in its own unit. 0 or more.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Within {
    /// Of the approved value, per cent.
    Percent(f64),
    /// In the fact's own unit.
    Amount(f64),
}

impl Within {
    fn of(self, approved: f64) -> f64 {
        match self {
            Self::Percent(percent) => approved.abs() * percent / 100.0,
            Self::Amount(amount) => amount,
        }
    }
}

impl fmt::Display for Within {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Amount(amount) => write!(f, "{amount}"),
        }
    }
}

impl FromStr for Within {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` does not say how far a number may move: write `10%` or `5`");
        let read = |number: &str| {
            number.trim().parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0)
        };
        match text.trim().strip_suffix('%') {
            Some(percent) => read(percent).map(Self::Percent).ok_or_else(wrong),
            None => read(text).map(Self::Amount).ok_or_else(wrong),
        }
    }
}

impl Serialize for Within {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Within {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Within {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Within".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": "^[0-9.]+%?$",
            "description": "`10%` of what was approved, or `5` in the fact's own unit"
        })
    }
}

impl Plan {
    /// A plan of one sentence.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self { sentence: sentence.into(), facts: Vec::new(), resource: None, bound: None }
    }

    /// Adds a fact; if it has changed when the run starts, the approval is void. Each fact has a name of its own:
    /// several of a kind are one fact with a list.
    #[must_use]
    pub fn fact(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.facts.push(Fact { name: name.into(), value: value.into(), moves: false, within: None });
        self
    }

    /// Adds a fact that may change by itself.
    #[must_use]
    pub fn moving_fact(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.facts.push(Fact { name: name.into(), value: value.into(), moves: true, within: None });
        self
    }

    /// Adds a number that may move so far; if it has moved further when the run starts, the approval is void.
    #[must_use]
    pub fn fact_within(mut self, name: impl Into<String>, value: impl Into<Value>, within: Within) -> Self {
        let value = value.into();
        self.facts.push(Fact { name: name.into(), value, moves: false, within: Some(within) });
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

    /// Digest of all that an approver is shown and that does not move by itself.
    pub fn digest(&self) -> Digest {
        let facts: Vec<Value> = self
            .facts
            .iter()
            .filter(|fact| !fact.moves)
            .map(|fact| match fact.within {
                Some(within) => json!([fact.name, fact.value, within]),
                None => json!([fact.name, fact.value]),
            })
            .collect();
        Digest::of_json(&json!({
            "sentence": self.sentence, "facts": facts, "resource": self.resource, "bound": self.bound,
        }))
    }

    /// Names that more than one fact bears, each once. Such a plan cannot be held against another: which of them was
    /// approved, nobody can say.
    pub fn repeated_facts(&self) -> BTreeSet<&str> {
        let mut seen = BTreeSet::new();
        self.facts.iter().map(|fact| fact.name.as_str()).filter(|name| !seen.insert(*name)).collect()
    }

    /// What is no longer as it was approved, in words; empty when `now` is covered by what was approved. How far a fact
    /// may move is said by the approved plan alone.
    pub fn drift(&self, now: &Plan) -> Vec<String> {
        // Facts are held against each other by name, so a second one of a name would go unseen.
        let repeated: BTreeSet<&str> = self.repeated_facts().union(&now.repeated_facts()).copied().collect();
        let mut changed: Vec<String> =
            repeated.iter().map(|name| format!("{name}: told more than once")).collect();
        if self.sentence != now.sentence {
            changed.push("what happens".to_owned());
        }
        if self.resource != now.resource {
            changed.push("the resource".to_owned());
        }
        let by_name = |fact: &&Fact| !fact.moves && !repeated.contains(fact.name.as_str());
        for fact in self.facts.iter().filter(by_name) {
            match now.facts.iter().find(|other| other.name == fact.name) {
                Some(other) if fact.allows(&other.value) => {}
                Some(other) => {
                    let bound = fact.within.map(|within| format!(", which may move by {within}"));
                    let (before, after) = (brief(&fact.value), brief(&other.value));
                    changed.push(format!("{}: {before} → {after}{}", fact.name, bound.unwrap_or_default()));
                }
                None => changed.push(format!("{}: no longer told", fact.name)),
            }
        }
        for other in now.facts.iter().filter(by_name) {
            if !self.facts.iter().any(|fact| fact.name == other.name) {
                changed.push(format!("{}: {} (new)", other.name, brief(&other.value)));
            }
        }
        // Last: when something that people can read tells it already, this adds nothing.
        if changed.is_empty() && self.bound != now.bound {
            changed.push("what exactly it is about".to_owned());
        }
        changed
    }
}

fn brief(value: &Value) -> String {
    const MOST: usize = 60;
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if text.chars().count() <= MOST {
        return text;
    }
    text.chars().take(MOST).chain(['…']).collect()
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

    #[test]
    fn a_number_moves_as_far_as_the_approved_plan_lets_it() {
        let ten: Within = "10%".parse().unwrap();
        let plan = |lag: i64, members: i64| {
            Plan::new("Delete it").fact_within("lag", lag, ten).fact("members", members)
        };
        let approved = plan(100, 2);
        assert_eq!(approved.drift(&plan(110, 2)), [""; 0]);
        assert_eq!(approved.drift(&plan(90, 2)), [""; 0]);
        assert_eq!(approved.drift(&plan(111, 2)), ["lag: 100 → 111, which may move by 10%"]);
        assert_eq!(approved.drift(&plan(100, 3)), ["members: 2 → 3"]);
        // A later plan cannot give itself more room, nor hide a fact.
        let wider = Plan::new("Delete it").moving_fact("lag", 9_000).fact("members", 2);
        assert_eq!(approved.drift(&wider), ["lag: 100 → 9000, which may move by 10%"]);
        assert_eq!(approved.drift(&Plan::new("Delete it").fact("members", 2)), ["lag: no longer told"]);
        assert_eq!(approved.drift(&plan(100, 2).fact("backups", 0)), ["backups: 0 (new)"]);
        assert_eq!(approved.drift(&plan(100, 2).bound_to(1)), ["what exactly it is about"]);
        assert_ne!(approved.digest(), plan(110, 2).digest(), "a yes is bound to what was shown");
    }

    #[test]
    fn two_facts_of_one_name_are_never_what_was_approved() {
        let one = Plan::new("Delete them").fact("topic", "a");
        let two = one.clone().fact("topic", "b");
        assert_eq!(one.repeated_facts().len(), 0);
        assert_eq!(two.repeated_facts().into_iter().collect::<Vec<_>>(), ["topic"]);
        for (approved, now) in [(&one, &two), (&two, &one), (&two, &two)] {
            assert_eq!(approved.drift(now), ["topic: told more than once"]);
        }
        let hidden = one.clone().moving_fact("topic", "b");
        assert_eq!(one.drift(&hidden), ["topic: told more than once"], "also where one of them moves");
    }

    #[test]
    fn how_far_is_read_and_written_alike() {
        for text in ["10%", "0%", "5", "2.5%"] {
            assert_eq!(text.parse::<Within>().unwrap().to_string(), text);
        }
        for text in ["", "%", "-5", "a lot", "NaN", "inf"] {
            assert!(text.parse::<Within>().unwrap_err().contains("10%"), "{text}");
        }
        let amount: Within = "5".parse().unwrap();
        let zero = Plan::new("x").fact_within("errors", 0, amount);
        assert!(zero.drift(&Plan::new("x").fact("errors", 5)).is_empty());
        assert!(!zero.drift(&Plan::new("x").fact("errors", 6)).is_empty());
        assert!(!zero.drift(&Plan::new("x").fact("errors", "many")).is_empty());
    }
}
