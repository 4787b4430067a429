//! Signing in, contexts, files and environment variables.

use serde_json::Value;

use crate::fake::{Fake, TOKEN};

#[test]
fn signing_in_names_the_context_and_hides_the_token() {
    let fake = Fake::start();
    let config = std::fs::read_to_string(fake.config("config.toml")).unwrap();
    assert!(config.contains("current = \"staging\"") && config.contains(&fake.url()), "{config}");
    assert!(!config.contains(TOKEN), "{config}");
    let (exit, out, err) = fake.run(&["whoami"]);
    assert_eq!((exit, err.as_str()), (0, ""));
    assert!(out.contains("dana") && out.contains("staging") && out.contains("shop"), "{out}");
    let (exit, out, _) = fake.run(&["whoami", "-o", "json"]);
    assert_eq!(exit, 0);
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["principal"]["name"], "dana");
}

#[cfg(unix)]
#[test]
fn credentials_are_for_the_user_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let fake = Fake::start();
    let path = fake.config("credentials.toml");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let (exit, _, err) = fake.run(&["whoami"]);
    assert_eq!(exit, 3);
    assert!(err.contains("can be read by others") && err.contains("chmod 600"), "{err}");
}

#[test]
fn a_wrong_password_keeps_nothing() {
    let fake = Fake::start_unknown();
    let output = fake
        .command(&["login", "--user", "dana", "--password-stdin", "--gateway", &fake.url()])
        .write_stdin("wrong\n")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(!fake.config("credentials.toml").exists());
    assert!(!String::from_utf8(output.stderr).unwrap().contains("wrong\n"));
}

#[test]
fn signing_out_forgets_the_token_also_when_nobody_answers() {
    let mut fake = Fake::start();
    assert_eq!(fake.run(&["logout"]).0, 0);
    assert_eq!(fake.seen("DELETE /v1/session").len(), 1);
    assert!(!std::fs::read_to_string(fake.config("credentials.toml")).unwrap().contains(TOKEN));
    fake = Fake::start();
    fake.stop();
    assert_eq!(fake.run(&["logout"]).0, 9);
    assert!(!std::fs::read_to_string(fake.config("credentials.toml")).unwrap().contains(TOKEN));
}

#[test]
fn contexts_are_added_chosen_and_removed() {
    let fake = Fake::start();
    assert_eq!(fake.run(&["context", "add", "prod", "--gateway", "https://guichet.example/"]).0, 0);
    assert_eq!(fake.run(&["context", "add", "a/b", "--gateway", "https://guichet.example"]).0, 2);
    assert_eq!(fake.run(&["context", "add", "x", "--gateway", "http://guichet.example"]).0, 2);
    let (_, out, _) = fake.run(&["context", "list"]);
    assert_eq!(
        out,
        "IN USE  NAME     GATEWAY\n        prod     https://guichet.example\n*       staging  http://GATEWAY\n"
    );
    assert_eq!(fake.run(&["context", "use", "nowhere"]).0, 5);
    assert_eq!(fake.run(&["context", "use", "prod"]).0, 0);
    let (_, out, _) = fake.run(&["context", "show", "-o", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["gateway"], "https://guichet.example");
    let (exit, out, _) = fake.run(&["--context", "staging", "whoami"]);
    assert!(exit == 0 && out.contains("dana"), "{out}");
    let (exit, _, err) = fake.run(&["--context", "nowhere", "whoami"]);
    assert!(exit == 2 && err.contains("`prod`, `staging`"), "{err}");
    assert_eq!(fake.run(&["context", "remove", "staging"]).0, 0);
    assert!(!fake.cache("catalogue.jsonl").exists());
    assert!(!std::fs::read_to_string(fake.config("credentials.toml")).unwrap().contains(TOKEN));
}

#[test]
fn the_environment_stands_in_for_files() {
    let fake = Fake::start_unknown();
    let output = fake
        .command(&["demo", "echo", "-o", "json", "--text", "x"])
        .env("GUICHET_GATEWAY", fake.url())
        .env("GUICHET_TOKEN", TOKEN)
        .env("GUICHET_CONFIG_DIR", fake.home().join("elsewhere"))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "{\n  \"text\": \"x\"\n}\n");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn tokens_are_made_listed_and_revoked() {
    let fake = Fake::start();
    let (exit, out, err) = fake.run(&["tokens", "create", "ci", "--scope", "read", "--expires-in", "7"]);
    assert_eq!((exit, out.as_str()), (0, "gt_ci_0002\n"), "{err}");
    let body = &fake.seen("POST /v1/tokens")[0].body;
    assert_eq!(*body, serde_json::json!({"name": "ci", "expires_in_seconds": 604_800, "scopes": ["read"]}));
    let (_, out, _) = fake.run(&["tokens", "list"]);
    assert!(out.contains("tok1") && !out.contains("gt_ci"), "{out}");
    assert_eq!(fake.run(&["tokens", "revoke", "tok1"]).0, 0);
    assert_eq!(fake.seen("DELETE /v1/tokens/tok1").len(), 1);
}
