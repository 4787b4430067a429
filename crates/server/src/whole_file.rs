//! Files that are written whole or not at all: beside their place first, then renamed.

use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

/// Writes the file durably: after a crash it holds the old bytes or the new ones. `mode` is that of a file that is made.
///
/// # Errors
/// The system's: then the old file is as it was.
pub(crate) fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let unfinished = path.with_extension("new");
    let written = (|| {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        // The new name too.
        let folder = path.parent().filter(|folder| *folder != OsStr::new(""));
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    })();
    written.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}
