//! What events say, as JSON Schemas: made from the very types that are sent, one for each type of event.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::notice::{Message, Occasion};

/// What the type of every event begins with.
pub const TYPE_PREFIX: &str = "dev.guichet.";
/// Counts up when a member goes or changes its meaning; members that are added do not count.
pub const VERSION: u32 = 1;

/// The type of this occasion's event: `dev.guichet.run_ended`.
pub fn type_of(occasion: Occasion) -> String {
    format!("{TYPE_PREFIX}{occasion}")
}

/// The occasion of this type of event, or of this word alone.
pub fn occasion_of(kind: &str) -> Option<Occasion> {
    kind.strip_prefix(TYPE_PREFIX).unwrap_or(kind).parse().ok()
}

/// The event's `dataschema` and the schema's `$id`: a name (RFC 4151), no address. Which addresses a gateway has, it does
/// not know; its receivers do.
pub fn name_of(occasion: Occasion) -> String {
    format!("tag:guichet.dev,2026:events/{occasion}/{VERSION}")
}

/// The JSON Schema (2020-12) of this event's `data`.
pub fn data_schema(occasion: Occasion) -> Value {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Message>();
    let mut schema = Value::from(schema);
    schema["$id"] = json!(name_of(occasion));
    schema["title"] = json!(type_of(occasion));
    schema["properties"]["occasion"] =
        json!({"description": "On what occasion.", "const": occasion.as_str()});
    let always: &[&str] = match occasion {
        Occasion::RunDecided => &["by", "verdict"],
        Occasion::RunAsked | Occasion::RunAnswered => &["by", "because"],
        Occasion::RunExpired | Occasion::RunVoided | Occasion::ScheduleHalted => &["because"],
        Occasion::RunCancelled | Occasion::RunWithdrawn | Occasion::GlassBroken | Occasion::Ping => &["by"],
        _ => &[],
    };
    if let Some(required) = schema["required"].as_array_mut() {
        required.extend(always.iter().map(|member| json!(member)));
    }
    schema
}

/// The JSON Schema (2020-12) of the whole event as a webhook gets it: the envelope of CloudEvents 1.0 and its data.
pub fn event_schema(occasion: Occasion) -> Value {
    let mut data = data_schema(occasion);
    // A schema within a schema has no name of its own here: its definitions are found from the top.
    let definitions = data.as_object_mut().and_then(|data| {
        data.remove("$id");
        data.remove("$schema");
        data.remove("$defs")
    });
    let text = |about: &str| json!({"type": "string", "minLength": 1, "description": about});
    let mut properties = Map::new();
    properties.insert("specversion".into(), json!({"const": "1.0"}));
    properties.insert("id".into(), text("The same in every repetition and replay."));
    properties.insert("source".into(), text("`/guichet/` and the environment."));
    properties.insert("type".into(), json!({"const": type_of(occasion)}));
    properties
        .insert("subject".into(), text("Id of the run, or of the schedule; of a ping, its delivery's."));
    properties.insert(
        "time".into(),
        json!({"type": "string", "format": "date-time", "description": "When it happened."}),
    );
    properties.insert("datacontenttype".into(), json!({"const": "application/json"}));
    properties.insert("dataschema".into(), json!({"const": name_of(occasion)}));
    properties.insert("data".into(), data);
    let required: Vec<String> = properties.keys().cloned().collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": format!("{} (CloudEvents 1.0)", type_of(occasion)),
        "type": "object",
        "properties": properties,
        "required": required,
        // A CloudEvent may have more attributes: lower-case letters and digits.
        "propertyNames": {"pattern": "^[a-z0-9]+$"},
        "$defs": definitions.unwrap_or_else(|| json!({})),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_occasion_has_a_schema_of_its_own_name() {
        for occasion in Occasion::ALL {
            let schema = data_schema(occasion);
            assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
            assert_eq!(schema["$id"], name_of(occasion));
            assert_eq!(schema["properties"]["occasion"]["const"], occasion.as_str());
            assert_eq!(occasion_of(&type_of(occasion)), Some(occasion));
            assert_eq!(occasion_of(occasion.as_str()), Some(occasion));
            let event = event_schema(occasion);
            assert_eq!(event["properties"]["dataschema"]["const"], name_of(occasion));
            assert!(event["$defs"]["Principal"].is_object(), "{event}");
        }
        assert_eq!(occasion_of("dev.guichet.tea_time"), None);
    }
}
