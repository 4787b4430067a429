//! The files of the repository, read once and by hand: no git is needed, so a tarball can be tested too.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Directories that are made, not written.
const MADE: &[&str] = &["target", ".git", "node_modules", "demo-run"];

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every file of the repository, relative to the root, sorted.
pub fn files() -> io::Result<Vec<PathBuf>> {
    let root = root();
    let mut found = Vec::new();
    let mut open = vec![root.clone()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                if !MADE.contains(&entry.file_name().to_string_lossy().as_ref()) {
                    open.push(path);
                }
            } else if let Ok(relative) = path.strip_prefix(&root) {
                found.push(relative.to_path_buf());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Files whose name ends with `.extension`.
pub fn files_with(extension: &str) -> io::Result<Vec<PathBuf>> {
    Ok(files()?.into_iter().filter(|path| path.extension().is_some_and(|own| own == extension)).collect())
}

/// The text of a file, by its path relative to the root.
pub fn read(relative: &Path) -> io::Result<String> {
    fs::read_to_string(root().join(relative))
}

/// Whether the root holds this file or directory.
pub fn exists(relative: &Path) -> bool {
    root().join(relative).exists()
}
