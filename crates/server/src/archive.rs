//! An archived segment of the ledger as a folder:
//!
//! - `records.ndjson`: the entries, one a line, exactly as they were hashed;
//! - `archive.json`: the log's name, index of the first entry and of the one after the last;
//! - `checkpoint` and `keys`: a signed note of the log up to the last entry, and the keys that signed it;
//! - `tile/…`: the tiles, in the paths of C2SP tlog-tiles.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, BufWriter, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};
use guichet_ledger::{self as ledger, KeySet, TileReader, tile_path};
use guichet_operations::prune_records::Segment;
use guichet_store::Store;
use serde::{Deserialize, Serialize};

/// Records that are read at once.
const BATCH: usize = 4_096;

#[derive(Debug, Serialize, Deserialize)]
struct Contents {
    origin: String,
    first: u64,
    until: u64,
}

/// Writes the segment into `folder`, which must not exist or be empty, reads it back from there, and verifies it.
///
/// # Errors
/// A folder that cannot be written, or an archive that does not verify: then it is left for people to look at.
pub async fn write(store: &dyn Store, keys: &KeySet, segment: &Segment, folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    ensure!(
        fs::read_dir(folder)?.next().is_none(),
        "{} is not empty: an archive has a folder of its own",
        folder.display()
    );
    let path = folder.join("records.ndjson");
    let mut file = BufWriter::new(File::create_new(&path)?);
    let mut next = segment.first;
    while next < segment.until {
        let leaves = store.leaves(next, BATCH).await?;
        ensure!(!leaves.is_empty(), "the store ends before record {next}");
        for (index, text) in leaves {
            if index >= segment.until {
                break;
            }
            ensure!(index == next, "record {next} is missing in the store; nothing was pruned");
            file.write_all(text.as_bytes())?;
            file.write_all(b"\n")?;
            next += 1;
        }
    }
    file.into_inner()?.sync_all()?;
    for (level, index) in &segment.tiles {
        let hashes = store.tile(*level, *index).await?;
        let hashes = hashes.with_context(|| format!("{} is missing", tile_path(*level, *index, 256)))?;
        let width = u16::try_from(hashes.len() / 32)?;
        let path = folder.join(tile_path(*level, *index, width));
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        write_durably(&path, &hashes)?;
    }
    let contents = Contents { origin: keys.name().to_owned(), first: segment.first, until: segment.until };
    write_durably(&folder.join("checkpoint"), segment.note.as_bytes())?;
    let public: Vec<String> = keys.verifiers().iter().map(ToString::to_string).collect();
    write_durably(&folder.join("keys"), (public.join("\n") + "\n").as_bytes())?;
    write_durably(&folder.join("archive.json"), serde_json::to_string_pretty(&contents)?.as_bytes())?;
    File::open(folder)?.sync_all()?;
    ensure!(verify(folder, keys)? == (segment.first, segment.until), "the archive holds other records");
    Ok(())
}

fn write_durably(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut file = File::create_new(path).with_context(|| path.display().to_string())?;
    file.write_all(bytes)?;
    Ok(file.sync_all()?)
}

/// Verifies an archive from its files alone. Gives the first index and the one after the last.
///
/// # Errors
/// What is wrong with it.
pub fn verify(folder: &Path, keys: &KeySet) -> anyhow::Result<(u64, u64)> {
    let contents: Contents = serde_json::from_str(&fs::read_to_string(folder.join("archive.json"))?)?;
    let checkpoint = keys.open(&fs::read_to_string(folder.join("checkpoint"))?)?;
    if (checkpoint.size, &checkpoint.origin) != (contents.until, &contents.origin) {
        bail!("the archive's checkpoint is not that of its contents");
    }
    let lines = BufReader::with_capacity(1 << 16, File::open(folder.join("records.ndjson"))?).split(b'\n');
    let leaves = (contents.first..).zip(lines).map(|(index, line)| line.map(|line| (index, line)));
    let tiles = Folder { root: folder.to_owned(), until: contents.until };
    ledger::verify_segment(contents.first, leaves, &checkpoint, &tiles)?;
    Ok((contents.first, contents.until))
}

/// Tiles as files.
struct Folder {
    root: PathBuf,
    until: u64,
}

impl TileReader for Folder {
    fn tile(&self, level: u8, index: u64) -> Option<Vec<u8>> {
        // Full, or as wide as it was when the segment ended, or wider.
        let hashes = self.until >> (8 * u32::from(level));
        let least = u16::try_from((hashes - (index << 8).min(hashes)).min(256)).ok()?;
        (least.max(1)..=256)
            .rev()
            .find_map(|width| fs::read(self.root.join(tile_path(level, index, width))).ok())
    }
}
