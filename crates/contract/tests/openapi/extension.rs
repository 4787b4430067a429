//! `x-guichet`: all of it read, and each way to get it wrong told at its place.

use guichet_contract::{
    Approvers, Effect,
    action::{ApprovalDeclaration, Example, Options, Tree, View},
};
use serde_json::{Value, json};

use super::{at, body, document, one_fault, only, posting, strict};

fn saying(extension: Value) -> Value {
    posting(json!({"x-guichet": extension}), json!({}))
}

#[test]
fn everything_is_read() {
    let listing = json!({
        "operationId": "listTopics",
        "parameters": [{"name": "cluster", "in": "path", "required": true, "schema": {"type": "string"}}],
        "x-guichet": {"command": "kafka topics list", "view": {
            "rows": "/items", "columns": ["name", "lag"], "tree": {"depth": "level", "column": "name"},
            "row_actions": ["deleteTopic"],
        }},
    });
    let deleting = json!({
        "operationId": "deleteTopic",
        "summary": "not this",
        "parameters": [
            {"name": "cluster", "in": "path", "required": true, "schema": {"type": "string"}},
            {"name": "topic", "in": "path", "required": true, "schema": {"type": "string"}, "x-guichet": {"options": {
                "operation": "listTopics", "with": {"cluster": "cluster"}, "rows": "/items", "value": "/name",
                "label": ["/lag", "/owner"],
            }}},
        ],
        "x-guichet": {
            "command": ["kafka", "topics", "delete"], "title": "Delete a topic", "effect": "change",
            "approval": {"by": "team:data-platform", "count": 2, "because": "data is lost", "expires": "2h"},
            "plan": true, "facts": {"lag": {"type": "integer"}}, "resource": "kafka/{cluster}/topics/{topic}", "concurrency": "{cluster}/{topic}",
            "cool_down": "10m", "undo": {"operation": "deleteTopic", "with": {"cluster": "/input/cluster", "topic": "/result/name"}},
            "confirm": true, "long": true, "timeout": "15m", "sensitive": true,
            "examples": [{"title": "One topic", "input": {"cluster": "default", "topic": "x"}}],
        },
    });
    let reading = strict(&document(
        json!({"/c/{cluster}/topics": {"get": listing}, "/c/{cluster}/topics/{topic}": {"delete": deleting}}),
        json!({}),
    ));
    assert_eq!(reading.warnings, []);
    let [list, delete] = &reading.actions[..] else { panic!("two actions") };
    assert_eq!(
        list.view,
        Some(View {
            rows: "/items".into(),
            columns: vec!["name".into(), "lag".into()],
            tree: Some(Tree { depth: "level".into(), column: "name".into() }),
            row_actions: vec!["deleteTopic".into()],
        })
    );
    assert_eq!(delete.command, ["kafka", "topics", "delete"]);
    assert_eq!(delete.facts.get("lag"), Some(&json!({"type": "integer"})));
    assert_eq!((delete.title.as_str(), delete.effect), ("Delete a topic", Effect::Change));
    assert_eq!(
        delete.approval,
        Some(ApprovalDeclaration {
            by: Approvers::Team("data-platform".into()),
            count: 2,
            because: Some("data is lost".into()),
            expires_seconds: Some(7_200),
        })
    );
    assert_eq!((delete.plan, delete.long, delete.sensitive, delete.timeout_seconds), (true, true, true, 900));
    assert_eq!(delete.resource.as_deref(), Some("kafka/{cluster}/topics/{topic}"));
    assert_eq!(delete.concurrency.as_deref(), Some("{cluster}/{topic}"));
    assert_eq!((delete.cool_down_seconds, delete.confirm, list.confirm), (600, true, false));
    let undo = delete.undo.as_ref().unwrap();
    assert_eq!((undo.operation.as_str(), undo.with["topic"].as_str()), ("deleteTopic", "/result/name"));
    assert_eq!(
        delete.examples,
        [Example { title: "One topic".into(), input: json!({"cluster": "default", "topic": "x"}) }]
    );
    assert_eq!(
        delete.options["topic"],
        Options {
            operation: "listTopics".into(),
            with: [("cluster".to_owned(), "cluster".to_owned())].into(),
            rows: "/items".into(),
            value: "/name".into(),
            label: vec!["/lag".into(), "/owner".into()],
        }
    );
    assert_eq!(
        delete.input["properties"]["topic"],
        json!({"type": "string"}),
        "the options are not repeated there"
    );
}

#[test]
fn each_wrong_field_is_told_at_its_place() {
    for (extension, below, words) in [
        (json!(7), "", "x-guichet is an object"),
        (json!({"aproval": {}}), "/aproval", "did you mean `approval`?"),
        (json!({"timout": "5m"}), "/timout", "did you mean `timeout`?"),
        (json!({"zzz": 1}), "/zzz", "has no field `zzz`; it has command, title"),
        (json!({"command": "Kafka Topics"}), "/command", "`Kafka` is no word"),
        (json!({"command": "--help"}), "/command", "is no word"),
        (json!({"command": "a b c d e f g"}), "/command", "1 to 6 words; this one has 7"),
        (json!({"command": []}), "/command", "1 to 6 words"),
        (json!({"command": 7}), "/command", "a text"),
        (json!({"title": " "}), "/title", "empty"),
        (json!({"effect": "destory"}), "/effect", "did you mean `destroy`?"),
        (json!({"effect": 7}), "/effect", "a text"),
        (json!({"approval": "owner"}), "/approval", "approval is an object"),
        (json!({"approval": {}}), "/approval", "`by` is missing"),
        (json!({"approval": {"by": "data-platform"}}), "/approval/by", "`owner` or `team:NAME`"),
        (json!({"approval": {"by": "team:"}}), "/approval/by", "`owner` or `team:NAME`"),
        (json!({"approval": {"by": "owner", "count": 0}}), "/approval/count", "1 to 20"),
        (json!({"approval": {"by": "owner", "count": 21}}), "/approval/count", "1 to 20"),
        (json!({"approval": {"by": "owner", "count": "2"}}), "/approval/count", "1 to 20"),
        (
            json!({"approval": {"by": "owner", "expires": "59s"}}),
            "/approval/expires",
            "60 to 2592000 seconds",
        ),
        (
            json!({"approval": {"by": "owner", "expires": "31d"}}),
            "/approval/expires",
            "60 to 2592000 seconds",
        ),
        (json!({"approval": {"by": "owner", "expire": "1h"}}), "/approval/expire", "did you mean `expires`?"),
        (json!({"approval": {"by": "owner", "because": 1}}), "/approval/because", "a text"),
        (json!({"plan": "yes"}), "/plan", "true or false"),
        (json!({"plan": true, "facts": ["lag"]}), "/facts", "names facts of the plan"),
        (json!({"plan": true, "facts": {"lag": {"type": "number"}}}), "/facts", "fact `lag` has no type"),
        (json!({"facts": {"lag": {"type": "integer"}}}), "/facts", "add `plan: true`"),
        (json!({"long": 1}), "/long", "true or false"),
        (json!({"sensitive": null}), "/sensitive", "true or false"),
        (json!({"timeout": 90}), "/timeout", "`90s`"),
        (json!({"timeout": "90"}), "/timeout", "`90s`"),
        (json!({"timeout": "0s"}), "/timeout", "1 to 86400 seconds"),
        (json!({"timeout": "2d"}), "/timeout", "1 to 86400 seconds"),
        (json!({"resource": "things/{ting}"}), "/resource", "did you mean `thing`?"),
        (json!({"resource": "things/{thing"}), "/resource", "not closed"),
        (json!({"resource": "things/thing}"}), "/resource", "closes nothing"),
        (json!({"resource": "things/{}"}), "/resource", "names nothing"),
        (json!({"resource": "/things"}), "/resource", "empty part"),
        (json!({"concurrency": "{other}"}), "/concurrency", "its members are thing"),
        (json!({"cool_down": 600}), "/cool_down", "`90s`"),
        (json!({"cool_down": "8d"}), "/cool_down", "1 to 604800 seconds"),
        (json!({"undo": {}}), "/undo", "`operation` is missing"),
        (json!({"undo": {"operation": "changeTing"}}), "/undo/operation", "did you mean `changeThing`?"),
        (json!({"undo": {"operation": "changeThing"}}), "/undo", "requires `thing`"),
        (
            json!({"undo": {"operation": "changeThing", "with": {"thing": "thing"}}}),
            "/undo/with/thing",
            "`/input/…`, `/plan/…` or `/result/…`",
        ),
        (
            json!({"undo": {"operation": "changeThing", "with": {"thing": "/input/ting"}}}),
            "/undo/with/thing",
            "did you mean `thing`?",
        ),
        (
            json!({"undo": {"operation": "changeThing", "with": {"thing": "/input/thing", "other": "/result/id"}}}),
            "/undo/with/other",
            "has no input `other`",
        ),
        (json!({"view": 7}), "/view", "view is an object"),
        (json!({"view": {"rows": "items"}}), "/view/rows", "a JSON pointer"),
        (json!({"view": {"rows": "/a~2"}}), "/view/rows", "a JSON pointer"),
        (json!({"view": {"columns": "name"}}), "/view/columns", "a list of texts"),
        (json!({"view": {"tree": {"column": "a"}}}), "/view/tree", "`depth` is missing"),
        (
            json!({"view": {"columns": ["name"], "tree": {"depth": "d", "column": "nam"}}}),
            "/view/tree/column",
            "did you mean `name`?",
        ),
        (
            json!({"view": {"row_actions": ["changeThing", "changeTing"]}}),
            "/view/row_actions/1",
            "did you mean `changeThing`?",
        ),
        (json!({"view": {"colums": []}}), "/view/colums", "did you mean `columns`?"),
        (json!({"examples": {}}), "/examples", "a list"),
        (json!({"examples": [{"input": {"thing": "x"}}]}), "/examples/0", "`title` is missing"),
        (json!({"examples": [{"title": "t"}]}), "/examples/0", "`input` is missing"),
        (json!({"examples": [{"title": "t", "input": []}]}), "/examples/0/input", "an object"),
        (json!({"examples": [{"title": "t", "input": {}}]}), "/examples/0/input", "lacks `thing`"),
        (
            json!({"examples": [{"title": "t", "input": {"thing": "x"}}, {"title": "t", "input": {"thing": "x", "thng": 1}}]}),
            "/examples/1/input/thng",
            "did you mean `thing`?",
        ),
    ] {
        one_fault(&saying(extension), &at(&format!("/x-guichet{below}")), words);
    }
    let mut on_path = saying(json!({}));
    on_path["paths"]["/things/{thing}"]["x-guichet"] = json!({"approval": {"by": "owner"}});
    one_fault(&on_path, "/paths/~1things~1{thing}/x-guichet", "put it on each operation");
}

#[test]
fn options_lead_to_an_operation_that_reads() {
    let document = |options: Value| {
        document(
            json!({
                "/things": {
                    "get": {"operationId": "listThings", "parameters": [
                        {"name": "kind", "in": "query", "required": true, "schema": {"type": "string"}}]},
                    "post": {"operationId": "makeThing"},
                },
                "/things/{thing}": {"delete": {"operationId": "dropThing", "parameters": [
                    {"name": "sort", "in": "query", "schema": {"type": "string"}},
                    {"name": "thing", "in": "path", "required": true, "schema": {"type": "string"},
                        "x-guichet": {"options": options}},
                ]}},
            }),
            json!({}),
        )
    };
    let good = json!({"operation": "listThings", "with": {"kind": "sort"}, "label": "/name"});
    let action = &strict(&document(good.clone())).actions[2];
    assert_eq!(action.options["thing"].label, ["/name"]);
    let with = |name: &str, value: Value| {
        let mut options = good.clone();
        options[name] = value;
        options
    };
    for (options, below, words) in [
        (json!([]), "", "options is an object"),
        (json!({"rows": ""}), "", "`operation` is missing"),
        (with("operation", json!("listThing")), "/operation", "did you mean `listThings`?"),
        (json!({"operation": "makeThing"}), "/operation", "`makeThing` is a change"),
        (json!({"operation": "listThings"}), "", "requires `kind`"),
        (with("with", json!({"kind": "srt"})), "/with/kind", "did you mean `sort`?"),
        (with("with", json!({"kind": "sort", "knd": "sort"})), "/with/knd", "did you mean `kind`?"),
        (with("with", json!({"kind": "sort", "a/b": "sort"})), "/with/a~1b", "no input `a/b`"),
        (with("value", json!("name")), "/value", "a JSON pointer"),
        (with("rows", json!(7)), "/rows", "a JSON pointer"),
        (with("label", json!(["/name", "owner"])), "/label", "`owner` is none"),
        (with("valu", json!("")), "/valu", "did you mean `value`?"),
    ] {
        let pointer = format!("/paths/~1things~1{{thing}}/delete/parameters/1/x-guichet/options{below}");
        one_fault(&document(options), &pointer, words);
    }
}

#[test]
fn members_are_checked_too() {
    for (extension, below, words) in [
        (json!(true), "", "is an object"),
        (json!({"option": {}}), "/option", "did you mean `options`?"),
        (json!({"sensitive": "true"}), "/sensitive", "true or false"),
        (json!({"name": 7}), "/name", "a text"),
    ] {
        let parameter =
            json!({"name": "thing", "in": "path", "required": true, "schema": {}, "x-guichet": extension});
        let document = posting(json!({"parameters": [parameter]}), json!({}));
        one_fault(&document, &at(&format!("/parameters/0/x-guichet{below}")), words);
    }
    let deep = json!({"type": "object", "properties": {"a": {"properties": {"b": {"x-guichet": {"sensitve": true}}}}}});
    one_fault(
        &posting(json!({"requestBody": super::body(deep)}), json!({})),
        &at("/requestBody/content/application~1json/schema/properties/a/properties/b/x-guichet/sensitve"),
        "did you mean `sensitive`?",
    );
}

#[test]
fn what_is_odd_but_works_is_a_warning() {
    let optional = json!([
        {"name": "thing", "in": "path", "required": true, "schema": {"type": "string"}},
        {"name": "part", "in": "query", "schema": {"type": "string"}},
    ]);
    let reading = strict(&posting(
        json!({"parameters": optional, "x-guichet": {"effect": "read", "plan": true, "resource": "t/{part}"}}),
        json!({}),
    ));
    let told: Vec<(&str, bool)> = reading
        .warnings
        .iter()
        .map(|warning| (warning.pointer.as_str(), warning.message.contains("optional")))
        .collect();
    let (resource, extension) = (at("/x-guichet/resource"), at("/x-guichet"));
    assert_eq!(told, [(resource.as_str(), true), (extension.as_str(), false)]);
    let list = json!([{"name": "thing", "in": "path", "required": true, "schema": {"type": "array"}}]);
    one_fault(
        &posting(json!({"parameters": list, "x-guichet": {"resource": "t/{thing}"}}), json!({})),
        &at("/x-guichet/resource"),
        "plain values",
    );
}

#[test]
fn commands_have_one_to_six_words() {
    for (command, words) in [
        (json!("list"), vec!["list"]),
        (json!("  rds   cancel-query "), vec!["rds", "cancel-query"]),
        (json!(["rds", "2fa"]), vec!["rds", "2fa"]),
    ] {
        assert_eq!(only(&saying(json!({"command": command}))).command, words);
    }
}

#[test]
fn an_undo_carries_no_secret_into_the_open() {
    let vault = |sensitive: bool, put: Value, from: &str, take: Value| {
        let operation = |id: &str, member: Value, more: Value| {
            let schema = json!({"type": "object", "properties": {"key": member}});
            json!({"post": {"operationId": id, "x-guichet": more, "requestBody": body(schema)}})
        };
        let undo = json!({"sensitive": sensitive, "undo": {"operation": "take", "with": {"key": from}}});
        let take = operation("take", take, json!({}));
        document(json!({"/put": operation("put", put, undo), "/take": take}), json!({}))
    };
    let open = || json!({"type": "string"});
    let secret = || json!({"type": "string", "x-guichet": {"sensitive": true}});
    let holds = json!({"type": "object", "properties": {"inside": {"type": "string", "writeOnly": true}}});
    for (sensitive, put, from) in [
        (false, secret(), "/input/key"),
        (false, holds, "/input/key"),
        (true, open(), "/input/key"),
        (true, open(), "/result/key"),
    ] {
        let place = "/paths/~1put/post/x-guichet/undo/with/key";
        one_fault(
            &vault(sensitive, put.clone(), from, open()),
            place,
            "is sensitive and `key` of `take` is not",
        );
        strict(&vault(sensitive, put, from, secret()));
    }
    strict(&vault(true, open(), "/plan/key", open()));
    strict(&vault(false, open(), "/input/key", open()));
}
