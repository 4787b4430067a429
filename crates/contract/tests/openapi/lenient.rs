//! Others' documents: what is unknown is a warning, what cannot be read is left out, and the rest works.

use guichet_contract::openapi::{Strictness, read};
use serde_json::{Value, json};

use super::{document, posting};

fn lenient(document: &Value) -> guichet_contract::openapi::Reading {
    read("test", document, Strictness::Lenient).unwrap()
}

#[test]
fn unknown_fields_are_warnings() {
    let reading = lenient(&posting(json!({"x-guichet": {"efect": "read"}}), json!({})));
    assert_eq!(reading.actions.len(), 1);
    assert!(reading.warnings[0].message.contains("did you mean `effect`?"));
    assert_eq!(reading.warnings[0].pointer, super::at("/x-guichet/efect"));
}

#[test]
fn a_known_field_that_is_wrong_leaves_its_operation_out() {
    // Without its approval it would run with fewer eyes on it than its author wanted.
    let reading = lenient(&posting(json!({"x-guichet": {"approval": {"by": "nobody"}}}), json!({})));
    assert_eq!(reading.actions, []);
    assert_eq!(reading.refused.len(), 1);
    assert_eq!(reading.refused[0].pointer, super::at(""));
    assert!(
        reading.refused[0].message.contains(&super::at("/x-guichet/approval/by")),
        "{}",
        reading.refused[0]
    );
}

#[test]
fn the_version_and_the_top_are_still_faults() {
    assert!(read("test", &json!({"openapi": "4.0.0"}), Strictness::Lenient).is_err());
    assert!(read("test", &json!({"openapi": "3.1.0", "paths": 7}), Strictness::Lenient).is_err());
    let untitled = read("test", &json!({"openapi": "3.1.0", "paths": {}}), Strictness::Lenient).unwrap();
    assert_eq!(untitled.title, "test");
}

#[test]
fn a_wrong_path_leaves_the_others() {
    let reading = lenient(&document(
        json!({"/a": 7, "/b": {"get": {"operationId": "b"}}, "/c": {"get": {"operationId": "same"}},
            "/d": {"get": {"operationId": "same"}}}),
        json!({}),
    ));
    let left: Vec<&str> = reading.actions.iter().map(|action| action.operation.as_str()).collect();
    assert_eq!(left, ["b", "get-c", "get-d"], "of two with one id, neither bears it");
    let refused: Vec<&str> = reading.refused.iter().map(|finding| finding.pointer.as_str()).collect();
    assert_eq!(refused, ["/paths/~1a"]);
    assert!(reading.warnings.iter().any(|warning| warning.message.contains("this one is called `get-c`")));
}

#[test]
fn what_takes_its_values_from_what_is_left_out_goes_with_it() {
    let options = |operation: &str| {
        json!([{"name": "q", "in": "query", "schema": {"type": "string"},
            "x-guichet": {"options": {"operation": operation}}}])
    };
    let reading = lenient(&document(
        json!({
            "/third": {"get": {"operationId": "third", "parameters": options("second")}},
            "/second": {"get": {"operationId": "second", "parameters": options("first")}},
            "/first": {"get": {"operationId": "first", "parameters": options("broken")}},
            "/broken": {"post": {"operationId": "broken", "x-guichet": {"effect": "reed"}}},
            "/fine": {"get": {"operationId": "fine",
                "x-guichet": {"view": {"row_actions": ["broken", "fine"]}}}},
        }),
        json!({}),
    ));
    let left: Vec<&str> = reading.actions.iter().map(|action| action.operation.as_str()).collect();
    assert_eq!(left, ["fine"]);
    let refused: Vec<&str> = reading.refused.iter().map(|finding| finding.pointer.as_str()).collect();
    assert_eq!(
        refused,
        ["/paths/~1broken/post", "/paths/~1first/get", "/paths/~1second/get", "/paths/~1third/get"]
    );
    assert_eq!(reading.actions[0].view.as_ref().unwrap().row_actions, ["fine"]);
    assert!(
        reading.warnings.iter().any(|warning| warning.message.contains("`broken` is not offered on a row"))
    );
}
