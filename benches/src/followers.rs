//! Thousands who follow runs on one gateway: what each costs, and how soon the last one hears.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, sync::mpsc, task::JoinSet};

use crate::{
    approvals,
    connection::Connection,
    figures::{Table, count, duration, median_of},
    gateway::Site,
    server::Server,
    setting::Setting,
};

/// How many follow.
const FOLLOWERS: usize = 5_000;
/// How many connections are opened at once: no more than wait in the system's queue.
const AT_ONCE: usize = 64;
/// The runs that they follow, in turns of their own.
const RUNS: [usize; 2] = [1, 100];
/// Comments in each round.
const COMMENTS: usize = 10;
/// How long an event may take to the last of them before the measurement is given up.
const HEARD_WITHIN: Duration = Duration::from_mins(1);

/// Measures.
pub(crate) fn measure(setting: &Setting) -> Result<String> {
    check_files()?;
    let site = Site::new(setting, "followers")?;
    fs::write(site.folder().join("policy/bench.cedar"), approvals::POLICY)?;
    let provider = Server::role(setting, &["provider", &site.url])?;
    site.configure(setting, &[("bench", &provider.url)])?;
    let mut table =
        Table::new(&["", "first hears", "half hear", "last hears", "slowest last", "memory", "of each"]);
    for runs in RUNS {
        eprintln!("  {FOLLOWERS} followers of {runs}");
        // One of its own for each: memory that others have used and left is no longer seen to grow.
        let (mut gateway, token) = site.start(setting)?;
        gateway
            .wait_for(setting, "/v1/actions/bench.noop", Some(&token), Instant::now())
            .with_context(|| site.log())?;
        let row = setting.runtime.block_on(follow(&gateway, &token, runs)).with_context(|| site.log())?;
        table.row(&row);
    }
    Ok(format!(
        "## followers\n\n{} clients, each with a connection of its own, follow runs that wait (server-sent events); somebody comments \
         on one. From sending the comment, which is answered when it is committed, until its followers have read the event; \
         the middle of {COMMENTS} comments, and the slowest. All clients share one thread, which has its part in it. Memory is \
         what guichetd has more than before they came.\n\n{}",
        count(float(FOLLOWERS)),
        table.into_text()
    ))
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn float(number: usize) -> f64 {
    number as f64
}

/// Each follower is a file here and one there.
fn check_files() -> Result<()> {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let most: Option<usize> = files.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    if most.is_some_and(|most| most < FOLLOWERS + 500) {
        bail!(
            "{} files may be open, and {FOLLOWERS} followers need one each: `ulimit -n 20000`",
            most.unwrap_or_default()
        );
    }
    Ok(())
}

async fn follow(gateway: &Server, token: &str, runs: usize) -> Result<[String; 7]> {
    let mut connection = Connection::open(&gateway.url).await?;
    let mut ids = Vec::new();
    for _ in 0..runs {
        ids.push(approvals::submit(&mut connection, token).await?);
    }
    let (before, _) = gateway.memory();
    let (heard, mut hears) = mpsc::unbounded_channel();
    let mut following = JoinSet::new();
    let began = Instant::now();
    for first in (0..FOLLOWERS).step_by(AT_ONCE) {
        let opening = (first..FOLLOWERS.min(first + AT_ONCE)).map(|number| {
            let heard = heard.clone();
            open(gateway.url.clone(), token.to_owned(), ids[number % runs].clone(), heard)
        });
        let mut opening: JoinSet<Result<_>> = opening.collect();
        while let Some(opened) = opening.join_next().await {
            following.spawn(opened??);
        }
    }
    // Each has been told how its run stands.
    for _ in 0..FOLLOWERS {
        next(&mut hears, &mut following).await?;
    }
    eprintln!("  they follow after {:.1} s", began.elapsed().as_secs_f64());
    let (after, _) = gateway.memory();
    // The one before was not used meanwhile, and the gateway may have closed it.
    let mut connection = Connection::open(&gateway.url).await?;
    let each = FOLLOWERS / runs;
    let (mut firsts, mut halves, mut lasts) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..COMMENTS {
        let path = format!("/v1/runs/{}/comments", ids[number % runs]);
        let body = Bytes::from_static(br#"{"text":"a measurement"}"#);
        let said = Instant::now();
        let (status, answer) = connection.call(Method::POST, &path, Some(token), body).await?;
        ensure!(status == 200, "a comment was answered with {status}: {}", String::from_utf8_lossy(&answer));
        let mut times = Vec::with_capacity(each);
        for _ in 0..each {
            times.push(next(&mut hears, &mut following).await?.saturating_duration_since(said));
        }
        times.sort_unstable();
        firsts.push(times[0]);
        halves.push(times[each / 2]);
        lasts.push(times[each - 1]);
    }
    let slowest = lasts.iter().max().copied().unwrap_or_default();
    let more = after.saturating_sub(before);
    Ok([
        format!(
            "{} followers of {runs} run{}",
            count(float(FOLLOWERS)),
            if runs == 1 { "" } else { "s, a 100th of them hears" }
        ),
        duration(median_of(firsts)),
        duration(median_of(halves)),
        duration(median_of(lasts)),
        duration(slowest),
        format!("{} MiB", more / 1024),
        format!("{:.1} KiB", float(usize::try_from(more)?) / float(FOLLOWERS)),
    ])
}

/// When somebody heard; an error when a follower was cut off.
async fn next(
    hears: &mut mpsc::UnboundedReceiver<Instant>,
    following: &mut JoinSet<Result<()>>,
) -> Result<Instant> {
    tokio::select! {
        heard = tokio::time::timeout(HEARD_WITHIN, hears.recv()) => {
            heard.context("not all followers heard within a minute")?.context("nobody follows")
        }
        Some(ended) = following.join_next() => {
            ended??;
            bail!("a follower was cut off")
        }
    }
}

/// Opens a stream; what it gives reads it, and tells of each event that it read.
async fn open(
    url: String,
    token: String,
    run: String,
    heard: mpsc::UnboundedSender<Instant>,
) -> Result<impl Future<Output = Result<()>> + Send + 'static> {
    let host = url.trim_start_matches("http://").to_owned();
    let stream = TcpStream::connect(&host).await.with_context(|| format!("no connection to {host}"))?;
    stream.set_nodelay(true)?;
    let (mut send, connection) = handshake(TokioIo::new(stream)).await?;
    drop(tokio::spawn(connection));
    let request = Request::get(format!("/v1/runs/{run}/events"))
        .header(header::HOST, &host)
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .body(Empty::<Bytes>::new())?;
    let response = send.send_request(request).await?;
    ensure!(response.status() == 200, "a follower was answered with {}", response.status());
    Ok(async move {
        let (mut body, _send) = (response.into_body(), send);
        let mut text = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            text.extend_from_slice(&data);
            while let Some(end) = text.windows(2).position(|two| two == b"\n\n") {
                let event: Vec<u8> = text.drain(..end + 2).collect();
                if event.windows(5).any(|five| five == b"data:") && heard.send(Instant::now()).is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    })
}
