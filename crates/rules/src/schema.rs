//! The Cedar schema of a catalogue: what policies may speak of, and of which type it is.

use std::collections::BTreeSet;

use cedar_policy::{Schema, SchemaFragment};
use guichet_contract::{Action, Catalogue, Effect};
use serde_json::{Map, Value, json};

use crate::{fault::Fault, shape::Shape};

/// The gateway's own verbs, beside the actions of the catalogue.
pub(crate) const VERBS: [&str; 4] = ["approve", "break_glass", "view_run", "audit"];
const EFFECTS: [Effect; 3] = [Effect::Read, Effect::Change, Effect::Destroy];
/// The entity types that can act.
pub(crate) const PRINCIPALS: [&str; 3] = ["Person", "ServiceAccount", "CiJob"];

/// The schema in its JSON form, and as Cedar uses it.
pub(crate) struct Vocabulary {
    pub(crate) schema: Schema,
    /// In Cedar's own words, for people.
    pub(crate) text: String,
}

/// The group of a provider's actions.
pub(crate) fn provider_group(provider: &str) -> String {
    format!("provider:{provider}")
}

/// The groups an action belongs to.
pub(crate) fn groups_of(action: &Action) -> [String; 2] {
    [action.effect.as_str().to_owned(), provider_group(&action.provider)]
}

/// Everything `Action::"…"` can name.
pub(crate) fn action_names(catalogue: &Catalogue) -> BTreeSet<String> {
    let fixed = EFFECTS.map(Effect::as_str).into_iter().chain(VERBS).map(str::to_owned);
    let of_actions = catalogue.actions.iter().flat_map(|action| {
        let [effect, provider] = groups_of(action);
        [action.id.to_string(), effect, provider]
    });
    fixed.chain(of_actions).collect()
}

/// The schema of a catalogue.
pub(crate) fn vocabulary(catalogue: &Catalogue) -> Result<Vocabulary, Vec<Fault>> {
    let mut faults = Vec::new();
    let mut actions = Map::new();
    for effect in EFFECTS {
        actions.insert(effect.as_str().to_owned(), group());
    }
    for verb in VERBS {
        actions.insert(verb.to_owned(), verb_of_the_gateway(verb));
    }
    for action in &catalogue.actions {
        actions.entry(provider_group(&action.provider)).or_insert_with(group);
    }
    for action in &catalogue.actions {
        let declared = action_of_the_catalogue(action);
        if actions.insert(action.id.to_string(), declared).is_some() {
            faults.push(Fault::of_file(
                &format!("provider {}", action.provider),
                format!(
                    "the action `{}` has the name of another action, verb or group: rename the operation",
                    action.id
                ),
            ));
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let json = json!({"": {"entityTypes": entity_types(), "actions": actions}});
    let unusable = |error: &dyn std::fmt::Display| {
        vec![Fault::of_file("catalogue", format!("no policy schema can be made of the catalogue: {error}"))]
    };
    let fragment = SchemaFragment::from_json_value(json.clone()).map_err(|error| unusable(&error))?;
    // Names that Cedar's own syntax cannot write (none are known) leave people with the JSON form. There is no type
    // of ours called String, Long or Bool, so Cedar's need no prefix.
    let text =
        fragment.to_cedarschema().map_or_else(|_| json.to_string(), |text| text.replace("__cedar::", ""));
    let schema = Schema::from_schema_fragments([fragment]).map_err(|error| unusable(&error))?;
    Ok(Vocabulary { schema, text })
}

fn entity_types() -> Value {
    let principal = json!({
        "memberOfTypes": ["Team"],
        "shape": {"type": "Record", "attributes": {
            "name": {"type": "String"},
            "agent": {"type": "String", "required": false},
        }},
    });
    let mut types = Map::new();
    for name in PRINCIPALS {
        types.insert(name.to_owned(), principal.clone());
    }
    types.insert("Team".to_owned(), json!({"memberOfTypes": ["Team"]}));
    types.insert(
        "Resource".to_owned(),
        json!({
            "memberOfTypes": ["Resource"],
            "shape": {"type": "Record", "attributes": {
                "path": {"type": "String"},
                "owner": {"type": "Entity", "name": "Team"},
            }},
        }),
    );
    Value::Object(types)
}

fn applies_to(context: &Map<String, Value>) -> Value {
    json!({
        "principalTypes": PRINCIPALS,
        "resourceTypes": ["Resource"],
        "context": {"type": "Record", "attributes": context},
    })
}

fn call_context() -> Map<String, Value> {
    let mut context = Map::new();
    context.insert("environment".to_owned(), json!({"type": "String"}));
    context.insert("surface".to_owned(), json!({"type": "String"}));
    context.insert("reason".to_owned(), json!({"type": "String", "required": false}));
    moment(&mut context);
    context
}

/// What a policy can know of the moment.
fn moment(context: &mut Map<String, Value>) {
    context.insert("on_call".to_owned(), json!({"type": "Set", "element": {"type": "String"}}));
    context.insert("office_hours".to_owned(), json!({"type": "Boolean"}));
}

/// Nobody asks for a group. It applies to everything all the same, so that a policy about `Action::"destroy"` stays
/// valid while no provider offers such an action.
fn group() -> Value {
    json!({"appliesTo": applies_to(&call_context())})
}

fn action_of_the_catalogue(action: &Action) -> Value {
    let mut context = call_context();
    context.insert("input".to_owned(), Shape::of_input(&action.input).to_schema());
    let groups: Vec<Value> = groups_of(action).iter().map(|group| json!({"id": group})).collect();
    json!({"memberOf": groups, "appliesTo": applies_to(&context)})
}

fn verb_of_the_gateway(verb: &str) -> Value {
    let mut context = Map::new();
    context.insert("environment".to_owned(), json!({"type": "String"}));
    if matches!(verb, "approve" | "break_glass") {
        for name in ["action", "effect"] {
            context.insert(name.to_owned(), json!({"type": "String"}));
        }
        moment(&mut context);
    }
    if verb == "approve" {
        context.insert("requester".to_owned(), json!({"type": "String"}));
        context.insert("because".to_owned(), json!({"type": "String", "required": false}));
    }
    json!({"appliesTo": applies_to(&context)})
}
