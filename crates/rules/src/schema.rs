//! The Cedar schema of a catalogue: what policies may speak of, and of which type it is.

use std::{borrow::Cow, collections::BTreeSet, sync::Arc};

use cedar_policy::{Schema, SchemaFragment};
use guichet_contract::{Action, Catalogue, Effect};
use serde_json::{Map, Value, json};

use crate::{fault::Fault, kinds::Kinds, shape::Seen};

/// The gateway's own verbs, beside the actions of the catalogue.
pub(crate) const VERBS: [&str; 10] = [
    "approve",
    "break_glass",
    "view_run",
    "audit",
    "register_instance",
    "add_provider",
    "remove_provider",
    "read_deliveries",
    "replay_delivery",
    "ping_channel",
];
const EFFECTS: [Effect; 3] = [Effect::Read, Effect::Change, Effect::Destroy];
/// The entity types that can act.
pub(crate) const PRINCIPALS: [&str; 3] = ["Person", "ServiceAccount", "CiJob"];

/// The group of a provider's actions.
pub(crate) fn provider_group(provider: &str) -> String {
    format!("provider:{provider}")
}

/// The groups an action belongs to.
pub(crate) fn groups_of(action: &Action) -> [String; 2] {
    [action.effect.as_str().to_owned(), provider_group(&action.provider)]
}

/// Everything `Action::"…"` can name.
///
/// # Errors
/// An action with the name of another, of a verb or of a group.
pub(crate) fn action_names(actions: &[Arc<Action>]) -> Result<BTreeSet<Cow<'_, str>>, Vec<Fault>> {
    let mut names: BTreeSet<Cow<'_, str>> =
        EFFECTS.map(Effect::as_str).into_iter().chain(VERBS).map(Cow::Borrowed).collect();
    let providers: BTreeSet<&str> = actions.iter().map(|action| action.provider.as_str()).collect();
    names.extend(providers.into_iter().map(|provider| Cow::Owned(provider_group(provider))));
    let taken = |action: &Action| {
        let message = format!(
            "the action `{}` has the name of another action, verb or group: rename the operation",
            action.id
        );
        Fault::of_file(&format!("provider {}", action.provider), message)
    };
    let faults: Vec<Fault> = actions
        .iter()
        .filter(|action| !names.insert(Cow::Borrowed(action.id.as_str())))
        .map(|action| taken(action))
        .collect();
    if faults.is_empty() { Ok(names) } else { Err(faults) }
}

/// What policies may speak of, all of a catalogue, in the words of a Cedar schema: for editors.
///
/// # Errors
/// A catalogue of which no schema can be made.
pub fn schema_text(catalogue: &Catalogue) -> Result<String, Vec<Fault>> {
    action_names(&catalogue.actions)?;
    let seen: Vec<(&Action, Seen)> =
        catalogue.actions.iter().map(|action| (&**action, Seen::of(action))).collect();
    let json = schema_json(seen.iter().map(|(action, seen)| (*action, seen)));
    let fragment = fragment_of(json.clone())?;
    // Names that Cedar's own syntax cannot write (none are known) leave people with the JSON form. There is no type
    // of ours called String, Long or Bool, so Cedar's need no prefix.
    let text = fragment.to_cedarschema();
    Ok(text.map_or_else(|_| json.to_string(), |text| text.replace("__cedar::", "")))
}

/// The schema that policies are checked against: of each kind of actions one.
pub(crate) fn schema_of(kinds: &Kinds<'_>) -> Result<Schema, Vec<Fault>> {
    let json = schema_json(kinds.all().iter().map(|kind| (kind.first, &kind.seen)));
    Schema::from_schema_fragments([fragment_of(json)?]).map_err(|error| unusable(&error))
}

fn fragment_of(json: Value) -> Result<SchemaFragment, Vec<Fault>> {
    SchemaFragment::from_json_value(json).map_err(|error| unusable(&error))
}

fn unusable(error: &dyn std::fmt::Display) -> Vec<Fault> {
    vec![Fault::of_file("catalogue", format!("no policy schema can be made of the catalogue: {error}"))]
}

fn schema_json<'a>(of_catalogue: impl Iterator<Item = (&'a Action, &'a Seen)>) -> Value {
    let mut actions = Map::new();
    for effect in EFFECTS {
        actions.insert(effect.as_str().to_owned(), group());
    }
    for verb in VERBS {
        actions.insert(verb.to_owned(), verb_of_the_gateway(verb));
    }
    for (action, seen) in of_catalogue {
        actions.entry(provider_group(&action.provider)).or_insert_with(group);
        actions.insert(action.id.to_string(), action_of_the_catalogue(action, seen));
    }
    json!({"": {"entityTypes": entity_types(), "actions": actions}})
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

fn action_of_the_catalogue(action: &Action, seen: &Seen) -> Value {
    let mut context = call_context();
    context.insert("input".to_owned(), seen.input.to_schema());
    // Before a plan is made there is none, and some plans do not tell all.
    if let Some(plan) = &seen.plan {
        let mut plan = plan.to_schema();
        plan["required"] = Value::from(false);
        context.insert("plan".to_owned(), plan);
    }
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
