//! Help and version: from the cache, without a gateway.

use insta::assert_snapshot;

use crate::fake::Fake;

#[test]
fn help_shows_where_one_is_and_all_commands() {
    let mut fake = Fake::start();
    fake.stop();
    assert_snapshot!("help", fake.told("--help"));
    assert_snapshot!("help_of_a_group", fake.told("rds --help"));
    assert_snapshot!("help_of_an_action", fake.told("rds cancel-query --help"));
    assert_snapshot!("help_of_every_kind_of_flag", fake.told("demo echo --help"));
}

#[test]
fn without_a_context_help_says_how_to_begin() {
    let mut fake = Fake::start_unknown();
    fake.stop();
    let (exit, out, _) = fake.run(&["--help"]);
    assert_eq!(exit, 0);
    assert!(out.contains("guichet login --gateway"), "{out}");
    let (exit, _, err) = fake.run(&["runs", "list"]);
    assert_eq!(exit, 2);
    assert!(err.contains("next: guichet login"), "{err}");
}

#[test]
fn version_asks_nobody() {
    let mut fake = Fake::start();
    fake.stop();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(fake.run(&["--version"]), (0, format!("guichet {version}\n"), String::new()));
    let (exit, out, _) = fake.run(&["version", "-o", "json"]);
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((exit, &told["version"], &told["context"]), (0, &version.into(), &"staging".into()));
}
