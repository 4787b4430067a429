//! Reading hashes out of tiles.

use std::collections::{BTreeMap, HashMap};

use crate::{
    hash::{Hash, Tree, perfect_root, shown},
    path::tile_path,
};

/// Hashes in a full tile.
pub const TILE_WIDTH: usize = 256;

/// Tree levels a tile spans.
pub(crate) const TILE_HEIGHT: u32 = 8;

/// Where tiles come from. A tile may be wider than what is asked of it: a log only grows.
pub trait TileReader {
    /// The hashes of a tile as far as they are known, one after another: 32 × 1–256 bytes. `None`: not there.
    fn tile(&self, level: u8, index: u64) -> Option<Vec<u8>>;
}

impl TileReader for BTreeMap<(u8, u64), Vec<u8>> {
    fn tile(&self, level: u8, index: u64) -> Option<Vec<u8>> {
        self.get(&(level, index)).cloned()
    }
}

impl<S: std::hash::BuildHasher> TileReader for HashMap<(u8, u64), Vec<u8>, S> {
    fn tile(&self, level: u8, index: u64) -> Option<Vec<u8>> {
        self.get(&(level, index)).cloned()
    }
}

/// The tiles do not give what is asked of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// A tile is not there. Whoever reads tiles from afar can fetch it and ask again.
    #[error(
        "the ledger's tile {} is missing: restore it from a backup or an export, or rebuild the tiles from the entries",
        tile_path(*level, *index, 256)
    )]
    TileMissing {
        /// Its level.
        level: u8,
        /// Its number within the level.
        index: u64,
    },
    /// A tile is too short or no sequence of hashes.
    #[error(
        "the ledger's tile {} has {bytes} bytes where {needed} hashes of 32 bytes are needed (256 at most): restore it \
         from a backup or an export, or rebuild the tiles from the entries",
        tile_path(*level, *index, 256)
    )]
    TileDamaged {
        /// Its level.
        level: u8,
        /// Its number within the level.
        index: u64,
        /// How long it is.
        bytes: usize,
        /// How many hashes of it are needed.
        needed: usize,
    },
    /// The tiles are not those of the checkpoint that was signed last.
    #[error(
        "the ledger's tiles are not those that were signed: over {} entries they give {} and the checkpoint says {}; \
         nothing was signed. Keep a copy of the store, then run `guichet audit verify` to see whether the entries or \
         only the tiles were changed",
        signed.size, shown(found), shown(&signed.root)
    )]
    NotTheSignedTree {
        /// What was signed.
        signed: Tree,
        /// The root the tiles give.
        found: Hash,
    },
    /// Asked for something outside the log.
    #[error(
        "the ledger has {size} entries; {asked} lies beyond them: ask for less, or read a newer checkpoint"
    )]
    Beyond {
        /// What was asked for.
        asked: u64,
        /// How many entries there are.
        size: u64,
    },
}

/// At least `needed` hashes of a tile.
pub(crate) fn read_tile(
    tiles: &dyn TileReader,
    level: u8,
    index: u64,
    needed: usize,
) -> Result<Vec<Hash>, LedgerError> {
    let tile = tiles.tile(level, index).ok_or(LedgerError::TileMissing { level, index })?;
    let (hashes, rest) = tile.as_chunks::<32>();
    if !rest.is_empty() || hashes.len() > TILE_WIDTH || hashes.len() < needed {
        return Err(LedgerError::TileDamaged { level, index, bytes: tile.len(), needed });
    }
    Ok(hashes.to_vec())
}

/// Root of the perfect subtree of 2^`height` leaves, number `index` among those of its height.
fn node(tiles: &dyn TileReader, height: u32, index: u64) -> Result<Hash, LedgerError> {
    // The tile whose hashes lie at or below this node holds 2^within of them under it.
    let level = u8::try_from(height / TILE_HEIGHT).unwrap_or(u8::MAX);
    let within = height % TILE_HEIGHT;
    let first = index << within;
    let offset = usize::try_from(first % TILE_WIDTH as u64).unwrap_or(0);
    let end = offset + (1 << within);
    let hashes = read_tile(tiles, level, first >> TILE_HEIGHT, end)?;
    Ok(perfect_root(&hashes[offset..end]))
}

/// Root of the leaves from `from` up to `to`, where `from` is a multiple of the power of two that covers them: the
/// RFC 6962 hash MTH(D[from:to]).
pub(crate) fn range_root(tiles: &dyn TileReader, from: u64, to: u64) -> Result<Hash, LedgerError> {
    // Perfect subtrees from the greatest to the smallest, joined from the right.
    let mut parts = Vec::new();
    let mut at = from;
    while at < to {
        let height = (to - at).ilog2();
        parts.push(node(tiles, height, at >> height)?);
        at += 1 << height;
    }
    Ok(crate::edge::join(parts))
}
