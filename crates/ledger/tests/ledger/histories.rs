//! What an older checkpoint proves that the newest alone does not: cut-off and forked logs; and a log without its
//! beginning.

use crate::logs::{Log, signer};
use guichet_ledger::{
    Edge, Fault, Tree, append, check_consistency, leaf_hash, prove_consistency, sign, verify, verify_from,
};

/// The log whose operator, who has the key, changed the past and signed anew.
fn rewritten(log: &Log, change: impl FnOnce(&mut Vec<String>)) -> Log {
    let mut other = Log::new();
    let mut entries = log.entries.clone();
    change(&mut entries);
    let leaves: Vec<&[u8]> = entries.iter().map(String::as_bytes).collect();
    let appended = append(&other.tree, &leaves, &other.tiles).unwrap();
    other.tree = appended.tree();
    for (level, index, hashes) in appended.tiles {
        other.tiles.insert((level, index), hashes);
    }
    other.entries = entries;
    other
}

fn against(log: &Log, before: &[Tree]) -> Result<u64, Fault> {
    verify_from(Edge::new(), log.leaves(), &log.checkpoint(), before).map(|report| report.size)
}

type Change = fn(&mut Vec<String>);

#[test]
fn every_change_of_the_past_that_is_signed_anew_is_found_by_an_older_checkpoint() {
    let log = Log::of(600);
    let remembered: Vec<Tree> = [1, 255, 256, 400, 600].map(|size| Log::of(size).tree).into();
    assert_eq!(against(&log, &remembered), Ok(600));
    let mut grown = Log::of(600);
    grown.grow(100);
    assert_eq!(against(&grown, &remembered), Ok(700), "a longer log holds what was signed before");
    assert_eq!(against(&log, &[Tree::EMPTY]), Ok(600));

    let changes: [(&str, Change); 4] = [
        ("edited", |entries| entries[300] = "edited".to_owned()),
        ("deleted", |entries| {
            entries.remove(300);
            entries.push("filler".to_owned());
        }),
        ("inserted", |entries| entries.insert(300, "inserted".to_owned())),
        ("swapped", |entries| entries.swap(17, 300)),
    ];
    for (what, change) in changes {
        let other = rewritten(&log, change);
        // By itself it is whole.
        verify(other.leaves(), &other.checkpoint()).unwrap();
        let fault = against(&other, &remembered).unwrap_err();
        assert!(matches!(fault, Fault::Forked { .. }), "{what}: {fault}");
        assert!(fault.to_string().contains("the past was rewritten and signed anew (a fork)"), "{fault}");
        // Who has no entries at all sees it from the two checkpoints and the tiles the log would have to serve.
        let old = Log::of(400).tree;
        let proof = prove_consistency(400, other.tree.size, &other.tiles).unwrap();
        assert!(check_consistency(&old, &other.tree, &proof).is_err(), "{what}");
    }

    let cut = rewritten(&log, |entries| entries.truncate(500));
    verify(cut.leaves(), &cut.checkpoint()).unwrap();
    assert_eq!(against(&cut, &remembered), Err(Fault::Shrunk { before: 600, now: 500 }));
    let same_size = rewritten(&log, |entries| entries[599] = "other".to_owned());
    let fault = against(&same_size, &[log.tree]).unwrap_err();
    assert_eq!(fault, Fault::Forked { signed: log.tree, found: same_size.tree.root });
}

#[test]
fn what_is_left_of_a_log_is_verified_by_the_tiles_of_its_beginning() {
    for (first, size) in [(256_u64, 600_u64), (512, 600), (512, 512), (65_536, 65_600), (66_048, 70_000)] {
        let log = Log::of(size);
        let begin = usize::try_from(first).unwrap();
        let left = || {
            (first..)
                .zip(&log.entries[begin..])
                .map(|(index, entry)| Ok::<_, std::convert::Infallible>((index, entry.as_str())))
        };
        let edge = Edge::from_tiles(first, &log.tiles).unwrap();
        let report = verify_from(edge.clone(), left(), &log.checkpoint(), &[log.tree]).unwrap();
        assert_eq!((report.first, report.size, report.root), (first, size, log.tree.root));
        // The edge is not believed: another one does not give the signed root.
        let mut tiles = log.tiles.clone();
        let (level, index) = guichet_ledger::edge_tiles(first).next().unwrap();
        tiles.get_mut(&(level, index)).unwrap()[0] ^= 1;
        let forged = Edge::from_tiles(first, &tiles).unwrap();
        assert!(matches!(verify_from(forged, left(), &log.checkpoint(), &[]), Err(Fault::Changed { .. })));
        if size > first {
            let changed =
                left().map(|leaf| leaf.map(|(index, text)| (index, text.replace("submit", "reject"))));
            assert!(verify_from(edge.clone(), changed, &log.checkpoint(), &[]).is_err());
            assert!(matches!(
                verify_from(edge, left().skip(1), &log.checkpoint(), &[]),
                Err(Fault::Gap { .. } | Fault::Truncated { .. })
            ));
        }
    }
}

#[test]
fn a_fork_is_found_by_another_implementation_too() {
    let log = Log::of(400);
    let other = rewritten(&Log::of(600), |entries| entries[300] = "edited".to_owned());
    // The same proof, checked by tlog_tiles.
    for (grown, holds) in [(Log::of(600), true), (other, false)] {
        let proof = prove_consistency(400, 600, &grown.tiles).unwrap();
        let theirs = tlog_tiles::check_tree(
            &proof.into_iter().map(tlog_tiles::Hash).collect(),
            600,
            tlog_tiles::Hash(grown.tree.root),
            400,
            tlog_tiles::Hash(log.tree.root),
        );
        assert_eq!(theirs.is_ok(), holds);
    }
}

#[test]
fn an_entry_beyond_the_checkpoint_is_not_taken_for_a_signed_one() {
    let log = Log::of(10);
    let note = sign(&Log::of(8).tree, &signer());
    let checkpoint = guichet_ledger::open(&note, signer().verifier()).unwrap();
    let report = verify_from(Edge::new(), log.leaves(), &checkpoint, &[Log::of(8).tree]).unwrap();
    assert_eq!((report.size, report.beyond), (8, 2));
    assert_eq!(Log::of(1).tree.root, leaf_hash(crate::logs::entry(0).as_bytes()));
}
