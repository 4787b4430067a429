//! The audit trail: search, export, and proofs that do not trust the gateway.

use insta::assert_snapshot;

use crate::{
    fake::{Fake, Part},
    signing::signed_leaves,
};

fn with_ledger() -> Fake {
    let fake = Fake::start();
    fake.part.lock().unwrap().sign(1, &signed_leaves());
    fake
}

#[test]
fn records_are_searched() {
    let fake = Fake::start();
    assert_snapshot!(
        "audit_list",
        fake.told("audit list --principal dana --verb submit_run --since 2026-11-21T00:00:00Z")
    );
    let asked = fake.seen("GET /v1/records")[0].line.clone();
    assert!(
        asked.contains("principal=dana&verb=submit_run&since=2026-11-21T00%3A00%3A00Z&limit=50"),
        "{asked}"
    );
    assert_eq!(fake.run(&["audit", "list", "--principal", "nobody"]).2, "no records\n");
}

#[test]
fn the_export_is_exactly_what_was_hashed() {
    let fake = with_ledger();
    let (exit, out, err) = fake.run(&["audit", "export"]);
    assert_eq!((exit, out), (0, signed_leaves().join("\n") + "\n"), "{err}");
    let (_, out, _) = fake.run(&["audit", "export", "--from", "4"]);
    assert_eq!(out, signed_leaves()[4].clone() + "\n");
}

#[test]
fn a_whole_ledger_verifies_and_is_remembered() {
    let fake = with_ledger();
    assert_snapshot!("verify_first", fake.told("audit verify"));
    let mut longer = signed_leaves();
    longer.push("{\"n\":5}".to_owned());
    fake.part.lock().unwrap().sign(1, &longer);
    let (exit, out, err) = fake.run(&["audit", "verify"]);
    assert_eq!(exit, 0, "{err}");
    assert!(out.contains("the 5 entries that were verified here before"), "{out}");
    assert!(!err.contains("taken on trust"), "{err}");
}

#[test]
fn what_was_not_given_is_not_called_verified() {
    let fake = with_ledger();
    fake.part.lock().unwrap().pruned = 3;
    let (exit, out, err) = fake.run(&["audit", "verify"]);
    assert_eq!(exit, 0, "{err}");
    assert!(out.contains("3 to 4"), "{out}");
    assert!(err.contains("verified: entries 3 to 4 are exactly those"), "{err}");
    assert!(err.contains("entries 0 to 2 were not given: verify their archives (`--archive`)"), "{err}");
    let (_, out, _) = fake.run(&["audit", "verify", "-o", "json"]);
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&told["first"], &told["size"]), (&3.into(), &5.into()));
    // A gateway that gives nothing at all has shown nothing.
    fake.part.lock().unwrap().pruned = 5;
    let (exit, out, err) = fake.run(&["audit", "verify"]);
    assert_eq!((exit, out.as_str()), (1, ""), "{err}");
    assert!(err.contains("none of the 5 signed entries is given"), "{err}");
}

/// What was done, the leaves after it, the seed of the key that signed anew, and what is told.
type Deed = (&'static str, Vec<String>, Option<u8>, &'static str);

#[test]
fn what_was_done_to_the_ledger_is_told() {
    let edited = || {
        let mut leaves = signed_leaves();
        leaves[2] = leaves[2].replace('2', "7");
        leaves
    };
    let cut = || signed_leaves()[..3].to_vec();
    let deeds: [Deed; 5] = [
        ("an entry was edited", edited(), None, "the ledger was changed"),
        ("the end was cut off", cut(), None, "the ledger was cut off"),
        (
            "an entry was edited and all signed anew",
            edited(),
            Some(1),
            "the past was rewritten and signed anew (a fork)",
        ),
        ("the end was cut off and the rest signed anew", cut(), Some(1), "it was cut off"),
        ("signed with another key", signed_leaves(), Some(2), "key is not the one met before"),
    ];
    for (deed, leaves, signed_anew, told) in deeds {
        let fake = with_ledger();
        assert_eq!(fake.run(&["audit", "verify"]).0, 0);
        {
            let mut part = fake.part.lock().unwrap();
            match signed_anew {
                Some(seed) => part.sign(seed, &leaves),
                None => part.leaves = leaves,
            }
        }
        let (exit, out, err) = fake.run(&["audit", "verify"]);
        assert_eq!((exit, out.as_str()), (1, ""), "{deed}");
        assert!(err.contains(told), "{deed}: {err}");
    }
}

#[test]
fn the_tiles_say_which_entry_was_changed() {
    let fake = with_ledger();
    let mut leaves = signed_leaves();
    leaves[2] = leaves[2].replace('2', "7");
    fake.part.lock().unwrap().leaves = leaves;
    let (exit, _, err) = fake.run(&["audit", "verify", "--tiles"]);
    assert_eq!(exit, 1);
    assert!(err.contains("entry 2 was edited"), "{err}");
}

#[test]
fn an_export_verifies_without_any_gateway() {
    let mut fake = with_ledger();
    let path = |name: &str| fake.home().join(name).display().to_string();
    let (export, checkpoint, key) = (path("export.ndjson"), path("checkpoint"), path("key"));
    std::fs::write(&export, fake.run(&["audit", "export"]).1).unwrap();
    std::fs::write(&checkpoint, fake.run(&["audit", "checkpoint"]).1).unwrap();
    let public = fake.part.lock().unwrap().signer.as_ref().unwrap().verifier().to_string();
    std::fs::write(&key, public).unwrap();
    fake.stop();
    let key = format!("@{key}");
    let verify = ["audit", "verify", "--file", &export, "--checkpoint", &checkpoint, "--key", &key];
    let (exit, _, err) = fake.run(&verify);
    assert_eq!(exit, 0, "{err}");
    let text = std::fs::read_to_string(&export).unwrap();
    std::fs::write(&export, text.replace("\"n\":3", "\"n\":4")).unwrap();
    assert_eq!(fake.run(&verify).0, 1);
    assert_eq!(fake.run(&["audit", "verify", "--file", &export]).0, 2, "checkpoint and key are needed");
}

/// A checkpoint over these leaves, signed by the key of this seed, as a file.
fn checkpoint_file(fake: &Fake, name: &str, seed: u8, leaves: &[String]) -> String {
    let mut other = Part::default();
    other.sign(seed, leaves);
    let path = fake.home().join(name).display().to_string();
    std::fs::write(&path, &other.checkpoint).unwrap();
    path
}

#[test]
fn a_checkpoint_from_elsewhere_shows_a_fork_and_a_truncation() {
    let fake = with_ledger();
    let leaves = signed_leaves();
    let mut edited = leaves.clone();
    edited[1] = edited[1].replace('1', "7");
    let mut longer = leaves.clone();
    longer.extend(["{}".to_owned(), "{}".to_owned()]);
    let earlier = checkpoint_file(&fake, "earlier", 1, &leaves[..3]);
    let fork = checkpoint_file(&fake, "fork", 1, &edited[..3]);
    let fork_of_same_size = checkpoint_file(&fake, "fork-5", 1, &edited);
    let later = checkpoint_file(&fake, "later", 1, &longer);
    let strange = checkpoint_file(&fake, "strange", 9, &leaves[..3]);
    let key = fake.part.lock().unwrap().signer.as_ref().unwrap().verifier().to_string();
    let verify = |more: &[&str]| fake.run(&[&["audit", "verify", "--key", &key], more].concat());
    assert_eq!(verify(&["--against", &earlier, "--at-least", "5"]).0, 0);
    for (more, told) in [
        (&["--against", &fork][..], "(a fork)"),
        (&["--against", &earlier, "--against", &fork_of_same_size], "(a fork)"),
        (
            &["--against", &later],
            "it was cut off: 5 entries are signed, and a checkpoint of 7 was signed before",
        ),
        (&["--against", &strange], "bears no signature of"),
        (&["--at-least", "6"], "there were at least 6"),
    ] {
        let (exit, _, err) = verify(more);
        assert_eq!(exit, 1, "{more:?}: {err}");
        assert!(err.contains(told), "{more:?}: {err}");
    }
    // The same without a gateway.
    let export = fake.home().join("export").display().to_string();
    std::fs::write(&export, leaves.join("\n") + "\n").unwrap();
    let newest = checkpoint_file(&fake, "newest", 1, &leaves);
    let offline = ["--file", &export, "--checkpoint", &newest, "--against"];
    assert_eq!(verify(&[&offline[..], &[&earlier]].concat()).0, 0);
    assert_eq!(verify(&[&offline[..], &[&fork]].concat()).0, 1);
}

/// As `guichetd` writes it for a witness: each checkpoint with an empty line after it.
#[test]
fn the_file_of_a_witness_is_taken_with_all_that_is_in_it() {
    let fake = with_ledger();
    let leaves = signed_leaves();
    let mut edited = leaves.clone();
    edited[1] = edited[1].replace('1', "7");
    let note = |seed: u8, leaves: &[String]| {
        let mut other = Part::default();
        other.sign(seed, leaves);
        other.checkpoint
    };
    let file = fake.home().join("witness").display().to_string();
    let key = fake.part.lock().unwrap().signer.as_ref().unwrap().verifier().to_string();
    let verify = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        let (exit, _, err) = fake.run(&["audit", "verify", "--key", &key, "--against", &file]);
        (exit, err)
    };
    let kept = format!("{}\n{}\n", note(1, &leaves[..2]), note(1, &leaves[..4]));
    let (exit, err) = verify(kept.as_bytes());
    assert_eq!(exit, 0, "{err}");
    // A crash cut one off within a character; the next was appended behind it.
    let cut = note(1, &leaves[..3]);
    let torn = &cut.as_bytes()[..=cut.find('—').unwrap()];
    assert!(std::str::from_utf8(torn).is_err());
    let next = note(1, &leaves);
    let (exit, err) = verify(&[kept.as_bytes(), torn, b" (cut off)\n\n", next.as_bytes(), b"\n"].concat());
    assert_eq!(exit, 0, "{err}");
    // None of them is left out.
    for (other, told) in [
        (note(1, &edited[..3]), "(a fork)"),
        (note(9, &leaves[..3]), "checkpoint 3 of 4: the checkpoint bears no signature of"),
    ] {
        let (exit, err) = verify(format!("{kept}{other}\n{next}\n").as_bytes());
        assert_eq!(exit, 1, "{err}");
        assert!(err.contains(told), "{err}");
    }
    let (exit, err) = verify(b"no checkpoint at all\n");
    assert_eq!(exit, 1);
    assert!(err.contains("this is no checkpoint"), "{err}");
    let missing = fake.run(&["audit", "verify", "--key", &key, "--against", "nowhere"]);
    assert_eq!(missing.0, 2, "{}", missing.2);
}

#[test]
fn an_archive_verifies_without_any_gateway() {
    let fake = Fake::start();
    let leaves: Vec<String> = (0..256).map(|index| format!("{{\"n\":{index}}}")).collect();
    let mut part = Part::default();
    part.sign(1, &leaves);
    let key = part.keys.clone();
    let folder = fake.home().join("archive");
    std::fs::create_dir_all(folder.join("tile/0")).unwrap();
    std::fs::create_dir_all(folder.join("tile/1/000.p")).unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes).unwrap();
    let tree = guichet_ledger::append(
        &guichet_ledger::Tree::EMPTY,
        &leaves.iter().map(String::as_bytes).collect::<Vec<_>>(),
        &std::collections::BTreeMap::new(),
    );
    for (level, index, hashes) in tree.unwrap().tiles {
        let width = u16::try_from(hashes.len() / 32).unwrap();
        write(&guichet_ledger::tile_path(level, index, width), &hashes);
    }
    write("records.ndjson", (leaves.join("\n") + "\n").as_bytes());
    write("checkpoint", part.checkpoint.as_bytes());
    write("archive.json", br#"{"origin": "guichet.example/staging", "first": 0, "until": 256}"#);
    let folder = folder.display().to_string();
    let verify =
        |more: &[&str]| fake.run(&[&["audit", "verify", "--archive", &folder, "--key", &key], more].concat());
    let (exit, _, err) = verify(&["--at-least", "256"]);
    assert_eq!(exit, 0, "{err}");
    assert!(err.contains("this archive holds the entries 0 to 255"), "{err}");
    assert_eq!(verify(&["--at-least", "257"]).0, 1);
    write("archive.json", br#"{"origin": "guichet.example/production", "first": 0, "until": 256}"#);
    let (exit, _, err) = verify(&[]);
    assert_eq!(exit, 1);
    assert!(err.contains("its checkpoint is not that of the records in it"), "{err}");
    let nowhere = fake.run(&["audit", "verify", "--archive", "nowhere", "--key", &key]);
    assert_eq!(nowhere.0, 2, "{}", nowhere.2);
}

#[test]
fn a_new_key_is_learned_from_the_log_and_not_from_whoever_offers_it() {
    let fake = with_ledger();
    assert_eq!(fake.run(&["audit", "verify"]).0, 0);
    let new = guichet_ledger::Signer::from_seed("guichet.example/staging", [2; 32]).unwrap();
    let new = new.verifier().to_string();
    // Offered, and named nowhere in the log.
    fake.part.lock().unwrap().sign_with(&[2, 1], &signed_leaves());
    let (exit, _, err) = fake.run(&["audit", "verify"]);
    assert_eq!(exit, 0, "{err}");
    assert!(err.contains("offers a key that the log does not name; not trusted"), "{err}");
    // Named in a record that the known key signed.
    let mut leaves = signed_leaves();
    leaves.push(format!(
        "{{\"at\":\"2026-11-21T08:00:00Z\",\"verb\":\"start_gateway\",\"verdict\":\"allowed\",\"environment\":\"staging\",\
         \"surface\":\"gateway\",\"detail\":\"version 1, catalogue sha256:0, ledger keys {new} x\"}}"
    ));
    fake.part.lock().unwrap().sign_with(&[2, 1], &leaves);
    let (exit, _, err) = fake.run(&["audit", "verify"]);
    assert_eq!(exit, 0, "{err}");
    assert!(err.contains("a new key, named in the log under the known key's signature"), "{err}");
    // The old one is gone, and the new one is known.
    fake.part.lock().unwrap().sign_with(&[2], &leaves);
    let (exit, out, err) = fake.run(&["audit", "verify"]);
    assert_eq!(exit, 0, "{err}");
    assert!(out.contains("the 6 entries that were verified here before"), "{out}");
    fake.part.lock().unwrap().sign_with(&[3], &leaves);
    assert_eq!(fake.run(&["audit", "verify"]).0, 1, "a stranger");
}
