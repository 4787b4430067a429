//! What is wrong in a policy file, and where.

use guichet_rules::{Defaults, Policies};
use serde_json::json;

use crate::world::{action, catalogue, catalogue_of, files, load, registry};

fn faults(texts: &[(&str, &str)]) -> Vec<String> {
    match load(texts, &catalogue(), &registry()) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn every_fault_has_its_place_and_the_nearest_name() {
    let all = "(principal, action, resource)";
    let table = [
        // Cedar's grammar
        ("@id(\"a\")\npermit (principal, action resource);".to_owned(), "p:2:27: unexpected token `resource`"),
        (format!("@id(\"a\") permit {all}"), "p:1:46: unexpected end of input: expected `;`"),
        ("@id(\"a\") permit (principal == ?principal, action, resource);".to_owned(), "p:1:31: expected a static policy, got a template"),
        // Names
        ("@id(\"a\") permit (\n  principal in Team::\"chekcout\", action, resource);".to_owned(), "p:2:16: no team is called `chekcout`; did you mean `checkout`?"),
        ("@id(\"a\") permit (principal, action == Action::\"postgres.cancel-qurey\", resource);".to_owned(), "p:1:39: no action, effect, provider or verb is called `postgres.cancel-qurey`; did you mean `postgres.cancel-query`?"),
        ("@id(\"a\") permit (principal, action in Action::\"destory\", resource);".to_owned(), "p:1:39: no action, effect, provider or verb is called `destory`; did you mean `destroy`?"),
        ("@id(\"a\") permit (principal is Persn, action, resource);".to_owned(), "p:1:31: policy `a`: unrecognized entity type `Persn`; did you mean `Person`?"),
        (format!("@id(\"a\") permit {all} when {{\n  context.enviroment == \"x\" }};"), "p:2:3: policy `a`: attribute `enviroment` "),
        ("@id(\"a\") permit (principal, action == Action::\"postgres.cancel-query\", resource) when { context.input.pit == 1 };".to_owned(), "p:1:89: policy `a`: attribute `input.pit` "),
        // Types
        ("@id(\"a\") permit (principal, action == Action::\"postgres.cancel-query\", resource) when { context.input.pid == \"1\" };".to_owned(), "p:1:89: policy `a`: the types Long and String are not compatible"),
        ("@id(\"a\") permit (principal, action == Action::\"postgres.cancel-query\", resource) when { context.input.note == \"1\" };".to_owned(), "p:1:89: policy `a`: unable to guarantee safety of access to optional attribute `input.note`"),
        ("@id(\"a\") permit (principal, action == Action::\"postgres.cancel-query\", resource) when { context.input.ratio == 1 };".to_owned(), "p:1:89: policy `a`: attribute `input.ratio` "),
        // More than a question carries
        (format!("@id(\"a\") permit {all} when {{ principal in Resource::\"x\".owner }};"), "p:1:67: policy `a`: entity literals cannot be dereferenced"),
        // Annotations
        (format!("permit {all};"), "p:1:1: the policy has no `@id"),
        (format!("// first\n\n  @description(\"x\")\n  permit {all};"), "p:3:3: the policy has no `@id"),
        (format!("@id(\"\") permit {all};"), "p:1:1: `` is no id"),
        (format!("@id(\"provider:x\") permit {all};"), "p:1:1: the id `provider:x` is kept for what providers declare"),
        (format!("@id(\"a\") @descripton(\"x\") permit {all};"), "p:1:10: unknown annotation `@descripton`; did you mean `description`?"),
        (format!("@id(\"a\") @approval(\"x\") permit {all};"), "p:1:10: `@approval` on a `permit`"),
        (format!("@id(\"a\") @expires(\"4h\") permit {all};"), "p:1:10: `@expires` on a `permit`"),
        (format!("@id(\"a\") @next(\"x\") permit {all};"), "p:1:10: `@next` is shown when a policy refuses"),
        (format!("@id(\"a\") @by(\"owner\") forbid {all};"), "p:1:10: `@by` without `@approval`"),
        (format!("@id(\"a\") @approval(\"x\") forbid {all};"), "p:1:10: `@approval` without `@by`"),
        (format!("@id(\"a\") @approval(\" \") @by(\"owner\") forbid {all};"), "p:1:10: `@approval` says nothing"),
        (format!("@id(\"a\") @approval(\"x\")\n@by(\"omar\") forbid {all};"), "p:2:1: `omar` names no approvers: write `owner` or `team:NAME`"),
        (format!("@id(\"a\") @approval(\"x\")\n@by(\"team:dbs\") forbid {all};"), "p:2:1: no team is called `dbs`; did you mean `dba`?"),
        (format!("@id(\"a\") @approval(\"x\") @by(\"owner\")\n@count(\"0\") forbid {all};"), "p:2:1: `@count` is the number of distinct people"),
        (format!("@id(\"a\") @approval(\"x\") @by(\"owner\")\n@count(\"21\") forbid {all};"), "p:2:1: `@count` is the number of distinct people"),
        (format!("@id(\"a\") @approval(\"x\") @by(\"owner\")\n@expires(\"0s\") forbid {all};"), "p:2:1: `@expires` is a time"),
        (format!("@id(\"a\") @approval(\"x\") @by(\"owner\")\n@expires(\"31d\") forbid {all};"), "p:2:1: `@expires` is a time"),
        (format!("@id(\"a\") @approval(\"x\") @by(\"owner\")\n@expires(\"soon\") forbid {all};"), "p:2:1: `@expires` is a time"),
        (format!("@id(\"a\") @timeout(\"1h\") permit {all};"), "p:1:10: `@timeout` on a `permit`"),
        (format!("@id(\"a\")\n@timeout(\"25h\") forbid {all};"), "p:2:1: `@timeout` is a time"),
        (format!("@id(\"a\")\n@timeout(\"0s\") forbid {all};"), "p:2:1: `@timeout` is a time"),
    ];
    for (text, expected) in table {
        let found = faults(&[("p", &text)]);
        assert!(found.first().is_some_and(|fault| fault.starts_with(expected)), "{text}\n{found:#?}");
    }
}

#[test]
fn a_policy_does_not_hide_behind_a_carriage_return() {
    let text = "@id(\"a\") permit (principal, action, resource); // the end\r@id(\"b\") forbid (principal, action, resource);";
    let policies = load(&[("p", text)], &catalogue(), &registry()).unwrap();
    assert!(policies.rule("b").is_some_and(|rule| rule.forbids));
}

#[test]
fn an_id_is_taken_once_among_all_files() {
    let one = "@id(\"a\") permit (principal, action, resource);";
    let found = faults(&[("one", one), ("two", &format!("\n{one}"))]);
    assert_eq!(found, ["two:2:1: the id `a` is taken by the policy at one:1: choose another"]);
}

#[test]
fn all_faults_of_all_files_are_told_at_once() {
    let found = faults(&[
        (
            "b",
            "permit (principal, action, resource);\n@id(\"x\") permit (principal in Team::\"nope\", action, resource);",
        ),
        ("a", "@id(\"y\") permit (principal, action, resouce);"),
    ]);
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(
        found[0].starts_with("a:1:") && found[1].starts_with("b:1:1:") && found[2].starts_with("b:2:31:"),
        "{found:#?}"
    );
}

#[test]
fn a_policy_about_an_effect_stays_valid_while_nothing_has_it() {
    let text = "@id(\"a\") permit (principal, action in Action::\"destroy\", resource) when { context.environment == \"x\" };";
    let policies = load(&[("p", text)], &catalogue_of(Vec::new()), &registry()).unwrap();
    assert_eq!(policies.warnings(), []);
}

#[test]
fn names_that_cannot_stand_beside_each_other_are_the_providers_fault() {
    let mut twin = action("postgres.activity");
    "other".clone_into(&mut twin.provider);
    let catalogue = catalogue_of(vec![action("postgres.activity"), twin]);
    let faults = load(&[], &catalogue, &registry()).unwrap_err();
    assert_eq!(faults.len(), 1);
    assert!(
        faults[0].to_string().contains("`postgres.activity` has the name of another action"),
        "{}",
        faults[0]
    );
}

#[test]
fn what_is_surely_not_meant_is_a_warning() {
    let mut asking = action("postgres.terminate-backend");
    asking.approval = Some(serde_json::from_value(json!({"by": "team:dbs"})).unwrap());
    let text = "@id(\"a\") permit (principal, action, resource);\n@id(\"b\") forbid (principal, action, resource) when { 1 == 2 };";
    let policies = load(&[("p", text)], &catalogue_of(vec![asking]), &registry()).unwrap();
    let told: Vec<String> = policies.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(told[0].starts_with("p:2:1: policy `b`: "), "{told:#?}");
    assert!(
        told[1].contains("team `dbs`, which the registry does not know")
            && told[1].contains("did you mean `dba`?"),
        "{told:#?}"
    );
}

#[test]
fn the_version_changes_with_everything_that_decides() {
    let text = "@id(\"a\") permit (principal, action, resource);";
    let version = |texts: &[(&str, &str)], actions, expires| {
        let defaults = Defaults { approval_expires_seconds: expires };
        let policies =
            Policies::load(&files(texts), &catalogue_of(actions).actions, &registry(), defaults).unwrap();
        policies.version().clone()
    };
    let activity = || vec![action("postgres.activity")];
    let first = version(&[("p", text)], activity(), 60);
    assert_eq!(first, version(&[("p", text)], activity(), 60));
    let two = [("p", text), ("q", "")];
    assert_eq!(version(&two, activity(), 60), version(&[two[1], two[0]], activity(), 60));
    let mut asking = action("postgres.activity");
    asking.approval = Some(serde_json::from_value(json!({"by": "owner"})).unwrap());
    for other in
        [version(&[("p", &format!("{text} "))], activity(), 60), version(&[("p", text)], activity(), 61)]
    {
        assert_ne!(first, other);
    }
    // What a provider declares is bound by its action's own version.
    assert_eq!(first, version(&[("p", text)], vec![action("postgres.cancel-query"), asking], 60));
}

#[test]
fn a_policy_on_a_provider_that_was_never_reached_is_passed_over_and_no_forbid_is_lost() {
    let absent = std::collections::BTreeSet::from(["kafka".to_owned()]);
    let load = |text: &str| {
        let actions = catalogue_of(vec![action("postgres.activity")]);
        Policies::load_without(
            &absent,
            &files(&[("p", text)]),
            &actions.actions,
            &registry(),
            Defaults::default(),
        )
    };
    let alone = "@id(\"k\") forbid (principal, action == Action::\"kafka.delete-topic\", resource);";
    let policies = load(alone).unwrap();
    assert!(
        policies.warnings()[0].to_string().contains("`kafka` has not been reached"),
        "{:?}",
        policies.warnings()
    );
    assert_eq!(policies.rules().count(), 0);
    let mixed = "@id(\"m\") forbid (principal, action in [Action::\"kafka.delete-topic\", Action::\"postgres.activity\"], resource);";
    let faults = load(mixed).unwrap_err();
    assert!(faults[0].to_string().contains("kafka.delete-topic"), "{faults:?}");
    assert!(load("@id(\"x\") forbid (principal, action == Action::\"kafca.delete\", resource);").is_err());
}

#[test]
fn people_can_read_the_schema() {
    let text = guichet_rules::schema_text(&catalogue()).unwrap();
    for part in [
        "entity Person in [Team]",
        "owner: Team",
        "action \"postgres.cancel-query\" in",
        "pid: Long",
        "agent?: String",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
}
