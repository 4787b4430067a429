//! Schemas that stand alone, references that lead somewhere, and those that lead round.

use serde_json::{Value, json};

use super::{at, body, is_valid, one_fault, only, posting};

fn with_body(schema: Value, schemas: Value) -> Value {
    posting(json!({"requestBody": body(schema)}), json!({"schemas": schemas}))
}

#[test]
fn what_an_input_uses_comes_along() {
    let schemas = json!({
        "Node": {"type": "object", "description": "A node", "required": ["value"], "properties": {
            "value": {"$ref": "#/components/schemas/Value", "description": "said beside"},
            "children": {"type": "array", "items": {"$ref": "#/components/schemas/Node"}},
        }, "additionalProperties": false},
        "Value": {"type": "integer", "minimum": 1, "default": 3, "format": "int32", "xml": {"name": "v"}},
        "Unused": {"type": "string"},
    });
    let property = json!({"type": "object", "properties": {"root": {"$ref": "#/components/schemas/Node"}}});
    let action = only(&with_body(property, schemas));
    assert_eq!(
        action.input["$defs"],
        json!({
            "Node": {"type": "object", "description": "A node", "required": ["value"], "properties": {
                "value": {"$ref": "#/$defs/Value", "description": "said beside"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}},
            }, "additionalProperties": false},
            "Value": {"type": "integer", "minimum": 1, "default": 3, "format": "int32"},
        })
    );
    assert_eq!(action.input["properties"]["root"]["type"], "object", "a member's reference is looked up");
    for (input, valid) in [
        (json!({"thing": "t", "root": {"value": 1, "children": [{"value": 2, "children": []}]}}), true),
        (json!({"thing": "t", "root": {"value": 1, "children": [{"value": 0}]}}), false),
        (json!({"thing": "t", "root": {"value": 1, "children": [{"value": 2, "extra": 1}]}}), false),
    ] {
        assert_eq!(is_valid(&action, &input), valid, "{input}");
    }
}

#[test]
fn values_are_not_taken_for_schemas() {
    let schema = json!({"type": "object", "properties": {
        "kind": {"enum": [{"$ref": "elsewhere"}, "x"], "default": {"x-guichet": 7}},
        "$ref": {"type": "string"},
        "properties": {"const": {"$id": 1}},
    }});
    // A property may be called `$ref`; it is a property all the same.
    let action = only(&with_body(schema, json!({})));
    assert_eq!(
        action.input["properties"]["kind"],
        json!({"enum": [{"$ref": "elsewhere"}, "x"], "default": {"x-guichet": 7}})
    );
    assert_eq!(action.input["properties"]["$ref"], json!({"type": "string"}));
    assert_eq!(action.input["properties"]["properties"], json!({"const": {"$id": 1}}));
}

#[test]
fn definitions_of_the_same_last_word_are_told_apart() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "array", "items": {"$ref": "#/components/schemas/X"}},
        "b": {"type": "array", "items": {"$ref": "#/components/schemas/Y/properties/X"}},
        "c": {"type": "array", "items": {"$ref": "#/components/schemas/a~1b%20c"}}}});
    let schemas = json!({"X": {"type": "string"}, "Y": {"properties": {"X": {"type": "integer"}}}, "a/b c": {"type": "boolean"}});
    let action = only(&with_body(schema, schemas));
    assert_eq!(
        action.input["$defs"],
        json!({"X": {"type": "string"}, "X_2": {"type": "integer"}, "a_1b_c": {"type": "boolean"}})
    );
    assert!(is_valid(&action, &json!({"thing": "t", "a": ["x"], "b": [1], "c": [true]})));
}

#[test]
fn a_schema_that_is_itself_is_refused() {
    let list = |reference: &str| json!({"type": "array", "items": {"$ref": reference}});
    for (schemas, pointer) in [
        (json!({"A": {"$ref": "#/components/schemas/A"}}), "/components/schemas/A"),
        (json!({"A": {"allOf": [{"$ref": "#/components/schemas/A"}]}}), "/components/schemas/A"),
        (
            json!({"A": {"anyOf": [{"type": "string"}, {"not": {"$ref": "#/components/schemas/A"}}]}}),
            "/components/schemas/A",
        ),
        (
            json!({"A": {"dependentSchemas": {"x": {"$ref": "#/components/schemas/A"}}}}),
            "/components/schemas/A",
        ),
    ] {
        one_fault(&with_body(list("#/components/schemas/A"), schemas), pointer, "made of itself");
    }
    // Round two: both are named.
    let schemas = json!({"A": {"$ref": "#/components/schemas/B"}, "B": {"oneOf": [{"$ref": "#/components/schemas/A"}]}});
    let faults = super::faults(&with_body(list("#/components/schemas/A"), schemas));
    let pointers: Vec<&str> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
    assert_eq!(pointers, ["/components/schemas/A", "/components/schemas/B"]);
    // With a property between it is a plain recursive schema.
    only(&with_body(
        list("#/components/schemas/A"),
        json!({"A": {"anyOf": [{"type": "null"}, {"properties": {"a": {"$ref": "#/components/schemas/A"}}}]}}),
    ));
    // As the body itself.
    one_fault(
        &with_body(
            json!({"$ref": "#/components/schemas/A"}),
            json!({"A": {"$ref": "#/components/schemas/A"}}),
        ),
        "/components/schemas/A/$ref",
        "leads back to itself",
    );
}

#[test]
fn a_parameter_that_is_itself_is_refused() {
    let parameters = json!([
        {"name": "thing", "in": "path", "required": true, "schema": {"type": "string"}},
        {"$ref": "#/components/parameters/A"},
    ]);
    let components = json!({"parameters": {
        "A": {"$ref": "#/components/parameters/B"},
        "B": {"$ref": "#/components/parameters/A"},
    }});
    one_fault(
        &posting(json!({"parameters": parameters}), components),
        &at("/parameters/1/$ref"),
        "leads back to itself",
    );
}

#[test]
fn wrong_references_are_told_with_what_to_do() {
    for (reference, words) in [
        (json!("#/components/schemas/Topics"), "did you mean `Topic`?"),
        (json!("#/components/schemas/Nowhere"), "points to nothing"),
        (json!("https://example.com/topic.json"), "nothing is fetched"),
        (json!("topic.yaml#/Topic"), "nothing is fetched"),
        (json!("#Topic"), "anchors are not read"),
        (json!("#"), "no JSON pointer"),
        (json!("#/components/schemas/%zz"), "percent-encoded"),
        (json!(7), "`$ref` is a text"),
    ] {
        let schema = json!({"type": "object", "properties": {"list": {"type": "array", "items": {"$ref": reference}}}});
        let pointer = at("/requestBody/content/application~1json/schema/properties/list/items/$ref");
        one_fault(&with_body(schema, json!({"Topic": {"type": "string"}})), &pointer, words);
    }
    let document = posting(json!({"requestBody": {"$ref": "#/components/requestBodies/X"}}), json!({}));
    one_fault(&document, &at("/requestBody/$ref"), "points to nothing");
}

#[test]
fn a_reference_may_be_percent_encoded() {
    let schema = json!({"$ref": "#/paths/~1things~1%7Bthing%7D/post/parameters/0/schema"});
    let action = only(&with_body(schema, json!({})));
    assert_eq!(action.input["properties"]["body"], json!({"type": "string"}));
}

#[test]
fn nullable_is_told_to_mean_nothing() {
    let reading = super::strict(&with_body(json!({"type": "string", "nullable": true}), json!({})));
    assert_eq!(reading.warnings[0].pointer, at("/requestBody/content/application~1json/schema/nullable"));
}
