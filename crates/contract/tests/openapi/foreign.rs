//! Documents of others: Swagger 2.0, OpenAPI 3.0, bodies that are not JSON, and what is wrong in many of them.

use guichet_contract::{
    Action,
    action::{Place, Style},
    openapi::{Reading, Strictness, read},
    redact::{REDACTED, redact_input},
};
use serde_json::{Value, json};

use super::{at, is_valid, members, posting};

fn lenient(document: &Value) -> Reading {
    read("test", document, Strictness::Lenient).unwrap()
}

/// The only action of a document of others, of which nothing is left out.
fn only(document: &Value) -> Action {
    let mut reading = lenient(document);
    assert_eq!((reading.actions.len(), reading.refused.as_slice()), (1, &[][..]));
    reading.actions.remove(0)
}

/// Style and explode of a member.
fn written(action: &Action, name: &str) -> (Place, Style, bool) {
    let parameter = action.http.parameters.iter().find(|parameter| parameter.name == name).unwrap();
    (parameter.place, parameter.style, parameter.explode)
}

/// Alertmanager's own words, shortened.
#[test]
fn swagger_2_0_is_read() {
    let silence = json!({"type": "object", "required": ["comment"], "properties": {
        "comment": {"type": "string"}, "startsAt": {"type": "string", "format": "date-time"}}});
    let document = json!({
        "swagger": "2.0", "info": {"title": "Alertmanager API", "version": "0.0.1"}, "basePath": "/api/v2/",
        "consumes": ["application/json"],
        "paths": {
            "/silences": {
                "get": {"operationId": "getSilences", "tags": ["silence"], "parameters": [
                    {"$ref": "#/parameters/filter"},
                    {"in": "query", "name": "active", "type": "boolean", "default": true, "description": "Active"}]},
                "post": {"operationId": "postSilences", "tags": ["silence"], "parameters": [
                    {"in": "body", "name": "silence", "required": true, "schema": {"$ref": "#/definitions/postable"}}]},
            },
            "/silence/{id}": {
                "parameters": [{"in": "path", "name": "id", "type": "string", "format": "uuid", "required": true}],
                "delete": {"operationId": "deleteSilence", "tags": ["silence"]},
            },
            "/wrong": {"post": {"operationId": "wrong", "parameters": [
                {"in": "body", "name": "x", "schema": {"type": "object", "properties": {"n": {"type": "int"}}}}]}},
        },
        "parameters": {"filter": {"name": "filter", "in": "query", "type": "array", "collectionFormat": "multi",
            "items": {"type": "string"}, "x-guichet": {"name": "matcher"}}},
        "definitions": {"postable": {"allOf": [{"type": "object", "properties": {"id": {"type": "string"}}}, silence]}},
    });
    let reading = lenient(&document);
    assert_eq!(reading.server.as_deref(), Some("/api/v2"));
    let [list, post, delete, _] = reading.actions.as_slice() else { panic!("{reading:?}") };
    assert_eq!(members(list), ["matcher", "active"]);
    assert_eq!(written(list, "matcher"), (Place::Query, Style::Usual, true));
    assert_eq!(
        list.input["properties"]["active"],
        json!({"type": "boolean", "default": true, "description": "Active"})
    );
    assert_eq!(members(post), ["id", "comment", "startsAt"]);
    assert_eq!(post.http.media_type, None);
    assert_eq!(delete.command.join(" "), "test silence delete");
    // Where it stands in the document, not in what was made of it.
    assert_eq!(reading.warnings[0].pointer, "/paths/~1wrong/post/parameters");
}

#[test]
fn schemas_of_3_0_mean_what_they_meant() {
    let mut document = posting(
        json!({"requestBody": {"required": true, "content": {"application/json": {"schema": {
        "type": "object", "properties": {
            "note": {"type": "string", "nullable": true, "example": "n"},
            "level": {"type": "integer", "minimum": 0, "exclusiveMinimum": true},
            "kind": {"$ref": "#/components/schemas/Kind"},
        }}}}}}),
        json!({"schemas": {"Kind": {"nullable": true, "allOf": [{"type": "string", "enum": ["a"]}]}}}),
    );
    document["openapi"] = json!("3.0.3");
    let action = only(&document);
    for (input, valid) in [
        (json!({"note": null, "level": 1, "kind": "a"}), true),
        (json!({"kind": null}), true),
        (json!({"level": 0}), false),
        (json!({"kind": "b"}), false),
        (json!({"note": 7}), false),
    ] {
        let mut input = input;
        input["thing"] = json!("t");
        assert_eq!(is_valid(&action, &input), valid, "{input}");
    }
}

#[test]
fn forms_are_taken_apart_and_their_encoding_kept() {
    let content = json!({"application/x-www-form-urlencoded": {
        "schema": {"type": "object", "required": ["amount"], "properties": {
            "amount": {"type": "integer"},
            "expand": {"type": "array", "items": {"type": "string"}},
            "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
            "address": {"type": "object", "properties": {"city": {"type": "string"}}},
        }},
        "encoding": {"expand": {"style": "deepObject", "explode": true}, "metadata": {"style": "deepObject"}},
    }});
    let action = only(&posting(json!({"requestBody": {"required": true, "content": content}}), json!({})));
    assert_eq!(action.http.media_type.as_deref(), Some("application/x-www-form-urlencoded"));
    assert_eq!(members(&action), ["thing", "amount", "expand", "metadata", "address"]);
    assert_eq!(written(&action, "amount"), (Place::BodyMember, Style::Usual, true));
    assert_eq!(written(&action, "expand").1, Style::DeepObject);
    assert_eq!(written(&action, "metadata").1, Style::DeepObject);
    assert_eq!(written(&action, "address").1, Style::Json);
}

#[test]
fn bytes_stand_in_the_input_as_base64() {
    let content = json!({"multipart/form-data": {
        "schema": {"type": "object", "properties": {
            "file": {"type": "string", "format": "binary"},
            "more": {"type": "array", "items": {"type": "string", "format": "binary"}},
            "about": {"type": "object", "properties": {}},
            "name": {"type": "string"},
        }},
        "encoding": {"file": {"contentType": "image/png, image/jpeg"}},
    }});
    let action = only(&posting(json!({"requestBody": {"content": content}}), json!({})));
    let of = |name: &str| written(&action, name).1;
    assert_eq!(
        [of("file"), of("more"), of("about"), of("name")],
        [Style::Bytes, Style::Bytes, Style::Json, Style::Usual]
    );
    assert_eq!(action.http.parameters[1].content_type.as_deref(), Some("image/png"));
    assert_eq!(action.input["properties"]["file"], json!({"type": "string", "contentEncoding": "base64"}));
    for (media_type, schema, style) in [
        ("application/octet-stream", json!({"type": "string", "format": "binary"}), Style::Bytes),
        (
            "application/xml",
            json!({"type": "object", "properties": {"a": {"type": "integer"}}}),
            Style::Usual,
        ),
        ("text/plain", json!({"type": "string"}), Style::Usual),
    ] {
        let content = json!({media_type: {"schema": schema}});
        let action =
            only(&posting(json!({"requestBody": {"required": true, "content": content}}), json!({})));
        assert_eq!(written(&action, "body"), (Place::Body, style, false));
        assert_eq!(action.input["properties"]["body"]["type"], "string");
        assert_eq!(action.http.media_type.as_deref(), Some(media_type));
    }
}

#[test]
fn what_is_wrong_in_a_part_costs_the_check_of_that_part_only() {
    for (schema, value) in [
        (json!({"type": "any"}), json!({"x": 1})),
        (json!({"type": "string", "required": true}), json!("x")),
        (json!({"$ref": "#/components/schemas/Missing"}), json!(1)),
        (json!({"$ref": "other.yaml#/Thing"}), json!(1)),
        (json!({"$id": "x", "type": "string"}), json!("x")),
        (json!({"enum": "a"}), json!(1)),
        (json!({"anyOf": []}), json!(1)),
        (json!({"properties": []}), json!({})),
    ] {
        let action = only(&posting(
            json!({"parameters": [
                {"name": "thing", "in": "path", "required": true, "schema": {"type": "string"}},
                {"name": "odd", "in": "query", "schema": schema},
            ]}),
            json!({}),
        ));
        assert!(is_valid(&action, &json!({"thing": "t", "odd": value})), "{schema}");
    }
}

#[test]
fn a_part_of_the_path_that_nothing_declares_is_a_text() {
    let reading = lenient(&posting(json!({"parameters": []}), json!({})));
    assert_eq!(members(&reading.actions[0]), ["thing"]);
    assert_eq!(reading.actions[0].input["required"], json!(["thing"]));
    assert_eq!(reading.warnings[0].pointer, at(""));
}

#[test]
fn a_base_that_lists_what_is_made_of_it_can_be_given() {
    let schemas = json!({
        "Pet": {"type": "object", "properties": {"kind": {"type": "string"}}, "required": ["kind"],
            "oneOf": [{"$ref": "#/components/schemas/Cat"}, {"$ref": "#/components/schemas/Dog"}],
            "discriminator": {"propertyName": "kind"}},
        "Cat": {"allOf": [{"$ref": "#/components/schemas/Pet"}, {"properties": {"claws": {"type": "integer"}}}]},
        "Dog": {"allOf": [{"$ref": "#/components/schemas/Pet"}, {"properties": {"tail": {"type": "integer"}}}]},
    });
    let body = json!({"required": true, "content": {"application/json": {"schema":
        {"type": "array", "items": {"$ref": "#/components/schemas/Pet"}}}}});
    let action = only(&posting(json!({"requestBody": body}), json!({"schemas": schemas})));
    let cat = json!({"thing": "t", "body": [{"kind": "Cat", "claws": 4}]});
    assert!(is_valid(&action, &cat));
    assert!(!is_valid(&action, &json!({"thing": "t", "body": [{"claws": 4}]})));
    assert_eq!(redact_input(&action.input, &cat, false), cat, "nothing of what goes was a secret");
}

/// Nobody knows whether what is not read is a secret, so that no record has it.
#[test]
fn what_is_not_read_is_hidden() {
    let recorded = |schema: Value| {
        let schemas = json!({
            "Bank": {"type": "object", "oneOf": [{"$ref": "#/components/schemas/Giro"}]},
            "Giro": {"allOf": [{"$ref": "#/components/schemas/Bank"},
                {"properties": {"name": {"$ref": "#/components/schemas/Pin"}}}]},
            "Pin": {"type": "string", "format": "password"},
        });
        let content = json!({"application/json": {"schema": {"type": "object", "properties": {
            "odd": schema, "plain": {"type": "string"}}}}});
        let body = json!({"required": true, "content": content});
        let action = only(&posting(json!({"requestBody": body}), json!({"schemas": schemas})));
        let input = json!({"thing": "t", "plain": "p", "odd": {"name": "s", "list": ["s"]}});
        assert!(is_valid(&action, &input), "{schema}");
        let mut recorded = redact_input(&action.input, &input, action.sensitive);
        assert_eq!((&recorded["thing"], &recorded["plain"]), (&json!("t"), &json!("p")), "{schema}");
        recorded["odd"].take()
    };
    let (odd, whole) = (json!({"name": "s", "list": ["s"]}), json!(REDACTED));
    let with_name = json!({"name": REDACTED, "list": ["s"]});
    for (schema, expected) in [
        (json!({"$ref": "common.yaml#/Secret"}), &whole),
        (json!({"allOf": [{"$ref": "common.yaml#/Secret"}]}), &whole),
        (json!({"$ref": "#/components/schemas/Missing"}), &whole),
        (json!({"properties": {"name": {"$ref": "common.yaml#/Secret"}}}), &with_name),
        (json!({"properties": {"name": {"$dynamicRef": "#secret"}}}), &with_name),
        (json!({"properties": {"name": 7}}), &with_name),
        (json!({"properties": {"name": {"writeOnly": "true"}}}), &with_name),
        (json!({"properties": [{"name": {"writeOnly": true}}]}), &whole),
        (json!({"allOf": {"properties": {"name": {"writeOnly": true}}}}), &whole),
        (json!({"$ref": "#/components/schemas/Bank"}), &whole),
        // Nothing is lost of these, or their author has said what they are.
        (json!({"properties": []}), &odd),
        (json!({"anyOf": []}), &odd),
        (json!({"type": "any"}), &odd),
        (json!({"$ref": "common.yaml#/Open", "x-guichet": {"sensitive": false}}), &odd),
    ] {
        assert_eq!(recorded(schema.clone()), *expected, "{schema}");
    }
}

/// As FastAPI writes an optional field: a choice between it and null.
#[test]
fn an_optional_field_of_a_form_is_written_as_what_it_is() {
    let or_null = |schema: Value| json!({"anyOf": [schema, {"type": "null"}], "title": "Told"});
    let binary = json!({"type": "string", "format": "binary"});
    let schema = json!({"type": "object", "properties": {
        "id": or_null(json!({"type": "string"})),
        "tags": or_null(json!({"type": "array", "items": {"type": "string"}})),
        "about": or_null(json!({"type": "object", "additionalProperties": {"type": "string"}})),
        "file": or_null(binary.clone()),
        "files": or_null(json!({"type": "array", "items": binary})),
        "any": {},
    }});
    let action = |media_type: &str, encoding: Value| {
        let content = json!({media_type: {"schema": schema, "encoding": encoding}});
        only(&posting(json!({"requestBody": {"content": content}}), json!({})))
    };
    let form =
        action("application/x-www-form-urlencoded", json!({"any": {"contentType": "application/json"}}));
    let of = |name: &str| written(&form, name).1;
    assert_eq!(
        [of("id"), of("tags"), of("about"), of("any")],
        [Style::Usual, Style::Usual, Style::Json, Style::Json]
    );
    let told = |action: &Action, name: &str| {
        let parameter = action.http.parameters.iter().find(|parameter| parameter.name == name).unwrap();
        parameter.content_type.clone()
    };
    assert_eq!((told(&form, "about"), told(&form, "any").as_deref()), (None, Some("application/json")));
    let parts = action("multipart/form-data", json!({}));
    let of = |name: &str| written(&parts, name).1;
    assert_eq!(
        [of("id"), of("tags"), of("about"), of("file"), of("files"), of("any")],
        [Style::Usual, Style::Usual, Style::Json, Style::Bytes, Style::Bytes, Style::Json]
    );
    assert_eq!(
        parts.input["properties"]["file"],
        json!({"title": "Told", "type": "string", "contentEncoding": "base64"})
    );
    assert_eq!(
        parts.input["properties"]["files"]["items"],
        json!({"type": "string", "contentEncoding": "base64"})
    );
}

#[test]
fn commands_that_would_stand_in_each_other_s_way_get_a_word_more() {
    let get = |id: &str, tag: Option<&str>| {
        let mut operation = json!({"operationId": id});
        if let Some(tag) = tag {
            operation["tags"] = json!([tag]);
        }
        json!({"get": operation})
    };
    let document = super::document(
        json!({
            "/users": get("users", None),
            "/users/all": get("list", Some("users")),
            "/users/some": get("users_list", Some("users")),
            "/own": {"get": {"operationId": "own", "x-guichet": {"command": "test mine"}}},
            "/mine": get("mine", None),
        }),
        json!({}),
    );
    let reading = lenient(&document);
    let commands: Vec<String> = reading.actions.iter().map(|action| action.command.join(" ")).collect();
    assert_eq!(
        commands,
        ["test users users", "test users list", "test users users-list", "test mine", "test get-mine"]
    );
    assert_eq!(guichet_contract::openapi::check_catalogue(&reading.actions), []);
}

#[test]
fn an_operation_may_be_answered_elsewhere() {
    let mut document = posting(json!({"servers": [{"url": "https://files.example.org/v1/"}]}), json!({}));
    document["servers"] = json!([{"url": "/api"}]);
    let reading = lenient(&document);
    assert_eq!(reading.server.as_deref(), Some("/api"));
    assert_eq!(reading.actions[0].http.server.as_deref(), Some("https://files.example.org/v1"));
}
