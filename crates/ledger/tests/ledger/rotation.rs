//! One key takes the place of another, and nobody loses sight of the log.

use crate::logs::Log;
use guichet_ledger::{KeyError, KeySet, NoteError, Signer, Verifier, open, open_with_any, verify};

const NAME: &str = "guichet.example/production";

fn key(seed: u8) -> Signer {
    Signer::from_seed(NAME, [seed; 32]).unwrap()
}

fn public(seed: u8) -> Verifier {
    key(seed).verifier().clone()
}

#[test]
fn while_two_keys_change_over_either_of_them_verifies() {
    let log = Log::of(300);
    let both = KeySet::new(key(2), vec![key(1)]).unwrap();
    let note = both.sign(&log.tree);
    assert_eq!(both.verifiers(), [public(2), public(1)]);
    assert_eq!(both.name(), NAME);
    for known in [vec![public(1)], vec![public(2)], vec![public(3), public(1)], vec![public(1), public(2)]] {
        let opened = open_with_any(&note, &known).unwrap();
        verify(log.leaves(), &opened.checkpoint).unwrap();
        assert_eq!(opened.signed_by.len(), known.iter().filter(|key| **key != public(3)).count());
    }
    // Each step opens what the step before signed, so that the log goes on.
    let steps = [KeySet::from(key(1)), both, KeySet::from(key(2))];
    for pair in steps.windows(2) {
        assert_eq!(pair[1].open(&pair[0].sign(&log.tree)).unwrap().tree(), log.tree);
    }
    assert!(
        matches!(steps[2].open(&steps[0].sign(&log.tree)), Err(NoteError::OtherKeys { .. })),
        "a step was left out"
    );
}

#[test]
fn another_implementation_reads_both_signatures() {
    let log = Log::of(10);
    let note = KeySet::new(key(2), vec![key(1)]).unwrap().sign(&log.tree);
    for seed in [1, 2] {
        let theirs = signed_note::Note::from_bytes(note.as_bytes()).unwrap();
        let verifier = signed_note::StandardVerifier::new(&public(seed).to_string()).unwrap();
        let known = signed_note::VerifierList::new(vec![Box::new(verifier)]);
        let (verified, _) = theirs.verify(&known).unwrap();
        assert_eq!(verified.len(), 1, "seed {seed}");
    }
}

#[test]
fn strangers_and_forgers_are_told_apart() {
    let log = Log::of(10);
    let note = KeySet::new(key(2), vec![key(1)]).unwrap().sign(&log.tree);
    match open_with_any(&note, &[public(3), public(4)]).unwrap_err() {
        NoteError::OtherKeys { wanted, .. } => assert!(wanted.contains(" or "), "{wanted}"),
        other => panic!("{other}"),
    }
    assert!(matches!(open_with_any(&note, &[]), Err(NoteError::Malformed(_))));
    // A line that bears the old key's name and not its signature, added by whoever has the new key alone.
    let forged = KeySet::new(key(2), vec![key(1)]).unwrap().sign(&Log::of(9).tree);
    let old_line = forged.lines().last().unwrap();
    let with_forged = note.lines().take(5).collect::<Vec<_>>().join("\n") + "\n" + old_line + "\n";
    assert!(open(&with_forged, &public(2)).is_ok());
    assert!(matches!(open_with_any(&with_forged, &[public(1)]), Err(NoteError::Forged { .. })));
    assert!(matches!(open_with_any(&with_forged, &[public(2), public(1)]), Err(NoteError::Forged { .. })));
    let elsewhere = Signer::from_seed("guichet.example/staging", [1; 32]).unwrap();
    assert!(matches!(KeySet::new(key(2), vec![elsewhere]), Err(KeyError::Names(..))));
}
