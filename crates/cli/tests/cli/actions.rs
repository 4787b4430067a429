//! Finding actions and providers.

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
fn providers_are_listed_with_what_is_wrong() {
    let fake = Fake::start();
    assert_snapshot!("providers_list", fake.told("providers list"));
}
