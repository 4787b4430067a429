//! A log in memory, grown through the public door.

use std::{collections::BTreeMap, convert::Infallible};

use guichet_ledger::{Checkpoint, Signer, Tree, append, open, sign};

/// Tiles by level and index.
pub(crate) type Tiles = BTreeMap<(u8, u64), Vec<u8>>;

/// A log that has what a store has: entries, tiles, the last signed tree.
pub(crate) struct Log {
    pub(crate) entries: Vec<String>,
    pub(crate) tiles: Tiles,
    pub(crate) tree: Tree,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self { entries: Vec::new(), tiles: Tiles::new(), tree: Tree::EMPTY }
    }

    /// Entries 0 to `size`, appended at once.
    pub(crate) fn of(size: u64) -> Self {
        let mut log = Self::new();
        log.grow(size);
        log
    }

    /// Appends `more` entries and seals.
    pub(crate) fn grow(&mut self, more: u64) {
        let from = self.entries.len() as u64;
        let new: Vec<String> = (from..from + more).map(entry).collect();
        let leaves: Vec<&[u8]> = new.iter().map(String::as_bytes).collect();
        let appended = append(&self.tree, &leaves, &self.tiles).unwrap();
        self.tree = appended.tree();
        for (level, index, hashes) in appended.tiles {
            let before = self.tiles.insert((level, index), hashes.clone()).unwrap_or_default();
            assert!(hashes.starts_with(&before) && hashes != before, "a tile only grows");
        }
        self.entries.extend(new);
    }

    pub(crate) fn checkpoint(&self) -> Checkpoint {
        let signer = signer();
        open(&sign(&self.tree, &signer), signer.verifier()).unwrap()
    }

    pub(crate) fn leaves(&self) -> impl Iterator<Item = Result<(u64, &str), Infallible>> {
        (0..).zip(&self.entries).map(|(index, entry)| Ok((index, entry.as_str())))
    }
}

/// Text of an entry.
pub(crate) fn entry(index: u64) -> String {
    format!(r#"{{"verb":"submit_run","detail":"number {index}"}}"#)
}

pub(crate) fn signer() -> Signer {
    Signer::generate("guichet.example/production", [7; 32]).unwrap()
}
