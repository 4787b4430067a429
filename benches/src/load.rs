//! Many connections that ask one thing as fast as it is answered: `wrk` where it is, else a loop of our own.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::task::JoinSet;

use crate::{
    connection::Connection,
    figures::{Measured, of_durations},
    server::Server,
    setting::{Setting, has_or_installs},
};

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Load {
    /// `wrk` with one thread.
    Wrk,
    /// Our own loop on one thread; it costs more itself.
    Own,
}

impl Load {
    /// The better one of those there are.
    pub(crate) fn choose() -> Self {
        if has_or_installs("wrk", "wrk") { Self::Wrk } else { Self::Own }
    }

    /// In words.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Wrk => "wrk, one thread",
            Self::Own => "our own loop on hyper, one thread (no wrk here)",
        }
    }

    /// Asks `path` on `connections` connections; every answer must be a success.
    pub(crate) fn run(
        self,
        setting: &Setting,
        server: &Server,
        target: &Target,
        connections: usize,
        how_long: Duration,
    ) -> Result<Measured> {
        let (cpu, began) = (server.cpu(), Instant::now());
        let mut measured = match self {
            Self::Wrk => run_wrk(server, target, connections, how_long)?,
            Self::Own => setting.runtime.block_on(run_own(&server.url, target, connections, how_long))?,
        };
        // Over the whole time, which is a little longer than what was counted: both grow alike.
        let answers = measured.per_second * began.elapsed().as_secs_f64();
        measured.cpu = server.cpu().saturating_sub(cpu).div_f64(answers.max(1.0));
        Ok(measured)
    }
}

/// What is asked.
pub(crate) struct Target {
    pub(crate) path: String,
    pub(crate) token: Option<String>,
}

fn run_wrk(server: &Server, target: &Target, connections: usize, how_long: Duration) -> Result<Measured> {
    let mut command = Command::new("wrk");
    command.args(["--threads", "1", "--latency", "--timeout", "10s"]);
    command.arg("--connections").arg(connections.to_string());
    command.arg("--duration").arg(format!("{}s", how_long.as_secs().max(1)));
    if let Some(token) = &target.token {
        command.arg("--header").arg(format!("Authorization: Bearer {token}"));
    }
    let output =
        command.arg(format!("{}{}", server.url, target.path)).output().context("cannot start wrk")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "wrk failed: {}", String::from_utf8_lossy(&output.stderr));
    read_wrk(&text)
}

fn read_wrk(text: &str) -> Result<Measured> {
    for fault in ["Non-2xx", "Socket errors"] {
        if let Some(line) = text.lines().find(|line| line.contains(fault)) {
            bail!("not every request was answered: {}", line.trim());
        }
    }
    let after = |word: &str| {
        let rest = text.lines().find_map(|line| line.trim().strip_prefix(word));
        rest.map(str::trim).with_context(|| format!("wrk said nothing of {word}"))
    };
    Ok(Measured {
        per_second: after("Requests/sec:")?.parse()?,
        p50: read_duration(after("50%")?)?,
        p99: read_duration(after("99%")?)?,
        cpu: Duration::ZERO,
    })
}

/// `431.00us`, `1.07ms`, `2.00s`.
fn read_duration(text: &str) -> Result<Duration> {
    let units = [("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0)];
    let (number, unit) = units
        .iter()
        .find_map(|(unit, seconds)| text.strip_suffix(unit).map(|number| (number, seconds)))
        .with_context(|| format!("`{text}` is no duration"))?;
    Ok(Duration::from_secs_f64(
        number.parse::<f64>().with_context(|| format!("`{text}` is no duration"))? * unit,
    ))
}

async fn run_own(url: &str, target: &Target, connections: usize, how_long: Duration) -> Result<Measured> {
    let mut tasks = JoinSet::new();
    let began = Instant::now();
    for _ in 0..connections {
        let (url, path, token) = (url.to_owned(), target.path.clone(), target.token.clone());
        tasks.spawn(async move {
            let mut connection = Connection::open(&url).await?;
            let mut durations = Vec::new();
            while began.elapsed() < how_long {
                let asked = Instant::now();
                let (status, _) = connection.get(&path, token.as_deref()).await?;
                ensure!(status == 200, "{path} was answered with {status}");
                durations.push(asked.elapsed());
            }
            anyhow::Ok(durations)
        });
    }
    let mut durations = Vec::new();
    while let Some(done) = tasks.join_next().await {
        durations.extend(done??);
    }
    Ok(of_durations(durations, began.elapsed()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "Running 2s test @ http://127.0.0.1:1/x\n  1 threads and 16 connections\n  Latency Distribution\n     50%  431.00us\n     75%  500.00us\n     90%  610.00us\n     99%    1.07ms\n  75000 requests in 2.00s, 20.00MB read\nRequests/sec:  37475.21\nTransfer/sec:     10.00MB\n";

    #[test]
    fn what_wrk_says_is_read() {
        let measured = read_wrk(SAID).unwrap();
        assert!((measured.per_second - 37475.21).abs() < 1e-6);
        assert_eq!((measured.p50, measured.p99), (Duration::from_micros(431), Duration::from_micros(1070)));
    }

    #[test]
    fn an_error_among_the_answers_spoils_the_measurement() {
        let said = format!("{SAID}  Non-2xx or 3xx responses: 12\n");
        assert!(read_wrk(&said).unwrap_err().to_string().contains("12"));
        assert!(read_wrk("").is_err());
    }
}
