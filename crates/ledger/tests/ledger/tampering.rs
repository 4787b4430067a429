//! Each way to tamper with the log, and what the auditor is told.

use std::convert::Infallible;

use crate::logs::{Log, entry};
use guichet_ledger::{Difference, Fault, LedgerError, TileReader as _, append, first_difference, verify};
use proptest::prelude::*;

const SIZE: u64 = 600;

/// Renumbers, as a careful forger does.
fn numbered(entries: &[String]) -> impl Iterator<Item = Result<(u64, &String), Infallible>> {
    (0..).zip(entries).map(Ok)
}

/// The entries of the signed log after somebody laid hand on them.
fn tampered(change: impl FnOnce(&mut Vec<String>)) -> (Log, Vec<String>) {
    let log = Log::of(SIZE);
    let mut entries = log.entries.clone();
    change(&mut entries);
    (log, entries)
}

fn where_it_differs(log: &Log, entries: &[String]) -> Difference {
    let difference = first_difference(numbered(entries), &log.checkpoint(), &log.tiles).unwrap().unwrap();
    assert!(difference.tiles_proven);
    difference
}

#[test]
fn an_untouched_log_is_as_signed() {
    for size in [0, 1, 255, 256, 600] {
        let mut log = Log::of(size);
        let checkpoint = log.checkpoint();
        let report = verify(log.leaves(), &checkpoint).unwrap();
        assert_eq!((report.first, report.size, report.root, report.beyond), (0, size, log.tree.root, 0));
        assert_eq!(first_difference(log.leaves(), &checkpoint, &log.tiles), Ok(None));
        // The older checkpoint still holds when the log has grown.
        log.grow(3);
        let report = verify(log.leaves(), &checkpoint).unwrap();
        assert_eq!((report.size, report.beyond), (size, 3));
        assert!(
            report
                .to_string()
                .ends_with("; 3 later ones are not covered by this checkpoint: a newer one tells")
        );
        assert_eq!(first_difference(log.leaves(), &checkpoint, &log.tiles), Ok(None));
    }
}

#[test]
fn an_edit_is_found_and_placed() {
    let (log, entries) = tampered(|entries| entries[300] = entry(300).replace("submit", "reject"));
    let fault = verify(numbered(&entries), &log.checkpoint()).unwrap_err();
    assert!(
        matches!(&fault, Fault::Changed { signed, found } if *signed == log.tree && *found != log.tree.root)
    );
    assert!(
        fault.to_string().starts_with("the ledger was changed: its first 600 entries give the root "),
        "{fault}"
    );

    let difference = where_it_differs(&log, &entries);
    assert_eq!((difference.index, difference.belongs_at, difference.moved_to), (300, None, None));
    assert!(
        difference
            .to_string()
            .starts_with("entry 300 was edited: its text is not the one that was signed. The tiles"),
        "{difference}"
    );
}

#[test]
fn a_deletion_is_found_and_placed() {
    // Simply deleted: the numbers tell.
    let log = Log::of(SIZE);
    let fault =
        verify(log.leaves().filter(|leaf| leaf.as_ref().unwrap().0 != 300), &log.checkpoint()).unwrap_err();
    assert_eq!(fault, Fault::Gap { expected: 300, found: 301 });
    assert!(fault.to_string().contains("somebody deleted 1 of them"), "{fault}");

    // Deleted and renumbered: one is missing in the end; with others put at the end, the root tells.
    let (log, entries) = tampered(|entries| drop(entries.remove(300)));
    let fault = verify(numbered(&entries), &log.checkpoint()).unwrap_err();
    assert_eq!(fault, Fault::Truncated { signed: SIZE, found: SIZE - 1 });
    assert!(
        where_it_differs(&log, &entries)
            .to_string()
            .starts_with("entry 300 was deleted: in its place stands what was signed as 301.")
    );

    let (log, entries) = tampered(|entries| {
        entries.drain(300..310);
        entries.extend((0..10).map(|filler| format!("filler {filler}")));
    });
    assert!(matches!(verify(numbered(&entries), &log.checkpoint()), Err(Fault::Changed { .. })));
    assert!(where_it_differs(&log, &entries).to_string().starts_with("entries 300 to 309 were deleted: "));
}

#[test]
fn an_insertion_is_found_and_placed() {
    // With a number used twice.
    let log = Log::of(SIZE);
    let twice = log.leaves().flat_map(|leaf| match leaf {
        Ok((299, text)) => vec![Ok((299, text)), Ok((299, "inserted"))],
        leaf => vec![leaf],
    });
    let fault = verify(twice, &log.checkpoint()).unwrap_err();
    assert_eq!(fault, Fault::OutOfOrder { expected: 300, found: 299 });
    assert!(fault.to_string().contains("somebody inserted entries or changed their order"), "{fault}");

    // Inserted and renumbered.
    for place in [0, 300, 599] {
        let (log, entries) = tampered(|entries| entries.insert(place, "inserted".to_owned()));
        assert!(matches!(verify(numbered(&entries), &log.checkpoint()), Err(Fault::Changed { .. })));
        let difference = where_it_differs(&log, &entries);
        let words = format!(
            "entry {place} was inserted: what was signed for this place stands at {} now.",
            place + 1
        );
        assert!(difference.to_string().starts_with(&words), "{difference}");
    }
}

#[test]
fn a_swap_is_found_and_placed() {
    // With their numbers.
    let log = Log::of(SIZE);
    let mut leaves: Vec<_> = log.leaves().collect();
    leaves.swap(17, 400);
    assert_eq!(verify(leaves, &log.checkpoint()), Err(Fault::Gap { expected: 17, found: 400 }));

    // Their texts only.
    let (log, entries) = tampered(|entries| entries.swap(17, 400));
    assert!(matches!(verify(numbered(&entries), &log.checkpoint()), Err(Fault::Changed { .. })));
    let difference = where_it_differs(&log, &entries);
    assert!(
        difference.to_string().starts_with(
            "entry 17 was moved: it stands at 400 now, and in its place stands what was signed as 400."
        ),
        "{difference}"
    );
}

#[test]
fn a_truncation_is_found_and_placed() {
    for kept in [0_u64, 1, 256, 599] {
        let (log, entries) = tampered(|entries| entries.truncate(usize::try_from(kept).unwrap()));
        let fault = verify(numbered(&entries), &log.checkpoint()).unwrap_err();
        assert_eq!(fault, Fault::Truncated { signed: SIZE, found: kept });
        assert!(fault.to_string().contains(&format!("only {kept} are there")), "{fault}");
        let difference = where_it_differs(&log, &entries);
        assert_eq!((difference.index, difference.found), (kept, None));
        assert!(
            difference.to_string().starts_with(&format!("the ledger ends before entry {kept}: ")),
            "{difference}"
        );
    }
}

#[test]
fn tiles_that_were_changed_too_are_not_believed() {
    let (mut log, entries) = tampered(|entries| entries[300] = "edited".to_owned());
    let checkpoint = log.checkpoint();
    // The forger fits the tiles to the edited entry, everywhere: entries and tiles agree.
    let mut forged = Log::new();
    let leaves: Vec<&[u8]> = entries.iter().map(String::as_bytes).collect();
    for (level, index, hashes) in append(&forged.tree, &leaves, &forged.tiles).unwrap().tiles {
        forged.tiles.insert((level, index), hashes);
    }
    let fault = first_difference(numbered(&entries), &checkpoint, &forged.tiles).unwrap_err();
    assert!(matches!(fault, Fault::TilesChangedToo { .. }));
    assert!(fault.to_string().contains("compare with tiles or entries of a backup"), "{fault}");
    // And the sealer will sign nothing upon such tiles.
    let refused = append(&log.tree, &[b"next"], &forged.tiles).unwrap_err();
    assert!(matches!(refused, LedgerError::NotTheSignedTree { .. }));
    assert!(refused.to_string().contains("nothing was signed"), "{refused}");

    // Only another tile was changed: the place is named, but not as proven.
    log.tiles.get_mut(&(0, 0)).unwrap()[0] ^= 1;
    let difference = first_difference(numbered(&entries), &checkpoint, &log.tiles).unwrap().unwrap();
    assert_eq!((difference.index, difference.tiles_proven), (0, false));
    assert!(difference.to_string().contains("this is only where entries and tiles disagree"), "{difference}");
}

#[test]
fn missing_and_damaged_tiles_are_named() {
    let log = Log::of(SIZE);
    let mut tiles = log.tiles.clone();
    let last = tiles.remove(&(0, 2)).unwrap();
    let missing = append(&log.tree, &[b"next"], &tiles).unwrap_err();
    assert_eq!(missing, LedgerError::TileMissing { level: 0, index: 2 });
    assert!(
        missing.to_string().starts_with("the ledger's tile tile/0/002 is missing: restore it"),
        "{missing}"
    );
    let fault = first_difference(log.leaves(), &log.checkpoint(), &tiles).unwrap_err();
    assert!(
        matches!(&fault, Fault::Unreadable { after: 512, problem } if *problem == missing.to_string()),
        "{fault}"
    );

    for bytes in [0, 31, 32, last.len() - 32, last.len() - 1, 257 * 32] {
        let mut damaged = last.clone();
        damaged.resize(bytes, 0);
        tiles.insert((0, 2), damaged);
        let error = append(&log.tree, &[b"next"], &tiles).unwrap_err();
        assert_eq!(error, LedgerError::TileDamaged { level: 0, index: 2, bytes, needed: 88 });
    }
    assert!(tiles.tile(9, 9).is_none());
}

#[test]
fn a_source_that_breaks_off_proves_nothing() {
    let log = Log::of(SIZE);
    let broken = log
        .leaves()
        .take(10)
        .map(|leaf| leaf.map_err(|never| match never {}))
        .chain([Err("connection reset")]);
    let fault = verify(broken, &log.checkpoint()).unwrap_err();
    assert_eq!(fault.to_string(), "reading stopped after 10 entries, so nothing is proven: connection reset");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever is done to the entries up to the checkpoint is noticed, and the first place is named.
    #[test]
    fn no_change_goes_unnoticed(
        size in 1_usize..700,
        place in any::<prop::sample::Index>(),
        other in any::<prop::sample::Index>(),
        byte in any::<prop::sample::Index>(),
        way in 0..5,
    ) {
        let log = Log::of(size as u64);
        let (place, other) = (place.index(size), other.index(size));
        let mut entries = log.entries.clone();
        match way {
            0 => {
                let mut text = entries[place].clone().into_bytes();
                let at = byte.index(text.len());
                text[at] ^= 1;
                entries[place] = String::from_utf8(text).unwrap();
            }
            1 => drop(entries.remove(place)),
            2 => entries.insert(place, entry(9_999)),
            3 => entries.swap(place, other),
            _ => entries.truncate(place),
        }
        let expected = (0..size).find(|index| entries.get(*index) != log.entries.get(*index));
        let checkpoint = log.checkpoint();
        let verified = verify(numbered(&entries), &checkpoint);
        let difference = first_difference(numbered(&entries), &checkpoint, &log.tiles).unwrap();
        prop_assert_eq!(verified.is_err(), expected.is_some());
        prop_assert_eq!(difference.map(|difference| difference.index), expected.map(|index| index as u64));
    }
}
