//! The version of an action: what an approval is bound to.

use serde_json::{Value, json};

use super::{body, only, posting};

fn base() -> Value {
    posting(
        json!({
            "summary": "Change it", "description": "More", "tags": ["things"],
            "x-guichet": {"resource": "things/{thing}", "approval": {"by": "owner"}},
            "requestBody": body(json!({"type": "object", "properties": {
                "size": {"type": "integer", "description": "How large", "default": 1},
                "description": {"type": "string", "title": "T"},
                "tree": {"$ref": "#/components/schemas/Tree"},
            }})),
        }),
        json!({"schemas": {"Tree": {"description": "A tree", "properties": {"in": {"$ref": "#/components/schemas/Tree"}}}}}),
    )
}

/// The base with one place changed; created when it is not there.
fn changed(pointer: &str, value: Value) -> Value {
    let mut document = base();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    document.pointer_mut(parent).unwrap()[name] = value;
    document
}

#[test]
fn what_decides_what_runs_and_who_approves_changes_the_version() {
    let version = only(&base()).version;
    let operation = super::at("");
    let properties = format!("{operation}/requestBody/content/application~1json/schema/properties");
    for (pointer, value) in [
        (format!("{operation}/operationId"), json!("other")),
        (format!("{operation}/x-guichet/effect"), json!("destroy")),
        (format!("{operation}/x-guichet/approval/count"), json!(2)),
        (format!("{operation}/x-guichet/approval/by"), json!("team:sre")),
        (format!("{operation}/x-guichet/plan"), json!(true)),
        (format!("{operation}/x-guichet/resource"), json!("thing/{thing}")),
        (format!("{operation}/x-guichet/concurrency"), json!("{thing}")),
        (format!("{operation}/x-guichet/cool_down"), json!("10m")),
        (format!("{operation}/x-guichet/long"), json!(true)),
        (format!("{operation}/x-guichet/timeout"), json!("31s")),
        (format!("{operation}/x-guichet/sensitive"), json!(true)),
        (format!("{properties}/size/default"), json!(2)),
        (format!("{properties}/size/minimum"), json!(2)),
        (format!("{properties}/size/writeOnly"), json!(true)),
        (format!("{properties}/size/x-guichet"), json!({"name": "large"})),
        (format!("{properties}/description/maxLength"), json!(2)),
        (format!("{properties}/description"), json!(false)),
        ("/components/schemas/Tree/maxProperties".to_owned(), json!(2)),
    ] {
        assert_ne!(only(&changed(&pointer, value)).version, version, "{pointer}");
    }
}

#[test]
fn prose_and_looks_do_not() {
    let version = only(&base()).version;
    let operation = super::at("");
    let properties = format!("{operation}/requestBody/content/application~1json/schema/properties");
    for (pointer, value) in [
        (format!("{operation}/summary"), json!("Other")),
        (format!("{operation}/description"), json!("Other")),
        (format!("{operation}/tags"), json!(["other"])),
        (format!("{operation}/x-guichet/command"), json!("other words")),
        (format!("{operation}/x-guichet/title"), json!("Other")),
        (format!("{operation}/x-guichet/view"), json!({"columns": ["a"]})),
        (format!("{operation}/x-guichet/examples"), json!([{"title": "t", "input": {"thing": "x"}}])),
        (format!("{properties}/size/description"), json!("Other")),
        (format!("{properties}/description/title"), json!("Other")),
        (format!("{properties}/size/examples"), json!([1])),
        ("/components/schemas/Tree/description".to_owned(), json!("Other")),
        ("/info/title".to_owned(), json!("Other")),
    ] {
        assert_eq!(only(&changed(&pointer, value)).version, version, "{pointer}");
    }
}

#[test]
fn the_order_of_members_in_a_document_does_not_matter_to_a_schema() {
    let one = posting(json!({"requestBody": body(json!({"type": "string", "minLength": 1}))}), json!({}));
    let two = posting(json!({"requestBody": body(json!({"minLength": 1, "type": "string"}))}), json!({}));
    assert_eq!(only(&one).version, only(&two).version);
}
