//! Retention: the oldest records leave the store once they are archived and the archive was verified. Whole tiles' worth
//! of them, so that the tiles that stay are full ones; their hashes stay, so that what is left still verifies.

use std::collections::HashMap;

use guichet_contract::{Clock, Record, RecordVerdict, Surface, Verb};
use guichet_ledger::{self as ledger, Checkpoint, KeySet, LedgerError, TILE_WIDTH};
use guichet_store::{Change, Store, UnitOfWork};
use jiff::Timestamp;

use crate::seal_records::TrailError;

/// Records that are read at once.
const BATCH: usize = 4_096;

/// What can leave the store.
#[derive(Debug, Clone)]
pub struct Segment {
    /// Index of the first record that is there.
    pub first: u64,
    /// Index of the first record that stays.
    pub until: u64,
    /// A checkpoint of size `until`, proven to be a beginning of the newest.
    pub note: String,
    /// What it says.
    pub checkpoint: Checkpoint,
    /// The tiles that belong to the segment: level, index.
    pub tiles: Vec<(u8, u64)>,
}

/// The longest segment from the first record on, in whole tiles, in which every record was made before `before` and is
/// sealed; none when that is less than one tile.
///
/// # Errors
/// The store; a ledger that is not the one that was signed.
pub async fn find_segment(
    store: &dyn Store,
    keys: &KeySet,
    before: Timestamp,
) -> Result<Option<Segment>, TrailError> {
    let Some((_, note)) = store.latest_checkpoint().await? else { return Ok(None) };
    let signed = keys.open(&note)?;
    let first = store.first_record().await?;
    let end = first_not_before(store, first, before).await?;
    let tile = TILE_WIDTH as u64;
    // The newest record stays: it is what the next one is counted from.
    let until = end.min(signed.size.saturating_sub(1)) / tile * tile;
    if until <= first {
        return Ok(None);
    }
    let mut tiles = HashMap::new();
    let tree = loop {
        match ledger::beginning(until, &signed, &tiles) {
            Err(LedgerError::TileMissing { level, index }) if !tiles.contains_key(&(level, index)) => {
                let tile = store.tile(level, index).await?;
                tiles.insert((level, index), tile.ok_or(LedgerError::TileMissing { level, index })?);
            }
            found => break found?,
        }
    };
    // A state of the log that every later one contains: signing it says nothing new.
    let note = keys.sign(&tree);
    let checkpoint = keys.open(&note)?;
    let tiles = ledger::segment_tiles(first, until);
    Ok(Some(Segment { first, until, note, checkpoint, tiles }))
}

async fn first_not_before(store: &dyn Store, first: u64, before: Timestamp) -> Result<u64, TrailError> {
    let mut next = first;
    loop {
        let leaves = store.leaves(next, BATCH).await?;
        if leaves.is_empty() {
            return Ok(next);
        }
        for (index, text) in leaves {
            let record: Record = serde_json::from_str(&text)
                .map_err(|error| TrailError::Unreadable { index, why: error.to_string() })?;
            if record.at >= before {
                return Ok(index);
            }
            next = index + 1;
        }
    }
}

/// Deletes the texts of a segment whose archive was verified, and records that. `archived` says where and what.
///
/// # Errors
/// The store.
pub async fn prune_records(
    store: &dyn Store,
    clock: &dyn Clock,
    environment: &str,
    segment: &Segment,
    archived: &str,
) -> Result<(), TrailError> {
    let verdict = RecordVerdict::Allowed;
    let mut record = Record::new(clock.now(), Verb::PruneRecords, verdict, environment, Surface::Gateway);
    let last = segment.until - 1;
    record.detail = Some(format!("records {} to {last}; {archived}", segment.first));
    let work = UnitOfWork::new().with(Change::PruneRecords { before: segment.until }).append_record(record);
    Ok(store.commit(work).await?)
}
