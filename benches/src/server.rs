//! A server that is measured: a process of its own, ended by its id, also when we die without a word.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    process::{self, Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::{connection::Connection, setting::Setting};

/// Where servers listen.
const FIRST_PORT: u16 = 20_000;
const PORTS: u16 = 12_000;
/// Waits until its standard input closes, which our death does too, then asks the process to stop.
const WATCHER: &str = "read -r _; kill -TERM \"$1\" 2>/dev/null";
/// How long a server may take to stop before it is killed.
const STOP_WITHIN: Duration = Duration::from_secs(10);
/// How long it may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// Ticks of CPU time in `/proc`: 100 a second on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// A running server. Dropping it stops it and waits for that.
pub(crate) struct Server {
    child: Child,
    watcher: Option<Child>,
    /// `http://127.0.0.1:PORT`.
    pub(crate) url: String,
}

impl Server {
    /// Starts it. Until [`Server::watch`] it is only killed, not asked to stop.
    pub(crate) fn spawn(mut command: Command, url: String) -> Result<Self> {
        let child =
            command.stdin(Stdio::null()).spawn().with_context(|| format!("cannot start {command:?}"))?;
        Ok(Self { child, watcher: None, url })
    }

    /// From now on it is asked to stop, also when we die.
    pub(crate) fn watch(&mut self) -> Result<()> {
        let id = self.child.id().to_string();
        let mut command = Command::new("sh");
        command.args(["-c", WATCHER, "sh", &id]).stdin(Stdio::piped());
        self.watcher = Some(command.spawn().context("cannot start sh")?);
        Ok(())
    }

    /// One of our own roles; it tells its address on its first line.
    pub(crate) fn role(setting: &Setting, words: &[&str]) -> Result<Self> {
        let mut command = Command::new(setting.binary("guichet-benches")?);
        command.arg("role").args(words).stdout(Stdio::piped());
        let mut server = Self::spawn(command, String::new())?;
        server.watch()?;
        let out = server.child.stdout.take().context("no standard output")?;
        BufReader::new(out).read_line(&mut server.url)?;
        server.url.truncate(server.url.trim_end().len());
        if server.url.is_empty() {
            bail!("the role {words:?} did not start");
        }
        Ok(server)
    }

    /// Waits until `path` is answered with 200, and gives the time since `since`.
    pub(crate) fn wait_for(
        &mut self,
        setting: &Setting,
        path: &str,
        token: Option<&str>,
        since: Instant,
    ) -> Result<Duration> {
        loop {
            let answer =
                setting.runtime.block_on(async { Connection::open(&self.url).await?.get(path, token).await });
            if answer.as_ref().is_ok_and(|(status, _)| *status == 200) {
                return Ok(since.elapsed());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the server at {} ended with {status}", self.url);
            }
            if since.elapsed() > ANSWER_WITHIN {
                let said =
                    answer.map(|(status, body)| format!("{status} {}", String::from_utf8_lossy(&body)));
                bail!(
                    "{}{path} did not answer 200 within {} s, lastly: {said:?}",
                    self.url,
                    ANSWER_WITHIN.as_secs()
                );
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// CPU time it and its children have spent.
    pub(crate) fn cpu(&self) -> Duration {
        self.family().iter().map(|id| ticks(&format!("/proc/{id}/stat"), 11)).sum()
    }

    /// Resident memory in KiB, now and at most, with its children.
    pub(crate) fn memory(&self) -> (u64, u64) {
        self.family().iter().fold((0, 0), |(now, most), id| {
            let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
            (now + kib(&status, "VmRSS:"), most + kib(&status, "VmHWM:"))
        })
    }

    /// Of its resident memory, what belongs to no file, in KiB, with its children.
    pub(crate) fn anonymous(&self) -> u64 {
        let of = |id| fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        self.family().into_iter().map(|id| kib(&of(id), "RssAnon:")).sum()
    }

    fn family(&self) -> Vec<u32> {
        let id = self.child.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        std::iter::once(id).chain(children.split_whitespace().filter_map(|id| id.parse().ok())).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(watcher) = &mut self.watcher {
            drop(watcher.stdin.take());
            let _ = watcher.wait();
            let began = Instant::now();
            while began.elapsed() < STOP_WITHIN {
                if !matches!(self.child.try_wait(), Ok(None)) {
                    return;
                }
                thread::sleep(Duration::from_millis(5));
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// CPU time of all children of ours that have ended and were waited for.
pub(crate) fn cpu_of_ended_children() -> Duration {
    ticks("/proc/self/stat", 13)
}

/// Two neighbouring fields of a `stat` file, user and system time; `first` counts from the state, which is 0.
fn ticks(path: &str, first: usize) -> Duration {
    let stat = fs::read_to_string(path).unwrap_or_default();
    // The name in parentheses may hold anything, so fields are counted from behind it.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let field =
        |index: usize| fields.get(index).and_then(|text| text.parse::<u32>().ok()).unwrap_or_default();
    TICK * (field(first) + field(first + 1))
}

fn kib(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

/// A port that nobody has right now. It is below those that the system gives to connections (32768 and above), so that none takes
/// it until the server listens.
pub(crate) fn free_port() -> Result<u16> {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    for _ in 0..PORTS {
        let place = process::id().wrapping_add(TAKEN.fetch_add(1, Relaxed).into()) % u32::from(PORTS);
        let port = FIRST_PORT + u16::try_from(place)?;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port from {FIRST_PORT} to {} is free", FIRST_PORT + PORTS - 1)
}
