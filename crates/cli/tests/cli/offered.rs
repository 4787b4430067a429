//! What the gateway that plays a part offers.

use guichet_contract::{Action, Catalogue, Digest};
use serde_json::{Value, json};

/// The actions of the tests: a read with a view, a change that needs approval, a destroy, and every kind of flag.
pub(crate) fn catalogue() -> Catalogue {
    let action = |value: Value| serde_json::from_value::<Action>(value).unwrap();
    let version = Digest::of_bytes(b"one");
    let http = json!({"method": "POST", "path": "/x", "parameters": []});
    Catalogue::new(
        "staging",
        vec![
            action(json!({
                "id": "postgres.queries", "provider": "postgres", "operation": "queries", "version": version,
                "command": ["rds", "queries"], "title": "List running queries", "effect": "read",
                "timeout_seconds": 5, "http": http,
                "view": {"rows": "/queries", "columns": ["pid", "user", "seconds", "query"],
                         "tree": {"depth": "depth", "column": "pid"}},
                "input": {"type": "object", "properties": {
                    "identifier": {"type": "string", "description": "Instance"}}, "required": ["identifier"]},
                "options": {"identifier": {"operation": "instances"}},
            })),
            action(json!({
                "id": "postgres.cancel-query", "provider": "postgres", "operation": "cancel-query",
                "version": version, "command": ["rds", "cancel-query"], "title": "Cancel a running query",
                "description": "Asks the backend to stop its query.\nThe connection stays.", "effect": "change",
                "approval": {"by": "team:dba", "count": 1, "because": "cancelling someone's query"}, "plan": true,
                "resource": "postgres/{identifier}", "timeout_seconds": 30, "http": http,
                "input": {"type": "object", "properties": {
                    "identifier": {"type": "string", "description": "Instance"},
                    "pid": {"type": "integer", "minimum": 1, "description": "Process id of the backend"},
                    "force": {"type": "boolean", "default": true, "description": "Also when it is nearly done"}},
                    "required": ["identifier", "pid"]},
                "options": {"identifier": {"operation": "instances"},
                            "pid": {"operation": "queries", "with": {"identifier": "identifier"}}},
                "examples": [{"title": "Free the checkout", "input": {"identifier": "shop", "pid": 14024}}],
            })),
            action(json!({
                "id": "postgres.drop-index", "provider": "postgres", "operation": "drop-index", "version": version,
                "command": ["rds", "drop-index"], "title": "Drop an index", "effect": "destroy", "plan": true,
                "timeout_seconds": 30, "http": http,
                "input": {"type": "object", "properties": {"index": {"type": "string"}}, "required": ["index"]},
            })),
            action(json!({
                "id": "demo.echo", "provider": "demo", "operation": "echo", "version": version,
                "command": ["demo", "echo"], "title": "Give back the input", "effect": "read",
                "timeout_seconds": 5, "http": http,
                "input": {"type": "object", "properties": {
                    "text": {"type": "string", "default": "hello"},
                    "wholeNumber": {"type": "integer", "maximum": 10},
                    "ratio": {"type": "number"},
                    "quick": {"type": "boolean"},
                    "safe": {"type": "boolean", "default": true},
                    "size": {"enum": ["small", "large"]},
                    "tags": {"type": "array", "items": {"type": "string"}},
                    "labels": {"type": "object"},
                    "timeout": {"type": "integer", "description": "Seconds"},
                    "password": {"type": "string", "format": "password"}}},
            })),
        ],
    )
}
