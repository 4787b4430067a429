//! The gateway's own keys, made at the first start, readable by its user alone.

use std::{
    fs::{self, File},
    io::Read as _,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::Arc,
};

use anyhow::{Context as _, bail};
use guichet_identity::{KeyRing, secret};
use guichet_ledger::{KeySet, Signer};

use crate::whole_file::write_whole;

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

/// The keys that checkpoints are signed with, one seed a line: the current one first, then those that it takes the place
/// of, which sign beside it until they are dropped. The log's origin is `guichet/ENVIRONMENT`.
pub fn ledger_keys(folder: &Path, environment: &str) -> anyhow::Result<Arc<KeySet>> {
    let text = read_or_make(&folder.join(LEDGER_KEY), new_seed)?;
    let mut signers = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        signers.push(Signer::from_seed(format!("guichet/{environment}"), seed(line)?)?);
    }
    if signers.is_empty() {
        bail!(
            "ledger.key holds no key: restore it from a backup; with another key the ledger's checkpoints do not open"
        );
    }
    let current = signers.remove(0);
    Ok(Arc::new(KeySet::new(current, signers)?))
}

/// A new key that signs first from the next start on, beside those there are. Gives the public half.
pub fn add_ledger_key(folder: &Path, environment: &str) -> anyhow::Result<String> {
    let path = folder.join(LEDGER_KEY);
    let before = read_or_make(&path, new_seed)?;
    // Read before it is written: a file that is no key file is not made worse.
    ledger_keys(folder, environment)?;
    let new = new_seed()?;
    write_secret(&path, &format!("{new}\n{}", before.trim()))?;
    public_half(environment, &new)
}

/// Only the first key signs from the next start on. Gives the public halves of those that were dropped. `newest` is the
/// newest checkpoint of the store, if there is one.
///
/// # Errors
/// A newest checkpoint that the first key did not sign, as long as the gateway was not started with it: then one of the
/// others is the only key that opens the log, and without it nothing more could be sealed.
pub fn drop_old_ledger_keys(
    folder: &Path,
    environment: &str,
    newest: Option<&str>,
) -> anyhow::Result<Vec<String>> {
    let path = folder.join(LEDGER_KEY);
    ledger_keys(folder, environment)?;
    let text = read_or_make(&path, new_seed)?;
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let current = lines.next().unwrap_or_default().to_owned();
    let dropped = lines.map(|seed| public_half(environment, seed)).collect::<Result<Vec<_>, _>>()?;
    if dropped.is_empty() {
        return Ok(dropped);
    }
    if let Some(note) = newest {
        let signer = Signer::from_seed(format!("guichet/{environment}"), seed(&current)?)?;
        KeySet::from(signer).open(note).context(
            "the newest checkpoint does not open with the new key alone, so no key was dropped; start the gateway once, \
             so that the new key signs beside the old one, and stop it again",
        )?;
    }
    write_secret(&path, &current)?;
    Ok(dropped)
}

const LEDGER_KEY: &str = "ledger.key";

fn new_seed() -> anyhow::Result<String> {
    let seed = secret::random_32().map_err(anyhow::Error::msg)?;
    Ok(seed.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}")))
}

fn public_half(environment: &str, line: &str) -> anyhow::Result<String> {
    Ok(Signer::from_seed(format!("guichet/{environment}"), seed(line)?)?.verifier().to_string())
}

fn seed(line: &str) -> anyhow::Result<[u8; 32]> {
    let mut seed = [0_u8; 32];
    if line.len() != 64 || !line.is_ascii() {
        bail!(
            "ledger.key has a line that is not 64 hexadecimal digits: restore it from a backup; with another key the \
             ledger's checkpoints do not open"
        );
    }
    for (position, byte) in seed.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&line[position * 2..position * 2 + 2], 16)
            .context("ledger.key is not hexadecimal")?;
    }
    Ok(seed)
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
    write_whole(path, format!("{text}\n").as_bytes(), 0o600).context("a key cannot be written")
}

/// The folder, made when it is not there, for its user alone.
pub fn folder(data: &Path) -> anyhow::Result<std::path::PathBuf> {
    let keys = data.join("keys");
    fs::create_dir_all(&keys).with_context(|| format!("{} cannot be made", keys.display()))?;
    fs::set_permissions(data, fs::Permissions::from_mode(0o700))
        .with_context(|| format!("{} cannot be closed to others", data.display()))?;
    Ok(keys)
}
