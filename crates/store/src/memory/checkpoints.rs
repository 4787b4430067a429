//! The ledger's seal: tiles of hashes, and signed checkpoints.

use async_trait::async_trait;
use jiff::Timestamp;

use super::{
    MemoryStore,
    writing::{Writing, conflict},
};
use crate::{Checkpoints, CommitError, StoreError};

/// Bytes of one hash, and hashes of a whole tile.
const HASH: usize = 32;
const WIDTH: usize = 256;

/// Writes tiles and a checkpoint. Conflict when one of the same or a greater size exists, or a tile is no longer one that
/// grew.
pub(super) fn seal(
    writing: &mut Writing<'_>,
    size: u64,
    note: &str,
    tiles: &[(u8, u64, Vec<u8>)],
) -> Result<(), CommitError> {
    if writing.state.checkpoints.range(size..).next().is_some() {
        return Err(conflict(format!("the ledger's checkpoint (one of size {size} or more exists)")));
    }
    writing.put(|state| &mut state.checkpoints, size, Some(note.to_owned()));
    for (level, place, hashes) in tiles {
        if hashes.is_empty() || hashes.len() > HASH * WIDTH || !hashes.len().is_multiple_of(HASH) {
            return Err(conflict(format!("tile {level}/{place} ({} bytes are no tile)", hashes.len())));
        }
        let before = writing.state.tiles.get(&(*level, *place));
        if before.is_some_and(|before| !hashes.starts_with(before)) {
            return Err(conflict(format!("tile {level}/{place} (its sealed hashes are others)")));
        }
        writing.put(|state| &mut state.tiles, (*level, *place), Some(hashes.clone()));
    }
    Ok(())
}

#[async_trait]
impl Checkpoints for MemoryStore {
    async fn latest_checkpoint(&self) -> Result<Option<(u64, String)>, StoreError> {
        self.read(|state| Ok(state.checkpoints.iter().next_back().map(|(size, note)| (*size, note.clone()))))
    }

    async fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(|state| Ok(state.tiles.get(&(level, index)).cloned()))
    }

    async fn seal(
        &self,
        size: u64,
        note: &str,
        _at: Timestamp,
        tiles: &[(u8, u64, Vec<u8>)],
    ) -> Result<(), CommitError> {
        self.write(|writing| writing.seal(size, note, tiles))
    }
}
