//! A segment of the log that was taken out of the store: entries `first` to before `until`, the tiles they are in, and a
//! checkpoint of size `until`. It verifies alone, with the log's key; and because that checkpoint is a beginning of the
//! log, so does what is left.
//!
//! An archive is these files, whoever keeps them:
//!
//! - [`RECORDS`]: the entries, one a line, exactly as they were hashed;
//! - [`CONTENTS`]: the log's name, index of the first entry and of the one after the last ([`Contents`]);
//! - [`CHECKPOINT`] and [`KEYS`]: a signed note of the log up to the last entry, and the keys that signed it;
//! - `tile/…`: the tiles, in the paths of C2SP tlog-tiles ([`tile_path`]).

use std::{
    fmt,
    io::{self, BufRead as _, BufReader, Read},
};

use serde::{Deserialize, Serialize};

use crate::{
    checkpoint::Checkpoint,
    edge::{Edge, edge_tiles},
    hash::{Hash, leaf_hash},
    key::Verifier,
    keys::open_with_any,
    note::NoteError,
    path::tile_path,
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

/// The file of an archive that holds the entries.
pub const RECORDS: &str = "records.ndjson";
/// The file of an archive that holds its [`Contents`], as JSON.
pub const CONTENTS: &str = "archive.json";
/// The file of an archive that holds its checkpoint.
pub const CHECKPOINT: &str = "checkpoint";
/// The file of an archive that holds the public keys, for whoever has no better source.
pub const KEYS: &str = "keys";

/// What an archive says it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// The log.
    pub origin: String,
    /// Index of the first entry.
    pub first: u64,
    /// Index of the one after the last entry; so many the checkpoint covers.
    pub until: u64,
}

/// Why an archive proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveFault {
    /// A file that cannot be read.
    #[error("its {file} cannot be read ({why}): copy the archive anew, whole, and verify the copy")]
    Unreadable {
        /// Which.
        file: &'static str,
        /// What the system says.
        why: String,
    },
    /// [`CONTENTS`] is not what it should be.
    #[error(
        "its archive.json is not that of an archive ({0}): copy the archive anew, whole, and verify the copy"
    )]
    Contents(String),
    /// The checkpoint does not open.
    #[error("its checkpoint: {0}")]
    Checkpoint(#[from] NoteError),
    /// The checkpoint belongs to other entries.
    #[error(
        "its checkpoint is not that of the records in it: the checkpoint covers {covered} entries of {origin}, and \
         archive.json tells of {} of {}. Two archives were mixed up, or one was altered: look for another copy",
        contents.until, contents.origin
    )]
    Mixed {
        /// The checkpoint's log.
        origin: String,
        /// The checkpoint's size.
        covered: u64,
        /// What the archive says.
        contents: Contents,
    },
    /// Its entries are not those that were signed.
    #[error(transparent)]
    Ledger(#[from] Fault),
}

/// Verifies an archive from its files alone. `open` gives a file by its path within the archive; this room reads no disk
/// by itself. Reads the entries once.
///
/// # Errors
/// What is wrong with it.
pub fn verify_archive<R: Read>(
    open: impl Fn(&str) -> io::Result<R>,
    keys: &[Verifier],
) -> Result<(Contents, Report), ArchiveFault> {
    let unreadable = |file| move |error: io::Error| ArchiveFault::Unreadable { file, why: error.to_string() };
    let text = |file| {
        let mut text = String::new();
        open(file).and_then(|mut found| found.read_to_string(&mut text)).map_err(unreadable(file))?;
        Ok::<_, ArchiveFault>(text)
    };
    let contents: Contents =
        serde_json::from_str(&text(CONTENTS)?).map_err(|error| ArchiveFault::Contents(error.to_string()))?;
    if contents.first > contents.until {
        return Err(ArchiveFault::Contents("it ends before it begins".to_owned()));
    }
    let checkpoint = open_with_any(&text(CHECKPOINT)?, keys)?.checkpoint;
    if (checkpoint.size, &checkpoint.origin) != (contents.until, &contents.origin) {
        return Err(ArchiveFault::Mixed { origin: checkpoint.origin, covered: checkpoint.size, contents });
    }
    let records = open(RECORDS).map_err(unreadable(RECORDS))?;
    let lines = BufReader::with_capacity(1 << 16, records).split(b'\n');
    let leaves = (contents.first..).zip(lines).map(|(index, line)| line.map(|line| (index, line)));
    let tiles = ArchivedTiles { open: &open, until: contents.until };
    let report = verify_segment(contents.first, leaves, &checkpoint, &tiles)?;
    Ok((contents, report))
}

/// The tiles of an archive that ends before entry `until`.
struct ArchivedTiles<'a, O> {
    open: &'a O,
    until: u64,
}

impl<R: Read, O: Fn(&str) -> io::Result<R>> TileReader for ArchivedTiles<'_, O> {
    fn tile(&self, level: u8, index: u64) -> Option<Vec<u8>> {
        // Full, or as wide as it was when the segment ended, or wider.
        let width = TILE_WIDTH as u64;
        let hashes = self.until.checked_shr(8 * u32::from(level)).unwrap_or(0);
        let least = hashes.saturating_sub(index.saturating_mul(width)).clamp(1, width);
        let widths = u16::try_from(least).unwrap_or(1)..=u16::try_from(width).unwrap_or(u16::MAX);
        widths.rev().find_map(|width| {
            let mut bytes = Vec::new();
            (self.open)(&tile_path(level, index, width)).ok()?.read_to_end(&mut bytes).ok()?;
            Some(bytes)
        })
    }
}
