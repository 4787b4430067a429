//! Reads through the gateway, beside what else could stand in the same place.

use std::{
    fmt::Write as _,
    rc::Rc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    connection::Connection,
    figures::{Measured, Table, count, duration, median, median_of, ratio, times},
    gateway::Site,
    haproxy,
    load::{Load, Target},
    nginx::{self, Kind},
    roles::ITEM,
    server::Server,
    setting::{ROUNDS, Setting},
};

const CONNECTIONS: [usize; 4] = [1, 8, 64, 1_000];
/// After each measurement: what the gateway does behind an answer (sealing records) shall not fall upon the next.
const REST: Duration = Duration::from_millis(700);

const DIRECT: &str = "the upstream itself";
const PROXY: &str = "bare hyper proxy";
const HAPROXY: &str = "HAProxy";
const NGINX: &str = "nginx";
const NGINX_AUTH: &str = "nginx + auth_request";
const GUICHETD: &str = "**guichetd**";
const GUICHETD_SDK: &str = "guichetd, upstream made with the SDK";

/// Who is measured.
struct Contender {
    name: &'static str,
    server: Rc<Server>,
    target: Target,
    /// By number of connections, then by round.
    measured: [Vec<Measured>; CONNECTIONS.len()],
}

impl Contender {
    fn new(name: &'static str, server: Rc<Server>, path: &str, token: Option<&str>) -> Self {
        let target = Target { path: path.to_owned(), token: token.map(str::to_owned) };
        Self { name, server, target, measured: Default::default() }
    }

    /// All must answer the same bytes, or the figures would compare different things.
    fn check(&self, setting: &Setting) -> Result<()> {
        let (status, body) = setting.runtime.block_on(async {
            Connection::open(&self.server.url)
                .await?
                .get(&self.target.path, self.target.token.as_deref())
                .await
        })?;
        ensure!(
            status == 200 && body.len() == ITEM.len(),
            "{} answers {status} {}",
            self.name,
            String::from_utf8_lossy(&body)
        );
        Ok(())
    }
}

/// Measures.
pub(crate) fn measure(setting: &Setting) -> Result<String> {
    let load = Load::choose();
    let upstream = Rc::new(Server::role(setting, &["upstream", "1"])?);
    let proxy = Server::role(setting, &["proxy", &upstream.url])?;
    let mut contenders = vec![
        Contender::new(DIRECT, Rc::clone(&upstream), "/items/7", None),
        Contender::new(PROXY, Rc::new(proxy), "/items/7", None),
    ];
    if nginx::is_here() {
        for (name, kind) in [(NGINX, Kind::Plain), (NGINX_AUTH, Kind::WithAuthRequest)] {
            let (server, _) = nginx::start(setting, kind, &upstream.url)?;
            contenders.push(Contender::new(name, Rc::new(server), "/items/7", None));
        }
    }
    if haproxy::is_here() {
        let server = haproxy::start(setting, &upstream.url)?;
        contenders.push(Contender::new(HAPROXY, Rc::new(server), "/items/7", None));
    }
    let site = Site::new(setting, "reads")?;
    let provider = Server::role(setting, &["provider", &site.url])?;
    site.configure(setting, &[("plain", &upstream.url), ("bench", &provider.url)])?;
    let (mut gateway, token) = site.start(setting)?;
    let paths = [(GUICHETD, "/providers/plain/items/7"), (GUICHETD_SDK, "/providers/bench/items/7")];
    for (_, path) in paths {
        gateway.wait_for(setting, path, Some(&token), Instant::now()).with_context(|| site.log())?;
    }
    let gateway = Rc::new(gateway);
    for (name, path) in paths {
        contenders.push(Contender::new(name, Rc::clone(&gateway), path, Some(&token)));
    }
    for contender in &contenders {
        contender.check(setting)?;
        // The first calls open connections and warm what is cached.
        load.run(setting, &contender.server, &contender.target, 16, Duration::from_secs(1))?;
        thread::sleep(REST);
    }
    for round in 0..ROUNDS {
        for (at, connections) in CONNECTIONS.into_iter().enumerate() {
            eprintln!("  round {} of {ROUNDS}, {connections} connections", round + 1);
            for contender in &mut contenders {
                let measured =
                    load.run(setting, &contender.server, &contender.target, connections, setting.seconds);
                contender.measured[at].push(measured.with_context(|| contender.name)?);
                thread::sleep(REST);
            }
        }
    }
    let recorded = records(setting, &gateway, &token)?;
    Ok(tell(load, &contenders, recorded))
}

/// Whether the reads are in the records, as the gateway promises: without that the figures would flatter it.
fn records(setting: &Setting, gateway: &Server, token: &str) -> Result<usize> {
    let (status, body) = setting.runtime.block_on(async {
        Connection::open(&gateway.url)
            .await?
            .get("/v1/records?limit=500&action=plain.read-item", Some(token))
            .await
    })?;
    ensure!(status == 200, "the records cannot be read: {status} {}", String::from_utf8_lossy(&body));
    let answer: serde_json::Value = serde_json::from_slice(&body)?;
    let count = answer["items"].as_array().map_or(0, Vec::len);
    ensure!(count == 500, "there are only {count} records of many thousand reads");
    Ok(count)
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn float(number: usize) -> f64 {
    number as f64
}

fn tell(load: Load, contenders: &[Contender], recorded: usize) -> String {
    let mut text = format!(
        "## reads\n\n`GET` of one item of {} bytes, keep-alive. Load: {}. {ROUNDS} rounds in turns; the middle figure, and the \
         lowest and highest rate. Ratios are taken within a round. CPU is user and system time of the server in question \
         (without the upstream's and the load's). guichetd identifies the bearer token, resolves the operation, validates \
         its input, decides by the demo's policies, calls with a signed token, and records (the last {recorded} records \
         were looked at afterwards); one line of log per request goes to a file, as nginx's and HAProxy's does; HAProxy asks nobody whether a request may \
         pass.\n",
        ITEM.len(),
        load.name()
    );
    for (at, connections) in CONNECTIONS.into_iter().enumerate() {
        let plural = if connections == 1 { "" } else { "s" };
        let head = format!("{} connection{plural}", count(float(connections)));
        let mut table = Table::new(&[
            &head,
            "requests/s",
            "lowest–highest",
            "p50",
            "p99",
            "CPU per request",
            "of the bare proxy",
            "of nginx + auth_request",
        ]);
        let of = |contender: &Contender, name: &str| {
            let other = contenders.iter().find(|other| other.name == name);
            other.map_or_else(
                || "–".to_owned(),
                |other| times(ratio(&contender.measured[at], &other.measured[at])),
            )
        };
        for contender in contenders {
            let rounds = &contender.measured[at];
            let rates = || rounds.iter().map(|round| round.per_second);
            table.row(&[
                contender.name.to_owned(),
                count(median(rates())),
                format!(
                    "{}–{}",
                    count(rates().fold(f64::INFINITY, f64::min)),
                    count(rates().fold(0.0, f64::max))
                ),
                duration(median_of(rounds.iter().map(|round| round.p50))),
                duration(median_of(rounds.iter().map(|round| round.p99))),
                duration(median_of(rounds.iter().map(|round| round.cpu))),
                of(contender, PROXY),
                of(contender, NGINX_AUTH),
            ]);
        }
        let _ = write!(text, "\n{}", table.into_text());
    }
    text
}
