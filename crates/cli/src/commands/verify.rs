//! `guichet audit verify`: proves, here and not at the gateway, that the audit trail is whole.
//!
//! Trust on first use: the gateway's ledger keys and the last checkpoint that held are remembered per context.
//! A key that changes is told; so is a trail that has become shorter or whose beginning is another than the
//! one that was verified before, even when the gateway signed it anew. A new key is learned from the log itself,
//! when the log is still signed by a key that is known.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
};

use clap::ArgMatches;
use guichet_client::Client;
use guichet_ledger::{
    Edge, Fault, NoteError, Opened, Report, Tree, Verifier, open_with_any, split_notes, verify_archive,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    commands::{
        Cx, text,
        trail::{self, Held},
    },
    exit::Exit,
    failure::Failure,
    files,
    printer::{Printer, card::Card},
};

/// What is remembered of a gateway's ledger.
#[derive(Debug, Serialize, Deserialize)]
struct Memory {
    gateway: String,
    /// Note verifier keys.
    keys: Vec<String>,
    /// The newest checkpoint that held, as it was signed.
    checkpoint: String,
}

pub(crate) fn run(cx: &Cx, matches: &ArgMatches, printer: &Printer) -> Result<Exit, Failure> {
    if let Some(folder) = text(matches, "archive") {
        return archive(Path::new(folder), matches, printer);
    }
    match text(matches, "file") {
        Some(file) => offline(file, matches, printer),
        None => cx.online(printer, async |client| online(cx, client, matches, printer).await),
    }
}

pub(super) fn broken(detail: impl Into<String>) -> Failure {
    Failure::new(Exit::Failed, "The ledger does not verify", detail)
}

/// The keys that were given; `@FILE` has one a line.
fn given_keys(matches: &ArgMatches) -> Result<Option<Vec<String>>, Failure> {
    let Some(given) = matches.get_many::<String>("key") else { return Ok(None) };
    let mut keys = Vec::new();
    for key in given {
        match key.strip_prefix('@') {
            None => keys.push(key.clone()),
            Some(path) => match files::read(&PathBuf::from(path))? {
                Some(text) => {
                    keys.extend(
                        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned),
                    );
                }
                None => return Err(Failure::usage(format!("--key: there is no file {path}"))),
            },
        }
    }
    Ok(Some(keys))
}

fn verifiers(keys: &[String]) -> Result<Vec<Verifier>, Failure> {
    let read = |key: &String| {
        key.parse().map_err(|error| Failure::usage(format!("the ledger's key cannot be used: {error}")))
    };
    keys.iter().map(read).collect()
}

fn open(note: &str, keys: &[Verifier]) -> Result<Opened, Failure> {
    open_with_any(note, keys).map_err(|error| broken(format!("its checkpoint: {error}")))
}

fn note_in(flag: &str, path: &str) -> Result<String, Failure> {
    files::read(Path::new(path))?.ok_or_else(|| Failure::usage(format!("--{flag}: there is no file {path}")))
}

/// The trees of `--against`, each signed by one of the keys. A file may hold many checkpoints, one after the other, as
/// that of a witness does.
fn earlier(matches: &ArgMatches, keys: &[Verifier]) -> Result<Vec<Tree>, Failure> {
    let mut trees = Vec::new();
    for path in matches.get_many::<String>("against").into_iter().flatten() {
        // What a crash cut off may end within a character.
        let bytes = std::fs::read(path)
            .map_err(|error| Failure::usage(format!("--against: {path} cannot be read: {error}")))?;
        let text = String::from_utf8_lossy(&bytes);
        let mut notes = split_notes(&text);
        if notes.is_empty() {
            // Not one checkpoint: what is wrong with it is told of all of it.
            notes.push(&text);
        }
        for (number, note) in (1_usize..).zip(&notes) {
            let opened = open_with_any(note, keys).map_err(|error| {
                let which = match notes.len() {
                    1 => String::new(),
                    many => format!("checkpoint {number} of {many}: "),
                };
                let failure = broken(format!("--against {path}: {which}{error}"));
                match error {
                    NoteError::OtherKeys { .. } => failure.next(
                        "if the log's key was replaced since it was signed, give both: --key OLD --key NEW",
                    ),
                    _ => failure,
                }
            })?;
            trees.push(opened.checkpoint.tree());
        }
    }
    Ok(trees)
}

/// `size` entries are signed.
fn is_long_enough(matches: &ArgMatches, size: u64) -> Result<(), Failure> {
    match matches.get_one::<u64>("at-least") {
        Some(least) if size < *least => Err(broken(format!(
            "it was cut off: {size} entries are signed, and there were at least {least}"
        ))
        .next(
            "keep the checkpoint as evidence (`guichet audit checkpoint`), and ask the gateway's operator",
        )),
        _ => Ok(()),
    }
}

fn offline(file: &str, matches: &ArgMatches, printer: &Printer) -> Result<Exit, Failure> {
    let note = note_in("checkpoint", text(matches, "checkpoint").unwrap_or_default())?;
    let keys = verifiers(&given_keys(matches)?.unwrap_or_default())?;
    let checkpoint = open(&note, &keys)?.checkpoint;
    is_long_enough(matches, checkpoint.size)?;
    let before = earlier(matches, &keys)?;
    let leaves = lines_of(file, "file")?;
    let report = guichet_ledger::verify_from(Edge::new(), leaves, &checkpoint, &before);
    tell(&report.map_err(|fault| broken(fault.to_string()))?, None, printer);
    Ok(Exit::Done)
}

type Lines = Box<dyn Iterator<Item = std::io::Result<(u64, Vec<u8>)>>>;

fn lines_of(file: &str, flag: &str) -> Result<Lines, Failure> {
    let export = File::open(file).map_err(|error| Failure::usage(format!("--{flag}: {file}: {error}")))?;
    let lines = BufReader::with_capacity(1 << 16, export).split(b'\n');
    Ok(Box::new((0..).zip(lines).map(|(index, line)| line.map(|line| (index, line)))))
}

fn archive(folder: &Path, matches: &ArgMatches, printer: &Printer) -> Result<Exit, Failure> {
    if !folder.is_dir() {
        return Err(Failure::usage(format!("--archive: there is no folder {}", folder.display())));
    }
    let keys = verifiers(&given_keys(matches)?.unwrap_or_default())?;
    let (contents, report) = verify_archive(|file| File::open(folder.join(file)), &keys)
        .map_err(|fault| broken(fault.to_string()))?;
    is_long_enough(matches, report.size)?;
    printer.note(&format!(
        "note: this archive holds the entries {} to {}",
        contents.first,
        contents.until.saturating_sub(1)
    ));
    tell(&report, None, printer);
    Ok(Exit::Done)
}

async fn online(cx: &Cx, client: &Client, matches: &ArgMatches, printer: &Printer) -> Result<Exit, Failure> {
    let context = cx.settings.context()?;
    let path = cx.settings.cache_dir(&context.name).join("ledger.json");
    let memory = remembered(&path, &context.gateway)?;
    let offered = client.ledger_keys().await?;
    let known = match (given_keys(matches)?, &memory) {
        (Some(given), _) => given,
        (None, Some(memory)) if !memory.keys.iter().any(|key| offered.contains(key)) => {
            return Err(broken(format!(
                "the gateway's ledger key is not the one met before: then {}, now {}",
                memory.keys.join(" "),
                offered.join(" ")
            ))
            .next("ask the gateway's operator; if the key was changed on purpose: --key KEY"));
        }
        (None, Some(memory)) => memory.keys.clone(),
        (None, None) => {
            printer.note(&format!("note: met for the first time, taken on trust: {}", offered.join(" ")));
            printer.note("note: compare that key with the one the gateway's operator publishes elsewhere");
            offered.clone()
        }
    };
    let keys = verifiers(&known)?;
    let note = client.checkpoint().await?;
    let Opened { checkpoint, signed_by } = open(&note, &keys)?;
    is_long_enough(matches, checkpoint.size)?;
    // A memory under other keys says nothing about these.
    let remembered = match memory.map(|memory| open_with_any(&memory.checkpoint, &keys)) {
        None | Some(Err(NoteError::OtherKeys { .. })) => None,
        Some(opened) => {
            Some(opened.map_err(|error| broken(format!("what is remembered: {error}")))?.checkpoint.tree())
        }
    };
    let mut before = earlier(matches, &keys)?;
    before.extend(remembered);
    let strangers: Vec<String> = offered.iter().filter(|key| !known.contains(key)).cloned().collect();
    let Held { outcome, introduced } = trail::hold(client, &checkpoint, &before, &strangers).await?;
    let report = match outcome {
        Ok(report) => report,
        Err(fault @ Fault::Changed { .. }) if matches.get_flag("tiles") => {
            return Err(trail::locate(client, &checkpoint, &fault).await?);
        }
        Err(fault @ (Fault::Shrunk { .. } | Fault::Forked { .. })) => {
            return Err(broken(fault.to_string()).next(format!(
                "keep {} and the gateway's checkpoint as evidence, and ask its operator",
                path.display()
            )));
        }
        Err(fault) => return Err(broken(fault.to_string())),
    };
    for key in &strangers {
        printer.note(&if introduced.contains(key) {
            format!("note: a new key, named in the log under the known key's signature: {key}")
        } else {
            format!("note: the gateway also offers a key that the log does not name; not trusted: {key}")
        });
    }
    let signed: Vec<String> = signed_by.iter().map(ToString::to_string).collect();
    let memory = Memory {
        gateway: context.gateway.clone(),
        keys: signed.into_iter().chain(introduced).collect(),
        checkpoint: note,
    };
    let memory = serde_json::to_vec(&memory).map_err(|error| Failure::file(&path, error))?;
    files::write(&path, &memory)?;
    tell(&report, remembered.map(|tree| tree.size), printer);
    if report.first > 0 {
        let last = report.first - 1;
        printer
            .note(&format!("note: entries 0 to {last} were not given: verify their archives (`--archive`)"));
    }
    Ok(Exit::Done)
}

fn remembered(path: &Path, gateway: &str) -> Result<Option<Memory>, Failure> {
    let Some(text) = files::read(path)? else { return Ok(None) };
    let memory: Memory = serde_json::from_str(&text).map_err(|error| {
        Failure::file(path, error).next("remove the file to trust the gateway anew, or restore it")
    })?;
    Ok((memory.gateway == gateway).then_some(memory))
}

fn tell(report: &Report, since: Option<u64>, printer: &Printer) {
    use std::fmt::Write as _;
    let root = report.root.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    let entries = match report.given() {
        Some((first, last)) if first > 0 => format!("{first} to {last}"),
        _ => report.size.to_string(),
    };
    let card = Card::default()
        .with("Ledger", report.origin.clone())
        .with("Entries", entries)
        .with("Root", root.clone())
        .maybe("Extends", since.map(|size| format!("the {size} entries that were verified here before")))
        .maybe("Not yet signed", (report.beyond > 0).then(|| report.beyond.to_string()));
    let whole = json!({
        "verified": true, "origin": report.origin, "first": report.first, "size": report.size, "root": root,
        "beyond": report.beyond, "verified_before": since,
    });
    printer.card(&whole, &card);
    printer.outcome(Exit::Done, &format!("verified: {report}"));
}
