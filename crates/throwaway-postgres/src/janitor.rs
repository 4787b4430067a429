//! Who stops the server and removes its directory, also when the process that started it is killed.
//!
//! A small shell of its own process group waits at a pipe. The pipe closes when the cluster is dropped, or when
//! the system closes it for a process that died; then it sweeps. A `Drop` alone would leave servers behind
//! after every interrupted test, and statics are never dropped.

use std::{
    io::Read as _,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context as _, Result};

use crate::binaries::Binaries;

/// `$1` is the directory, the rest is the command of `pg_ctl`. SIGQUIT to the postmaster (mode immediate) ends
/// every session at once.
const SWEEP: &str = r#"read -r _
dir=$1
shift
"$@" --pgdata "$dir/data" --mode=immediate --wait --silent stop
rm -rf -- "$dir""#;

#[derive(Debug)]
pub(crate) struct Janitor {
    shell: Child,
    pipe: Option<ChildStdin>,
    done: Option<ChildStdout>,
}

impl Janitor {
    pub(crate) fn hire(binaries: &Binaries, dir: &Path) -> Result<Self> {
        let mut shell = Command::new("sh")
            .args(["-c", SWEEP, "throwaway-postgres-janitor"])
            .arg(dir)
            .args(binaries.pg_ctl_words())
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("cannot start the shell that cleans up after a cluster")?;
        let (pipe, done) = (shell.stdin.take(), shell.stdout.take());
        Ok(Self { shell, pipe, done })
    }
}

impl Drop for Janitor {
    fn drop(&mut self) {
        drop(self.pipe.take());
        if let Some(mut done) = self.done.take() {
            let _ = done.read_to_end(&mut Vec::new());
        }
        let _ = self.shell.wait();
    }
}
