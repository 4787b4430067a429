//! What a provider offers, as its document was read. A document is read once, when it is new; what was found is shared by
//! every world that is made of it, and kept for the next start.

use std::sync::Arc;

use guichet_admission::check_schema;
use guichet_contract::{
    Action,
    openapi::{self, Finding, Strictness},
};
use serde_json::Value;

/// What a provider offers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Offer {
    /// Its actions, in the order of the document; their schemas can be used.
    pub actions: Vec<Arc<Action>>,
    /// What is odd in the document, and what was left out, each with its place.
    pub odd: Vec<String>,
}

impl Offer {
    /// Reads a document. Our own documents are read strictly (`strict`).
    ///
    /// # Errors
    /// Every fault that makes the whole document unusable, with its pointer.
    pub fn read(provider: &str, document: &Value, strict: bool) -> Result<Self, String> {
        let strictness = if strict { Strictness::Strict } else { Strictness::Lenient };
        let reading = openapi::read(provider, document, strictness).map_err(|findings| join(&findings))?;
        let told = |finding: &Finding| format!("{}: {}", finding.pointer, finding.message);
        let mut odd: Vec<String> = reading.warnings.iter().chain(&reading.refused).map(told).collect();
        let mut actions = Vec::with_capacity(reading.actions.len());
        for action in reading.actions {
            match check_schema(&action) {
                Ok(()) => actions.push(Arc::new(action)),
                Err(not_offered) => odd.push(not_offered.to_string()),
            }
        }
        Ok(Self { actions, odd })
    }
}

/// Findings in one line.
pub(crate) fn join(findings: &[Finding]) -> String {
    let told = findings.iter().map(|finding| format!("{}: {}", finding.pointer, finding.message));
    told.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_action_whose_inputs_cannot_be_checked_is_left_out_and_named() {
        let get = |id: &str, pattern: &str| {
            json!({"get": {"operationId": id, "responses": {}, "parameters": [
                {"name": "n", "in": "query", "schema": {"type": "string", "pattern": pattern}}
            ]}})
        };
        let paths = json!({"/good": get("good", "^a+$"), "/bad": get("bad", "a(")});
        let document = json!({"openapi": "3.1.0", "info": {"title": "T", "version": "1"}, "paths": paths});
        let offer = Offer::read("things", &document, false).unwrap();
        let names: Vec<&str> = offer.actions.iter().map(|action| action.operation.as_str()).collect();
        assert_eq!(names, ["good"]);
        assert!(offer.odd.iter().any(|odd| odd.contains("things.bad")), "{:?}", offer.odd);
        assert!(Offer::read("things", &json!([]), false).unwrap_err().contains("OpenAPI"));
    }
}
