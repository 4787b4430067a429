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
/// Records that leave the store in one unit, whole tiles: a database deletes so many within a second or two.
const PIECE: u64 = 64 * TILE_WIDTH as u64;

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

/// Deletes the texts of a segment whose archive was verified, in pieces that others need not wait for; each piece with the
/// record of it. `archived` says where and what.
///
/// # Errors
/// The store's; once a piece is gone, [`TrailError::PrunedInPart`].
pub async fn prune_records(
    store: &dyn Store,
    clock: &dyn Clock,
    environment: &str,
    segment: &Segment,
    archived: &str,
) -> Result<(), TrailError> {
    prune_pieces(store, clock, environment, segment, archived, PIECE).await
}

async fn prune_pieces(
    store: &dyn Store,
    clock: &dyn Clock,
    environment: &str,
    segment: &Segment,
    archived: &str,
    piece: u64,
) -> Result<(), TrailError> {
    let mut from = segment.first;
    while from < segment.until {
        let before = segment.until.min(from + piece);
        let verdict = RecordVerdict::Allowed;
        let mut record = Record::new(clock.now(), Verb::PruneRecords, verdict, environment, Surface::Gateway);
        record.detail = Some(format!("records {from} to {}; {archived}", before - 1));
        let work = UnitOfWork::new().with(Change::PruneRecords { before }).append_record(record);
        if let Err(error) = store.commit(work).await {
            return Err(match from {
                from if from == segment.first => error.into(),
                until => TrailError::PrunedInPart { first: segment.first, until, why: error.to_string() },
            });
        }
        from = before;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use guichet_contract::SystemClock;
    use guichet_ledger::Signer;
    use guichet_store::{Records as _, sqlite::SqliteStore};

    use super::*;
    use crate::seal_records::seal_records;

    #[tokio::test]
    async fn each_piece_is_pruned_with_its_record() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("guichet.sqlite")).unwrap();
        let keys = KeySet::from(Signer::from_seed("guichet/staging", [7; 32]).unwrap());
        let read = |number: i64| {
            let at = Timestamp::from_second(number).unwrap();
            Record::new(at, Verb::PerformRead, RecordVerdict::Allowed, "staging", Surface::Cli)
        };
        store.commit((0..900).map(read).fold(UnitOfWork::new(), UnitOfWork::append_record)).await.unwrap();
        seal_records(&store, &keys, &SystemClock).await.unwrap();
        let before = Timestamp::from_second(800).unwrap();
        let segment = find_segment(&store, &keys, before).await.unwrap().unwrap();
        assert_eq!((segment.first, segment.until), (0, 768));
        prune_pieces(&store, &SystemClock, "staging", &segment, "in the cellar", 512).await.unwrap();
        assert_eq!((store.first_record().await.unwrap(), store.record_count().await.unwrap()), (768, 902));
        let told: Vec<String> = store
            .leaves(900, 10)
            .await
            .unwrap()
            .iter()
            .map(|(_, text)| serde_json::from_str::<Record>(text).unwrap().detail.unwrap())
            .collect();
        assert_eq!(told, ["records 0 to 511; in the cellar", "records 512 to 767; in the cellar"]);

        // One that ends in the midst says how far it came: here the rest is not sealed.
        let segment = Segment { first: 512, until: 1_280, ..segment };
        let ended = prune_pieces(&store, &SystemClock, "staging", &segment, "", 256).await.unwrap_err();
        assert!(ended.to_string().starts_with("records 512 to 767 are archived and pruned"), "{ended}");
        store.close().await;
    }
}
