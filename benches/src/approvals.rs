//! Approvals: from the approver's yes to the start of the execution, with nothing else waiting and with many runs waiting.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use guichet_contract::{Clock as _, SystemClock};
use http::Method;
use jiff::Timestamp;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::{
    connection::Connection,
    disk,
    figures::{Measured, Table, count, duration, median_of, mib, of_durations},
    gateway::{APPROVER, Site},
    server::Server,
    setting::{ROUNDS, Setting},
};

const SUBMIT: &str = "/v1/actions/bench.noop/runs";
/// Runs that wait while others are approved.
const WAITING: usize = 10_000;
/// Connections that submit those.
const SUBMITTERS: usize = 64;
/// Approvers at once.
const APPROVERS: [usize; 2] = [1, 16];
/// Every change of the provider `bench` waits.
pub(crate) const POLICY: &str = r#"
@id("bench-asks")
@approval("a measurement")
@by("team:dba")
forbid (principal, action in Action::"change", resource);
"#;

/// Measures.
pub(crate) fn measure(setting: &Setting) -> Result<String> {
    let site = Site::new(setting, "approvals")?;
    std::fs::write(site.folder().join("policy/bench.cedar"), POLICY)?;
    let provider = Server::role(setting, &["provider", &site.url])?;
    site.configure(setting, &[("bench", &provider.url)])?;
    let (mut gateway, requester) = site.start(setting)?;
    gateway
        .wait_for(setting, "/v1/actions/bench.noop", Some(&requester), Instant::now())
        .with_context(|| site.log())?;
    let approver = site.sign_in(setting, APPROVER)?;
    let people = People { url: gateway.url.clone(), requester, approver };
    let mut table = Table::new(&[
        "",
        "approved per second",
        "yes → answered",
        "yes → started, p50",
        "p99",
        "yes → outcome",
        "p99",
    ]);
    let (mut commits, mut memory) = (Vec::new(), Vec::new());
    for waiting in [0, WAITING] {
        if waiting > 0 {
            let began = Instant::now();
            setting.runtime.block_on(wait(&people, waiting)).with_context(|| site.log())?;
            eprintln!("  {waiting} runs wait, submitted in {:.1} s", began.elapsed().as_secs_f64());
        }
        memory.push(gateway.memory().0);
        for approvers in APPROVERS {
            let mut rounds = Vec::new();
            for _ in 0..ROUNDS {
                commits.push(disk::commits(site.folder(), setting.seconds / 4)?);
                let round = setting.runtime.block_on(load(&people, approvers, setting.seconds));
                rounds.push(round.with_context(|| site.log())?);
            }
            let middle = |of: fn(&Round) -> Duration| duration(median_of(rounds.iter().map(of)));
            table.row(&[
                format!(
                    "{approvers} approver{}, {} others waiting",
                    if approvers == 1 { "" } else { "s at once" },
                    count(float(waiting))
                ),
                count(crate::figures::median(rounds.iter().map(|round| round.started.per_second))),
                middle(|round| round.answered.p50),
                middle(|round| round.started.p50),
                middle(|round| round.started.p99),
                middle(|round| round.ended.p50),
                middle(|round| round.ended.p99),
            ]);
        }
    }
    let inbox = setting.runtime.block_on(lists(&people, setting.seconds))?;
    Ok(format!(
        "## approvals\n\nA run waits; its approver says yes over HTTP. Started is the moment that the run itself tells \
         (`started_at`): its right and its plan were looked at again, its intent is durable, the provider is called next. \
         The outcome is what a follower of its events sees. {ROUNDS} rounds; the same disk commits a row of SQLite in {} \
         (p50). With {} runs waiting, a page of `GET /v1/approvals` takes {} (p50; p99 {}), \
         and guichetd has {} resident, after {} before they came and those measured without them.\n\n{}",
        duration(median_of(commits.iter().map(|one| one.p50))),
        count(float(WAITING)),
        duration(inbox.p50),
        duration(inbox.p99),
        mib(memory.last().copied().unwrap_or_default()),
        mib(memory.first().copied().unwrap_or_default()),
        table.into_text()
    ))
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn float(number: usize) -> f64 {
    number as f64
}

struct People {
    url: String,
    requester: String,
    approver: String,
}

struct Round {
    answered: Measured,
    started: Measured,
    ended: Measured,
}

/// Submits runs that nobody decides on.
async fn wait(people: &People, runs: usize) -> Result<()> {
    let mut tasks = JoinSet::new();
    for submitter in 0..SUBMITTERS {
        let (url, token) = (people.url.clone(), people.requester.clone());
        let own = runs / SUBMITTERS + usize::from(submitter < runs % SUBMITTERS);
        tasks.spawn(async move {
            let mut connection = Connection::open(&url).await?;
            for _ in 0..own {
                submit(&mut connection, &token).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

/// Submits a run that waits; gives its id.
pub(crate) async fn submit(connection: &mut Connection, token: &str) -> Result<String> {
    let body = Bytes::from_static(br#"{"input":{},"reason":"a measurement"}"#);
    let (status, body) = connection.call(Method::POST, SUBMIT, Some(token), body).await?;
    ensure!(status == 202, "a submission was answered with {status}: {}", String::from_utf8_lossy(&body));
    let run: Value = serde_json::from_slice(&body)?;
    ensure!(run["state"] == "awaiting_approval", "the run does not wait: {run}");
    Ok(run["id"].as_str().context("a run without id")?.to_owned())
}

async fn load(people: &People, approvers: usize, how_long: Duration) -> Result<Round> {
    let mut tasks = JoinSet::new();
    let began = Instant::now();
    for _ in 0..approvers {
        let (url, requester, approver) =
            (people.url.clone(), people.requester.clone(), people.approver.clone());
        tasks.spawn(async move {
            let mut connection = Connection::open(&url).await?;
            let mut durations = Vec::new();
            while began.elapsed() < how_long {
                let run = submit(&mut connection, &requester).await?;
                durations.push(approve(&mut connection, &requester, &approver, &run).await?);
            }
            anyhow::Ok(durations)
        });
    }
    let mut all = Vec::new();
    while let Some(done) = tasks.join_next().await {
        all.extend(done??);
    }
    let took = began.elapsed();
    let of = |which: fn(&[Duration; 3]) -> Duration| of_durations(all.iter().map(which).collect(), took);
    Ok(Round { answered: of(|one| one[0]), started: of(|one| one[1]), ended: of(|one| one[2]) })
}

/// From the yes until it was answered, until the run started, and until its outcome was seen.
async fn approve(
    connection: &mut Connection,
    requester: &str,
    approver: &str,
    run: &str,
) -> Result<[Duration; 3]> {
    let (clicked, clock) = (Instant::now(), SystemClock.now());
    let path = format!("/v1/runs/{run}/approve");
    let (status, body) =
        connection.call(Method::POST, &path, Some(approver), Bytes::from_static(b"{}")).await?;
    let answered = clicked.elapsed();
    ensure!(status == 200, "a yes was answered with {status}: {}", String::from_utf8_lossy(&body));
    let (_, events) = connection.get(&format!("/v1/runs/{run}/events"), Some(requester)).await?;
    let ended = clicked.elapsed();
    let events = String::from_utf8_lossy(&events);
    ensure!(events.contains("\"succeeded\""), "run {run} did not succeed: {events}");
    let (_, body) = connection.get(&format!("/v1/runs/{run}"), Some(requester)).await?;
    let body: Value = serde_json::from_slice(&body)?;
    let started: Timestamp = body["started_at"].as_str().context("a run without started_at")?.parse()?;
    // Both are this machine's clock.
    let started = Duration::try_from(started.duration_since(clock)).unwrap_or_default();
    Ok([answered, started, ended])
}

/// What an approver asks for most.
async fn lists(people: &People, how_long: Duration) -> Result<Measured> {
    let mut connection = Connection::open(&people.url).await?;
    let (mut durations, began) = (Vec::new(), Instant::now());
    while began.elapsed() < how_long {
        let one = Instant::now();
        let (status, body) = connection.get("/v1/approvals?limit=50", Some(&people.approver)).await?;
        durations.push(one.elapsed());
        let page: Value = serde_json::from_slice(&body)?;
        ensure!(
            status == 200 && page["items"].as_array().is_some_and(|items| items.len() == 50),
            "the approvals were answered with {status}: {page}"
        );
    }
    Ok(of_durations(durations, began.elapsed()))
}
