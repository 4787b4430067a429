//! Parameters and bodies as members of the input.

use guichet_contract::{
    action::{Place, Style},
    openapi::{Strictness, read},
};
use serde_json::{Value, json};

use super::{at, body, document, faults, is_valid, members, one_fault, only, posting, strict};

/// A POST with this parameter beside that of its path.
fn with_parameter(parameter: Value) -> Value {
    let path = json!({"name": "thing", "in": "path", "required": true, "schema": {"type": "string"}});
    posting(json!({"parameters": [path, parameter]}), json!({}))
}

#[test]
fn an_operation_s_parameters_win_over_those_of_its_path() {
    let document = document(
        json!({"/things": {
            "parameters": [
                {"name": "limit", "in": "query", "schema": {"type": "integer"}},
                {"name": "page", "in": "query", "schema": {"type": "integer"}},
                {"name": "X-A", "in": "header", "schema": {"type": "integer"}},
            ],
            "get": {"operationId": "list", "parameters": [
                {"$ref": "#/components/parameters/Limit"},
                {"name": "x-a", "in": "header", "schema": {"type": "string"}},
            ]},
        }}),
        json!({"parameters": {"Limit": {"name": "limit", "in": "query", "required": true,
            "description": "At most", "deprecated": true, "example": 5, "schema": {"type": "string", "description": "a text"}}}}),
    );
    let action = only(&document);
    assert_eq!(
        action.input["properties"],
        json!({
            "limit": {"type": "string", "description": "At most", "deprecated": true, "examples": [5]},
            "page": {"type": "integer"},
            "x-a": {"type": "string"},
        })
    );
    assert_eq!(action.input["required"], json!(["limit"]));
}

#[test]
fn arrays_are_repeated_in_a_query_and_joined_elsewhere() {
    for (parameter, explode) in [
        (json!({"in": "query"}), true),
        (json!({"in": "query", "style": "form"}), true),
        (json!({"in": "query", "explode": false}), false),
        (json!({"in": "header"}), false),
        (json!({"in": "header", "explode": true}), false),
    ] {
        let mut parameter = parameter;
        parameter["name"] = json!("tags");
        parameter["schema"] = json!({"type": "array", "items": {"type": "string"}});
        let action = only(&with_parameter(parameter.clone()));
        assert_eq!(action.http.parameters[1].explode, explode, "{parameter}");
    }
}

#[test]
fn values_are_written_as_their_style_says() {
    let array = json!({"type": "array", "items": {}});
    let object = json!({"type": "object", "properties": {"a": {}}});
    for (parameter, place, style, explode) in [
        (
            json!({"in": "query", "style": "deepObject", "schema": object}),
            Place::Query,
            Style::DeepObject,
            false,
        ),
        (
            json!({"in": "query", "style": "pipeDelimited", "schema": array}),
            Place::Query,
            Style::Pipes,
            false,
        ),
        (
            json!({"in": "query", "style": "spaceDelimited", "schema": array}),
            Place::Query,
            Style::Spaces,
            false,
        ),
        (json!({"in": "query", "content": {"application/json": {}}}), Place::Query, Style::Json, false),
        (json!({"in": "query", "schema": object}), Place::Query, Style::Usual, true),
        (json!({"in": "header", "explode": true, "schema": object}), Place::Header, Style::Usual, true),
        (json!({"in": "cookie", "schema": {"type": "string"}}), Place::Cookie, Style::Usual, true),
    ] {
        let mut parameter = parameter;
        parameter["name"] = json!("odd");
        let action = only(&with_parameter(parameter.clone()));
        let read = &action.http.parameters[1];
        assert_eq!((read.place, read.style, read.explode), (place, style, explode), "{parameter}");
    }
    for (style, expected) in [("label", Style::Label), ("matrix", Style::Matrix), ("simple", Style::Usual)] {
        let declared = json!({"name": "thing", "in": "path", "required": true, "style": style, "explode": true,
            "schema": array});
        let action = only(&posting(json!({"parameters": [declared]}), json!({})));
        let read = &action.http.parameters[0];
        assert_eq!((read.style, read.explode), (expected, style != "simple"), "{style}");
    }
    let pointer = at("/parameters/1");
    for (parameter, below, words) in [
        (
            json!({"name": "odd", "in": "header", "style": "form"}),
            "/style",
            "style `form` is none of a header",
        ),
        (json!({"name": "odd", "in": "body"}), "/in", "`body`"),
    ] {
        let document = with_parameter(parameter);
        one_fault(&document, &format!("{pointer}{below}"), words);
        let lenient = read("test", &document, Strictness::Lenient).unwrap();
        assert_eq!(lenient.actions.len(), 1);
        assert!(lenient.warnings[0].message.contains(words), "{}", lenient.warnings[0]);
    }
}

#[test]
fn headers_that_are_the_gateway_s_are_no_inputs() {
    for name in [
        "Authorization",
        "authorization",
        "Cookie",
        "Host",
        "Content-Length",
        "Connection",
        "Idempotency-Key",
        "traceparent",
        "Guichet-Mode",
        "guichet-plan",
        "Accept",
        "Content-Type",
        "X-Forwarded-For",
        "Transfer-Encoding",
    ] {
        let reading =
            strict(&with_parameter(json!({"name": name, "in": "header", "required": true, "schema": {}})));
        assert_eq!(members(&reading.actions[0]), ["thing"], "{name}");
        assert_eq!(reading.warnings[0].pointer, at("/parameters/1"));
        assert!(reading.warnings[0].message.contains(name));
    }
    one_fault(
        &with_parameter(json!({"name": "a b", "in": "header"})),
        &at("/parameters/1/name"),
        "no name of a header",
    );
}

#[test]
fn parameters_are_checked() {
    for (parameter, below, words) in [
        (json!(7), "", "`name` and `in`"),
        (json!({"in": "query"}), "", "`name` and `in`"),
        (json!({"name": "a"}), "", "`name` and `in`"),
        (json!({"name": "a", "in": "body"}), "/in", "`body`"),
        (json!({"name": "thing", "in": "path", "required": true}), "", "two parameters"),
        (json!({"name": "other", "in": "path", "required": true}), "", "the path has no `{other}`"),
        (json!({"name": "a", "in": "query", "schema": 7}), "/schema", "a schema is an object"),
        (
            json!({"name": "a", "in": "query", "schema": {"type": "int"}}),
            "/schema/type",
            "`type` should be one of",
        ),
        (
            json!({"name": "a", "in": "query", "schema": {"exclusiveMinimum": true}}),
            "/schema/exclusiveMinimum",
            "OpenAPI 3.0",
        ),
        (json!({"name": "a", "in": "query", "schema": {"$id": "x"}}), "/schema/$id", "take it out"),
        (json!({"name": "a", "in": "query", "schema": {"anyOf": []}}), "/schema/anyOf", "one or more"),
        (
            json!({"name": "a", "in": "query", "schema": {"properties": []}}),
            "/schema/properties",
            "object of schemas",
        ),
    ] {
        one_fault(&with_parameter(parameter), &at(&format!("/parameters/1{below}")), words);
    }
    one_fault(&posting(json!({"parameters": []}), json!({})), &at(""), "`{thing}`");
    let optional = posting(json!({"parameters": [{"name": "thing", "in": "path", "schema": {}}]}), json!({}));
    let reading = strict(&optional);
    assert_eq!(reading.actions[0].input["required"], json!(["thing"]));
    assert!(reading.warnings[0].message.contains("always required"));
}

#[test]
fn an_object_body_is_taken_apart_when_nothing_is_lost() {
    let object = json!({"type": "object", "properties": {"size": {"type": "integer"}}, "required": ["size"]});
    let with = |name: &str, value: Value| {
        let mut schema = object.clone();
        schema[name] = value;
        schema
    };
    for (schema, expected) in [
        (object.clone(), vec!["thing", "size"]),
        (with("additionalProperties", json!(false)), vec!["thing", "size"]),
        (with("description", json!("d")), vec!["thing", "size"]),
        (with("allOf", json!([{"properties": {"name": {}}}])), vec!["thing", "size", "name"]),
        (with("allOf", json!([{"properties": {"size": {"type": "integer"}}}])), vec!["thing", "size"]),
        (with("allOf", json!([{"$ref": "#/components/schemas/Named"}])), vec!["thing", "size", "name"]),
        (json!({"$ref": "#/components/schemas/Named"}), vec!["thing", "name"]),
        (with("additionalProperties", json!(true)), vec!["thing", "body"]),
        (with("additionalProperties", json!({"type": "string"})), vec!["thing", "body"]),
        (with("oneOf", json!([{}])), vec!["thing", "body"]),
        (with("minProperties", json!(1)), vec!["thing", "body"]),
        (with("type", json!(["object", "null"])), vec!["thing", "body"]),
        (with("required", json!(["other"])), vec!["thing", "body"]),
        (with("allOf", json!([{"properties": {"size": {"type": "string"}}}])), vec!["thing", "body"]),
        (
            with("allOf", json!([{"properties": {"a": {}}, "additionalProperties": false}])),
            vec!["thing", "body"],
        ),
        (json!({"type": "object"}), vec!["thing", "body"]),
        (json!({"type": "array", "items": {"type": "string"}}), vec!["thing", "body"]),
        (json!({"type": "string"}), vec!["thing", "body"]),
        (json!(true), vec!["thing", "body"]),
    ] {
        let components =
            json!({"schemas": {"Named": {"type": "object", "properties": {"name": {"type": "string"}}}}});
        let action = only(&posting(json!({"requestBody": body(schema.clone())}), components));
        assert_eq!(members(&action), expected, "{schema}");
        let place = if expected.contains(&"body") { Place::Body } else { Place::BodyMember };
        assert_eq!(action.http.parameters[1].place, place);
        assert_eq!(
            action.input["required"].as_array().unwrap().contains(&json!("body")),
            place == Place::Body
        );
    }
}

#[test]
fn an_optional_body_is_given_whole_or_not_at_all() {
    let schema = json!({"type": "object", "required": ["name"],
        "properties": {"name": {"type": "string"}, "size": {"type": "integer"}}});
    let optional = json!({"content": {"application/json; charset=utf-8": {"schema": schema}}});
    let action = only(&posting(json!({"requestBody": optional}), json!({})));
    for (input, valid) in [
        (json!({"thing": "t"}), true),
        (json!({"thing": "t", "name": "n"}), true),
        (json!({"thing": "t", "name": "n", "size": 1}), true),
        (json!({"thing": "t", "size": 1}), false),
        (json!({"thing": "t", "other": 1}), false),
        (json!({"name": "n"}), false),
    ] {
        assert_eq!(is_valid(&action, &input), valid, "{input}");
    }
}

#[test]
fn json_is_chosen_where_there_is_a_choice() {
    let both =
        json!({"content": {"multipart/form-data": {}, "application/json": {"schema": {"type": "string"}}}});
    let action = only(&posting(json!({"requestBody": both}), json!({})));
    assert_eq!((members(&action), action.http.media_type.as_deref()), (vec!["thing", "body"], None));
    let patches = json!({"content": {"application/json-patch+json": {}, "application/merge-patch+json": {}}});
    let action = only(&posting(json!({"requestBody": patches}), json!({})));
    assert_eq!(action.http.media_type.as_deref(), Some("application/merge-patch+json"));
    one_fault(&posting(json!({"requestBody": {}}), json!({})), &at("/requestBody"), "`content`");
    one_fault(
        &posting(json!({"requestBody": {"content": {}}}), json!({})),
        &at("/requestBody/content"),
        "of no kind",
    );
    one_fault(
        &posting(json!({"requestBody": {"content": {"application/json": 7}}}), json!({})),
        &at("/requestBody/content/application~1json"),
        "a media type is an object",
    );
    let get = super::document(
        json!({"/a": {"get": {"operationId": "a", "requestBody": body(json!({}))}}}),
        json!({}),
    );
    one_fault(&get, "/paths/~1a/get/requestBody", "a GET with a body");
    let lenient = read("test", &get, Strictness::Lenient).unwrap();
    assert_eq!(members(&lenient.actions[0]), ["body"], "its service knows what it asks for");
}

#[test]
fn what_is_secret_stays_marked() {
    let components = json!({"schemas": {
        "Secret": {"type": "string", "writeOnly": true},
        "Long": {"$ref": "#/components/schemas/Plain", "minLength": 3},
        "Plain": {"type": "string"},
        "Login": {"type": "object", "x-guichet": {"sensitive": true}, "properties": {
            "pin": {"type": "string"},
            "open": {"type": "string", "x-guichet": {"sensitive": false}},
        }},
    }});
    let schema = json!({"type": "object", "allOf": [{"$ref": "#/components/schemas/Login"}], "properties": {
        "password": {"$ref": "#/components/schemas/Secret", "description": "d"},
        "phrase": {"$ref": "#/components/schemas/Long", "x-guichet": {"sensitive": true}},
        "deep": {"type": "object", "properties": {
            "key": {"$ref": "#/components/schemas/Plain", "writeOnly": true},
            "name": {"$ref": "#/components/schemas/Plain", "description": "d"},
        }},
    }});
    let path = json!({"name": "thing", "in": "path", "required": true, "schema": {"type": "string"},
        "x-guichet": {"sensitive": true}});
    // Not marked as a whole: only what says so is hidden.
    let mut apart = schema.clone();
    apart.as_object_mut().unwrap().remove("allOf");
    let action =
        only(&posting(json!({"parameters": [path], "requestBody": body(apart)}), components.clone()));
    let input = json!({"thing": "t", "password": "p", "phrase": "abc", "deep": {"key": "k", "name": "n"}});
    assert!(is_valid(&action, &input));
    let hidden = "[redacted]";
    assert_eq!(
        guichet_contract::redact::redact_input(&action.input, &input, action.sensitive),
        json!({"thing": hidden, "password": hidden, "phrase": hidden, "deep": {"key": hidden, "name": "n"}})
    );
    // A part of the body that is marked as a whole marks all of it that does not say otherwise.
    let action = only(&posting(json!({"requestBody": body(schema)}), components));
    let input = json!({"thing": "t", "deep": {"name": "n"}, "pin": "1", "open": "o"});
    assert_eq!(
        guichet_contract::redact::redact_input(&action.input, &input, action.sensitive),
        json!({"thing": "t", "deep": hidden, "pin": hidden, "open": "o"})
    );
}

#[test]
fn faults_in_a_shared_schema_are_told_once_where_they_are() {
    let operation =
        |id: &str| json!({"operationId": id, "requestBody": body(json!({"$ref": "#/components/schemas/X"}))});
    let document = document(
        json!({"/a": {"post": operation("a"), "put": operation("b")}}),
        json!({"schemas": {"X": {"type": "object", "properties": {"n": {"type": "int"}}}}}),
    );
    let faults = faults(&document);
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert_eq!(faults[0].pointer, "/components/schemas/X/properties/n/type");
}
