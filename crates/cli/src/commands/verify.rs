//! `guichet audit verify`: proves, here and not at the gateway, that the audit trail is whole.
//!
//! Trust on first use: the gateway's ledger key and the last checkpoint that held are remembered per context.
//! A key that changes is told; so is a trail that has become shorter or whose beginning is another than the
//! one that was verified before, even when the gateway signed it anew.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::PathBuf,
};

use clap::ArgMatches;
use futures_util::StreamExt as _;
use guichet_client::Client;
use guichet_ledger::{
    Checkpoint, Edge, Fault, Report, TILE_WIDTH, Tree, Verifier, first_difference, leaf_hash,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    commands::{Cx, text},
    exit::Exit,
    failure::Failure,
    files,
    printer::{Printer, card::Card},
};

/// Lines that may wait between network and hashing.
const IN_FLIGHT: usize = 1024;

/// What is remembered of a gateway's ledger.
#[derive(Debug, Serialize, Deserialize)]
struct Memory {
    gateway: String,
    /// Note verifier key.
    key: String,
    /// The newest checkpoint that held, as it was signed.
    checkpoint: String,
}

pub(crate) fn run(cx: &Cx, matches: &ArgMatches, printer: &Printer) -> Result<Exit, Failure> {
    match text(matches, "file") {
        Some(file) => offline(file, matches, printer),
        None => cx.online(printer, async |client| online(cx, client, matches, printer).await),
    }
}

fn broken(detail: impl Into<String>) -> Failure {
    Failure::new(Exit::Failed, "The ledger does not verify", detail)
}

fn given_key(matches: &ArgMatches) -> Result<Option<String>, Failure> {
    let Some(key) = text(matches, "key") else { return Ok(None) };
    match key.strip_prefix('@') {
        None => Ok(Some(key.to_owned())),
        Some(path) => match files::read(&PathBuf::from(path))? {
            Some(text) => Ok(Some(text.trim().to_owned())),
            None => Err(Failure::usage(format!("--key: there is no file {path}"))),
        },
    }
}

fn verifier(key: &str) -> Result<Verifier, Failure> {
    key.parse().map_err(|error| Failure::usage(format!("the ledger's key cannot be used: {error}")))
}

fn open(note: &str, verifier: &Verifier) -> Result<Checkpoint, Failure> {
    guichet_ledger::open(note, verifier).map_err(|error| broken(format!("its checkpoint: {error}")))
}

fn offline(file: &str, matches: &ArgMatches, printer: &Printer) -> Result<Exit, Failure> {
    let path = PathBuf::from(text(matches, "checkpoint").unwrap_or_default());
    let note = files::read(&path)?
        .ok_or_else(|| Failure::usage(format!("--checkpoint: there is no file {}", path.display())))?;
    let verifier = verifier(&given_key(matches)?.unwrap_or_default())?;
    let checkpoint = open(&note, &verifier)?;
    let export = File::open(file).map_err(|error| Failure::usage(format!("--file: {file}: {error}")))?;
    let lines = BufReader::with_capacity(1 << 16, export).split(b'\n');
    let leaves = (0..).zip(lines).map(|(index, line)| line.map(|line| (index, line)));
    let report = guichet_ledger::verify(leaves, &checkpoint).map_err(|fault| broken(fault.to_string()))?;
    tell(&report, None, printer);
    Ok(Exit::Done)
}

async fn online(cx: &Cx, client: &Client, matches: &ArgMatches, printer: &Printer) -> Result<Exit, Failure> {
    let context = cx.settings.context()?;
    let path = cx.settings.cache_dir(&context.name).join("ledger.json");
    let memory = remembered(&path, &context.gateway)?;
    let offered = client.ledger_key().await?;
    let key = match (given_key(matches)?, &memory) {
        (Some(given), _) => given,
        (None, Some(memory)) if memory.key != offered => {
            return Err(broken(format!(
                "the gateway's ledger key is not the one met before: then {}, now {offered}",
                memory.key
            ))
            .next("ask the gateway's operator; if the key was changed on purpose: --key KEY"));
        }
        (None, Some(memory)) => memory.key.clone(),
        (None, None) => {
            printer.note(&format!("note: met for the first time, taken on trust: {offered}"));
            printer.note("note: compare that key with the one the gateway's operator publishes elsewhere");
            offered
        }
    };
    let verifier = verifier(&key)?;
    let note = client.checkpoint().await?;
    let checkpoint = open(&note, &verifier)?;
    // A memory under another key says nothing about this one.
    let before = memory.and_then(|memory| guichet_ledger::open(&memory.checkpoint, &verifier).ok());
    if let Some(before) = &before
        && before.size > checkpoint.size
    {
        return Err(broken(format!(
            "it was cut off: the gateway signs {} entries, and {} were verified here before",
            checkpoint.size, before.size
        ))
        .next(format!("keep {} as evidence, and ask the gateway's operator", path.display())));
    }
    let (outcome, beginning) = hold(client, &checkpoint, before.as_ref().map(Checkpoint::tree)).await?;
    let report = match outcome {
        Ok(report) => report,
        Err(fault @ Fault::Changed { .. }) if matches.get_flag("tiles") => {
            return Err(locate(client, &checkpoint, &fault).await?);
        }
        Err(fault) => return Err(broken(fault.to_string())),
    };
    if let (Some(before), Some(root)) = (&before, beginning)
        && root != before.root
    {
        return Err(broken(format!(
            "its first {} entries are not those that were verified here before: the past was rewritten and \
             signed anew",
            before.size
        ))
        .next(format!("keep {} as evidence, and ask the gateway's operator", path.display())));
    }
    let memory = Memory { gateway: context.gateway.clone(), key, checkpoint: note };
    let memory = serde_json::to_vec(&memory).map_err(|error| Failure::file(&path, error))?;
    files::write(&path, &memory)?;
    tell(&report, before.map(|before| before.size), printer);
    Ok(Exit::Done)
}

fn remembered(path: &std::path::Path, gateway: &str) -> Result<Option<Memory>, Failure> {
    let Some(text) = files::read(path)? else { return Ok(None) };
    let memory: Memory = serde_json::from_str(&text).map_err(|error| {
        Failure::file(path, error).next("remove the file to trust the gateway anew, or restore it")
    })?;
    Ok((memory.gateway == gateway).then_some(memory))
}

type Held = (Result<Report, Fault>, Option<[u8; 32]>);

/// Downloads the trail and holds it against the checkpoint while it comes. Also gives the root of its
/// beginning, of the size that was verified before.
async fn hold(client: &Client, checkpoint: &Checkpoint, before: Option<Tree>) -> Result<Held, Failure> {
    let (lines, mut waiting) = tokio::sync::mpsc::channel::<Vec<u8>>(IN_FLIGHT);
    let signed = checkpoint.clone();
    // Hashing is no work for the thread that listens to the network.
    let holding = tokio::task::spawn_blocking(move || {
        let mut edge = Edge::new();
        let leaves = (0u64..).zip(std::iter::from_fn(|| waiting.blocking_recv())).map(|(index, line)| {
            if before.is_some_and(|before| index < before.size) {
                edge.push(leaf_hash(&line));
            }
            Ok::<_, std::convert::Infallible>((index, line))
        });
        let outcome = guichet_ledger::verify(leaves, &signed);
        (outcome, before.map(|_| edge.root()))
    });
    let downloaded = download(client, checkpoint.size, |line| async { lines.send(line).await.is_ok() }).await;
    drop(lines);
    let held = holding.await.map_err(|error| broken(format!("hashing stopped: {error}")))?;
    downloaded?;
    Ok(held)
}

/// The leaves up to `size`, in order; the gateway may give them in parts. Ends early when `take` says no.
async fn download<F: Future<Output = bool>>(
    client: &Client,
    size: u64,
    mut take: impl FnMut(Vec<u8>) -> F,
) -> Result<(), Failure> {
    let mut next = 0;
    while next < size {
        let before = next;
        let mut part = client.export_records(next).await?;
        while let Some(line) = part.next().await {
            if !take(line?).await {
                return Ok(());
            }
            next += 1;
        }
        if next == before {
            return Ok(());
        }
    }
    Ok(())
}

/// Where the first difference is: the tiles remember the hash of every entry. Holds the trail in memory.
async fn locate(client: &Client, checkpoint: &Checkpoint, fault: &Fault) -> Result<Failure, Failure> {
    let mut tiles = std::collections::HashMap::new();
    let width = TILE_WIDTH as u64;
    for index in 0..checkpoint.size.div_ceil(width) {
        let partial = u8::try_from((checkpoint.size - index * width).min(width)).ok();
        tiles.insert((0, index), client.tile(0, index, partial).await?);
    }
    let leaves = std::cell::RefCell::new(Vec::new());
    download(client, checkpoint.size, |line| {
        leaves.borrow_mut().push(line);
        std::future::ready(true)
    })
    .await?;
    let leaves = leaves.into_inner();
    let numbered = (0u64..).zip(leaves).map(Ok::<_, std::convert::Infallible>);
    Ok(match first_difference(numbered, checkpoint, &tiles) {
        Ok(Some(difference)) => broken(difference.to_string()),
        Ok(None) => {
            broken(format!("{fault}; tiles and entries agree with each other, not with the checkpoint"))
        }
        Err(other) => broken(format!("{fault}; {other}")),
    })
}

fn tell(report: &Report, since: Option<u64>, printer: &Printer) {
    use std::fmt::Write as _;
    let root = report.root.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    let card = Card::default()
        .with("Ledger", report.origin.clone())
        .with("Entries", report.size.to_string())
        .with("Root", root.clone())
        .maybe("Extends", since.map(|size| format!("the {size} entries that were verified here before")))
        .maybe("Not yet signed", (report.beyond > 0).then(|| report.beyond.to_string()));
    let whole = json!({
        "verified": true, "origin": report.origin, "size": report.size, "root": root,
        "beyond": report.beyond, "verified_before": since,
    });
    printer.card(&whole, &card);
    printer.outcome(Exit::Done, &format!("verified: {report}"));
}
