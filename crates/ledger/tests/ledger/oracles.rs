//! Ours against the implementations of others: ct-merkle (RFC 6962) and tlog_tiles (C2SP, Cloudflare).

use crate::logs::{Log, Tiles, entry};
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use guichet_ledger::{
    EMPTY_ROOT, Edge, Hash, LedgerError, ProofError, TILE_WIDTH, Tree, append, check_consistency,
    check_inclusion, edge_tiles, leaf_hash, parse_tile_path, prove_consistency, prove_inclusion, tile_path,
};
use proptest::prelude::*;
use sha2::Sha256;
use tlog_tiles::{HashReader as _, Tile, TileHashReader, check_record, check_tree, prove_record, prove_tree};

fn oracle(size: u64) -> MemoryBackedTree<Sha256, String> {
    let mut tree = MemoryBackedTree::new();
    (0..size).for_each(|index| tree.push(entry(index)));
    tree
}

/// The tree as it was when it had so many leaves.
fn tree_of(size: u64) -> Tree {
    let mut edge = Edge::new();
    (0..size).for_each(|index| edge.push(leaf_hash(entry(index).as_bytes())));
    Tree { size, root: edge.root() }
}

/// Sizes around the places where tiles and subtrees fill, and any others.
fn sizes() -> impl Strategy<Value = u64> {
    prop_oneof![
        prop::sample::select(vec![1_u64, 2, 3, 4, 7, 8, 255, 256, 257, 511, 512, 513, 768, 1023, 1024]),
        1_u64..1500
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn roots_and_tiles_do_not_depend_on_how_the_log_grew(steps in prop::collection::vec(0_u64..400, 0..6)) {
        let mut log = Log::new();
        for step in steps {
            log.grow(step);
            let theirs = oracle(log.tree.size).root();
            prop_assert_eq!(&log.tree.root[..], theirs.as_bytes().as_slice());
        }
        prop_assert_eq!(&log.tiles, &Log::of(log.tree.size).tiles);
        let read: Vec<_> = edge_tiles(log.tree.size).collect();
        let edge_only: Tiles = log.tiles.iter().filter(|(place, _)| read.contains(place)).map(|(p, t)| (*p, t.clone())).collect();
        prop_assert_eq!(append(&log.tree, &[b"next"], &edge_only), append(&log.tree, &[b"next"], &log.tiles));
    }

    #[test]
    fn inclusion_proofs_are_those_of_rfc_6962((size, index) in sizes().prop_flat_map(|size| (Just(size), 0..size)), flip in any::<prop::sample::Index>()) {
        let log = Log::of(size);
        let proof = prove_inclusion(index, size, &log.tiles).unwrap();
        let theirs = oracle(size).prove_inclusion(usize::try_from(index).unwrap());
        prop_assert_eq!(proof.concat(), theirs.as_bytes());

        let leaf = leaf_hash(entry(index).as_bytes());
        prop_assert_eq!(check_inclusion(&leaf, index, &log.tree, &proof), Ok(()));
        prop_assert_eq!(check_inclusion(&leaf_hash(b"other"), index, &log.tree, &proof), Err(ProofError::NotIncluded));
        prop_assert!(size == 1 || check_inclusion(&leaf, (index + 1) % size, &log.tree, &proof).is_err());
        let longer = [proof.clone(), vec![EMPTY_ROOT]].concat();
        prop_assert_eq!(check_inclusion(&leaf, index, &log.tree, &longer), Err(ProofError::WrongLength));
        if !proof.is_empty() {
            prop_assert_eq!(check_inclusion(&leaf, index, &log.tree, &proof[1..]), Err(ProofError::WrongLength));
            let mut wrong = proof.clone();
            wrong[flip.index(proof.len())][0] ^= 1;
            prop_assert_eq!(check_inclusion(&leaf, index, &log.tree, &wrong), Err(ProofError::NotIncluded));
        }
    }

    #[test]
    fn consistency_proofs_are_those_of_rfc_6962((new, old) in sizes().prop_flat_map(|new| (Just(new), 0..=new)), flip in any::<prop::sample::Index>()) {
        let log = Log::of(new);
        let before = tree_of(old);
        let proof = prove_consistency(old, new, &log.tiles).unwrap();
        if old > 0 && old < new {
            let theirs = oracle(new).prove_consistency(usize::try_from(new - old).unwrap());
            prop_assert_eq!(proof.concat(), theirs.as_bytes());
        } else {
            prop_assert!(proof.is_empty());
        }
        prop_assert_eq!(check_consistency(&before, &log.tree, &proof), Ok(()));

        let rewritten = Tree { root: leaf_hash(b"other"), ..before };
        prop_assert_eq!(check_consistency(&rewritten, &log.tree, &proof), Err(ProofError::NotConsistent));
        let longer = [proof.clone(), vec![EMPTY_ROOT]].concat();
        prop_assert_eq!(check_consistency(&before, &log.tree, &longer), Err(ProofError::WrongLength));
        if !proof.is_empty() {
            let mut wrong = proof.clone();
            wrong[flip.index(proof.len())][0] ^= 1;
            prop_assert_eq!(check_consistency(&before, &log.tree, &wrong), Err(ProofError::NotConsistent));
            prop_assert_eq!(check_consistency(&log.tree, &before, &proof), Err(ProofError::Shrunk { old: new, new: old }));
            prop_assert!(check_consistency(&before, &log.tree, &proof[1..]).is_err());
        }
    }

    #[test]
    fn a_log_that_grew_still_proves_what_its_older_checkpoints_need(old in sizes(), more in 0_u64..600, index in any::<prop::sample::Index>()) {
        // Wider tiles than the old size asks for are the normal case: tiles are replaced as they grow.
        let log = Log::of(old + more);
        let before = tree_of(old);
        let index = index.index(usize::try_from(old).unwrap()) as u64;
        let proof = prove_inclusion(index, old, &log.tiles).unwrap();
        prop_assert_eq!(check_inclusion(&leaf_hash(entry(index).as_bytes()), index, &before, &proof), Ok(()));
        let appended = append(&before, &[entry(old).as_bytes()], &log.tiles).unwrap();
        prop_assert_eq!(appended.tree(), tree_of(old + 1));
    }

    #[test]
    fn tile_paths_are_those_of_tlog_tiles(level in 0_u8..64, index in any::<u64>(), width in 1_u16..=256) {
        let path = tile_path(level, index, width);
        // Go's form, which tlog_tiles 0.2 speaks, names the height after `tile/`; C2SP fixes it at 8 and leaves it out.
        let theirs = Tile::new(8, level, index, width.into(), false).path();
        prop_assert_eq!(path.replacen("tile/", "tile/8/", 1), theirs);
        let parsed = parse_tile_path(&path).unwrap();
        prop_assert_eq!((parsed.level, parsed.index, parsed.width), (level, index, width));
    }
}

/// Our tiles, served as tlog_tiles asks for them.
struct Served<'a>(&'a Tiles);

impl tlog_tiles::TileReader for Served<'_> {
    fn height(&self) -> u8 {
        8
    }
    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        let read =
            |tile: &Tile| self.0[&(tile.level(), tile.level_index())][..tile.width() as usize * 32].to_vec();
        Ok(tiles.iter().map(read).collect())
    }
    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

#[test]
fn another_implementation_reads_our_tiles_across_three_levels() {
    // The specification's own example: 273 full level-0 tiles and one of 112, one full level-1 tile and one of 17,
    // one level-2 tile of width 1.
    let log = Log::of(70_000);
    let widths =
        |level: u8| log.tiles.iter().filter(move |((l, _), _)| *l == level).map(|(_, tile)| tile.len() / 32);
    assert_eq!(widths(0).filter(|width| *width == TILE_WIDTH).count(), 273);
    assert_eq!(widths(0).next_back(), Some(112));
    assert_eq!(widths(1).collect::<Vec<_>>(), [256, 17]);
    assert_eq!(widths(2).collect::<Vec<_>>(), [1]);

    let served = Served(&log.tiles);
    let root = tlog_tiles::Hash(log.tree.root);
    // Checks every tile it reads against the root.
    let reader = TileHashReader::new(70_000, root, &served);
    for index in [0, 255, 256, 65_535, 65_536, 69_887, 69_888, 69_999] {
        let hash = reader.read_hashes(&[tlog_tiles::stored_hash_index(0, index)]).unwrap()[0];
        assert_eq!(hash.0, leaf_hash(entry(index).as_bytes()));
        let theirs = prove_record(70_000, index, &reader).unwrap();
        let ours = prove_inclusion(index, 70_000, &log.tiles).unwrap();
        assert_eq!(ours, theirs.iter().map(|hash| hash.0).collect::<Vec<Hash>>(), "{index}");
        check_record(&ours.into_iter().map(tlog_tiles::Hash).collect(), 70_000, root, index, hash).unwrap();
    }
    for old in [1, 255, 256, 65_535, 65_536, 65_537, 69_999] {
        let theirs = prove_tree(70_000, old, &reader).unwrap();
        let ours = prove_consistency(old, 70_000, &log.tiles).unwrap();
        assert_eq!(ours, theirs.iter().map(|hash| hash.0).collect::<Vec<Hash>>(), "{old}");
        let before = tlog_tiles::Hash(tree_of(old).root);
        check_tree(&ours.into_iter().map(tlog_tiles::Hash).collect(), 70_000, root, old, before).unwrap();
    }
}

#[test]
fn what_lies_outside_is_refused() {
    let log = Log::of(10);
    assert_eq!(prove_inclusion(10, 10, &log.tiles), Err(LedgerError::Beyond { asked: 10, size: 10 }));
    assert_eq!(prove_consistency(11, 10, &log.tiles), Err(LedgerError::Beyond { asked: 11, size: 10 }));
    let leaf = leaf_hash(entry(0).as_bytes());
    assert_eq!(check_inclusion(&leaf, 10, &log.tree, &[]), Err(ProofError::Beyond { index: 10, size: 10 }));
    assert_eq!(check_inclusion(&leaf, 0, &Tree::EMPTY, &[]), Err(ProofError::Beyond { index: 0, size: 0 }));
    assert_eq!(check_consistency(&Tree::EMPTY, &log.tree, &[]), Ok(()));
    let no_empty_tree = Tree { size: 0, root: log.tree.root };
    assert_eq!(check_consistency(&no_empty_tree, &log.tree, &[]), Err(ProofError::NotConsistent));
}

#[test]
fn appending_nothing_changes_nothing() {
    for size in [0, 1, 256, 300] {
        let log = Log::of(size);
        let appended = append(&log.tree, &[], &log.tiles).unwrap();
        assert_eq!(appended.tree(), log.tree);
        assert!(appended.tiles.is_empty());
    }
    assert_eq!(Tree::EMPTY, Tree { size: 0, root: Edge::new().root() });
}
