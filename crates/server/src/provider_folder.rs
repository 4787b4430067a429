//! The folder of providers: `NAME.toml` says of the provider NAME what a `[[provider]]` of `guichet.toml` says. `guichetd provider`
//! writes such files; a person or a pipeline may as well.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    config::{ConfigFault, place},
    config_provider::ProviderConfig,
    provider_text::{RawProvider, Reader},
    sources,
};

/// What was found in the folder.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) providers: Vec<ProviderConfig>,
    pub(crate) faults: Vec<ConfigFault>,
}

/// Where the provider of this name is told of.
pub(crate) fn file_of(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.toml"))
}

/// Reads every file of the folder. One that is not there has none. `names`: those that are taken, to which these are added;
/// `files`: what the providers depend on, likewise.
pub(crate) fn read(folder: &Path, names: &mut BTreeSet<String>, files: &mut Vec<PathBuf>) -> Found {
    if matches!(fs::metadata(folder), Err(error) if error.kind() == io::ErrorKind::NotFound) {
        return Found::default();
    }
    let mut found = Found::default();
    let read = match sources::read_folder(folder, "toml") {
        Ok(read) => read,
        Err(message) => {
            found.faults.push(ConfigFault { file: folder.to_owned(), line: 0, column: 0, message });
            return found;
        }
    };
    for (path, text) in read {
        let path = PathBuf::from(path);
        match one(&path, &text, names, files) {
            Ok(provider) => found.providers.push(provider),
            Err(faults) => found.faults.extend(faults),
        }
    }
    found
}

/// Reads one file.
///
/// # Errors
/// Everything that is wrong in it, each with its place.
pub(crate) fn one(
    path: &Path,
    text: &str,
    names: &mut BTreeSet<String>,
    files: &mut Vec<PathBuf>,
) -> Result<ProviderConfig, Vec<ConfigFault>> {
    let fault_at = |at: usize, message: String| {
        let (line, column) = place(text, at);
        ConfigFault { file: path.to_owned(), line, column, message }
    };
    let raw: RawProvider = toml::from_str(text).map_err(|error| {
        vec![fault_at(error.span().map_or(0, |span| span.start), error.message().to_owned())]
    })?;
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let mut faults = Vec::new();
    let mut fault = |at: usize, message: String| faults.push(fault_at(at, message));
    if let Some(name) = raw.name.as_ref().filter(|name| *name.get_ref() != stem) {
        let why = format!(
            "the file is called `{stem}.toml`, so the provider is `{stem}`: remove `name`, or rename the file"
        );
        fault(name.span().start, why);
    }
    if let (Some(kind), None) = (&raw.embedded, &raw.settings) {
        let why = format!(
            "what is built in would read this file itself as its settings (`{stem}.toml` when nothing else is said): name \
             them in `settings`, in another folder"
        );
        fault(kind.span().start, why);
    }
    if !names.insert(stem.clone()) {
        fault(0, format!("there are two providers called `{stem}`: rename or remove one"));
    }
    let base = path.parent().map(Path::to_owned).unwrap_or_default();
    let provider = Reader { base: &base, fault: &mut fault, files }.provider(raw, stem, 0);
    match provider {
        Some(provider) if faults.is_empty() => Ok(provider),
        _ => Err(faults),
    }
}
