//! The audit trail as it comes from the gateway: downloaded, hashed while it comes, and its tiles where they are needed.

use std::collections::HashMap;

use futures_util::StreamExt as _;
use guichet_client::{Client, Export};
use guichet_contract::{Record, Verb};
use guichet_ledger::{
    Checkpoint, Edge, Fault, LedgerError, Report, TILE_WIDTH, Tree, check_consistency, first_difference,
    prove_consistency, verify_from,
};

use crate::{commands::verify::broken, failure::Failure};

/// Lines that may wait between network and hashing.
const IN_FLIGHT: usize = 1024;

/// What came of holding the trail against a checkpoint.
pub(super) struct Held {
    /// Whether it held.
    pub(super) outcome: Result<Report, Fault>,
    /// Which of the keys asked about the log itself names, in the record of a start of the gateway.
    pub(super) introduced: Vec<String>,
}

/// Downloads the trail and holds it against the checkpoint and against what was signed before while it comes.
pub(super) async fn hold(
    client: &Client,
    checkpoint: &Checkpoint,
    before: &[Tree],
    strangers: &[String],
) -> Result<Held, Failure> {
    let part = client.export_records(0).await?;
    let first = part.first;
    if first > 0 && first >= checkpoint.size {
        return Err(broken(format!(
            "none of the {} signed entries is given: the gateway says that those before {first} were archived",
            checkpoint.size
        ))
        .next("verify the archives (`--archive`), and ask the gateway's operator: an archive never takes the last entry"));
    }
    // Where the beginning was archived, its tiles take its place. They need not be believed: see `verify_from`.
    let mut tiles = Tiles { client, size: checkpoint.size, known: HashMap::new() };
    let edge = tiles.read(|tiles| Edge::from_tiles(first, tiles)).await?;
    for tree in before.iter().filter(|tree| tree.size < first) {
        let proof = tiles.read(|tiles| prove_consistency(tree.size, checkpoint.size, tiles)).await?;
        if check_consistency(tree, &checkpoint.tree(), &proof).is_err() {
            let fault = Fault::Forked { signed: *tree, found: checkpoint.root };
            return Ok(Held { outcome: Err(fault), introduced: Vec::new() });
        }
    }
    let (lines, mut waiting) = tokio::sync::mpsc::channel::<Vec<u8>>(IN_FLIGHT);
    let (signed, before, strangers) = (checkpoint.clone(), before.to_vec(), strangers.to_vec());
    // Hashing is no work for the thread that listens to the network.
    let holding = tokio::task::spawn_blocking(move || {
        let mut introduced = Vec::new();
        let leaves = (first..).zip(std::iter::from_fn(|| waiting.blocking_recv())).map(|(index, line)| {
            if index < signed.size {
                introduced.extend(named_keys(&line, &strangers));
            }
            Ok::<_, std::convert::Infallible>((index, line))
        });
        let outcome = verify_from(edge, leaves, &signed, &before);
        introduced.sort();
        introduced.dedup();
        Held { outcome, introduced }
    });
    let take = |line| async { lines.send(line).await.is_ok() };
    let downloaded = download(client, part, checkpoint.size, take).await;
    drop(lines);
    let held = holding.await.map_err(|error| broken(format!("hashing stopped: {error}")))?;
    downloaded?;
    Ok(held)
}

/// Those of the keys that this line, the record of a start of the gateway, names.
fn named_keys(line: &[u8], keys: &[String]) -> Vec<String> {
    if keys.is_empty() {
        return Vec::new();
    }
    let record = serde_json::from_slice::<Record>(line).ok();
    let detail = record.filter(|record| record.verb == Verb::StartGateway).and_then(|record| record.detail);
    let Some((_, named)) = detail.as_deref().and_then(|detail| detail.split_once("ledger keys ")) else {
        return Vec::new();
    };
    let named: Vec<&str> = named.split_whitespace().collect();
    keys.iter().filter(|key| named.contains(&key.as_str())).cloned().collect()
}

/// The leaves up to `size`, in order; the gateway may give them in parts. Ends early when `take` says no.
async fn download<F: Future<Output = bool>>(
    client: &Client,
    mut part: Export,
    size: u64,
    mut take: impl FnMut(Vec<u8>) -> F,
) -> Result<(), Failure> {
    let mut next = part.first;
    loop {
        let before = next;
        while let Some(line) = part.lines.next().await {
            if !take(line?).await {
                return Ok(());
            }
            next += 1;
        }
        if next == before || next >= size {
            return Ok(());
        }
        part = client.export_records(next).await?;
        if part.first != next {
            return Err(broken(format!("the gateway gives entry {} where {next} should come", part.first)));
        }
    }
}

/// Tiles that are fetched when they are asked for.
struct Tiles<'a> {
    client: &'a Client,
    size: u64,
    known: HashMap<(u8, u64), Vec<u8>>,
}

impl Tiles<'_> {
    /// Does the work again with each tile that it lacks, until it lacks none.
    async fn read<T>(
        &mut self,
        work: impl Fn(&HashMap<(u8, u64), Vec<u8>>) -> Result<T, LedgerError>,
    ) -> Result<T, Failure> {
        loop {
            match work(&self.known) {
                Ok(found) => return Ok(found),
                Err(LedgerError::TileMissing { level, index })
                    if !self.known.contains_key(&(level, index)) =>
                {
                    let tile = self.client.tile(level, index, self.width(level, index)).await?;
                    self.known.insert((level, index), tile);
                }
                Err(error) => return Err(broken(error.to_string())),
            }
        }
    }

    /// How many hashes the tile has; none when it is full.
    fn width(&self, level: u8, index: u64) -> Option<u8> {
        let hashes = self.size.checked_shr(8 * u32::from(level)).unwrap_or(0);
        u8::try_from(hashes.saturating_sub(index * TILE_WIDTH as u64)).ok()
    }
}

/// Where the first difference is: the tiles remember the hash of every entry. Holds the trail in memory.
pub(super) async fn locate(
    client: &Client,
    checkpoint: &Checkpoint,
    fault: &Fault,
) -> Result<Failure, Failure> {
    let part = client.export_records(0).await?;
    if part.first > 0 {
        return Ok(broken(format!(
            "{fault}; which entry it is cannot be told here: those before {} were archived",
            part.first
        )));
    }
    let mut tiles = HashMap::new();
    let width = TILE_WIDTH as u64;
    for index in 0..checkpoint.size.div_ceil(width) {
        let partial = u8::try_from((checkpoint.size - index * width).min(width)).ok();
        tiles.insert((0, index), client.tile(0, index, partial).await?);
    }
    let leaves = std::cell::RefCell::new(Vec::new());
    download(client, part, checkpoint.size, |line| {
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
