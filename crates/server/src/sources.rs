//! Policies and registry as files: read whole, in the order of their names.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// Largest file of either, bytes.
const LARGEST: u64 = 4 * 1024 * 1024;

/// Name and text of every file with this ending, sorted by name. The folder must exist.
///
/// # Errors
/// What cannot be read, and which file.
pub fn read_folder(folder: &Path, ending: &str) -> Result<Vec<(String, String)>, String> {
    files(folder, ending)
        .map_err(|error| format!("{}: the folder cannot be read: {error}", folder.display()))?
        .into_iter()
        .map(|path| {
            let told = |why: String| format!("{}: {why}", path.display());
            let size = fs::metadata(&path).map_err(|error| told(error.to_string()))?.len();
            if size > LARGEST {
                return Err(told(format!("{size} bytes are more than the {LARGEST} that are read")));
            }
            let text = fs::read_to_string(&path).map_err(|error| told(error.to_string()))?;
            Ok((path.display().to_string(), text))
        })
        .collect()
}

/// What tells whether a file has changed since the last look.
pub fn fingerprint(
    paths: &[PathBuf],
    folders: &[(&Path, &str)],
) -> Vec<(PathBuf, Option<(SystemTime, u64)>)> {
    let mut all: Vec<PathBuf> = paths.to_vec();
    for (folder, ending) in folders {
        all.extend(files(folder, ending).unwrap_or_default());
    }
    all.into_iter()
        .map(|path| {
            let seen = fs::metadata(&path).and_then(|data| Ok((data.modified()?, data.len()))).ok();
            (path, seen)
        })
        .collect()
}

fn files(folder: &Path, ending: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == ending) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
