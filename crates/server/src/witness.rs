//! Witnesses: whoever keeps a copy of the ledger's checkpoints out of the gateway's reach. A file (on a disk of its own, or
//! a mount that only takes appends) or an HTTP endpoint.
//!
//! Who has the gateway's store and its key can write another past and sign it. A checkpoint that left the house before
//! shows it: `guichet audit verify --against CHECKPOINT`. So each new checkpoint is sent away as soon as it is signed. The
//! gateway never waits for a witness. One that is slow or away gets the newest checkpoint when it is back; those in
//! between are left out, because the newest covers them.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use guichet_dispatch::transport::HttpClient;
use guichet_gateway::metrics::{Metrics, WitnessLabels};
use guichet_ledger::{CUT_OFF, parse_unverified};
use tokio::{sync::watch, task::JoinSet, time};

use crate::config::WitnessConfig;

/// How long an endpoint may take to answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// The pause after the first failure; it doubles.
const PAUSE: Duration = Duration::from_millis(500);
/// The longest pause.
const PAUSE_MOST: Duration = Duration::from_mins(1);

/// All witnesses of one ledger.
pub struct Witnesses(Vec<Witness>);

struct Witness {
    place: Place,
    metrics: Metrics,
    labels: WitnessLabels,
}

#[derive(Clone)]
enum Place {
    File(PathBuf),
    Url(String, HttpClient),
}

impl Witnesses {
    /// As configured.
    pub fn new(configured: &[WitnessConfig], client: &HttpClient, metrics: &Metrics) -> Self {
        let witnesses = configured.iter().map(|witness| {
            let (place, name) = match witness {
                WitnessConfig::File(path) => (Place::File(path.clone()), path.display().to_string()),
                WitnessConfig::Url(url) => (Place::Url(url.clone(), client.clone()), url.clone()),
            };
            Witness { place, metrics: metrics.clone(), labels: WitnessLabels { witness: name } }
        });
        Self(witnesses.collect())
    }

    /// Tells every witness of each new checkpoint, until no more come and all that came was told.
    pub async fn work(self, checkpoints: watch::Receiver<Option<String>>) {
        let mut all = JoinSet::new();
        for witness in self.0 {
            all.spawn(witness.work(checkpoints.clone()));
        }
        while all.join_next().await.is_some() {}
    }
}

impl Witness {
    async fn work(self, mut checkpoints: watch::Receiver<Option<String>>) {
        // What was told before this began is new to us too.
        checkpoints.mark_changed();
        let mut pause = PAUSE;
        while checkpoints.changed().await.is_ok() {
            let Some(note) = checkpoints.borrow_and_update().clone() else { continue };
            loop {
                match self.tell(&note).await {
                    Ok(()) => {
                        pause = PAUSE;
                        let entries = parse_unverified(&note).map_or(0, |checkpoint| checkpoint.size);
                        self.metrics.witnessed_entries.get_or_create(&self.labels).set(entries);
                        break;
                    }
                    Err(why) => {
                        self.metrics.witness_failures.get_or_create(&self.labels).inc();
                        tracing::warn!(
                            witness = self.labels.witness,
                            why,
                            seconds = pause.as_secs_f32(),
                            "a witness of the ledger was not told of a checkpoint; it is tried again"
                        );
                        time::sleep(pause).await;
                        pause = (pause * 2).min(PAUSE_MOST);
                        // A newer one covers this one.
                        if checkpoints.has_changed().unwrap_or(false) {
                            checkpoints.mark_changed();
                            break;
                        }
                    }
                }
            }
        }
    }

    async fn tell(&self, note: &str) -> Result<(), String> {
        match &self.place {
            Place::Url(url, client) => {
                let kind = "text/plain; charset=utf-8";
                match client.post(url, kind, note.to_owned(), ANSWERS_WITHIN).await? {
                    200..300 => Ok(()),
                    status => Err(format!("it answered with status {status}")),
                }
            }
            Place::File(path) => {
                let (path, note) = (path.clone(), note.to_owned());
                let written = tokio::task::spawn_blocking(move || append(&path, &note)).await;
                written.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
            }
        }
    }
}

/// Appends a checkpoint and an empty line, durably: `guichet_ledger::split_notes` reads the file back. What a crash or a
/// full disk left of the one before is closed first, so that it does not spoil this one.
fn append(path: &Path, note: &str) -> io::Result<()> {
    let mending = mending(path)?;
    let mut file = OpenOptions::new().append(true).create(true).mode(0o644).open(path)?;
    let before = file.metadata()?.len();
    let written = file.write_all(format!("{mending}{note}\n").as_bytes()).and_then(|()| file.sync_data());
    if written.is_err() {
        // Where a file only takes appends this fails, and the next one closes what is left.
        let _ = file.set_len(before);
    }
    written
}

/// What must follow the end of the file for the next checkpoint to stand alone.
fn mending(path: &Path) -> io::Result<String> {
    // Asked before it is opened: opening a pipe would wait for whoever writes to it.
    let length = match fs::metadata(path) {
        Ok(found) if found.is_file() => found.len(),
        Ok(_) => return Ok(String::new()),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(error),
    };
    let mut file = match File::open(path) {
        Ok(file) => file,
        // It can only be written: then it is what it is.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => return Ok(String::new()),
        Err(error) => return Err(error),
    };
    file.seek(SeekFrom::Start(length.saturating_sub(2)))?;
    let mut end = Vec::new();
    file.read_to_end(&mut end)?;
    Ok(match end.as_slice() {
        [] | [b'\n', b'\n'] => String::new(),
        [.., b'\n'] => "\n".to_owned(),
        _ => format!("{CUT_OFF}\n\n"),
    })
}

#[cfg(test)]
mod tests {
    use guichet_ledger::{KeySet, Signer, Tree, split_notes};

    use super::*;

    #[test]
    fn what_was_cut_off_anywhere_spoils_no_other_checkpoint() {
        let signer = |seed| Signer::from_seed("guichet/staging", [seed; 32]).unwrap();
        let keys = KeySet::new(signer(2), vec![signer(1)]).unwrap();
        let notes: Vec<String> = (1..4).map(|size| keys.sign(&Tree { size, ..Tree::EMPTY })).collect();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("witness");
        append(&path, &notes[0]).unwrap();
        let whole = fs::read(&path).unwrap();
        for cut in 0..=notes[1].len() {
            let torn = [&whole, &notes[1].as_bytes()[..cut]].concat();
            fs::write(&path, torn).unwrap();
            append(&path, &notes[2]).unwrap();
            let bytes = fs::read(&path).unwrap();
            let text = String::from_utf8_lossy(&bytes);
            let sizes: Vec<u64> =
                split_notes(&text).iter().map(|note| keys.open(note).unwrap().size).collect();
            // Cut off within the signatures, where one of them is whole, it is a checkpoint all the same.
            assert!([&[1, 3][..], &[1, 2, 3]].contains(&&sizes[..]), "cut at {cut}: {sizes:?} in {text}");
        }
    }
}
