//! Teams, owners, and what is wrong in a registry file.

use guichet_rules::Registry;

use crate::world::files;

/// Faults as they are shown.
fn faults(texts: &[(&str, &str)]) -> Vec<String> {
    match Registry::parse(&files(texts)) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn every_fault_has_its_place_and_says_what_to_do() {
    let teams = "teams:\n  - name: dba\n    members: [omar]\n";
    let table: &[(&str, &str)] = &[
        (
            "teams:\n  - name: a\n    member: [x]\n",
            "r:3:5: unknown field `member`; did you mean `members`? (known here: name, members, chat, parents)",
        ),
        ("team: []\n", "r:1:1: unknown field `team`; did you mean `teams`?"),
        ("teams:\n  - members: [x]\n", "r:2:5: the field `name` is missing"),
        ("teams:\n  - name: a\n  - name: a\n", "r:3:11: the team `a` is defined twice"),
        ("teams:\n  - name: unowned\n", "r:2:11: no team can be called `unowned`"),
        ("teams:\n  - name: a/b\n", "r:2:11: `a/b` is no name of a team"),
        ("teams:\n  - name: a\n    members: [x, x]\n", "r:3:18: `x` is listed twice in the team `a`"),
        ("teams:\n  - name: a\n    members: ['']\n", "r:3:15: `` is no name of a person"),
        ("people:\n  - name: omar\n    email: omar\n", "r:3:12: `omar` is no address of mail"),
        ("people:\n  - name: omar\n    email: \"a@b\\r\\nBcc: c@d\"\n", "r:3:12: `a@b"),
        ("people:\n  - name: omar\n  - name: omar\n", "r:3:11: the person `omar` is listed twice"),
        (
            "teams:\n  - name: dba\n  - name: b\n    parents: [dbs]\n",
            "r:4:15: no team is called `dbs`; did you mean `dba`?",
        ),
        ("teams:\n  - name: a\n    parents: [a]\n", "r:3:15: the team `a` would be inside itself"),
        (
            "teams:\n  - {name: a, parents: [b]}\n  - {name: b, parents: [c]}\n  - {name: c, parents: [a]}\n",
            "r:2:25: the team `a` would be inside itself",
        ),
        (
            "resources:\n  - pattern: x\n    owner: dab\n",
            "r:3:12: no team is called `dab`; did you mean `dba`?",
        ),
        ("resources:\n  - pattern: a/**/b\n    owner: dba\n", "r:2:14: `a/**/b`: `**` stands for the rest"),
        (
            "resources:\n  - {pattern: x, owner: dba}\n  - {pattern: x, owner: dba}\n",
            "r:3:15: the pattern `x` is listed twice",
        ),
        ("services:\n  - {name: s, owner: nobody-here}\n", "r:2:22: no team is called `nobody-here`"),
        (
            "services:\n  - {name: s, owner: dba}\n  - {name: s, owner: dba}\n",
            "r:3:12: the service `s` is defined twice",
        ),
        ("services:\n  - {name: ' ', owner: dba}\n", "r:2:12: the service has no name"),
        ("teams: [\n", "r:"),
        ("teams: 3\n", "r:1:8: "),
    ];
    for (text, expected) in table {
        // Most texts need the team dba; those about teams bring their own.
        let found = if text.starts_with("team") {
            faults(&[("r", text)])
        } else {
            faults(&[("r", text), ("t", teams)])
        };
        assert!(found.first().is_some_and(|fault| fault.starts_with(expected)), "{text}\n{found:#?}");
    }
}

#[test]
fn all_faults_are_told_at_once() {
    let found = faults(&[
        ("b", "teams:\n  - {name: x, parents: [nope]}\nresources:\n  - {pattern: 'a//b', owner: x}\n"),
        ("a", "services:\n  - {name: s, owner: nobody}\n"),
    ]);
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(found.is_sorted());
}

#[test]
fn a_tie_between_two_owners_is_a_fault_and_between_one_is_none() {
    let teams = "teams: [{name: a}, {name: b}]\n";
    for (one, two, owner, is_fault) in [
        ("x/*y", "x/*z*", "b", true),
        ("x/*y", "x/*z*", "a", false),
        ("x/*y", "x/*z", "b", false),
        ("x/*/p", "x/q/*", "b", false),
        ("x/*/*z", "x/*y/*", "b", true),
    ] {
        let text = format!(
            "{teams}resources:\n  - {{pattern: '{one}', owner: a}}\n  - {{pattern: '{two}', owner: {owner}}}\n"
        );
        let found = faults(&[("r", &text)]);
        assert_eq!(found.len(), usize::from(is_fault), "{one} {two}: {found:?}");
        if is_fault {
            assert!(
                found[0].starts_with("r:4:15: ") && found[0].contains("neither is more specific"),
                "{found:?}"
            );
        }
    }
}

#[test]
fn the_most_specific_pattern_owns() {
    let registry = Registry::parse(&files(&[
        ("t", "teams: [{name: dba}, {name: checkout}, {name: any}, {name: stars}]\n"),
        (
            "r",
            "resources:
  - {pattern: 'postgres/shop/**', owner: dba}
  - {pattern: 'postgres/shop/applications/checkout*', owner: checkout}
  - {pattern: 'post*', owner: stars}
  - {pattern: '*/shop', owner: any}
  - {pattern: 'kafka/*/topics/billing.*', owner: checkout}
",
        ),
    ]))
    .unwrap();
    for (resource, owner) in [
        ("postgres/shop", Some("dba")),
        ("postgres/shop/applications/reporting", Some("dba")),
        ("postgres/shop/applications/checkout", Some("checkout")),
        ("postgres/shop/applications/checkout-api", Some("checkout")),
        ("postgres/shop/applications/checkout-api/x", Some("dba")),
        ("postgres/other", None),
        ("postgres", Some("stars")),
        ("mysql/shop", Some("any")),
        ("kafka/default/topics/billing.orders", Some("checkout")),
        ("kafka/default/topics/billing", None),
        ("", None),
    ] {
        assert_eq!(registry.owner_of(resource), owner, "{resource}");
    }
}

#[test]
fn people_are_in_the_teams_their_teams_are_part_of() {
    let registry = Registry::parse(&files(&[(
        "t",
        "# all of them
teams:
  - {name: all}
  - {name: platform, parents: [all], members: [ada]}
  - {name: dba, parents: [platform], members: [omar], chat: '#dba'}
services:
  - {name: db-proxy, owner: dba, description: Stands before the databases}
",
    )]))
    .unwrap();
    let teams = |person: &str| registry.teams_of(person).into_iter().collect::<Vec<_>>();
    assert_eq!(teams("omar"), ["all", "dba", "platform"]);
    assert_eq!(teams("ada"), ["all", "platform"]);
    assert_eq!(teams("nobody"), [""; 0]);
    assert_eq!(registry.members_of("platform").iter().collect::<Vec<_>>(), ["ada", "omar"]);
    assert!(registry.members_of("nobody").is_empty());
    assert_eq!(registry.team("dba").unwrap().chat.as_deref(), Some("#dba"));
    assert_eq!(registry.service("db-proxy").unwrap().owner, "dba");
}

#[test]
fn people_have_addresses_of_mail() {
    let text = "people:\n  - {name: omar, email: omar.o@corp.test}\n  - {name: olga}\n";
    let registry = Registry::parse(&files(&[("r", text)])).unwrap();
    assert_eq!(registry.person("omar").unwrap().email.as_deref(), Some("omar.o@corp.test"));
    assert_eq!(registry.person("olga").unwrap().email, None);
    assert_eq!(registry.person("eve"), None);
}

#[test]
fn a_file_of_comments_is_a_file_of_nothing() {
    let registry = Registry::parse(&files(&[("r", "# nothing yet\n\n")])).unwrap();
    assert_eq!(registry.teams().count(), 0);
    let other = Registry::parse(&files(&[("r", "# something\n")])).unwrap();
    assert_ne!(registry.digest(), other.digest());
}
