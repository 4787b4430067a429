//! The folder: which of its files are actions, what is wrong with the others, and whether it has changed.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use crate::{
    findings::Finding,
    script::{self, Found, Script},
    settings::Settings,
};

/// The folder as it was at one moment.
pub(crate) struct Folder {
    pub(crate) scripts: Vec<Script>,
    pub(crate) findings: Vec<Finding>,
}

impl Folder {
    /// Reads all of it. What is wrong leaves out its script, never another.
    pub(crate) fn read(settings: &Settings) -> Self {
        let mut folder = Self { scripts: Vec::new(), findings: Vec::new() };
        let files = match files(&settings.folder) {
            Ok(files) => files,
            Err(error) => {
                let why = format!("the folder cannot be read: {error}; make it, or name another in `folder`");
                folder.findings.push(Finding::fault(&settings.folder, None, why));
                return folder;
            }
        };
        let mut nothing = Vec::new();
        for file in &files {
            if file.extension().is_some_and(|extension| extension == "toml") {
                if !files.contains(&file.with_extension("")) {
                    let why = "no script of this name is beside it, so it declares nothing";
                    folder.findings.push(Finding::fault(file, None, why));
                }
                continue;
            }
            match script::read(file, settings) {
                Ok(Found::Action(script)) => folder.take(*script),
                Ok(Found::Nothing) => nothing.push(file),
                Err(faults) => folder.findings.extend(faults),
            }
        }
        let plans = Script::plan_files(&folder.scripts);
        for file in nothing.into_iter().filter(|file| !plans.contains(*file)) {
            let why = "it has no header (`# /// guichet`) and no side file, so it is no action";
            folder.findings.push(Finding::note(file, why));
        }
        folder
    }

    fn take(&mut self, script: Script) {
        if let Some(other) = self.scripts.iter().find(|other| other.operation == script.operation) {
            let why = format!(
                "its action would be called `{}`, as that of {}: rename one",
                script.operation, other.program.name
            );
            self.findings.push(Finding::fault(&script.path, None, why));
        } else {
            self.scripts.push(script);
        }
    }
}

/// When it was changed, which file it is, its size and who may do what with it; none when it cannot be looked at.
type Seen = Option<(i64, i64, u64, u64, u32)>;
/// That of all its files.
pub(crate) type Fingerprint = Vec<(PathBuf, Seen)>;

/// What tells whether something has changed since the last look.
///
/// # Errors
/// The folder cannot be read: nothing is known of what it has.
pub(crate) fn fingerprint(folder: &Path) -> io::Result<Fingerprint> {
    let seen = |path: &Path| {
        let data = fs::metadata(path).ok()?;
        Some((data.ctime(), data.ctime_nsec(), data.ino(), data.size(), data.mode()))
    };
    Ok(files(folder)?.into_iter().map(|path| (path.clone(), seen(&path))).collect())
}

/// Its files by name, but hidden ones and those that editors leave.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if !name.starts_with('.') && !name.ends_with('~') && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
