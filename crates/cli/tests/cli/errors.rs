//! What goes wrong: the words, and the exit code scripts rely on.

use guichet_contract::{FieldError, Problem, code};
use insta::assert_snapshot;

use crate::fake::Fake;

#[test]
fn what_is_mistyped_is_told_with_what_is_near() {
    let fake = Fake::start();
    assert_snapshot!("unknown_command", fake.told("rsd queries"));
    assert_snapshot!("unknown_subcommand", fake.told("rds query"));
    assert_snapshot!("unknown_flag", fake.told("rds cancel-query --pdi 7"));
    assert_snapshot!("wrong_value", fake.told("rds cancel-query --identifier shop --pid many"));
    assert_snapshot!("wrong_word", fake.told("demo echo --size medium"));
    assert_snapshot!("missing_values", fake.told("rds cancel-query --reason because"));
    assert_snapshot!(
        "secret_on_the_command_line",
        fake.told("demo echo --password hunter2").replacen("hunter2", "…", 1)
    );
    assert!(!fake.run(&["demo", "echo", "--password", "hunter2"]).2.contains("hunter2"));
    assert_eq!(fake.seen("POST").len(), 0, "none of these reaches the gateway");
}

#[test]
fn an_unknown_command_may_be_new_and_is_looked_for_once() {
    let fake = Fake::start();
    let mut catalogue = crate::offered::catalogue();
    let first = std::sync::Arc::make_mut(&mut catalogue.actions[0]);
    first.command = vec!["demo".to_owned(), "shout".to_owned()];
    first.version = guichet_contract::Digest::of_bytes(b"two");
    let newer = guichet_contract::Catalogue::new("staging", catalogue.actions);
    fake.part.lock().unwrap().catalogue = Some(newer);
    let (exit, out, err) = fake.run(&["demo", "shout", "-o", "json", "--text", "hi"]);
    assert_eq!((exit, out.as_str()), (0, "{\n  \"text\": \"hi\"\n}\n"), "{err}");
    assert_eq!(fake.seen("GET /v1/catalogue").len(), 1);
}

#[test]
fn problems_are_told_with_flags_policies_and_what_to_do_next() {
    let fake = Fake::start();
    let invalid = Problem::new(code::INVALID_INPUT, "1 member is wrong").errors(vec![
        FieldError { pointer: "/wholeNumber".to_owned(), flag: None, message: "it is at most 10".to_owned() },
        FieldError {
            pointer: String::new(),
            flag: Some("--text".to_owned()),
            message: "it is too long".to_owned(),
        },
    ]);
    let refused = Problem::new(code::REFUSED, "team shop may not do this")
        .policies(vec!["no-friday-drops".to_owned()])
        .next("ask team dba");
    for (name, problem, form) in [
        ("problem_invalid_input", invalid, "table"),
        ("problem_refused", refused.clone(), "table"),
        ("problem_refused_json", refused, "json"),
    ] {
        fake.part.lock().unwrap().submissions.push_back(Some(problem));
        assert_snapshot!(name, fake.told(&format!("demo echo -o {form}")));
    }
}

#[test]
fn exit_codes_tell_what_happened() {
    let fake = Fake::start();
    for (problem, exit) in [
        (code::INVALID_INPUT, 2),
        (code::INVALID_CREDENTIALS, 3),
        (code::REFUSED, 4),
        (code::UNKNOWN_ACTION, 5),
        (code::PLAN_DRIFTED, 6),
        (code::PROVIDER_FAILED, 1),
        (code::STORE_UNAVAILABLE, 9),
    ] {
        fake.part.lock().unwrap().submissions.push_back(Some(Problem::new(problem, "so it is")));
        assert_eq!(fake.run(&["demo", "echo"]).0, exit, "{problem}");
    }
    assert_eq!(fake.run(&["runs", "show", "00000000"]).0, 5);
}

#[test]
fn nobody_is_signed_in_and_nobody_answers() {
    let mut fake = Fake::start();
    std::fs::remove_file(fake.config("credentials.toml")).unwrap();
    assert_snapshot!("not_signed_in", fake.told("demo echo"));
    fake.stop();
    let (exit, out, err) = fake.run(&["demo", "echo"]);
    assert_eq!((exit, out.as_str()), (9, ""));
    assert!(err.starts_with("error: Gateway unreachable: http://GATEWAY: "), "{err}");
    assert!(err.contains("\nnext: "), "{err}");
}

#[test]
fn a_token_is_not_sent_in_the_clear_to_strangers() {
    let fake = Fake::start_unknown();
    let output = fake
        .command(&["whoami"])
        .env("GUICHET_GATEWAY", "http://guichet.example")
        .env("GUICHET_TOKEN", "gt_dana_0001")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(err.contains("loopback only") && err.contains("insecure = true"), "{err}");
    assert!(!err.contains("gt_dana"), "{err}");
}
