//! Who ends a test's server and removes its folder, also when the process that started it is killed.
//!
//! A small shell of its own process group reads process ids from a pipe, with `-` before those that have ended. The pipe closes
//! when the [`Janitor`] is dropped, or when the system closes it for a process that died; then it ends what has not, and
//! sweeps. What it is to end says its own id before it becomes a server, so that there is no moment at which it is not known. A
//! `Drop` alone would leave servers behind after every interrupted test, and statics are never dropped.

use std::{
    ffi::OsString,
    io::{Read as _, Write as _},
    os::{fd::AsFd as _, unix::process::CommandExt as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context as _, Result};

/// `$1` is the folder, the rest is a command that ends what was not started through the janitor. That one has ended may come before
/// its own word that it began: each such word takes back one beginning, whichever came first.
const SWEEP: &str = r#"started=
ended=
while read -r line; do
  case $line in
  -*) ended="$ended ${line#-}" ;;
  *) started="$started $line" ;;
  esac
done
for pid in $ended; do
  rest=
  for one in $started; do
    if [ "$one" = "$pid" ]; then pid=; else rest="$rest $one"; fi
  done
  started=$rest
done
for pid in $started; do kill -KILL "$pid" 2>/dev/null; done
dir=$1
shift
[ $# -eq 0 ] || "$@"
rm -rf -- "$dir""#;

/// Run with the pipe as its input, by a process that becomes what follows and keeps its id, and not the pipe.
const SAY_AND_BECOME: &str = r#"echo "$$" >&0 && exec "$@" </dev/null"#;

/// The shell. Dropped, it sweeps, and the drop waits until that is done.
#[derive(Debug)]
pub struct Janitor {
    shell: Child,
    pipe: Option<ChildStdin>,
    done: Option<ChildStdout>,
}

impl Janitor {
    /// Of this folder. `stop`: the words of a command that ends what was not started through [`Janitor::start`]; none
    /// are needed where there is no such thing.
    ///
    /// # Errors
    /// There is no shell.
    pub fn hire(folder: &Path, stop: &[OsString]) -> Result<Self> {
        let mut shell = Command::new("sh")
            .args(["-c", SWEEP, "throwaway-janitor"])
            .arg(folder)
            .args(stop)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("cannot start the shell that cleans up after a server")?;
        let (pipe, done) = (shell.stdin.take(), shell.stdout.take());
        Ok(Self { shell, pipe, done })
    }

    /// Starts this, with no input, and ends it when the pipe closes. Its folder, arguments and environment are those of `what`,
    /// its outputs these two.
    ///
    /// # Errors
    /// There is no shell. That the program is not there shows when it ends, with 127.
    pub fn start(&mut self, what: &Command, (output, error): (Stdio, Stdio)) -> Result<Child> {
        let pipe = self.pipe.as_ref().context("the janitor is gone")?;
        let mut start = Command::new("sh");
        start.args(["-c", SAY_AND_BECOME, "throwaway-janitor"]).arg(what.get_program()).args(what.get_args());
        for (name, value) in what.get_envs() {
            match value {
                Some(value) => start.env(name, value),
                None => start.env_remove(name),
            };
        }
        if let Some(folder) = what.get_current_dir() {
            start.current_dir(folder);
        }
        start.stdin(pipe.as_fd().try_clone_to_owned()?).stdout(output).stderr(error);
        start.spawn().context("cannot run sh")
    }

    /// This one has ended: its id may be another's soon.
    ///
    /// # Errors
    /// The shell is gone.
    pub fn forget(&mut self, process: u32) -> Result<()> {
        let pipe = self.pipe.as_mut().context("the janitor is gone")?;
        writeln!(pipe, "-{process}").context("the janitor does not listen")
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
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    fn sleep(janitor: &mut Janitor) -> Child {
        let mut sleep = Command::new("sh");
        sleep.args(["-c", "exec sleep \"$LONG\""]).env("LONG", "600").current_dir("/");
        janitor.start(&sleep, (Stdio::null(), Stdio::null())).unwrap()
    }

    #[test]
    fn what_was_started_ends_though_nobody_said_more() {
        let dir = tempfile::tempdir().unwrap().keep();
        let mut janitor = Janitor::hire(&dir, &[]).unwrap();
        let (mut one, mut two) = (sleep(&mut janitor), sleep(&mut janitor));
        // As when the process that started it is killed at once.
        drop(janitor);
        assert_eq!((one.wait().unwrap().signal(), two.wait().unwrap().signal()), (Some(9), Some(9)));
        assert!(!dir.exists());
    }

    #[test]
    fn what_is_forgotten_is_left_alone_and_what_else_there_is_is_stopped_by_its_command() {
        let (dir, beside) = (tempfile::tempdir().unwrap().keep(), tempfile::tempdir().unwrap());
        let stopped = beside.path().join("stopped");
        let mut janitor = Janitor::hire(&dir, &["touch".into(), stopped.clone().into()]).unwrap();
        let (mut kept, mut ended) = (sleep(&mut janitor), sleep(&mut janitor));
        janitor.forget(kept.id()).unwrap();
        drop(janitor);
        assert_eq!(ended.wait().unwrap().signal(), Some(9));
        assert!(kept.try_wait().unwrap().is_none(), "it was forgotten");
        kept.kill().unwrap();
        let _ = kept.wait().unwrap();
        assert!(stopped.exists() && !dir.exists());
    }
}
