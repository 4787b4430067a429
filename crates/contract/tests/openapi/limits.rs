//! A document cannot make the gateway work or hold without end.

use guichet_contract::openapi::{DEEPEST_NESTING, MOST_OPERATIONS, Strictness, read};
use serde_json::{Map, Value, json};

use super::{body, document, faults, only, posting};

fn nested(depth: usize) -> Value {
    (0..depth)
        .fold(json!({}), |inner, level| if level % 2 == 0 { json!({"items": inner}) } else { json!([inner]) })
}

#[test]
fn nesting_has_a_limit_and_it_is_told_where() {
    let mut document = document(json!({}), json!({}));
    document["x-deep"] = nested(DEEPEST_NESTING - 2);
    assert!(read("test", &document, Strictness::Strict).is_ok());
    document["x-deep"] = nested(DEEPEST_NESTING - 1);
    for strictness in [Strictness::Strict, Strictness::Lenient] {
        let faults = read("test", &document, strictness).unwrap_err();
        assert_eq!(faults.len(), 1);
        assert!(faults[0].pointer.starts_with("/x-deep/"), "{}", faults[0]);
        assert!(document.pointer(&faults[0].pointer).is_some());
        assert!(faults[0].message.contains("more than 64 deep"), "{}", faults[0]);
    }
}

#[test]
fn so_many_operations_and_no_more() {
    let paths = |count: usize| -> Value {
        let path =
            |number: usize| (format!("/p{number}"), json!({"get": {"operationId": format!("o{number}")}}));
        Value::Object((0..count).map(path).collect::<Map<_, _>>())
    };
    assert_eq!(
        read("test", &document(paths(MOST_OPERATIONS), json!({})), Strictness::Lenient)
            .unwrap()
            .actions
            .len(),
        MOST_OPERATIONS
    );
    let faults =
        read("test", &document(paths(MOST_OPERATIONS + 1), json!({})), Strictness::Lenient).unwrap_err();
    assert_eq!(faults[0].pointer, "/paths");
    let told =
        format!("the document has {} operations, and {MOST_OPERATIONS} is the most", MOST_OPERATIONS + 1);
    assert!(faults[0].message.starts_with(&told), "{}", faults[0]);
}

#[test]
fn a_small_document_cannot_ask_for_a_huge_input() {
    // Members that reference each other in doubling ways: what is shared is taken once.
    let mut schemas = Map::new();
    for level in 0..40 {
        let next = json!({"$ref": format!("#/components/schemas/L{}", level + 1)});
        schemas.insert(format!("L{level}"), json!({"type": "object", "properties": {"a": next, "b": next}}));
    }
    schemas.insert("L40".to_owned(), json!({"type": "string"}));
    let fields = json!({"requestBody": body(json!({"$ref": "#/components/schemas/L0"}))});
    let action = only(&posting(fields, json!({"schemas": schemas})));
    assert_eq!(action.input["$defs"].as_object().unwrap().len(), 39);

    // The same for the parts of a body.
    let mut schemas = Map::new();
    for level in 0..14 {
        let next = json!({"$ref": format!("#/components/schemas/L{}", level + 1)});
        schemas.insert(format!("L{level}"), json!({"allOf": vec![next; 14]}));
    }
    schemas.insert("L14".to_owned(), json!({"type": "object", "properties": {"x": {}}}));
    let fields = json!({"requestBody": body(json!({"$ref": "#/components/schemas/L0"}))});
    assert_eq!(super::members(&only(&posting(fields, json!({"schemas": schemas})))), ["thing", "x"]);

    // One large component, used by many operations.
    let large = json!({"enum": (0..50_000).collect::<Vec<_>>()});
    let paths: Map<String, Value> = (0..100)
        .map(|number| {
            let schema = json!({"$ref": "#/components/schemas/Large"});
            (
                format!("/p{number}"),
                json!({"post": {"operationId": format!("o{number}"), "requestBody": body(schema)}}),
            )
        })
        .collect();
    let large = document(Value::Object(paths), json!({"schemas": {"Large": large}}));
    let reading = read("test", &large, Strictness::Lenient).unwrap();
    assert_eq!((reading.actions.len(), reading.refused.len()), (100, 0));
    let is_checked =
        |action: &&guichet_contract::Action| action.input["properties"]["body"].get("enum").is_some();
    assert_eq!(reading.actions.iter().filter(is_checked).count(), 59);
    // Nobody has read whether the rest is a secret.
    assert_eq!(reading.actions[99].input["properties"]["body"], json!({"x-guichet": {"sensitive": true}}));
    assert!(reading.warnings[0].message.contains("split"), "{}", reading.warnings[0]);
}

#[test]
fn an_input_that_leads_to_everything_is_read_as_far_as_it_is_near() {
    // Each refers to the next two, as entities of others' documents do.
    let schemas = |count: usize| -> Value {
        let one = |number: usize| {
            let next =
                |step: usize| json!({"$ref": format!("#/components/schemas/E{}", (number + step) % count)});
            let properties = json!({"id": {"type": "string"}, "near": next(1), "far": next(7)});
            (format!("E{number}"), json!({"type": "object", "properties": properties}))
        };
        Value::Object((0..count).map(one).collect::<Map<_, _>>())
    };
    let posted = |count: usize| {
        let whole = json!({"type": "object", "required": ["thing"], "properties": {"thing": {"$ref": "#/components/schemas/E0"}}, "minProperties": 1});
        posting(json!({"requestBody": body(whole)}), json!({"schemas": schemas(count)}))
    };
    let is_whole = |count: usize| {
        let reading = read("test", &posted(count), Strictness::Lenient).unwrap();
        assert_eq!((reading.actions.len(), reading.refused.len()), (1, 0));
        let definitions = reading.actions[0].input["$defs"].as_object().unwrap();
        let unread = definitions.values().filter(|schema| schema["x-guichet"]["sensitive"] == true).count();
        let told: Vec<_> = reading.warnings.iter().filter(|told| told.message.contains("schemas")).collect();
        assert_eq!(told.len(), usize::from(unread > 0), "once for an input: {told:?}");
        unread == 0
    };
    assert!(is_whole(150) && !is_whole(151));
    // In our own documents, which are not read by halves, more of them are a fault.
    assert!(read("test", &posted(500), Strictness::Strict).is_ok());
    let faults = faults(&posted(501));
    assert!(
        faults.len() == 1 && faults[0].message.contains("more than 500 schemas"),
        "{}",
        super::told(&faults)
    );
}

#[test]
fn long_chains_of_references_end() {
    let mut schemas = Map::new();
    for level in 0..100 {
        schemas.insert(format!("L{level}"), json!({"$ref": format!("#/components/schemas/L{}", level + 1)}));
    }
    schemas.insert("L100".to_owned(), json!({"type": "string"}));
    let fields = json!({"requestBody": body(json!({"$ref": "#/components/schemas/L0"}))});
    let faults = faults(&posting(fields, json!({"schemas": schemas})));
    assert!(faults[0].message.contains("more than 32 references"), "{}", faults[0]);
}

#[test]
fn faults_without_end_are_cut_off_but_stay_faults() {
    let parameters: Vec<Value> =
        (0..400).map(|number| json!({"name": format!("p{number}"), "in": "nowhere"})).collect();
    let paths: Map<String, Value> = (0..100)
        .map(|number| {
            (
                format!("/p{number}"),
                json!({"get": {"operationId": format!("o{number}"), "parameters": parameters}}),
            )
        })
        .collect();
    let count = faults(&document(Value::Object(paths), json!({}))).len();
    assert_eq!(count, 1_000);
}

#[test]
fn what_was_not_read_refuses_no_value() {
    // As many schemas as are read, and one more, which comes last.
    let mut schemas: Map<String, Value> =
        (0..150).map(|number| (format!("A{number:03}"), json!({"type": "object"}))).collect();
    let fill =
        schemas.keys().map(|name| (name.clone(), json!({"$ref": format!("#/components/schemas/{name}")})));
    let fill = json!({"type": "object", "properties": Value::Object(fill.collect())});
    schemas.insert("Z".to_owned(), json!({"type": "object", "required": ["late"]}));
    let unread = json!({"$ref": "#/components/schemas/Z"});
    let given = |schema: Value| {
        let properties = json!({"choice": schema, "fill": fill});
        let whole = json!({"type": "object", "required": ["choice"], "properties": properties});
        let document = posting(json!({"requestBody": body(whole)}), json!({"schemas": schemas}));
        let reading = read("test", &document, Strictness::Lenient).unwrap();
        let input = reading.actions[0].input.clone();
        assert_eq!(input["$defs"]["Z"], json!({"x-guichet": {"sensitive": true}}), "it is not read");
        let validator = jsonschema::validator_for(&input).unwrap();
        move |value: Value| validator.is_valid(&json!({"thing": "a", "choice": value}))
    };
    let one = given(json!({"oneOf": [unread, {"type": "object", "required": ["own"]}, {"type": "null"}]}));
    assert!(one(json!({"own": 1})) && one(json!(null)) && one(json!({"late": {}})));
    let within = json!({"type": "object", "properties": {"z": unread}});
    let not = given(json!({"type": ["object", "null"], "not": within}));
    assert!(not(json!({"z": 1})) && !not(json!(1)));
    let closed = given(json!({"allOf": [unread], "properties": {"n": {}}, "unevaluatedProperties": false}));
    assert!(closed(json!({"late": 1, "n": 1})));
    let when = given(json!({"if": within, "then": false, "type": "object"}));
    assert!(when(json!({"z": 1})) && !when(json!(1)));
    let few = given(json!({"contains": unread, "maxContains": 1}));
    assert!(few(json!([1, 2])));
    // What was read whole stays as it was said.
    let number = json!({"oneOf": [{"type": "integer"}, {"type": "number"}]});
    let near = given(json!({"properties": {"z": unread, "n": number}, "unevaluatedProperties": false}));
    assert!(near(json!({"n": 1.5})) && !near(json!({"n": 1})) && !near(json!({"other": 1})));
}

#[test]
fn what_is_read_does_not_depend_on_how_a_document_is_written_down() {
    let schemas = |backwards: bool| {
        let mut all: Vec<(String, Value)> = (0..200)
            .map(|number| (format!("E{number}"), json!({"type": "object", "title": format!("{number}")})))
            .collect();
        if backwards {
            all.reverse();
        }
        let each = all
            .iter()
            .map(|(name, _)| (name.clone(), json!({"$ref": format!("#/components/schemas/{name}")})));
        let whole = json!({"type": "object", "properties": Value::Object(each.collect())});
        let document = posting(
            json!({"requestBody": body(json!({"type": "object", "properties": {"all": whole}}))}),
            json!({"schemas": Value::Object(all.into_iter().collect())}),
        );
        read("test", &document, Strictness::Lenient).unwrap().actions[0].version.clone()
    };
    assert_eq!(schemas(false), schemas(true));
}
