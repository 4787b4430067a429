//! What a provider offers: one operation of its OpenAPI document, read into one flat typed input.

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{approval::Approvers, digest::Digest};

/// `provider.operation`, for example `postgres.cancel-query`. Unique in a catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ActionId(pub String);

impl ActionId {
    /// From its two halves.
    pub fn new(provider: &str, operation: &str) -> Self {
        Self(format!("{provider}.{operation}"))
    }
    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// The first half: who owns it.
    pub fn provider(&self) -> &str {
        self.0.split('.').next().unwrap_or_default()
    }
}

impl fmt::Display for ActionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How much an action can do to the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Looks, changes nothing.
    Read,
    /// Changes something that can be changed back.
    Change,
    /// Removes something.
    Destroy,
}

impl Effect {
    /// The word on the wire and in policies.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Change => "change",
            Self::Destroy => "destroy",
        }
    }
}

/// One operation a provider offers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Action {
    /// `provider.operation`.
    pub id: ActionId,
    /// The provider that performs it.
    pub provider: String,
    /// The `operationId` in the provider's document.
    pub operation: String,
    /// Digest of this declaration; an approval is bound to it.
    pub version: Digest,
    /// The words of the command, without `guichet`: `["rds", "cancel-query"]`.
    pub command: Vec<String>,
    /// One line.
    pub title: String,
    /// More, in CommonMark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What it does to the world.
    pub effect: Effect,
    /// Who must approve, as the provider declares it. The gateway's policy may add, never remove.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalDeclaration>,
    /// Whether the provider answers `Guichet-Mode: plan`.
    #[serde(default)]
    pub plan: bool,
    /// What of its plans policies may read: by the fact's name, the JSON Schema of its value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub facts: BTreeMap<String, Value>,
    /// What it acts on, with `{input}` placeholders: `kafka/{cluster}/topics/{topic}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// One run at a time per value of this template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<String>,
    /// Seconds that a start is delayed after everything is lifted, so that it can be cancelled; 0–604,800.
    #[serde(default)]
    pub cool_down_seconds: u32,
    /// How it is undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<Undo>,
    /// A surface that can ask a person asks them before it submits this, whatever its effect. A courtesy to them, and no
    /// control: nobody is kept from it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub confirm: bool,
    /// Answers `text/event-stream`: log, progress, step, outcome.
    #[serde(default)]
    pub long: bool,
    /// Its steps are journaled, and it is called again with its journal when it was cut off. Always `long`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resumable: bool,
    /// Calling it again with the same `Idempotency-Key` does no harm, so a call that was cut off is made again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub idempotent: bool,
    /// Understands `Guichet-Mode: outcome` and `cancel`, which are never asked of who does not say so: who ignores the
    /// header would do the change again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub remembers: bool,
    /// Seconds a call may take, 1–86,400.
    pub timeout_seconds: u32,
    /// The whole input counts as sensitive where no field says otherwise.
    #[serde(default)]
    pub sensitive: bool,
    /// How a result is drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view: Option<View>,
    /// Ready-made calls for `--help`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<Example>,
    /// JSON Schema 2020-12 of the flat input: an object, self-contained (`$defs` inside), no further members.
    pub input: Value,
    /// Live values for a member of the input, by member name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, Options>,
    /// How the flat input becomes an HTTP request.
    pub http: HttpBinding,
}

/// Who must approve, declared beside the code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovalDeclaration {
    /// `team:NAME` or `owner`.
    pub by: Approvers,
    /// How many distinct people, 1–20.
    #[serde(default = "one")]
    pub count: u8,
    /// Why, in a few words, for the card.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// Seconds until the request expires, 60–2,592,000; the gateway's default (4 h) when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_seconds: Option<u32>,
}

/// The action that undoes this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Undo {
    /// The operation of the same provider.
    pub operation: String,
    /// Its inputs: for each, a JSON pointer into `{"input": …, "result": …, "plan": {…facts by name}}` of the run that is
    /// undone, such as `/input/topic`.
    #[serde(default)]
    pub with: BTreeMap<String, String>,
}

fn one() -> u8 {
    1
}

/// How a result is drawn as a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct View {
    /// JSON pointer to the array of rows; empty for the result itself.
    #[serde(default)]
    pub rows: String,
    /// Members of a row to show, in order; all of them when empty.
    #[serde(default)]
    pub columns: Vec<String>,
    /// A column whose value is the depth of the row in a tree (0 for a root): its text is indented.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<Tree>,
    /// Operations of the same provider that apply to a row.
    #[serde(default)]
    pub row_actions: Vec<String>,
}

/// Draws rows as a tree: rows come in depth-first order, each with its depth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tree {
    /// Member of a row that holds its depth, 0 for a root. Not itself shown.
    pub depth: String,
    /// Column that is indented.
    pub column: String,
}

/// A ready-made call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// What it shows.
    pub title: String,
    /// The flat input.
    pub input: Value,
}

/// Where live values of an input member come from: another (read) action of the same provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// `operationId` of the reading operation.
    pub operation: String,
    /// Input of that operation ← input of this one.
    #[serde(default)]
    pub with: BTreeMap<String, String>,
    /// JSON pointer to the rows in its result; empty for the result itself.
    #[serde(default)]
    pub rows: String,
    /// JSON pointer to the value in a row.
    #[serde(default)]
    pub value: String,
    /// JSON pointers to what helps a person choose, shown beside the value.
    #[serde(default)]
    pub label: Vec<String>,
}

/// One live value that a member of an input can take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Choice {
    /// What goes into the input.
    pub value: Value,
    /// What helps a person choose.
    #[serde(default)]
    pub label: String,
}

/// How the flat input becomes an HTTP request to the provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HttpBinding {
    /// `GET`, `POST` …
    pub method: String,
    /// Path template as in the document, `/clusters/{cluster}`.
    pub path: String,
    /// Each member of the flat input and the place it goes to.
    pub parameters: Vec<Parameter>,
    /// What the body is written as; `application/json` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// Where it is answered when that is not the provider's address: another address, `https://uploads.example.org/v1`, or
    /// another place on the same machine, `/uploads`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
}

/// One member of the flat input and the place it goes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Parameter {
    /// Name in the flat input.
    pub name: String,
    /// Name in the document, where a clash was resolved; else the same.
    pub wire_name: String,
    /// Where it goes.
    pub place: Place,
    /// An array is repeated (`?a=1&a=2`) when true, joined by commas when false.
    #[serde(default)]
    pub explode: bool,
    /// How the value is written there.
    #[serde(default, skip_serializing_if = "Style::is_usual")]
    pub style: Style,
    /// In a body of several parts: the media type of this part. In a form: that of a field that is JSON by its document's word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
}

/// How a value is written at its place, where that is not the usual way of the place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Style {
    /// `form` in a query, a cookie or a form; `simple` in a path or a header; JSON in a JSON body.
    #[default]
    Usual,
    /// As JSON; a field of a form of which its document does not say so itself only where it is an object.
    Json,
    /// An array joined by spaces.
    Spaces,
    /// An array joined by `|`.
    Pipes,
    /// An array joined by tabs.
    Tabs,
    /// An object as `name[member]=value`, a pair each.
    DeepObject,
    /// `.value` in a path.
    Label,
    /// `;name=value` in a path.
    Matrix,
    /// Base64 in the input, the bytes themselves in the request.
    Bytes,
}

impl Style {
    /// Whether nothing need be said of it.
    pub fn is_usual(&self) -> bool {
        *self == Self::Usual
    }
}

/// The place of a parameter in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// In the path.
    Path,
    /// In the query.
    Query,
    /// A header.
    Header,
    /// A cookie.
    Cookie,
    /// A member of the JSON body, which is an object.
    BodyMember,
    /// The whole JSON body.
    Body,
}

/// The members of an input schema that are required.
pub fn required_members(input: &Value) -> impl Iterator<Item = &str> {
    input.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// The name of a member as a command-line flag: `sourceInstance` and `source_instance` → `source-instance`.
pub fn flag_name(member: &str) -> String {
    let mut flag = String::with_capacity(member.len() + 4);
    let mut previous_lower = false;
    for character in member.chars() {
        if character.is_ascii_uppercase() {
            if previous_lower {
                flag.push('-');
            }
            flag.push(character.to_ascii_lowercase());
            previous_lower = false;
        } else if character.is_ascii_alphanumeric() {
            flag.push(character);
            previous_lower = true;
        } else {
            if !flag.is_empty() && !flag.ends_with('-') {
                flag.push('-');
            }
            previous_lower = false;
        }
    }
    flag.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::flag_name;

    #[test]
    fn flags_are_kebab_case() {
        for (member, flag) in [
            ("pid", "pid"),
            ("sourceInstance", "source-instance"),
            ("source_instance", "source-instance"),
            ("X-Request-Id", "x-request-id"),
            ("replicaURL", "replica-url"),
            ("filter[name]", "filter-name"),
        ] {
            assert_eq!(flag_name(member), flag);
        }
    }
}
