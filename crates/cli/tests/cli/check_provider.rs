//! `guichet provider check` towards a provider that believes anybody.

use axum::{Json, Router, routing::get};
use serde_json::{Value, json};

use crate::fake::Fake;

/// Serves it for as long as the test takes; gives its URL.
fn credulous() -> String {
    let document = json!({
        "openapi": "3.1.0", "info": {"title": "Credulous", "version": "1"}, "x-guichet": {"provider": "credulous"},
        "paths": {"/greet": {"get": {"operationId": "greet", "summary": "Greet", "responses": {"200": {"description": "Done."}}}}},
    });
    let app = Router::new()
        .route("/openapi.json", get(async || Json(document)))
        .route("/greet", get(async || Json(json!("hello"))));
    let (told, heard) = std::sync::mpsc::channel();
    drop(std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            told.send(listener.local_addr().unwrap()).unwrap();
            axum::serve(listener, app).await.unwrap();
        });
    }));
    format!("http://{}", heard.recv().unwrap())
}

#[test]
fn what_does_not_hold_is_explained_and_the_exit_code_says_so() {
    let (fake, url) = (Fake::start_unknown(), credulous());
    let check =
        |more: &[&str]| fake.run(&[&["provider", "check", &url, "--keys", "127.0.0.1:0"][..], more].concat());
    let (exit, out, err) = check(&["--only", "token-missing"]);
    assert_eq!(exit, 1, "{err}");
    assert!(out.contains("token-missing") && out.contains("failed"), "{out}");
    for part in [
        "sent      GET /greet",
        "expected  401: there is no token",
        "came      200, application/json: \"hello\"",
        "page      docs/provider-protocol.md, «A call»",
        "credulous: 0 passed, 1 failed, 0 skipped",
    ] {
        assert!(err.contains(part), "{part}: {err}");
    }
    let (exit, out, _) = check(&["--only", "token-good", "--output", "json"]);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((exit, &report["cases"][0]["status"]), (0, &json!("passed")));
}

#[test]
fn where_there_is_no_provider_nothing_is_checked() {
    let fake = Fake::start_unknown();
    let (exit, _, err) = fake.run(&["provider", "check", "http://127.0.0.1:1", "--keys", "127.0.0.1:0"]);
    assert_eq!(exit, 9, "{err}");
    assert!(err.contains("no provider answers at http://127.0.0.1:1"), "{err}");
    let (exit, _, err) = fake.run(&["provider", "check", "--", "/no/such/program", "--output", "json"]);
    assert_eq!(exit, 9, "{err}");
    assert!(err.contains("`/no/such/program`"), "{err}");
    assert_eq!(fake.run(&["provider", "check"]).0, 2);
}

#[test]
fn whose_session_it_is_the_provider_is_not_told() {
    let fake = Fake::start_unknown();
    let says = "echo \"token: ${GUICHET_TOKEN-none}, file: ${GUICHET_TOKEN_FILE-none}\"; exit 3";
    let mut check = fake.command(&["provider", "check", "--", "/bin/sh", "-c", says]);
    let output =
        check.env("GUICHET_TOKEN", "gt_dana_0001").env("GUICHET_TOKEN_FILE", "/run/token").output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    // It is told one of the kit's own, to register with.
    assert!(err.contains("file: none") && err.contains("token: "), "{err}");
    assert!(!err.contains("gt_dana_0001") && !err.contains("/run/token"), "{err}");
}

#[cfg(unix)]
#[test]
fn the_provider_ends_with_the_kit() {
    use std::io::{BufRead as _, BufReader};
    let fake = Fake::start_unknown();
    for asked in ["-INT", "-TERM"] {
        let mut kit = std::process::Command::new(assert_cmd::cargo::cargo_bin!("guichet"))
            .args(["provider", "check", "--", "/bin/sh", "-c", "sleep 100 & echo $$; wait"])
            .env("XDG_CONFIG_HOME", fake.home().join("config"))
            .env("XDG_CACHE_HOME", fake.home().join("cache"))
            .stdin(std::process::Stdio::null())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut err = BufReader::new(kit.stderr.take().unwrap());
        let mut group = String::new();
        err.read_line(&mut group).unwrap();
        let told = std::time::Instant::now();
        std::process::Command::new("kill").args([asked, &kit.id().to_string()]).status().unwrap();
        // All that it has started holds the other end: it comes to an end with the last of them.
        let rest: Vec<String> = err.lines().map(Result::unwrap).collect();
        assert!(told.elapsed().as_secs() < 50, "the group of {group} ran on");
        assert_eq!(kit.wait().unwrap().code(), Some(130), "{rest:?}");
        assert!(rest.join(" ").contains("what the kit started was ended"), "{rest:?}");
    }
}
