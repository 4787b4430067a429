//! Reads where there is much: actions, policies, and a long past.

use std::{
    fmt::Write as _,
    fs,
    rc::Rc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{
    changes::change,
    connection::Connection,
    figures::{Measured, Table, count, duration, median, median_of, ratio, times},
    gateway::Site,
    load::{Load, Target},
    old_runs,
    server::Server,
    setting::{ROUNDS, Setting},
};

/// Beside those of the demo.
const POLICIES: usize = 500;
const CONNECTIONS: [usize; 2] = [1, 64];
/// Connections that ask for lists.
const READERS: usize = 8;
/// As many finished runs as a list tells of at once: with fewer, a short list would be compared with a long one.
const FEW: u64 = 50;
const REST: Duration = Duration::from_millis(700);
const ITEM: &str = "/providers/plain/items/7";

/// A gateway with so much in it.
struct Place {
    name: String,
    server: Rc<Server>,
    /// Stops with the place.
    _providers: Vec<Server>,
    token: String,
    /// Its only run of today.
    run: Option<String>,
    /// By number of connections, then by round.
    reads: [Vec<Measured>; CONNECTIONS.len()],
}

impl Place {
    /// With this many actions, policies that read the input, and finished runs.
    fn new(setting: &Setting, actions: usize, read_input: usize, runs: u64) -> Result<Self> {
        let site = Site::new(setting, &format!("scale-{actions}-{read_input}-{runs}"))?;
        fs::write(site.folder().join("policy/many.cedar"), policies(read_input))?;
        let upstream = Server::role(setting, &["upstream", &actions.to_string()])?;
        let bench = Server::role(setting, &["provider", &site.url])?;
        site.configure(setting, &[("plain", &upstream.url), ("bench", &bench.url)])?;
        let mut run = None;
        let (mut gateway, mut token) = site.start(setting)?;
        if runs > 0 {
            let ready = |gateway: &mut Server, token: &str| {
                gateway.wait_for(setting, "/v1/actions/bench.noop", Some(token), Instant::now())
            };
            ready(&mut gateway, &token).with_context(|| site.log())?;
            let made = setting.runtime.block_on(async {
                let mut connection = Connection::open(&site.url).await?;
                change(&mut connection, "bench.noop", &token).await?;
                connection.get("/v1/runs?limit=1", Some(&token)).await
            })?;
            let made: Value = serde_json::from_slice(&made.1)?;
            run = made["items"][0]["id"].as_str().map(str::to_owned);
            if runs > 1 {
                drop(gateway);
                let began = Instant::now();
                old_runs::repeat(&site.folder().join("data/guichet.sqlite"), runs - 1)?;
                eprintln!("  {runs} runs were written in {:.1} s", began.elapsed().as_secs_f64());
                (gateway, token) = site.start(setting)?;
            }
        }
        gateway.wait_for(setting, ITEM, Some(&token), Instant::now()).with_context(|| site.log())?;
        let mut name = format!("{} action{}", told(actions), if actions == 1 { "" } else { "s" });
        if read_input > 0 {
            let _ = write!(name, ", {read_input} of the policies read the input");
        }
        if runs > 0 {
            let _ = write!(name, ", {} finished run{}", count(float(runs)), if runs == 1 { "" } else { "s" });
        }
        let providers = vec![upstream, bench];
        Ok(Self {
            name,
            server: Rc::new(gateway),
            _providers: providers,
            token,
            run,
            reads: Default::default(),
        })
    }

    fn ask(
        &self,
        setting: &Setting,
        load: Load,
        path: &str,
        connections: usize,
        how_long: Duration,
    ) -> Result<Measured> {
        let target = Target { path: path.to_owned(), token: Some(self.token.clone()) };
        load.run(setting, &self.server, &target, connections, how_long).with_context(|| self.name.clone())
    }
}

fn told(number: usize) -> String {
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    count(number as f64)
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn float(number: u64) -> f64 {
    number as f64
}

/// Measures, with so many finished runs.
pub(crate) fn measure(setting: &Setting, runs: u64) -> Result<String> {
    let load = Load::choose();
    let mut places = Vec::new();
    for (actions, read_input, runs) in
        [(1, 0, 0), (100, 0, FEW), (10_000, 0, 0), (10_000, 100, 0), (100, 0, runs)]
    {
        places.push(Place::new(setting, actions, read_input, runs)?);
    }
    for place in &places {
        place.ask(setting, load, ITEM, 16, Duration::from_secs(1))?;
        thread::sleep(REST);
    }
    for round in 0..ROUNDS {
        eprintln!("  round {} of {ROUNDS}", round + 1);
        for (at, connections) in CONNECTIONS.into_iter().enumerate() {
            for place in &mut places {
                let measured = place.ask(setting, load, ITEM, connections, setting.seconds)?;
                place.reads[at].push(measured);
                thread::sleep(REST);
            }
        }
    }
    let mut text = format!(
        "## scale\n\nThe same read as in `reads`, with {POLICIES} policies beside those of the demo, and with more and more actions \
         and finished runs; {ROUNDS} rounds in turns. Where no policy reads what a single call brings, a decision is remembered; where \
         one does, all that can apply are evaluated anew for each read. Load: {}.\n",
        load.name()
    );
    for (at, connections) in CONNECTIONS.into_iter().enumerate() {
        let head = format!("{connections} connection{}", if connections == 1 { "" } else { "s" });
        let mut table = Table::new(&[&head, "requests/s", "p50", "p99", "CPU per request", "of one action"]);
        for place in &places {
            let rounds = &place.reads[at];
            table.row(&row(&place.name, rounds, times(ratio(rounds, &places[0].reads[at]))));
        }
        let _ = write!(text, "\n{}", table.into_text());
    }
    let _ = write!(text, "\n{}", lists(setting, load, &places)?);
    Ok(text)
}

/// What is told of runs, with few of them and with many.
fn lists(setting: &Setting, load: Load, places: &[Place]) -> Result<String> {
    let head = format!("{READERS} connections");
    let mut table = Table::new(&[&head, "requests/s", "p50", "p99", "CPU per request", "of few runs"]);
    for what in [
        "/v1/runs?limit=50",
        "/v1/runs?limit=50&state=succeeded",
        "/v1/runs?limit=50&action=bench.noop",
        "/v1/runs/{id}",
    ] {
        let mut few = None;
        for place in places {
            let Some(run) = &place.run else { continue };
            let path = what.replace("{id}", run);
            let mut rounds = Vec::new();
            for _ in 0..ROUNDS {
                rounds.push(place.ask(setting, load, &path, READERS, setting.seconds)?);
                thread::sleep(REST);
            }
            let few = few.get_or_insert_with(|| rounds.clone());
            let beside = times(ratio(&rounds, few));
            table.row(&row(&format!("`{what}`, {}", place.name), &rounds, beside));
        }
    }
    Ok(table.into_text())
}

fn row(name: &str, rounds: &[Measured], beside: String) -> [String; 6] {
    [
        name.to_owned(),
        count(median(rounds.iter().map(|round| round.per_second))),
        duration(median_of(rounds.iter().map(|round| round.p50))),
        duration(median_of(rounds.iter().map(|round| round.p99))),
        duration(median_of(rounds.iter().map(|round| round.cpu))),
        beside,
    ]
}

/// Permits and approvals of other teams about what they own; some of the permits read the input.
fn policies(read_input: usize) -> String {
    let mut text = String::new();
    for number in 0..POLICIES {
        let _ = if number.is_multiple_of(5) {
            writeln!(
                text,
                "@id(\"ask-{number}\") @approval(\"it is another team's\") @by(\"owner\") forbid (principal in Team::\"reporting\", action in \
                 Action::\"provider:plain\", resource) when {{ resource.path like \"plain/area-{number}/*\" }};"
            )
        } else if number < read_input * 5 / 4 {
            writeln!(
                text,
                "@id(\"one-{number}\") permit (principal in Team::\"dba\", action == Action::\"plain.read-item\", resource) when {{ \
                 context.input.id == {number} }};"
            )
        } else {
            writeln!(
                text,
                "@id(\"own-{number}\") permit (principal in Team::\"dba\", action in Action::\"provider:plain\", resource) when {{ \
                 resource.path like \"plain/area-{number}/*\" }};"
            )
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_policies_as_are_told_of() {
        for read_input in [0, 100] {
            let text = policies(read_input);
            assert_eq!(text.matches("@id(").count(), POLICIES);
            assert_eq!(text.matches("context.input").count(), read_input);
        }
    }
}
