//! `discriminator`: a member whose value names the schema that holds. Said as a condition of each choice, so that values which
//! would fit several choices fit one.

use serde_json::{Map, Value, json};

/// Puts it into `oneOf` and `anyOf` of the schema that was made of `said`.
pub(super) fn narrow(schema: &mut Map<String, Value>, said: &Map<String, Value>) {
    let discriminator = said.get("discriminator");
    let named = |name: &str| discriminator.and_then(|said| said.get(name));
    let Some(member) = named("propertyName").and_then(Value::as_str) else { return };
    let mapping = named("mapping").and_then(Value::as_object);
    for choice in ["oneOf", "anyOf"] {
        let (Some(Value::Array(branches)), Some(Value::Array(origins))) =
            (schema.get_mut(choice), said.get(choice))
        else {
            continue;
        };
        // A branch without a name of its own is told apart by nothing.
        if branches.len() != origins.len() || origins.iter().any(|origin| reference(origin).is_none()) {
            continue;
        }
        for (branch, origin) in branches.iter_mut().zip(origins) {
            let Some(target) = reference(origin) else { continue };
            let own = target.rsplit('/').next().unwrap_or_default();
            let mut names: Vec<&str> = mapping
                .into_iter()
                .flatten()
                .filter(|(_, to)| to.as_str().is_some_and(|to| to == target || to == own))
                .map(|(name, _)| name.as_str())
                .collect();
            if names.is_empty() {
                names.push(own);
            }
            let told = json!({"properties": {member: {"enum": names}}, "required": [member]});
            *branch = json!({"allOf": [branch.take(), told]});
        }
    }
}

fn reference(schema: &Value) -> Option<&str> {
    schema.get("$ref").and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_choice_holds_for_the_values_that_name_it() {
        let said = json!({
            "oneOf": [{"$ref": "#/components/schemas/Cat"}, {"$ref": "#/components/schemas/Dog"}],
            "discriminator": {"propertyName": "kind", "mapping": {"meow": "#/components/schemas/Cat"}},
        });
        let mut schema = Map::new();
        schema.insert("oneOf".to_owned(), json!([{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}]));
        narrow(&mut schema, said.as_object().unwrap());
        let branch = |to: &str, name: &str| {
            json!({"allOf": [{"$ref": format!("#/$defs/{to}")},
                {"properties": {"kind": {"enum": [name]}}, "required": ["kind"]}]})
        };
        assert_eq!(schema["oneOf"], json!([branch("Cat", "meow"), branch("Dog", "Dog")]));
    }
}
