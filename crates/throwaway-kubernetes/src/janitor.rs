//! Who ends the programs and removes its folder, also when the process that started it is killed.
//!
//! A small shell of its own process group reads process ids from a pipe, with `-` before those that have ended. The pipe closes when the cluster is dropped, or
//! when the system closes it for a process that died; then it ends all of them and sweeps.

use std::{
    io::{Read as _, Write as _},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context as _, Result};

const SWEEP: &str = r#"pids=
while read -r line; do
  case $line in
  -*) rest=; for pid in $pids; do [ "-$pid" = "$line" ] || rest="$rest $pid"; done; pids=$rest ;;
  *) pids="$pids $line" ;;
  esac
done
for pid in $pids; do kill -KILL "$pid" 2>/dev/null; done
rm -rf -- "$1""#;

#[derive(Debug)]
pub(crate) struct Janitor {
    shell: Child,
    pipe: Option<ChildStdin>,
    done: Option<ChildStdout>,
}

impl Janitor {
    pub(crate) fn hire(dir: &Path) -> Result<Self> {
        let mut shell = Command::new("sh")
            .args(["-c", SWEEP, "throwaway-kubernetes-janitor"])
            .arg(dir)
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

    /// This process is one to end, too.
    pub(crate) fn watch(&mut self, process: u32) -> Result<()> {
        self.say(&process.to_string())
    }

    /// It has ended: its number may be another's by and by.
    pub(crate) fn forget(&mut self, process: u32) -> Result<()> {
        self.say(&format!("-{process}"))
    }

    fn say(&mut self, line: &str) -> Result<()> {
        let pipe = self.pipe.as_mut().context("the janitor is gone")?;
        writeln!(pipe, "{line}").context("the janitor does not listen")
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
