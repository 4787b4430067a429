//! The gateway's own keys, made at the first start, readable by its user alone.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
    sync::Arc,
};

use anyhow::{Context as _, bail};
use guichet_identity::{KeyRing, secret};
use guichet_ledger::Signer;

/// Keys of provider tokens, one PASERK a line, the signing one first. To rotate: put a new one (`k4.secret.…`) first
/// and restart; remove the old one an hour later.
pub fn provider_keys(folder: &Path) -> anyhow::Result<KeyRing> {
    let text = read_or_make(&folder.join("provider-token.key"), || {
        KeyRing::generate_paserk().map_err(anyhow::Error::from)
    })?;
    let lines: Vec<String> =
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    KeyRing::from_paserk(&lines).context("provider-token.key")
}

/// The key that checkpoints are signed with. The log's origin is `guichet/ENVIRONMENT`.
pub fn ledger_signer(folder: &Path, environment: &str) -> anyhow::Result<Arc<Signer>> {
    let text = read_or_make(&folder.join("ledger.key"), || {
        let seed = secret::random_32().map_err(anyhow::Error::msg)?;
        Ok(seed.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}")))
    })?;
    let text = text.trim();
    let mut seed = [0_u8; 32];
    if text.len() != 64 || !text.is_ascii() {
        bail!(
            "ledger.key is not 64 hexadecimal digits: restore it from a backup; with another key the ledger's checkpoints do not open"
        );
    }
    for (position, byte) in seed.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[position * 2..position * 2 + 2], 16)
            .context("ledger.key is not hexadecimal")?;
    }
    Ok(Arc::new(Signer::from_seed(format!("guichet/{environment}"), seed)?))
}

fn read_or_make(path: &Path, make: impl FnOnce() -> anyhow::Result<String>) -> anyhow::Result<String> {
    match File::open(path) {
        Ok(mut file) => {
            let mode = file.metadata()?.permissions().mode();
            if mode & 0o077 != 0 {
                bail!(
                    "{} can be read by others (mode {:o}): chmod 600 it, and think about who may have read it",
                    path.display(),
                    mode & 0o777
                );
            }
            let mut text = String::new();
            file.read_to_string(&mut text).with_context(|| path.display().to_string())?;
            Ok(text)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let text = make()?;
            write_secret(path, &text)?;
            Ok(text)
        }
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}

/// Written whole or not at all: a crash leaves no half of a key.
fn write_secret(path: &Path, text: &str) -> anyhow::Result<()> {
    let unfinished = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&unfinished)
        .with_context(|| format!("{} cannot be written", unfinished.display()))?;
    writeln!(file, "{text}")?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// The folder, made when it is not there, for its user alone.
pub fn folder(data: &Path) -> anyhow::Result<std::path::PathBuf> {
    let keys = data.join("keys");
    fs::create_dir_all(&keys).with_context(|| format!("{} cannot be made", keys.display()))?;
    fs::set_permissions(data, fs::Permissions::from_mode(0o700))
        .with_context(|| format!("{} cannot be closed to others", data.display()))?;
    Ok(keys)
}
