//! Growing the log.

use std::collections::BTreeMap;

use crate::{
    edge::Edge,
    hash::{Hash, Tree, leaf_hash},
    tile::{LedgerError, TileReader},
};

/// The log after leaves were appended. Write tiles and checkpoint in one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// How many leaves there are now.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
    /// The tiles that changed, each whole: level, index, hashes. Ordered by level, then index.
    pub tiles: Vec<(u8, u64, Vec<u8>)>,
}

impl Appended {
    /// What is to be signed.
    pub fn tree(&self) -> Tree {
        Tree { size: self.size, root: self.root }
    }
}

/// Appends leaves to the tree that was signed last ([`Tree::EMPTY`] when none was). Reads at most 8 tiles
/// ([`crate::edge_tiles`] tells which), whatever the size of the log.
///
/// A log must never sign two states of which one does not contain the other (tlog-checkpoint). So the tiles are
/// first held against the signed root; when somebody changed them, nothing is appended.
pub fn append(before: &Tree, leaves: &[&[u8]], tiles: &dyn TileReader) -> Result<Appended, LedgerError> {
    let mut edge = Edge::from_tiles(before.size, tiles)?;
    let found = edge.root();
    if found != before.root {
        return Err(LedgerError::NotTheSignedTree { signed: *before, found });
    }
    let mut changed: BTreeMap<(u8, u64), Vec<u8>> = BTreeMap::new();
    for leaf in leaves {
        edge.push_and(leaf_hash(leaf), |level, index, hashes| {
            changed.insert((level, index), hashes.concat());
        });
    }
    for (level, index, hashes) in edge.partial_tiles() {
        let grown = before.size >> (8 * u32::from(level)) != edge.size() >> (8 * u32::from(level));
        if grown {
            changed.insert((level, index), hashes.concat());
        }
    }
    let tiles = changed.into_iter().map(|((level, index), hashes)| (level, index, hashes)).collect();
    Ok(Appended { size: edge.size(), root: edge.root(), tiles })
}
