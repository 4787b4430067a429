//! What all measurements share: where files go, where the binaries are, how long things take, the async runtime.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// How often everything is measured, in turns.
pub(crate) const ROUNDS: usize = 3;

/// Shared by all measurements.
pub(crate) struct Setting {
    /// How long one measurement takes.
    pub(crate) seconds: Duration,
    /// One thread: whoever generates load shall not take the cores of whoever answers it.
    pub(crate) runtime: Runtime,
    folder: TempDir,
    binaries: PathBuf,
}

impl Setting {
    /// The scratch folder lies beside the binaries: a system's temporary folder may be memory, where syncing is free.
    pub(crate) fn new(seconds: Duration) -> Result<Self> {
        let own = std::env::current_exe().context("cannot tell where this program is")?;
        let binaries = own.parent().context("this program lies in no folder")?.to_owned();
        let folder =
            tempfile::Builder::new().prefix("bench-").tempdir_in(&binaries).context("no scratch folder")?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { seconds, runtime, folder, binaries })
    }

    /// A new folder for files.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// One of our own programs.
    pub(crate) fn binary(&self, name: &str) -> Result<PathBuf> {
        let path = self.binaries.join(name);
        ensure!(path.is_file(), "`{name}` is not built; run this through `cargo xtask bench`");
        Ok(path)
    }
}

/// The root of the repository this was built from.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Whether a program can be started at all. Where we are root and know its package, it is installed.
pub(crate) fn has_or_installs(program: &str, package: &str) -> bool {
    if has(program) {
        return true;
    }
    // A package that starts a service of its own would be measured with us: nothing is installed unless root, and
    // Debian's switch against starting services is set.
    let is_root = output("id", &["-u"]).is_some_and(|id| id == "0");
    if is_root {
        eprintln!("  installing {package}");
        let installed = Command::new("apt-get")
            .args(["install", "-y", "-qq", "--no-install-recommends", package])
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("RUNLEVEL", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if installed.is_ok_and(|status| status.success()) && has(program) {
            return true;
        }
    }
    eprintln!("  SKIPPED: `{program}` is not here and could not be installed (apt-get install {package})");
    false
}

/// Whether the shell finds it.
pub(crate) fn has(program: &str) -> bool {
    Command::new("sh")
        .args(["-c", "command -v \"$1\"", "sh", program])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The first line a program prints, on either stream.
pub(crate) fn output(program: &str, words: &[&str]) -> Option<String> {
    let output = Command::new(program).args(words).current_dir(root()).stdin(Stdio::null()).output().ok()?;
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    Some(String::from_utf8_lossy(&text).lines().next()?.trim().to_owned())
}
