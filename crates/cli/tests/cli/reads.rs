//! Reads: every flag arrives as the JSON its schema asks for, and every form of output.

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::fake::Fake;

#[test]
fn one_result_in_four_forms() {
    let fake = Fake::start();
    for form in ["table", "json", "yaml", "csv"] {
        assert_snapshot!(
            format!("queries_{form}"),
            fake.told(&format!("rds queries --identifier shop -o {form}"))
        );
    }
}

fn echo(fake: &Fake, arguments: &[&str]) -> Value {
    let all = [&["demo", "echo", "-o", "json"], arguments].concat();
    let (exit, out, err) = fake.run(&all);
    assert_eq!(exit, 0, "{arguments:?}: {err}");
    serde_json::from_str(&out).unwrap()
}

#[test]
fn flags_become_the_json_of_their_schema() {
    let fake = Fake::start();
    std::fs::write(fake.home().join("secret"), "hunter2\n").unwrap();
    let secret = format!("@{}", fake.home().join("secret").display());
    for (arguments, input) in [
        (vec![], json!({})),
        (vec!["--text", "007"], json!({"text": "007"})),
        (vec!["--whole-number", "-7"], json!({"wholeNumber": -7})),
        (vec!["--wholeNumber=7"], json!({"wholeNumber": 7})),
        (vec!["--ratio", "-0.5"], json!({"ratio": -0.5})),
        (vec!["--quick"], json!({"quick": true})),
        (vec!["--no-safe"], json!({"safe": false})),
        (vec!["--no-safe", "--safe"], json!({"safe": true})),
        (vec!["--size", "large"], json!({"size": "large"})),
        (vec!["--tags", "a", "--tags", "b,c"], json!({"tags": ["a", "b,c"]})),
        (vec!["--labels", r#"{"team":"shop"}"#], json!({"labels": {"team": "shop"}})),
        (vec!["--input-timeout", "3"], json!({"timeout": 3})),
        (vec!["--password", &secret], json!({"password": "hunter2"})),
        (vec!["--input", r#"{"text":"a","extra":1}"#, "--text", "b"], json!({"text": "b", "extra": 1})),
    ] {
        assert_eq!(echo(&fake, &arguments), input, "{arguments:?}");
    }
}

#[test]
fn the_whole_input_can_come_from_a_file_or_a_pipe() {
    let fake = Fake::start();
    let path = fake.home().join("input.json");
    std::fs::write(&path, r#"{"ratio": 2}"#).unwrap();
    assert_eq!(echo(&fake, &["--input", &format!("@{}", path.display())]), json!({"ratio": 2}));
    let piped = fake
        .command(&["demo", "echo", "-o", "json", "--input", "-"])
        .write_stdin(r#"{"quick":true}"#)
        .output();
    assert_eq!(serde_json::from_slice::<Value>(&piped.unwrap().stdout).unwrap(), json!({"quick": true}));
}

#[test]
fn the_catalogue_is_asked_for_again_only_when_it_may_be_old() {
    let fake = Fake::start();
    echo(&fake, &[]);
    assert_eq!(fake.seen("GET /v1/catalogue").len(), 0, "it was asked for at sign-in, moments ago");
    let state = std::fs::read_to_string(fake.cache("state.json")).unwrap();
    let mut old: Value = serde_json::from_str(&state).unwrap();
    old["checked_at"] = "2020-01-01T00:00:00Z".into();
    std::fs::write(fake.cache("state.json"), old.to_string()).unwrap();
    echo(&fake, &[]);
    let seen = fake.seen("GET /v1/catalogue");
    assert_eq!(seen.len(), 1);
    assert!(seen[0].headers.contains_key("if-none-match"));
}

/// From the text of the cache to what became of it.
type Damage = Box<dyn Fn(&str) -> String>;

/// What a version before this one wrote, what was cut off, a line that nobody can read: none of it is called the newest.
#[test]
fn a_catalogue_that_cannot_be_read_is_fetched_anew() {
    let version = format!("\"written_by\":\"{}\"", env!("CARGO_PKG_VERSION"));
    let damages: [(&str, Damage); 3] = [
        ("of another version", Box::new(move |text| text.replace(&version, "\"written_by\":\"0.0.0\""))),
        ("cut off", Box::new(|text| text[..text.len() - 10].to_owned())),
        ("not to be read", Box::new(|text| text.replace("\"effect\":\"read\"", "\"effect\":\"raed\""))),
    ];
    for (damage, damaged) in damages {
        for line in ["demo echo -o json", "actions list -o json"] {
            let fake = Fake::start();
            let text = std::fs::read_to_string(fake.cache("catalogue.jsonl")).unwrap();
            assert_ne!(damaged(&text), text);
            std::fs::write(fake.cache("catalogue.jsonl"), damaged(&text)).unwrap();
            // Old enough to be asked about.
            let state = std::fs::read_to_string(fake.cache("state.json")).unwrap();
            let mut old: Value = serde_json::from_str(&state).unwrap();
            old["checked_at"] = "2020-01-01T00:00:00Z".into();
            std::fs::write(fake.cache("state.json"), old.to_string()).unwrap();
            let (exit, _, err) = fake.run(&line.split(' ').collect::<Vec<_>>());
            assert_eq!(exit, 0, "{damage}, {line}: {err}");
            let seen = fake.seen("GET /v1/catalogue");
            assert!(!seen.is_empty(), "{damage}, {line}");
            assert!(!seen[0].headers.contains_key("if-none-match"), "{damage}, {line}");
            assert_eq!(
                std::fs::read_to_string(fake.cache("catalogue.jsonl")).unwrap(),
                text,
                "{damage}, {line}"
            );
        }
    }
}

#[test]
fn a_read_that_needs_an_approval_is_a_run_like_any_other() {
    let fake = Fake::start();
    let (exit, _, err) = fake.run(&["rds", "queries", "--identifier", "vault", "--no-wait"]);
    assert_eq!(exit, 10, "{err}");
    assert!(err.contains("next: guichet runs watch 1a2b3c4d"), "{err}");
    let (exit, _, err) = fake.run(&["rds", "queries", "--identifier", "vault", "--timeout", "1"]);
    assert_eq!(exit, 10, "{err}");
    assert!(err.contains("still waiting"), "{err}");
    let glass = ["rds", "queries", "--identifier", "vault", "--no-wait", "--break-glass", "--reason", "down"];
    assert_eq!(fake.run(&glass).0, 10);
    let seen = fake.seen("POST /v1/actions/postgres.queries/runs");
    assert!(seen.iter().all(|seen| seen.headers.contains_key("idempotency-key")));
    assert_eq!(seen[2].body["break_glass"], true);
}

#[test]
fn requests_name_their_surface() {
    let fake = Fake::start();
    echo(&fake, &[]);
    assert_eq!(fake.seen("POST /v1/actions/demo.echo/runs")[0].headers["guichet-surface"], "cli");
}
