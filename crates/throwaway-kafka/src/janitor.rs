//! Who ends the broker and removes its folder, also when the process that started it is killed.
//!
//! A small shell of its own process group reads process ids from a pipe. The pipe closes when the broker is dropped, or
//! when the system closes it for a process that died; then it ends the last of them and sweeps. What it is to end says its
//! own id before it becomes a broker, so that there is no moment at which it is not known.

use std::{
    io::{Read as _, Write as _},
    os::{fd::AsFd as _, unix::process::CommandExt as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context as _, Result};

const SWEEP: &str = r#"pid=
while read -r line; do pid=$line; done
[ -n "$pid" ] && kill -KILL "$pid" 2>/dev/null
rm -rf -- "$1""#;

/// Run with the pipe as its input, by a process that becomes what follows and keeps its id, and not the pipe.
const SAY_AND_BECOME: &str = r#"echo "$$" >&0 && exec "$@" </dev/null"#;

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

    /// Starts this, with no input, and ends it when the pipe closes. Its folder, arguments and outputs are those of `what`.
    ///
    /// # Errors
    /// There is no shell. That the program is not there shows when it ends, with 127.
    pub(crate) fn start(&mut self, what: &Command, outputs: (Stdio, Stdio)) -> Result<Child> {
        let pipe = self.pipe.as_ref().context("the janitor is gone")?;
        let mut start = Command::new("sh");
        start.args(["-c", SAY_AND_BECOME, "throwaway-kafka"]).arg(what.get_program()).args(what.get_args());
        if let Some(folder) = what.get_current_dir() {
            start.current_dir(folder);
        }
        let (output, error) = outputs;
        start.stdin(pipe.as_fd().try_clone_to_owned()?).stdout(output).stderr(error);
        start.spawn().context("cannot run sh")
    }

    /// What was started has ended: its id may be another's soon.
    pub(crate) fn forget(&mut self) -> Result<()> {
        let pipe = self.pipe.as_mut().context("the janitor is gone")?;
        writeln!(pipe).context("the janitor does not listen")
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt as _;

    #[test]
    fn what_was_started_ends_though_nobody_said_more() {
        let dir = tempfile::tempdir().unwrap().keep();
        let mut janitor = Janitor::hire(&dir).unwrap();
        let mut sleep = Command::new("sleep");
        sleep.arg("600").current_dir("/");
        let mut child = janitor.start(&sleep, (Stdio::null(), Stdio::null())).unwrap();
        // As when the process that started it is killed at once.
        drop(janitor);
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        assert!(!dir.exists());
    }
}
