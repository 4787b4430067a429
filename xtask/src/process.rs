//! Programs with an end: run, waited for within a limit, told apart by how they ended.

use std::{
    io::{BufRead as _, BufReader, PipeReader, Write as _, pipe},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::interrupt;

/// How often a child is looked at while it is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Where a program's standard error goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Errors {
    /// Kept apart.
    Apart,
    /// Into the same pipe as standard output, so that the order is as a person sees it.
    Among,
}

/// How a program ended and what it said.
#[derive(Debug, Clone)]
pub(crate) struct Finished {
    /// Exit code; none when a signal ended it.
    pub(crate) code: Option<i32>,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error, unless it went among the output.
    pub(crate) err: String,
}

/// A program that runs beside us. Dropping it kills it.
pub(crate) struct Running {
    child: Child,
    listeners: [Option<JoinHandle<()>>; 2],
    heard: Arc<Mutex<Heard>>,
}

impl Running {
    /// Starts it, hands it `input`, and listens.
    pub(crate) fn start(mut command: Command, input: &str, errors: Errors) -> Result<Self> {
        let (out, to_out) = pipe().context("cannot make a pipe")?;
        let (err, to_err) = match errors {
            Errors::Apart => pipe().map(|(err, to_err)| (Some(err), to_err)).context("cannot make a pipe")?,
            Errors::Among => (None, to_out.try_clone().context("cannot make a pipe")?),
        };
        command.stdin(Stdio::piped()).stdout(to_out).stderr(to_err);
        let mut child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        // Our ends for writing close here, or the listeners would never come to an end.
        drop(command);
        if let Some(mut stdin) = child.stdin.take() {
            // A program that ends without reading is no error here; its exit tells.
            let _ = stdin.write_all(input.as_bytes());
        }
        let heard = Arc::new(Mutex::new((String::new(), String::new())));
        let out = listen(out, &heard, |heard| &mut heard.0);
        let err = err.map(|err| listen(err, &heard, |heard| &mut heard.1));
        Ok(Self { child, listeners: [Some(out), err], heard })
    }

    /// What it has said so far.
    pub(crate) fn so_far(&self) -> Heard {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether it runs still.
    pub(crate) fn is_alive(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Waits for its end. Whoever takes longer than `limit` is killed.
    pub(crate) fn finish(mut self, limit: Duration) -> Result<Finished> {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            interrupt::check()?;
            if start.elapsed() > limit {
                let (out, err) = self.so_far();
                bail!("it has not ended after {} s; it said:\n{out}{err}", limit.as_secs());
            }
            thread::sleep(LOOK_EVERY);
        };
        for listener in self.listeners.iter_mut().filter_map(Option::take) {
            let _ = listener.join();
        }
        let (out, err) = self.so_far();
        Ok(Finished { code: status.code(), out, err })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Standard output and standard error.
pub(crate) type Heard = (String, String);

fn listen(
    pipe: PipeReader,
    heard: &Arc<Mutex<Heard>>,
    side: impl Fn(&mut Heard) -> &mut String + Send + 'static,
) -> JoinHandle<()> {
    let heard = Arc::clone(heard);
    thread::spawn(move || {
        let mut lines = BufReader::new(pipe);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            side(&mut heard).push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    })
}

/// Runs it to its end within `limit`.
pub(crate) fn run(command: Command, input: &str, errors: Errors, limit: Duration) -> Result<Finished> {
    Running::start(command, input, errors)?.finish(limit)
}

/// Runs it with our own input and output; whether it succeeded.
pub(crate) fn succeeds(command: &mut Command) -> Result<bool> {
    let mut child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.success());
        }
        if interrupt::asked() {
            // Ctrl-C reached it too; SIGTERM did not.
            let _ = child.kill();
            let _ = child.wait();
            interrupt::check()?;
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// Looks until `see` sees something, at most for `limit`.
pub(crate) fn wait_until<T>(
    what: &str,
    limit: Duration,
    mut see: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(seen) = see()? {
            return Ok(seen);
        }
        interrupt::check()?;
        if start.elapsed() > limit {
            bail!("{what} did not come about within {} s", limit.as_secs());
        }
        thread::sleep(LOOK_EVERY * 5);
    }
}
