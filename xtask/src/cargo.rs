//! Cargo, called as the cargo that called us.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use crate::process::succeeds;

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// `cargo` with these words, in the root.
pub(crate) fn cargo(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.args(words).current_dir(root());
    command
}

/// Runs it and fails unless it succeeds.
pub(crate) fn run_cargo(words: &[&str]) -> Result<()> {
    ensure!(succeeds(&mut cargo(words))?, "`cargo {}` failed; its words are above", words.join(" "));
    Ok(())
}

/// Builds the binaries of the whole workspace: building one package alone would compile its dependencies again
/// with other features.
pub(crate) fn build_binaries() -> Result<()> {
    eprintln!("Building guichetd and guichet. The first time takes a few minutes.");
    run_cargo(&["build", "--workspace", "--bins"])
}

/// Where cargo builds: this program stands in a folder of it that is named after the profile.
pub(crate) fn build_folder() -> Result<PathBuf> {
    let own = std::env::current_exe().context("cannot tell where this program is")?;
    let folder = own.parent().and_then(Path::parent).context("this program stands nowhere")?;
    Ok(folder.to_owned())
}

/// A binary that stands beside this one.
pub(crate) fn binary(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().context("cannot tell where this program is")?;
    let path = own.with_file_name(name);
    ensure!(path.is_file(), "{} is not there; run this through `cargo xtask`", path.display());
    Ok(path)
}
