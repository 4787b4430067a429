//! Where PostgreSQL's programs are, and as whom they run: the server refuses to run as root.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

/// The programs of one installed version.
#[derive(Debug, Clone)]
pub(crate) struct Binaries {
    dir: PathBuf,
    as_root: bool,
}

impl Binaries {
    /// The newest version under `/usr/lib/postgresql`, else what `pg_config` on the search path names.
    pub(crate) fn find() -> Result<Self> {
        let dir = newest("/usr/lib/postgresql", "bin/initdb")
            .map_or_else(from_search_path, |dir| Ok(dir.join("bin")))?;
        ensure!(
            dir.join("initdb").is_file(),
            "{} has no initdb; install the PostgreSQL server (Debian: apt-get install postgresql)",
            dir.display()
        );
        let id = Command::new("id").arg("-u").output().context("cannot ask `id -u` who runs this")?;
        Ok(Self { dir, as_root: id.stdout.trim_ascii() == b"0" })
    }

    /// A command of this version, as user `postgres` when root runs this.
    pub(crate) fn command(&self, program: &str) -> Command {
        let program = self.dir.join(program);
        let mut command = if self.as_root {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        // The caller's directory may be closed to user `postgres`.
        command.current_dir("/").env("LC_ALL", "C");
        command
    }

    /// The words of [`Binaries::command`] for `pg_ctl`, for a shell.
    pub(crate) fn pg_ctl_words(&self) -> Vec<PathBuf> {
        let mut words: Vec<PathBuf> = Vec::new();
        if self.as_root {
            words.extend(["runuser", "-u", "postgres", "--"].map(PathBuf::from));
        }
        words.push(self.dir.join("pg_ctl"));
        words
    }

    /// Gives a directory to the user that the server runs as.
    pub(crate) fn own(&self, dir: &Path) -> Result<()> {
        if self.as_root {
            let status = Command::new("chown").args(["-R", "postgres"]).arg(dir).status()?;
            ensure!(status.success(), "cannot give {} to user postgres", dir.display());
        }
        Ok(())
    }
}

/// The newest version directory that holds this file.
fn newest(root: &str, file: &str) -> Option<PathBuf> {
    let versions = std::fs::read_dir(root).ok()?.filter_map(Result::ok).map(|entry| entry.path());
    versions.filter(|version| version.join(file).is_file()).max_by_key(|version| {
        version.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<u32>().ok())
    })
}

fn from_search_path() -> Result<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().context(
        "no PostgreSQL server is found, neither in /usr/lib/postgresql nor by pg_config; \
         install it (Debian: apt-get install postgresql)",
    )?;
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}
