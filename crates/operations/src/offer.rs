//! What a provider offers, as its document was read. A document is read once, when it is new; what was found is shared by
//! every world that is made of it, and kept for the next start.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use guichet_admission::{check_pattern, check_schema};
use guichet_contract::{
    Action,
    openapi::{self, Finding, Strictness},
    redact,
};
use serde_json::{Value, json};

/// What a provider offers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Offer {
    /// Its actions, in the order of the document; their schemas can be used.
    pub actions: Vec<Arc<Action>>,
    /// What is odd in the document, and what was left out, each with its place.
    pub odd: Vec<String>,
    /// Operations that were left out, each with the reason; they are in `odd` as well.
    pub refused: Vec<Finding>,
    /// Where the document says that its service answers, if it does: an address, or a path on its own machine.
    pub server: Option<String>,
}

impl Offer {
    /// Reads a document. Our own documents are read strictly (`strict`). In others' what cannot be checked of an input is
    /// left to their service, with a warning.
    ///
    /// # Errors
    /// Every fault that makes the whole document unusable, with its pointer.
    pub fn read(provider: &str, document: &Value, strict: bool) -> Result<Self, String> {
        let strictness = if strict { Strictness::Strict } else { Strictness::Lenient };
        let reading = openapi::read(provider, document, strictness).map_err(|findings| join(&findings))?;
        let mut odd: Vec<String> = reading.warnings.iter().chain(&reading.refused).map(told).collect();
        let mut actions = Vec::with_capacity(reading.actions.len());
        let mut patterns = Patterns::default();
        for mut action in reading.actions {
            if !strict {
                // What else a schema can have was looked at when it was rewritten; compiling each would take as long as all
                // the rest.
                patterns.drop_unusable(&mut action.input);
                actions.push(Arc::new(action));
                continue;
            }
            match check_schema(&action) {
                Ok(()) => actions.push(Arc::new(action)),
                Err(not_offered) => odd.push(not_offered.to_string()),
            }
        }
        odd.extend(patterns.told());
        Ok(Self { actions, odd, refused: reading.refused, server: reading.server })
    }
}

impl Offer {
    /// What is odd, without the operations that were left out.
    pub fn oddities(&self) -> impl Iterator<Item = &String> {
        let refused: HashSet<String> = self.refused.iter().map(told).collect();
        self.odd.iter().filter(move |odd| !refused.contains(*odd))
    }
}

fn told(finding: &Finding) -> String {
    format!("{}: {}", finding.pointer, finding.message)
}

/// The patterns of a document, and why each that cannot be used cannot.
#[derive(Default)]
struct Patterns(HashMap<String, Option<String>>);

impl Patterns {
    fn is_unusable(&mut self, pattern: &str) -> bool {
        if let Some(known) = self.0.get(pattern) {
            return known.is_some();
        }
        let why = check_pattern(pattern).err();
        let is_unusable = why.is_some();
        self.0.insert(pattern.to_owned(), why);
        is_unusable
    }

    /// Takes those that cannot be used out of a schema. `patternProperties` goes as a whole, and what says that there is
    /// nothing beside it: the rest of it would mean something else. What was said there of secrets holds for the whole then.
    fn drop_unusable(&mut self, schema: &mut Value) {
        match schema {
            Value::Object(members) => {
                if let Some(Value::String(pattern)) = members.get("pattern")
                    && self.is_unusable(&pattern.clone())
                {
                    members.shift_remove("pattern");
                }
                if let Some(Value::Object(by_pattern)) = members.get("patternProperties") {
                    let patterns: Vec<String> = by_pattern.keys().cloned().collect();
                    if patterns.iter().any(|pattern| self.is_unusable(pattern)) {
                        let lost = ["patternProperties", "additionalProperties"]
                            .map(|keyword| members.shift_remove(keyword));
                        if lost.iter().flatten().any(may_be_secret) {
                            members.insert("x-guichet".to_owned(), json!({"sensitive": true}));
                        }
                    }
                }
                members.values_mut().for_each(|member| self.drop_unusable(member));
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.drop_unusable(item)),
            _ => {}
        }
    }

    fn told(self) -> Vec<String> {
        let unusable = self.0.into_iter().filter_map(|(pattern, why)| Some((pattern, why?)));
        let mut told: Vec<String> = unusable
            .map(|(pattern, why)| format!("the pattern `{pattern}` is not checked here: {why}"))
            .collect();
        told.sort();
        told
    }
}

/// Whether these schemas, or those that they refer to, may have a mark of secrecy.
fn may_be_secret(schema: &Value) -> bool {
    let refers = |value: &Value| value.to_string().contains("\"$ref\"");
    *schema == false || redact::may_hide(schema) || refers(schema)
}

/// Findings in one line.
pub(crate) fn join(findings: &[Finding]) -> String {
    let told = findings.iter().map(|finding| format!("{}: {}", finding.pointer, finding.message));
    told.collect::<Vec<_>>().join("; ")
}

/// How many clashes of commands are told.
const CLASHES_TOLD: usize = 3;

/// Why these cannot be offered side by side; none when they can. Two providers of one kind clash in all they have, so that the
/// first are told, and how many more there are.
pub(crate) fn clash(actions: &[Arc<Action>]) -> Option<String> {
    // Where they stand in the list of all says nothing to anybody.
    let found: Vec<String> =
        openapi::check_catalogue(actions).into_iter().map(|finding| finding.message).collect();
    let told = found.iter().take(CLASHES_TOLD).cloned().collect::<Vec<_>>().join("; ");
    match found.len() {
        0 => None,
        count if count <= CLASHES_TOLD => Some(told),
        count => Some(format!("{told}; and {} more of this kind", count - CLASHES_TOLD)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_that_cannot_be_checked_refuses_our_own_action_and_is_left_to_others() {
        let get = |id: &str, pattern: &str| {
            json!({"get": {"operationId": id, "responses": {}, "parameters": [
                {"name": "n", "in": "query", "schema": {"type": "string", "pattern": pattern}}
            ]}})
        };
        let paths = json!({"/good": get("good", "^a+$"), "/bad": get("bad", "a(")});
        let document = json!({"openapi": "3.1.0", "info": {"title": "T", "version": "1"}, "paths": paths});
        let offer = Offer::read("things", &document, true).unwrap();
        let names: Vec<&str> = offer.actions.iter().map(|action| action.operation.as_str()).collect();
        assert_eq!(names, ["good"]);
        assert!(offer.odd.iter().any(|odd| odd.contains("things.bad")), "{:?}", offer.odd);
        let offer = Offer::read("things", &document, false).unwrap();
        let patterns: Vec<Option<&Value>> =
            offer.actions.iter().map(|action| action.input.pointer("/properties/n/pattern")).collect();
        assert_eq!(patterns, [Some(&json!("^a+$")), None]);
        assert!(offer.odd.iter().any(|odd| odd.contains("`a(` is not checked")), "{:?}", offer.odd);
        assert!(Offer::read("things", &json!([]), false).unwrap_err().contains("OpenAPI"));
    }

    #[test]
    fn what_a_pattern_that_goes_said_of_secrets_is_kept() {
        let offered = |labels: Value| {
            let body = json!({"required": true, "content": {"application/json": {"schema":
                {"type": "object", "properties": {"labels": labels}}}}});
            let document = json!({"openapi": "3.1.0", "info": {"title": "T", "version": "1"},
                "paths": {"/things": {"post": {"operationId": "make", "responses": {}, "requestBody": body}}},
                "components": {"schemas": {"Key": {"type": "string", "writeOnly": true}}}});
            Offer::read("things", &document, false).unwrap().actions.remove(0)
        };
        let recorded = |labels: Value| {
            let action = offered(labels);
            redact::redact_input(&action.input, &json!({"labels": {"env": "prod"}}), action.sensitive)
        };
        // A look ahead needs more than linear time.
        let shown = json!({"labels": {"env": "prod"}});
        assert_eq!(recorded(json!({"patternProperties": {"^(?!x)": {"type": "string"}}})), shown);
        for labels in [
            json!({"patternProperties": {"^(?!x)": {"type": "string", "writeOnly": true}}}),
            json!({"patternProperties": {"^(?!x)": {"$ref": "#/components/schemas/Key"}}}),
            json!({"patternProperties": {"^(?!x)": {}}, "additionalProperties": false}),
            json!({"patternProperties": {"^(?!x)": {"format": "password"}}, "x-guichet": {"sensitive": false}}),
        ] {
            let action = offered(labels.clone());
            assert_eq!(action.input.pointer("/properties/labels/patternProperties"), None);
            assert_eq!(action.input.pointer("/properties/labels/additionalProperties"), None, "{labels}");
            assert_eq!(recorded(labels.clone()), json!({"labels": redact::REDACTED}), "{labels}");
        }
    }
}
