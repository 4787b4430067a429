//! One flat input: who keeps a name that several want.

use guichet_contract::action::Parameter;
use serde_json::{Value, json};

use super::{at, body, one_fault, only, posting};

/// `(name, wire name)` of each member, in order.
fn names(document: &Value) -> Vec<(String, String)> {
    only(document)
        .http
        .parameters
        .into_iter()
        .map(|Parameter { name, wire_name, .. }| (name, wire_name))
        .collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, wire)| ((*name).to_owned(), (*wire).to_owned())).collect()
}

/// A POST with a path parameter `thing`, these others, and these properties in its body.
fn asking(others: Vec<Value>, properties: Value) -> Value {
    let mut parameters =
        vec![json!({"name": "thing", "in": "path", "required": true, "schema": {"type": "string"}})];
    parameters.extend(others);
    let mut fields = json!({"parameters": parameters});
    if properties != json!({}) {
        fields["requestBody"] = body(json!({"type": "object", "properties": properties}));
    }
    posting(fields, json!({}))
}

fn parameter(place: &str, name: &str) -> Value {
    json!({"name": name, "in": place, "schema": {"type": "string"}})
}

#[test]
fn the_path_wins_then_the_query_then_headers_then_the_body() {
    assert_eq!(
        names(&asking(vec![parameter("header", "thing"), parameter("query", "thing")], json!({"thing": {}}))),
        pairs(&[
            ("thing", "thing"),
            ("query_thing", "thing"),
            ("header_thing", "thing"),
            ("body_thing", "thing")
        ])
    );
    assert_eq!(
        names(&asking(vec![parameter("header", "a"), parameter("query", "a")], json!({"a": {}}))),
        pairs(&[("thing", "thing"), ("a", "a"), ("header_a", "a"), ("body_a", "a")])
    );
    assert_eq!(
        names(&asking(vec![parameter("header", "a")], json!({"a": {}}))),
        pairs(&[("thing", "thing"), ("a", "a"), ("body_a", "a")])
    );
}

#[test]
fn the_same_flag_is_the_same_name() {
    assert_eq!(
        names(&asking(
            vec![parameter("query", "maxSize"), parameter("header", "Max-Size")],
            json!({"max_size": {}})
        )),
        pairs(&[
            ("thing", "thing"),
            ("maxSize", "maxSize"),
            ("header_Max-Size", "Max-Size"),
            ("body_max_size", "max_size")
        ])
    );
    assert_eq!(
        names(&asking(vec![], json!({"maxSize": {}, "max_size": {}}))),
        pairs(&[("thing", "thing"), ("maxSize", "maxSize"), ("body_max_size", "max_size")])
    );
}

#[test]
fn flags_of_the_command_line_itself_are_not_given_away() {
    for flag in guichet_contract::openapi::OWN_FLAGS {
        assert_eq!(
            names(&asking(vec![parameter("query", flag)], json!({}))).last().unwrap().0,
            format!("query_{flag}")
        );
    }
    assert_eq!(names(&asking(vec![], json!({"noWait": {}})))[1].0, "body_noWait");
}

#[test]
fn a_whole_body_gives_way_too() {
    let document = posting(
        json!({
            "parameters": [
                {"name": "thing", "in": "path", "required": true, "schema": {"type": "string"}},
                {"name": "body", "in": "query", "schema": {"type": "string"}},
            ],
            "requestBody": body(json!({"type": "array"})),
        }),
        json!({}),
    );
    assert_eq!(names(&document), pairs(&[("thing", "thing"), ("body", "body"), ("body_body", "body")]));
}

#[test]
fn a_chosen_name_comes_before_all_others() {
    let chosen = |name: &str| json!({"type": "string", "x-guichet": {"name": name}});
    assert_eq!(
        names(&asking(vec![], json!({"a": chosen("thing"), "b": chosen("other")}))),
        pairs(&[("path_thing", "thing"), ("thing", "a"), ("other", "b")])
    );
    let parameter =
        json!({"name": "thing", "in": "query", "schema": {"type": "string"}, "x-guichet": {"name": "twin"}});
    assert_eq!(names(&asking(vec![parameter], json!({}))), pairs(&[("thing", "thing"), ("twin", "thing")]));

    let place = |name: &str| {
        at(&format!("/requestBody/content/application~1json/schema/properties/{name}/x-guichet/name"))
    };
    one_fault(&asking(vec![], json!({"a": chosen("x"), "b": chosen("x")})), &place("b"), "`x` is taken");
    one_fault(
        &asking(vec![], json!({"a": chosen("aB"), "b": chosen("a_b")})),
        &place("b"),
        "the same flag `--a-b`",
    );
    one_fault(
        &asking(vec![], json!({"a": chosen("output")})),
        &place("a"),
        "a flag of the command line itself",
    );
    one_fault(&asking(vec![], json!({"a": chosen("1 b")})), &place("a"), "is no name");
    one_fault(&asking(vec![], json!({"a": chosen("_")})), &place("a"), "makes no flag");
}

#[test]
fn a_name_that_cannot_be_found_is_asked_for() {
    let properties = "/requestBody/content/application~1json/schema/properties";
    one_fault(
        &asking(vec![parameter("query", "thing")], json!({"a": {"x-guichet": {"name": "query_thing"}}})),
        &at("/parameters/1"),
        "both taken",
    );
    one_fault(&asking(vec![], json!({"日本": {}})), &at(&format!("{properties}/日本")), "no letter or digit");
}
