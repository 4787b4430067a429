//! A segment of the log that was taken out of the store: entries `first` to before `until`, the tiles they are in, and a
//! checkpoint of size `until`. It verifies alone, with the log's key; and because that checkpoint is a beginning of the
//! log, so does what is left.

use std::fmt;

use crate::{
    checkpoint::Checkpoint,
    edge::{Edge, edge_tiles},
    hash::{Hash, leaf_hash},
    proof::{check_consistency, prove_consistency},
    tile::{LedgerError, TILE_WIDTH, TileReader, read_tile},
    verify::{Fault, Report, verify_from},
};

/// The tiles (level, index) that belong to a segment: those of its entries, and the edges at both its ends. `first` and
/// `until` are multiples of 256.
pub fn segment_tiles(first: u64, until: u64) -> Vec<(u8, u64)> {
    let width = TILE_WIDTH as u64;
    let leaves = (first / width..until / width).map(|index| (0_u8, index));
    let mut tiles: Vec<_> = leaves.chain(edge_tiles(first)).chain(edge_tiles(until)).collect();
    tiles.sort_unstable();
    tiles.dedup();
    tiles
}

/// The tree of the log's first `until` entries, proven to be a beginning of what `signed` says, from the tiles alone.
///
/// # Errors
/// Tiles that are missing or damaged, or not those that were signed.
pub fn beginning(
    until: u64,
    signed: &Checkpoint,
    tiles: &dyn TileReader,
) -> Result<crate::Tree, LedgerError> {
    let tree = crate::Tree { size: until, root: Edge::from_tiles(until, tiles)?.root() };
    let proof = prove_consistency(until, signed.size, tiles)?;
    match check_consistency(&tree, &signed.tree(), &proof) {
        Ok(()) => Ok(tree),
        Err(_) => Err(LedgerError::NotTheSignedTree { signed: signed.tree(), found: tree.root }),
    }
}

/// Holds the entries of a segment (number and exact text, from `first` on) against its tiles and its checkpoint, which
/// was opened with the log's key.
///
/// # Errors
/// What [`crate::verify`] tells; entries beyond the checkpoint; tiles that are not those of the entries.
pub fn verify_segment<T: AsRef<[u8]>, E: fmt::Display>(
    first: u64,
    leaves: impl IntoIterator<Item = Result<(u64, T), E>>,
    checkpoint: &Checkpoint,
    tiles: &dyn TileReader,
) -> Result<Report, Fault> {
    let unreadable = |after, problem: LedgerError| Fault::Unreadable { after, problem: problem.to_string() };
    let edge = Edge::from_tiles(first, tiles).map_err(|error| unreadable(0, error))?;
    let width = TILE_WIDTH as u64;
    let mut tile: (u64, Vec<Hash>) = (u64::MAX, Vec::new());
    let mut differing = None;
    let held = leaves.into_iter().map(|leaf| {
        let (index, text) = leaf.map_err(|error| error.to_string())?;
        if tile.0 != index / width {
            let hashes = read_tile(tiles, 0, index / width, TILE_WIDTH).map_err(|error| error.to_string())?;
            tile = (index / width, hashes);
        }
        let place = usize::try_from(index % width).unwrap_or_default();
        if differing.is_none() && tile.1.get(place) != Some(&leaf_hash(text.as_ref())) {
            differing = Some(index);
        }
        Ok::<_, String>((index, text))
    });
    let report = verify_from(edge, held, checkpoint, &[])?;
    match differing {
        Some(index) => Err(Fault::Unreadable {
            after: index,
            problem: format!("the archive's tile of entry {index} does not hold its hash"),
        }),
        None if report.beyond > 0 => Err(Fault::OutOfOrder { expected: report.size, found: report.size }),
        None => Ok(report),
    }
}
