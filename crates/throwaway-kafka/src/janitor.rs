//! Who ends the broker and removes its folder, also when the process that started it is killed.
//!
//! A small shell of its own process group reads process ids from a pipe. The pipe closes when the broker is dropped, or
//! when the system closes it for a process that died; then it ends the last of them and sweeps.

use std::{
    io::{Read as _, Write as _},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context as _, Result};

const SWEEP: &str = r#"pid=
while read -r line; do pid=$line; done
[ -n "$pid" ] && kill -KILL "$pid" 2>/dev/null
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
            .args(["-c", SWEEP, "throwaway-kafka-janitor"])
            .arg(dir)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("cannot start the shell that cleans up after a broker")?;
        let (pipe, done) = (shell.stdin.take(), shell.stdout.take());
        Ok(Self { shell, pipe, done })
    }

    /// From now on this process is the one to end; `None` when there is none.
    pub(crate) fn watch(&mut self, process: Option<u32>) -> Result<()> {
        let text = process.map(|process| process.to_string()).unwrap_or_default();
        let pipe = self.pipe.as_mut().context("the janitor is gone")?;
        writeln!(pipe, "{text}").context("the janitor does not listen")
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
