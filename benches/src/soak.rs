//! Many minutes of everything at once, to see whether memory grows: changes, reads, followers, runs that wait and are
//! refused.

use std::{
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::Method;
use tokio::task::JoinSet;

use crate::{
    approvals, changes,
    connection::Connection,
    figures::{Table, count, mib},
    gateway::{APPROVER, Site},
    server::Server,
    setting::Setting,
};

/// Connections of each kind.
const CHANGERS: usize = 8;
const READERS: usize = 4;
const DECIDERS: usize = 2;
/// Between two looks at memory.
const LOOK: Duration = Duration::from_secs(10);
/// How much of the time is compared, at the beginning and at the end.
const COMPARED: Duration = Duration::from_mins(1);

/// Measures for so long, at least 20 s.
pub(crate) fn measure(setting: &Setting, how_long: Duration) -> Result<String> {
    let how_long = how_long.max(2 * LOOK);
    let site = Site::new(setting, "soak")?;
    // Those of one provider wait, those of the other do not.
    let policy =
        approvals::POLICY.replace(r#"action in Action::"change""#, r#"action == Action::"bench.noop""#);
    std::fs::write(site.folder().join("policy/bench.cedar"), policy)?;
    let provider = Server::role(setting, &["provider", &site.url, "free"])?;
    let asked = Server::role(setting, &["provider", &site.url])?;
    site.configure(setting, &[("free", &provider.url), ("bench", &asked.url)])?;
    let (mut gateway, token) = site.start(setting)?;
    for action in ["bench.noop", "free.noop"] {
        let path = format!("/v1/actions/{action}");
        gateway.wait_for(setting, &path, Some(&token), Instant::now()).with_context(|| site.log())?;
    }
    let approver = site.sign_in(setting, APPROVER)?;
    let began = Instant::now();
    // Whoever looks hears at once that there is nothing more to look at, however the load ends.
    let (loaded, over) = mpsc::channel::<()>();
    let (looks, counts) = thread::scope(|scope| {
        let gateway = &gateway;
        let looking = scope.spawn(move || looks(gateway, began, how_long, &over));
        let load = load(&gateway.url, &token, &approver, began, how_long);
        let counts = setting.runtime.block_on(load);
        drop(loaded);
        let counts = counts.with_context(|| site.log())?;
        let looks = looking.join().ok().context("the look at memory failed")?;
        anyhow::Ok((looks, counts))
    })?;
    let store: u64 = std::fs::read_dir(site.folder().join("data"))
        .map(|files| files.flatten().filter_map(|file| Some(file.metadata().ok()?.len())).sum())
        .unwrap_or_default();
    Ok(tell(&looks, counts, how_long, store))
}

/// What was done.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    changes: usize,
    reads: usize,
    decided: usize,
}

/// Resident memory in KiB, and when, until it is over.
fn looks(gateway: &Server, began: Instant, how_long: Duration, over: &Receiver<()>) -> Vec<(Duration, u64)> {
    let mut looks = Vec::new();
    while began.elapsed() + LOOK <= how_long
        && let Err(RecvTimeoutError::Timeout) = over.recv_timeout(LOOK)
    {
        looks.push((began.elapsed(), gateway.memory().0));
    }
    looks
}

async fn load(url: &str, token: &str, approver: &str, began: Instant, how_long: Duration) -> Result<Counts> {
    let mut tasks: JoinSet<Result<Counts>> = JoinSet::new();
    let whose = || (url.to_owned(), token.to_owned());
    for _ in 0..CHANGERS {
        let (url, token) = whose();
        tasks.spawn(async move {
            let (mut connection, mut done) = (Connection::open(&url).await?, Counts::default());
            while began.elapsed() < how_long {
                changes::change(&mut connection, "free.noop", &token).await?;
                done.changes += 1;
            }
            Ok(done)
        });
    }
    for _ in 0..READERS {
        let (url, token) = whose();
        tasks.spawn(async move {
            let (mut connection, mut done) = (Connection::open(&url).await?, Counts::default());
            while began.elapsed() < how_long {
                for path in ["/providers/free/items/7", "/v1/runs?limit=50", "/v1/records?limit=50"] {
                    let (status, _) = connection.get(path, Some(&token)).await?;
                    ensure!(status == 200, "{path} was answered with {status}");
                    done.reads += 1;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Ok(done)
        });
    }
    for _ in 0..DECIDERS {
        let ((url, token), approver) = (whose(), approver.to_owned());
        tasks.spawn(async move {
            let (mut connection, mut done) = (Connection::open(&url).await?, Counts::default());
            while began.elapsed() < how_long {
                let run = approvals::submit(&mut connection, &token).await?;
                let path = format!("/v1/runs/{run}/reject");
                let no = Bytes::from_static(br#"{"reason":"a measurement"}"#);
                let (status, body) = connection.call(Method::POST, &path, Some(&approver), no).await?;
                ensure!(status == 200, "a no was answered with {status}: {}", String::from_utf8_lossy(&body));
                done.decided += 1;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Ok(done)
        });
    }
    let mut all = Counts::default();
    while let Some(done) = tasks.join_next().await {
        let done = done??;
        all.changes += done.changes;
        all.reads += done.reads;
        all.decided += done.decided;
    }
    Ok(all)
}

fn tell(looks: &[(Duration, u64)], counts: Counts, how_long: Duration, store: u64) -> String {
    let most = |wanted: &dyn Fn(Duration) -> bool| {
        let within = looks.iter().filter(|(at, _)| wanted(*at)).map(|(_, kib)| *kib);
        within.max().unwrap_or_default()
    };
    let compared = COMPARED.min(how_long / 2);
    let first = most(&|at| at <= compared);
    let last = most(&|at| at + compared > how_long);
    let mut table = Table::new(&["", "resident memory"]);
    table.row(&[format!("most in the first {} s", compared.as_secs()), mib(first)]);
    table.row(&[format!("most in the last {} s", compared.as_secs()), mib(last)]);
    let every: Vec<String> = looks.iter().map(|(_, kib)| (kib / 1024).to_string()).collect();
    format!(
        "## soak\n\n{} s of {CHANGERS} submitters of whole changes, {READERS} readers of items, runs and records, and {DECIDERS} who submit runs \
         that wait and have them rejected: {} changes, {} reads, {} decisions; the store has {} in the end. Memory was looked \
         at every {} s.\n\n{}\nMiB, one by one: {}\n",
        how_long.as_secs(),
        number(counts.changes),
        number(counts.reads),
        number(counts.decided),
        mib(store / 1024),
        LOOK.as_secs(),
        table.into_text(),
        every.join(" ")
    )
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn number(number: usize) -> String {
    count(number as f64)
}
