//! Changes: submitted, recorded, performed by a provider, outcome recorded — beside what one durable row costs.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::Method;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::{
    connection::Connection,
    disk,
    figures::{Measured, Table, count, duration, median, median_of, of_durations, ratio, times},
    gateway::Site,
    postgres::Postgres,
    server::Server,
    setting::{ROUNDS, Setting},
};

const SUBMITTERS: [usize; 3] = [1, 16, 64];
const REST: Duration = Duration::from_millis(700);

/// Measures: on SQLite, then on PostgreSQL.
pub(crate) fn measure(setting: &Setting) -> Result<String> {
    let on_sqlite = {
        let site = Site::new(setting, "changes")?;
        let measure = |_: usize| disk::commits(site.folder(), setting.seconds / 2);
        let rounds = rounds(setting, &site, "", measure)?;
        tell("SQLite", "SQLite: one row, one commit (WAL, FULL)", &[], &rounds)
    };
    let postgres = Postgres::start()?;
    let site = Site::new(setting, "changes-postgres")?;
    let measure = |clients: usize| postgres.commits(clients, setting.seconds / 2);
    let rounds = rounds(setting, &site, &postgres.table(&site)?, measure)?;
    let alone = "PostgreSQL: one row, one commit, 1 client of pgbench";
    let many: Vec<String> =
        SUBMITTERS[1..].iter().map(|clients| format!("the same, {clients} clients of pgbench")).collect();
    let on_postgres = tell("PostgreSQL", alone, &many, &rounds);
    Ok(format!(
        "## changes\n\nA change is submitted over HTTP, decided, recorded, performed by an SDK provider that does nothing, and \
         its outcome recorded; the submitter follows the run's events to the end, then submits the next. The times are from \
         submission to outcome as the submitter sees it. Every step is durable before the next begins, so one change is \
         several commits; those of many submitters share them. {ROUNDS} rounds in turns, same disk. PostgreSQL runs on this \
         machine, on its two cores as well, and syncs each commit.\n\n{on_sqlite}\n{on_postgres}"
    ))
}

/// What the rounds of one store gave.
struct Rounds {
    syncs: Vec<Measured>,
    /// By the number of clients, as many as are measured.
    commits: [Vec<Measured>; SUBMITTERS.len()],
    changes: [Vec<Measured>; SUBMITTERS.len()],
}

/// One gateway on one store. `commits` is what the store alone can do with so many clients.
fn rounds(
    setting: &Setting,
    site: &Site,
    tables: &str,
    commits: impl Fn(usize) -> Result<Measured>,
) -> Result<Rounds> {
    let provider = Server::role(setting, &["provider", &site.url])?;
    site.configure_with(setting, &[("bench", &provider.url)], tables)?;
    let (mut gateway, token) = site.start(setting)?;
    gateway
        .wait_for(setting, "/v1/actions/bench.noop", Some(&token), Instant::now())
        .with_context(|| site.log())?;
    setting
        .runtime
        .block_on(load(&gateway.url, &token, 4, Duration::from_millis(500)))
        .with_context(|| site.log())?;
    let mut all = Rounds { syncs: Vec::new(), commits: Default::default(), changes: Default::default() };
    for round in 0..ROUNDS {
        eprintln!("  round {} of {ROUNDS}", round + 1);
        thread::sleep(REST);
        all.syncs.push(disk::syncs(site.folder(), setting.seconds / 2)?);
        for (at, submitters) in SUBMITTERS.into_iter().enumerate() {
            all.commits[at].push(commits(submitters)?);
            let (cpu, began) = (gateway.cpu(), Instant::now());
            let work = load(&gateway.url, &token, submitters, setting.seconds);
            let mut measured = setting.runtime.block_on(work).with_context(|| site.log())?;
            let done = measured.per_second * began.elapsed().as_secs_f64();
            thread::sleep(REST);
            measured.cpu = gateway.cpu().saturating_sub(cpu).div_f64(done.max(1.0));
            all.changes[at].push(measured);
        }
    }
    Ok(all)
}

/// Submits, follows each run to its end, submits the next.
async fn load(url: &str, token: &str, submitters: usize, how_long: Duration) -> Result<Measured> {
    let mut tasks = JoinSet::new();
    let began = Instant::now();
    for _ in 0..submitters {
        let (url, token) = (url.to_owned(), token.to_owned());
        tasks.spawn(async move {
            let mut connection = Connection::open(&url).await?;
            let mut durations = Vec::new();
            while began.elapsed() < how_long {
                let asked = Instant::now();
                change(&mut connection, "bench.noop", &token).await?;
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

/// One whole change.
pub(crate) async fn change(connection: &mut Connection, action: &str, token: &str) -> Result<()> {
    let body = Bytes::from_static(br#"{"input":{},"reason":"a measurement"}"#);
    let path = format!("/v1/actions/{action}/runs");
    let (status, body) = connection.call(Method::POST, &path, Some(token), body).await?;
    ensure!(status == 202, "a submission was answered with {status}: {}", String::from_utf8_lossy(&body));
    let run: Value = serde_json::from_slice(&body)?;
    let id = run["id"].as_str().context("a run without id")?;
    // The stream ends with the run's final state.
    let (status, events) = connection.get(&format!("/v1/runs/{id}/events"), Some(token)).await?;
    let events = String::from_utf8_lossy(&events);
    ensure!(status == 200 && events.contains("\"succeeded\""), "run {id} did not succeed: {status} {events}");
    Ok(())
}

/// `alone` names what one client of the store's own does, `many` what more of them do, where that differs.
fn tell(store: &str, alone: &str, many: &[String], rounds: &Rounds) -> String {
    let beside = format!("of {store} alone");
    let mut table =
        Table::new(&["", "per second", "lowest–highest", "p50", "p99", "CPU of guichetd", beside.as_str()]);
    let mut row = |name: &str, measured: &[Measured], commits: &[Measured], is_ours: bool| {
        let rates = || measured.iter().map(|round| round.per_second);
        let cpu = || duration(median_of(measured.iter().map(|round| round.cpu)));
        table.row(&[
            name.to_owned(),
            count(median(rates())),
            format!(
                "{}–{}",
                count(rates().fold(f64::INFINITY, f64::min)),
                count(rates().fold(0.0, f64::max))
            ),
            duration(median_of(measured.iter().map(|round| round.p50))),
            duration(median_of(measured.iter().map(|round| round.p99))),
            if is_ours { cpu() } else { "–".to_owned() },
            times(ratio(measured, commits)),
        ]);
    };
    row("`fdatasync` of one page", &rounds.syncs, &rounds.commits[0], false);
    row(alone, &rounds.commits[0], &rounds.commits[0], false);
    for (name, commits) in many.iter().zip(&rounds.commits[1..]) {
        row(name, commits, &rounds.commits[0], false);
    }
    for (at, submitters) in SUBMITTERS.into_iter().enumerate() {
        let plural = if submitters == 1 { "" } else { "s" };
        let commits = if many.is_empty() { &rounds.commits[0] } else { &rounds.commits[at] };
        row(
            &format!("**guichetd**: whole changes, {submitters} submitter{plural}"),
            &rounds.changes[at],
            commits,
            true,
        );
    }
    format!("On {store}:\n\n{}", table.into_text())
}
