//! The right edge of a tree: all that is needed to append to it and to know its root.

use crate::{
    hash::{EMPTY_ROOT, Hash, node_hash, perfect_root},
    tile::{LedgerError, TILE_HEIGHT, TILE_WIDTH, TileReader, read_tile},
};

/// The rightmost partial tile of each level: at most 255 hashes in each of 8 levels, whatever the size of the log.
///
/// A tree could be grown from one hash per level, 64 in all. The tiles are kept because they are what is written.
#[derive(Debug, Clone, Default)]
pub struct Edge {
    size: u64,
    levels: Vec<Vec<Hash>>,
}

impl Edge {
    /// Of the empty log.
    pub fn new() -> Self {
        Self::default()
    }

    /// Of a log of `size` leaves, read from its tiles ([`edge_tiles`] tells which).
    pub fn from_tiles(size: u64, tiles: &dyn TileReader) -> Result<Self, LedgerError> {
        let mut edge = Self { size, levels: Vec::new() };
        for (level, (index, width)) in edge_shape(size).enumerate() {
            let mut hashes = Vec::with_capacity(TILE_WIDTH);
            if width > 0 {
                hashes = read_tile(tiles, u8::try_from(level).unwrap_or(u8::MAX), index, width)?;
                hashes.truncate(width);
            }
            edge.levels.push(hashes);
        }
        Ok(edge)
    }

    /// How many leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf, given as its hash.
    pub fn push(&mut self, leaf: Hash) {
        self.push_and(leaf, |_, _, _| {});
    }

    /// Appends a leaf, and hands over each tile that has become full: level, index, 256 hashes.
    pub(crate) fn push_and(&mut self, leaf: Hash, mut on_full: impl FnMut(u8, u64, &[Hash])) {
        let mut index = self.size;
        let mut hash = leaf;
        for level in 0_u8.. {
            index >>= TILE_HEIGHT;
            if self.levels.len() == usize::from(level) {
                self.levels.push(Vec::with_capacity(TILE_WIDTH));
            }
            let tile = &mut self.levels[usize::from(level)];
            tile.push(hash);
            if tile.len() < TILE_WIDTH {
                break;
            }
            // A full tile becomes one hash of the level above; a partial one never does.
            on_full(level, index, tile);
            hash = perfect_root(tile);
            tile.clear();
        }
        self.size += 1;
    }

    /// The partial tiles: level, index, hashes. Levels without one are left out.
    pub(crate) fn partial_tiles(&self) -> impl Iterator<Item = (u8, u64, &[Hash])> {
        let shape = edge_shape(self.size);
        self.levels
            .iter()
            .zip(shape)
            .zip(0_u8..)
            .filter(|((hashes, _), _)| !hashes.is_empty())
            .map(|((hashes, (index, _)), level)| (level, index, hashes.as_slice()))
    }

    /// The RFC 6962 root.
    pub fn root(&self) -> Hash {
        // From the greatest perfect subtree to the smallest: top level first, within a level from the left.
        let mut parts = Vec::new();
        for tile in self.levels.iter().rev() {
            let mut rest = tile.as_slice();
            while !rest.is_empty() {
                let (perfect, after) = rest.split_at(1 << rest.len().ilog2());
                parts.push(perfect_root(perfect));
                rest = after;
            }
        }
        join(parts)
    }
}

/// Joins perfect subtrees, greatest first, to one root: from the right, as RFC 6962 splits from the left.
pub(crate) fn join(mut parts: Vec<Hash>) -> Hash {
    let Some(mut root) = parts.pop() else {
        return EMPTY_ROOT;
    };
    while let Some(left) = parts.pop() {
        root = node_hash(&left, &root);
    }
    root
}

/// The tiles (level, index) that [`Edge::from_tiles`] and [`crate::append`] read for a log of `size` leaves, at most
/// 8: for whoever must fetch them first.
pub fn edge_tiles(size: u64) -> impl Iterator<Item = (u8, u64)> {
    (0_u8..)
        .zip(edge_shape(size))
        .filter(|(_, (_, width))| *width > 0)
        .map(|(level, (index, _))| (level, index))
}

/// Index and width (0–255) of the rightmost tile of each level that has hashes.
fn edge_shape(size: u64) -> impl Iterator<Item = (u64, usize)> {
    let hashes_at = move |level: u32| size.checked_shr(level * TILE_HEIGHT).unwrap_or(0);
    (0_u32..)
        .map(hashes_at)
        .take_while(|hashes| *hashes > 0)
        .map(|hashes| (hashes >> TILE_HEIGHT, usize::try_from(hashes % TILE_WIDTH as u64).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edge_of_a_tree_of_70_000_is_that_of_the_specification() {
        assert_eq!(edge_shape(70_000).collect::<Vec<_>>(), [(273, 112), (1, 17), (0, 1)]);
        assert_eq!(edge_tiles(256).collect::<Vec<_>>(), [(1, 0)]);
        assert_eq!(edge_tiles(0).count(), 0);
        assert_eq!(edge_tiles(u64::MAX).count(), 8);
    }
}
