//! Whole documents: what never heard of Guichet, what uses all of it, and what is no OpenAPI.

use guichet_contract::{
    Effect,
    action::{Parameter, Place, Style},
    openapi::{Strictness, effect_of_method, read},
};
use serde_json::{Value, json};

use super::{document, members, one_fault, strict};

fn petstore() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Petstore", "version": "1.0.0"},
        "servers": [{"url": "http://petstore.example/v1"}],
        "paths": {
            "/pets": {
                "get": {
                    "summary": "List all pets", "operationId": "listPets", "tags": ["pets"],
                    "parameters": [{"name": "limit", "in": "query", "description": "How many", "required": false,
                        "schema": {"type": "integer", "maximum": 100, "format": "int32"}}],
                    "responses": {"200": {"description": "A page of pets"}},
                },
                "post": {
                    "summary": "Create a pet", "operationId": "createPets", "tags": ["pets"],
                    "requestBody": {"required": true,
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/NewPet"}}}},
                    "responses": {"201": {"description": "Null response"}},
                },
                "head": {"operationId": "headPets", "responses": {}},
            },
            "/pets/{petId}": {
                "parameters": [{"name": "petId", "in": "path", "required": true, "schema": {"type": "string"}}],
                "get": {"summary": "Info for a pet", "operationId": "showPetById", "tags": ["pets"],
                    "description": "All there is.", "responses": {"200": {"description": "A pet"}}},
                "delete": {"responses": {"204": {"description": "gone"}}},
            },
        },
        "components": {"schemas": {
            "NewPet": {"type": "object", "required": ["name"], "properties": {
                "id": {"type": "integer", "readOnly": true},
                "name": {"type": "string", "description": "What it answers to"},
                "tag": {"$ref": "#/components/schemas/Tag"},
            }},
            "Tag": {"type": "string", "enum": ["cat", "dog"], "default": "cat"},
        }},
    })
}

#[test]
fn a_document_that_never_heard_of_guichet_works() {
    let reading = read("petstore", &petstore(), Strictness::Strict).unwrap();
    assert_eq!(reading.title, "Petstore");
    let seen: Vec<_> = reading
        .actions
        .iter()
        .map(|action| (action.id.as_str(), action.command.join(" "), action.title.as_str(), action.effect))
        .collect();
    assert_eq!(
        seen,
        [
            ("petstore.listPets", "petstore pets list".to_owned(), "List all pets", Effect::Read),
            ("petstore.createPets", "petstore pets create".to_owned(), "Create a pet", Effect::Change),
            ("petstore.headPets", "petstore head-pets".to_owned(), "Head pets", Effect::Read),
            (
                "petstore.showPetById",
                "petstore pets show-pet-by-id".to_owned(),
                "Info for a pet",
                Effect::Read
            ),
            (
                "petstore.delete-pets-by-pet-id",
                "petstore delete-pets-by-pet-id".to_owned(),
                "Delete pets by pet id",
                Effect::Destroy
            ),
        ]
    );
    let list = &reading.actions[0];
    assert_eq!(
        list.input,
        json!({
            "type": "object",
            "properties": {"limit": {"type": "integer", "maximum": 100, "format": "int32", "description": "How many"}},
            "required": [],
            "additionalProperties": false,
        })
    );
    assert_eq!((list.timeout_seconds, list.plan, list.long), (30, false, false));
    let create = &reading.actions[1];
    assert_eq!(
        create.input,
        json!({
            "type": "object",
            "properties": {
                "name": {"type": "string", "description": "What it answers to"},
                "tag": {"type": "string", "enum": ["cat", "dog"], "default": "cat"},
            },
            "required": ["name"],
            "additionalProperties": false,
        }),
        "what the provider sets itself is no input, and a reference is looked up"
    );
    let binding = |name: &str, place| Parameter {
        name: name.to_owned(),
        wire_name: name.to_owned(),
        place,
        explode: false,
        style: Style::Usual,
        content_type: None,
    };
    assert_eq!(
        create.http.parameters,
        [binding("name", Place::BodyMember), binding("tag", Place::BodyMember)]
    );
    let show = &reading.actions[3];
    assert_eq!((show.http.method.as_str(), show.http.path.as_str()), ("GET", "/pets/{petId}"));
    assert_eq!(show.description.as_deref(), Some("All there is."));
    assert_eq!(show.http.parameters, [binding("petId", Place::Path)]);
    assert_eq!(reading.warnings.len(), 1, "{:?}", reading.warnings);
    assert_eq!(reading.warnings[0].pointer, "/paths/~1pets~1{petId}/delete");
    assert!(reading.refused.is_empty());
}

#[test]
fn only_these_versions_are_read() {
    for (top, pointer, words) in [
        (json!({"swagger": "1.2"}), "/swagger", "and 2.0 is read"),
        (json!({"openapi": "4.0.0"}), "/openapi", "`4.0.0`"),
        (json!({"openapi": "3.10.0"}), "/openapi", "`3.10.0`"),
        (json!({"openapi": 3.1}), "", "`openapi` is missing"),
        (json!({}), "", "`openapi` is missing"),
        (json!([]), "", "a list"),
        (json!(null), "", "null"),
    ] {
        one_fault(&top, pointer, words);
    }
    for (name, version) in [
        ("openapi", "3.1.1"),
        ("openapi", "3.1"),
        ("openapi", "3.0.3"),
        ("openapi", "3.2.0"),
        ("swagger", "2.0"),
    ] {
        assert!(strict(&json!({name: version, "info": {"title": "t"}, "paths": {}})).actions.is_empty());
    }
}

#[test]
fn the_top_of_a_document_is_checked() {
    let good = document(json!({}), json!({}));
    let with = |name: &str, value: Value| {
        let mut document = good.clone();
        document[name] = value;
        document
    };
    one_fault(&with("info", json!({})), "/info/title", "title");
    one_fault(&with("paths", json!([])), "/paths", "`paths` is an object");
    one_fault(
        &with("jsonSchemaDialect", json!("http://json-schema.org/draft-07/schema#")),
        "/jsonSchemaDialect",
        "2020-12",
    );
    one_fault(&with("x-guichet", json!({"provder": "x"})), "/x-guichet/provder", "did you mean `provider`?");
    strict(&with("x-guichet", json!({"provider": "x"})));
    let told = strict(&with("x-guichet", json!({"provider": "x", "left_out": ["a.sh:3: no title"]})));
    assert_eq!(told.refused.len(), 1);
    assert_eq!(told.refused[0].to_string(), "/x-guichet/left_out/0: a.sh:3: no title");
    for wrong in [json!("a"), json!([1]), json!(vec!["a"; 1_001])] {
        one_fault(
            &with("x-guichet", json!({"left_out": wrong})),
            "/x-guichet/left_out",
            "a list of at most 1000",
        );
    }
    strict(&with("jsonSchemaDialect", json!("https://spec.openapis.org/oas/3.1/dialect/base")));
    let faults = read("Kafka.Mgmt", &good, Strictness::Strict).unwrap_err();
    assert!(faults[0].message.contains("no name of a provider"));
}

#[test]
fn paths_are_checked() {
    let get = json!({"get": {"operationId": "a", "responses": {}}});
    for (path, words) in [
        ("things", "begins with `/`"),
        ("/things?x=1", "query parameters"),
        ("/things#2", "tells operations of one path apart"),
        ("/a/../b", "another path"),
        ("/a/{b", "`}`"),
        ("/a/{b/c}", "same part"),
        ("/a/{}", "name between"),
    ] {
        let mut paths = serde_json::Map::new();
        paths.insert(path.to_owned(), get.clone());
        let pointer = format!("/paths/{}", path.replace('/', "~1"));
        one_fault(&document(Value::Object(paths), json!({})), &pointer, words);
    }
    one_fault(&document(json!({"/a": 7}), json!({})), "/paths/~1a", "a path is an object");
    one_fault(&document(json!({"/a": {"get": 7}}), json!({})), "/paths/~1a/get", "an operation is an object");
    let parameter =
        |name: &str| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}});
    one_fault(
        &document(
            json!({
                "/a/{x}": {"get": {"operationId": "a", "parameters": [parameter("x")]}},
                "/a/{y}": {"put": {"operationId": "b", "parameters": [parameter("y")]}},
            }),
            json!({}),
        ),
        "/paths/~1a~1{y}",
        "the same path",
    );
}

#[test]
fn an_operation_id_belongs_to_one_operation_whatever_its_case() {
    for other in ["listThings", "LISTthings"] {
        let document = document(
            json!({"/a": {"get": {"operationId": "listThings"}}, "/b": {"get": {"operationId": other}}}),
            json!({}),
        );
        let faults = super::faults(&document);
        let pointers: Vec<&str> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
        assert_eq!(pointers, ["/paths/~1a/get/operationId", "/paths/~1b/get/operationId"]);
        assert!(faults[0].message.contains("`GET /b`"), "{}", faults[0]);
    }
    one_fault(
        &document(json!({"/a": {"get": {"operationId": 7}}}), json!({})),
        "/paths/~1a/get/operationId",
        "a text",
    );
}

#[test]
fn one_path_item_may_serve_two_paths_but_its_operation_only_one() {
    let item = json!({"get": {"operationId": "listThings"}});
    let shared = |paths| document(paths, json!({"pathItems": {"Things": item}}));
    let reference = json!({"$ref": "#/components/pathItems/Things"});
    let reading = strict(&shared(json!({"/a": reference})));
    assert_eq!(reading.actions[0].http.path, "/a");
    let faults = super::faults(&shared(json!({"/a": reference, "/b": reference})));
    assert!(faults.iter().all(|fault| fault.pointer == "/components/pathItems/Things/get/operationId"));
    assert_eq!(faults.len(), 2);
}

#[test]
fn methods_say_what_they_do_to_the_world() {
    for (method, effect) in [
        ("GET", Effect::Read),
        ("get", Effect::Read),
        ("HEAD", Effect::Read),
        ("DELETE", Effect::Destroy),
        ("POST", Effect::Change),
        ("PUT", Effect::Change),
        ("PATCH", Effect::Change),
    ] {
        assert_eq!(effect_of_method(method), effect, "{method}");
    }
}

#[test]
fn all_faults_are_told_at_once() {
    let document = document(
        json!({
            "/a": {"get": {"operationId": "a", "x-guichet": {"effect": "reed", "timeout": 5}}},
            "/b/{x}": {"get": {"operationId": "b", "parameters": [{"name": "q", "in": "qery"}]}},
        }),
        json!({}),
    );
    let pointers: Vec<String> = super::faults(&document).into_iter().map(|fault| fault.pointer).collect();
    assert_eq!(
        pointers,
        [
            "/paths/~1a/get/x-guichet/effect",
            "/paths/~1a/get/x-guichet/timeout",
            "/paths/~1b~1{x}/get/parameters/0/in",
            "/paths/~1b~1{x}/get",
        ]
    );
}

#[test]
fn members_come_in_the_order_path_query_header_body() {
    let document = super::posting(
        json!({
            "parameters": [
                {"name": "X-Trace", "in": "header", "schema": {"type": "string"}},
                {"name": "dry", "in": "query", "schema": {"type": "boolean"}},
                {"name": "thing", "in": "path", "required": true, "schema": {"type": "string"}},
            ],
            "requestBody": super::body(json!({"type": "object", "properties": {"size": {"type": "integer"}}})),
        }),
        json!({}),
    );
    assert_eq!(members(&super::only(&document)), ["thing", "dry", "X-Trace", "size"]);
}
