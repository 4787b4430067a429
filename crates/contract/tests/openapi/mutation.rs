//! Documents that were damaged at random: reading never panics, and what it accepts holds together.

use std::collections::HashSet;

use guichet_contract::{
    Action,
    action::flag_name,
    openapi::{OWN_FLAGS, Strictness, check_catalogue, read},
};
use proptest::{prelude::*, sample::Index};
use serde_json::{Value, json};

/// A document that has something of everything.
fn rich() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Everything", "version": "1"},
        "x-guichet": {"provider": "test"},
        "paths": {
            "/clusters/{cluster}/topics": {
                "parameters": [{"$ref": "#/components/parameters/Cluster"}],
                "get": {"operationId": "listTopics", "tags": ["topics"], "parameters": [
                    {"name": "limit", "in": "query", "schema": {"type": ["integer", "null"], "default": 5}},
                    {"name": "X-Kind", "in": "header", "style": "simple", "schema": {"enum": ["a", "b"]}},
                ], "x-guichet": {"view": {"rows": "/items", "columns": ["name"],
                    "tree": {"depth": "d", "column": "name"}, "row_actions": ["deleteTopic"]}}},
                "post": {"operationId": "createTopic", "requestBody": {"$ref": "#/components/requestBodies/Topic"},
                    "x-guichet": {"approval": {"by": "owner", "count": 2, "expires": "4h"}, "timeout": "15m"}},
            },
            "/clusters/{cluster}/topics/{topic}": {
                "parameters": [{"$ref": "#/components/parameters/Cluster"}],
                "delete": {"operationId": "deleteTopic", "parameters": [
                    {"name": "topic", "in": "path", "required": true, "schema": {"$ref": "#/components/schemas/Name"},
                        "x-guichet": {"options": {"operation": "listTopics", "with": {"cluster": "cluster"}, "value": "/name"}}},
                ], "x-guichet": {"command": "kafka topics delete", "plan": true,
                    "resource": "kafka/{cluster}/topics/{topic}",
                    "examples": [{"title": "One", "input": {"cluster": "c", "topic": "t"}}]}},
                "put": {"parameters": [{"name": "topic", "in": "path", "required": true, "schema": {"type": "string"}}],
                    "requestBody": {"required": true, "content": {"application/json": {"schema":
                    {"allOf": [{"$ref": "#/components/schemas/Topic"}, {"required": ["name"]}]}}}}},
            },
        },
        "components": {
            "parameters": {"Cluster": {"name": "cluster", "in": "path", "required": true,
                "description": "Which", "schema": {"$ref": "#/components/schemas/Name", "minLength": 1}}},
            "requestBodies": {"Topic": {"required": true, "content": {"application/json":
                {"schema": {"$ref": "#/components/schemas/Topic"}}}}},
            "schemas": {
                "Name": {"type": "string", "pattern": "^[a-z]+$"},
                "Topic": {"type": "object", "required": ["name"], "properties": {
                    "name": {"$ref": "#/components/schemas/Name"},
                    "secret": {"type": "string", "writeOnly": true, "x-guichet": {"sensitive": true, "name": "key"}},
                    "cluster": {"oneOf": [{"type": "string"}, {"type": "null"}]},
                    "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Part"}},
                }},
                "Part": {"type": "object", "properties": {"inner": {"$ref": "#/components/schemas/Part"}},
                    "additionalProperties": {"$ref": "#/components/schemas/Name"}},
            },
        },
    })
}

/// One way to damage a document.
#[derive(Debug, Clone)]
enum Damage {
    Replace(Index, Value),
    Remove(Index),
    Rename(Index, String),
    /// A copy of one place into another.
    Copy(Index, Index),
    /// A reference from one place to another.
    Refer(Index, Index),
    /// A reference beside what stands there.
    ReferBeside(Index, Index),
}

fn pointers(value: &Value, here: String, all: &mut Vec<String>) {
    all.push(here.clone());
    let escape = |name: &str| name.replace('~', "~0").replace('/', "~1");
    match value {
        Value::Object(members) => {
            members
                .iter()
                .for_each(|(name, member)| pointers(member, format!("{here}/{}", escape(name)), all));
        }
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(position, item)| pointers(item, format!("{here}/{position}"), all));
        }
        _ => {}
    }
}

fn damage(document: &mut Value, damage: &Damage) {
    let mut all = Vec::new();
    pointers(document, String::new(), &mut all);
    let place = |index: &Index| index.get(&all).clone();
    match damage {
        Damage::Replace(at, value) => *document.pointer_mut(&place(at)).unwrap() = value.clone(),
        Damage::Remove(at) | Damage::Rename(at, _) => {
            let at = place(at);
            let Some((parent, name)) = at.rsplit_once('/') else { return };
            let name = name.replace("~1", "/").replace("~0", "~");
            let Some(Value::Object(members)) = document.pointer_mut(parent) else { return };
            let taken = members.remove(&name).unwrap();
            if let Damage::Rename(_, new) = damage {
                members.insert(new.clone(), taken);
            }
        }
        Damage::Copy(from, to) => {
            let copy = document.pointer(&place(from)).unwrap().clone();
            *document.pointer_mut(&place(to)).unwrap() = copy;
        }
        Damage::Refer(from, to) => {
            *document.pointer_mut(&place(from)).unwrap() = json!({"$ref": format!("#{}", place(to))});
        }
        Damage::ReferBeside(from, to) => {
            let target = json!(format!("#{}", place(to)));
            if let Some(Value::Object(members)) = document.pointer_mut(&place(from)) {
                members.insert("$ref".to_owned(), target);
            }
        }
    }
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        proptest::sample::select(vec![
            "",
            "/",
            "{",
            "}",
            "{}",
            "~",
            "%",
            "#",
            "#/",
            "$ref",
            "x-guichet",
            "type",
            "properties",
            "allOf",
            "items",
            "name",
            "in",
            "path",
            "query",
            "header",
            "cookie",
            "body",
            "object",
            "array",
            "string",
            "5m",
            "owner",
            "listTopics",
            "output",
            "required",
            "é",
            "日本",
            "\u{0}",
            "µs",
            "/a/{b}",
            "get",
            "requestBody",
        ])
        .prop_map(str::to_owned),
        ".{0,12}",
    ]
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any_text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((any_text(), inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn any_damage() -> impl Strategy<Value = Damage> {
    let at = any::<Index>;
    prop_oneof![
        (at(), any_value()).prop_map(|(at, value)| Damage::Replace(at, value)),
        at().prop_map(Damage::Remove),
        (at(), any_text()).prop_map(|(at, name)| Damage::Rename(at, name)),
        (at(), at()).prop_map(|(from, to)| Damage::Copy(from, to)),
        (at(), at()).prop_map(|(from, to)| Damage::Refer(from, to)),
        (at(), at()).prop_map(|(from, to)| Damage::ReferBeside(from, to)),
    ]
}

/// That an accepted action holds together.
fn check(action: &Action) {
    let properties = action.input["properties"].as_object().unwrap();
    let parameters: Vec<&str> =
        action.http.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
    assert_eq!(properties.keys().map(String::as_str).collect::<Vec<_>>(), parameters);
    let flags: HashSet<String> = parameters.iter().map(|name| flag_name(name)).collect();
    assert_eq!(flags.len(), parameters.len(), "each member has a flag of its own");
    assert!(!flags.contains("") && !OWN_FLAGS.iter().any(|own| flags.contains(*own)));
    assert_eq!(action.input["additionalProperties"], json!(false));
    for name in action.input["required"].as_array().unwrap() {
        assert!(properties.contains_key(name.as_str().unwrap()));
    }
    assert!(!action.command.is_empty() && action.command.iter().all(|word| !word.is_empty()));
    assert!(action.options.keys().all(|name| properties.contains_key(name)));
    // A pattern may be no regular expression; beyond that the schema must compile, with nothing missing in it.
    if let Err(fault) = jsonschema::draft202012::options().build(&action.input) {
        let fault = fault.to_string();
        assert!(fault.contains("regex") || fault.contains("pattern"), "{fault}\n{}", action.input);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reading_never_panics(damages in proptest::collection::vec(any_damage(), 1..5)) {
        let mut document = rich();
        for one in &damages {
            damage(&mut document, one);
        }
        let strict = read("test", &document, Strictness::Strict);
        let lenient = read("test", &document, Strictness::Lenient);
        if let Ok(reading) = &lenient {
            reading.actions.iter().for_each(check);
            check_catalogue(&reading.actions);
            prop_assert_eq!(&read("test", &document, Strictness::Lenient), &lenient, "reading twice gives the same");
        }
        match &strict {
            Ok(reading) => {
                prop_assert!(reading.refused.is_empty());
                prop_assert!(lenient.is_ok_and(|lenient| lenient.actions == reading.actions && lenient.refused.is_empty()));
            }
            Err(faults) => prop_assert!(!faults.is_empty()),
        }
    }
}

/// The same in the words of OpenAPI 3.0, with what only that has, and with bodies that are not JSON.
fn rich_3_0() -> Value {
    let mut document = rich();
    document["openapi"] = json!("3.0.3");
    document["components"]["schemas"]["Topic"]["properties"]["note"] =
        json!({"type": "string", "nullable": true, "enum": ["a"], "example": "a"});
    document["components"]["schemas"]["Pet"] = json!({"oneOf": [{"$ref": "#/components/schemas/Part"},
        {"$ref": "#/components/schemas/Topic"}], "nullable": true,
        "discriminator": {"propertyName": "kind", "mapping": {"part": "#/components/schemas/Part"}}});
    let form = json!({"type": "object", "properties": {"file": {"type": "string", "format": "binary"},
        "pet": {"$ref": "#/components/schemas/Pet"}, "tags": {"type": "array", "items": {"type": "string"}},
        "size": {"type": "number", "minimum": 0, "exclusiveMinimum": true}}});
    let encoding =
        json!({"tags": {"style": "deepObject", "explode": true}, "file": {"contentType": "image/png"}});
    document["paths"]["/forms"] = json!({
        "post": {"requestBody": {"content": {"multipart/form-data": {"schema": form, "encoding": encoding}}}},
        "put": {"requestBody": {"content": {"application/x-www-form-urlencoded": {"schema": form, "encoding": encoding}}}},
        "patch": {"requestBody": {"content": {"application/xml": {"schema": form}}}},
    });
    document
}

/// Swagger 2.0 with something of everything.
fn rich_2_0() -> Value {
    json!({
        "swagger": "2.0", "info": {"title": "Everything", "version": "1"}, "host": "example.org", "basePath": "/v1",
        "consumes": ["application/json", "multipart/form-data"],
        "paths": {"/things/{thing}": {
            "parameters": [{"$ref": "#/parameters/Thing"}, {"name": "note", "in": "formData", "type": "string"}],
            "get": {"operationId": "show", "parameters": [
                {"name": "tags", "in": "query", "type": "array", "items": {"type": "string"}, "collectionFormat": "tsv"}]},
            "post": {"parameters": [{"name": "file", "in": "formData", "type": "file", "required": true}]},
            "put": {"operationId": "change", "parameters": [{"$ref": "#/parameters/Body"}]},
        }},
        "parameters": {
            "Thing": {"name": "thing", "in": "path", "required": true, "type": "string"},
            "Body": {"name": "body", "in": "body", "schema": {"$ref": "#/definitions/Thing"}},
        },
        "definitions": {"Thing": {"type": "object", "required": ["name"], "discriminator": "kind", "properties": {
            "name": {"type": "string"}, "kind": {"type": "string"}, "inner": {"$ref": "#/definitions/Thing"}}}},
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reading_older_documents_never_panics(
        damages in proptest::collection::vec(any_damage(), 1..5),
        is_swagger in any::<bool>(),
    ) {
        let mut document = if is_swagger { rich_2_0() } else { rich_3_0() };
        for one in &damages {
            damage(&mut document, one);
        }
        let lenient = read("test", &document, Strictness::Lenient);
        if let Ok(reading) = &lenient {
            reading.actions.iter().for_each(check);
            check_catalogue(&reading.actions);
            prop_assert_eq!(&read("test", &document, Strictness::Lenient), &lenient);
        }
        let _strict = read("test", &document, Strictness::Strict);
    }
}

#[test]
fn older_documents_are_whole_before_they_are_damaged() {
    for (document, operations) in [(rich_3_0(), 7), (rich_2_0(), 3)] {
        let reading = read("test", &document, Strictness::Lenient).unwrap();
        assert_eq!((reading.actions.len(), reading.refused.len()), (operations, 0));
        reading.actions.iter().for_each(check);
    }
}

#[test]
fn the_document_is_whole_before_it_is_damaged() {
    let reading = read("test", &rich(), Strictness::Strict).unwrap();
    assert_eq!(reading.actions.len(), 4);
    reading.actions.iter().for_each(check);
}
