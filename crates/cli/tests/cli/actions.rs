//! Finding actions.

use insta::assert_snapshot;

use crate::fake::Fake;

#[test]
fn actions_are_listed_found_and_shown_without_a_gateway() {
    let mut fake = Fake::start();
    fake.stop();
    assert_snapshot!("actions_list", fake.told("actions list"));
    assert_snapshot!("actions_show", fake.told("actions show rds cancel-query"));
    let (_, out, _) = fake.run(&["actions", "search", "cncl", "qry"]);
    assert_eq!(out.lines().nth(1).unwrap().split("  ").next(), Some("rds cancel-query"), "{out}");
    assert_eq!(fake.run(&["actions", "show", "postgres.cancel-query"]).0, 0);
    assert_eq!(fake.run(&["actions", "show", "nothing"]).0, 5);
}

#[test]
fn actions_that_are_forbidden_say_why() {
    let fake = Fake::start();
    assert_snapshot!("actions_for_me", fake.told("actions list"));
    let (exit, out, _) = fake.run(&["actions", "show", "postgres.drop-index"]);
    assert_eq!(exit, 0);
    assert!(out.contains("For you") && out.contains("no: indexes are frozen"), "{out}");
    let (_, out, _) = fake.run(&["actions", "list", "--output", "json"]);
    let actions: serde_json::Value = serde_json::from_str(&out).unwrap();
    let forbidden = actions.as_array().unwrap().iter().find(|action| action["id"] == "postgres.drop-index");
    assert_eq!(forbidden.unwrap()["for_me"]["policies"][0], "frozen", "{out}");
}
