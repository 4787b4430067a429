//! `guichetd check`: what would be wrong at a start is told with its place and what to do.

use std::process::Output;

use guichet_testkit::bench;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{
    gateway::{Gateway, password_hash},
    rules::{POLICY, REGISTRY},
};

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_configuration_passes_and_nothing_is_changed() {
    let gateway = Gateway::prepared("", "").await;
    let output = gateway.output(&["check", "--config"]);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    for words in ["provider things: 6 actions", "provider vault: 2 actions", "3 users", "all is well"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!gateway.path("data").exists(), "it made a data folder");
    let offline = gateway.output(&["check", "--offline", "--config"]);
    assert_eq!(offline.status.code(), Some(0), "without its providers it checks what it can");
    assert!(String::from_utf8_lossy(&offline.stdout).contains("provider things has no usable document"));
}

/// File, what is replaced, by what, and what must be said.
type Case<'a> = (&'a str, &'a str, &'a str, &'a [&'a str]);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_mistake_is_told_with_its_place_and_what_to_do() {
    let gateway = Gateway::prepared("", "[approval]\nexpires_seconds = 60").await;
    let toml = std::fs::read_to_string(gateway.path("guichet.toml")).unwrap();
    let cases: [Case; 9] = [
        (
            "guichet.toml",
            "[approval]",
            "[aproval]",
            &["guichet.toml:6:2: unknown field `aproval`", "`approval`"],
        ),
        (
            "guichet.toml",
            "expires_seconds = 60",
            "expires_seconds = 0",
            &["guichet.toml:7:19: ", "after 1 second to 30 days"],
        ),
        (
            "guichet.toml",
            "url = \"http:",
            "url = \"htp:",
            &["guichet.toml:", "is not of the form http://host:port"],
        ),
        (
            "guichet.toml",
            password_hash(),
            "hunter22",
            &["guichet.toml:10:17: ", "`dana`", "guichetd hash-password"],
        ),
        (
            "policy/rules.cedar",
            "resource == Resource::\"things/short\")",
            "resource) when { resource.ownr == principal }",
            &["rules.cedar:10:", "`ownr`", "did you mean `owner`"],
        ),
        (
            "policy/rules.cedar",
            "Team::\"developers\"",
            "Team::\"developpers\"",
            &["rules.cedar:4:22: ", "developpers", "developers"],
        ),
        (
            "policy/rules.cedar",
            "action in Action::\"read\"",
            "action == Action::\"things.list-itms\"",
            &["rules.cedar:2:", "things.list-itms", "things.list-items"],
        ),
        ("policy/rules.cedar", "@by(\"team:ops\")", "", &["rules.cedar:9:", "@by"]),
        ("registry/registry.yaml", "owner: ops", "owner: opps", &["registry.yaml:6:", "opps", "ops"]),
    ];
    for (file, right, wrong, words) in cases {
        let text = match file {
            "guichet.toml" => toml.as_str(),
            "policy/rules.cedar" => POLICY,
            _ => REGISTRY,
        };
        let broken = text.replacen(right, wrong, 1);
        assert_ne!(broken, text, "{right} stands in {file}");
        gateway.write(file, &broken);
        let output = gateway.output(&["check", "--config"]);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(1), "{wrong}: {said}");
        for word in words {
            assert!(said.contains(word), "{wrong} should be told with {word}:\n{said}");
        }
        assert!(said.contains("nothing was changed") || file == "guichet.toml", "{said}");
        gateway.write(file, text);
    }
    assert_eq!(gateway.output(&["check", "--config"]).status.code(), Some(0), "all mistakes are mended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_that_refers_to_itself_is_told_with_its_pointer() {
    let cyclic = json!({"openapi": "3.1.0", "info": {"title": "Loop", "version": "1"},
        "components": {"parameters": {"a": {"$ref": "#/components/parameters/b"}, "b": {"$ref": "#/components/parameters/a"}}},
        "paths": {"/x": {"get": {"operationId": "x", "parameters": [{"$ref": "#/components/parameters/a"}],
            "responses": {"200": {"description": "never"}}}}}});
    let router = axum::Router::new()
        .route("/openapi.json", axum::routing::get(move || async move { axum::Json(cyclic) }));
    let stop = CancellationToken::new();
    let url = bench::serve(router, &stop).await.unwrap();
    let configured = format!("[[provider]]\nname = \"loop\"\nurl = \"{url}\"\nstrict = STRICT");
    for (strict, code, told) in [("true", 1, "provider loop: "), ("false", 0, "warning: provider loop: ")] {
        let gateway = Gateway::prepared("", &configured.replace("STRICT", strict)).await;
        let output = gateway.output(&["check", "--config"]);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(code), "{said}");
        for words in [told, "/paths/~1x/get/parameters/0", "leads back to itself", "put the thing itself"] {
            assert!(said.contains(words), "{words}: {said}");
        }
        assert!(said.contains("provider things: 6 actions"), "the others are fine: {said}");
    }
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_not_there_is_named() {
    let gateway = Gateway::prepared("", "").await;
    std::fs::remove_file(gateway.path("guichet.toml")).unwrap();
    let output = gateway.output(&["check", "--config"]);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said.contains("guichet.toml: the configuration cannot be read") && said.contains("--config"),
        "{said}"
    );
}
