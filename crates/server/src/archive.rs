//! An archived segment of the ledger as a folder, for the gateway's user alone: records hold the inputs of runs. What is in
//! it, and how it is verified, is told in `guichet_ledger::archive`.

use std::{
    collections::BTreeSet,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{BufWriter, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{self, Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use guichet_ledger::{
    Contents, KeySet, TILE_WIDTH,
    archive::{CHECKPOINT, CONTENTS, KEYS, RECORDS},
    tile_path, verify_archive,
};
use guichet_operations::prune_records::Segment;
use guichet_store::Store;

/// Records that are read at once.
const BATCH: usize = 4_096;

/// Writes the segment into `folder`, which must not exist or be empty, reads it back from there, and verifies it. When this
/// returns, all of it is on the disk, its names too: what is deleted after that is in the archive whatever happens.
///
/// # Errors
/// A folder that cannot be written, or an archive that does not verify: then it is left for people to look at.
pub async fn write(store: &dyn Store, keys: &KeySet, segment: &Segment, folder: &Path) -> anyhow::Result<()> {
    let folder = path::absolute(folder).with_context(|| folder.display().to_string())?;
    let mut made = Folders::default();
    made.make(&folder)?;
    ensure!(
        fs::read_dir(&folder)?.next().is_none(),
        "{} is not empty: an archive has a folder of its own",
        folder.display()
    );
    let path = folder.join(RECORDS);
    let mut file = BufWriter::new(create_private(&path)?);
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
        let full = u16::try_from(TILE_WIDTH)?;
        let hashes = hashes.with_context(|| format!("{} is missing", tile_path(*level, *index, full)))?;
        let width = u16::try_from(hashes.len() / 32)?;
        let path = folder.join(tile_path(*level, *index, width));
        made.make(path.parent().unwrap_or(&folder))?;
        write_durably(&path, &hashes)?;
    }
    let contents = Contents { origin: keys.name().to_owned(), first: segment.first, until: segment.until };
    write_durably(&folder.join(CHECKPOINT), segment.note.as_bytes())?;
    let public: Vec<String> = keys.verifiers().iter().map(ToString::to_string).collect();
    write_durably(&folder.join(KEYS), (public.join("\n") + "\n").as_bytes())?;
    write_durably(&folder.join(CONTENTS), serde_json::to_string_pretty(&contents)?.as_bytes())?;
    made.sync(&folder)?;
    ensure!(verify(&folder, keys)? == (segment.first, segment.until), "the archive holds other records");
    Ok(())
}

/// Verifies an archive from its files alone. Gives the first index and the one after the last.
///
/// # Errors
/// What is wrong with it.
pub fn verify(folder: &Path, keys: &KeySet) -> anyhow::Result<(u64, u64)> {
    let (contents, _) = verify_archive(|file| File::open(folder.join(file)), &keys.verifiers())?;
    Ok((contents.first, contents.until))
}

/// The folders in which names were added.
#[derive(Default)]
struct Folders(BTreeSet<PathBuf>);

impl Folders {
    /// Makes a folder, and those above it that are not there, for its user alone.
    fn make(&mut self, folder: &Path) -> anyhow::Result<()> {
        // A name is added to the parent of each that is made.
        let missing = folder.ancestors().take_while(|folder| !folder.exists());
        self.0.extend(missing.filter_map(Path::parent).map(Path::to_owned));
        self.0.insert(folder.to_owned());
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.with_context(|| format!("{} cannot be made", folder.display()))
    }

    /// Brings the names to the disk, also that of `top`, which may have been there before.
    fn sync(self, top: &Path) -> anyhow::Result<()> {
        for folder in self.0.iter().map(PathBuf::as_path).chain(top.parent()) {
            let synced = File::open(folder).and_then(|folder| folder.sync_all());
            synced.with_context(|| format!("{} cannot be brought to the disk", folder.display()))?;
        }
        Ok(())
    }
}

fn create_private(path: &Path) -> anyhow::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.with_context(|| path.display().to_string())
}

fn write_durably(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut file = create_private(path)?;
    file.write_all(bytes)?;
    Ok(file.sync_all()?)
}
