//! The ledger's seal: tiles of hashes, and signed checkpoints.

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, params};

use super::{
    SqliteStore,
    columns::{count, integer, micros},
    fault::{Fault, OrConflict as _},
    writing::Writing,
};
use crate::{Checkpoints, CommitError, StoreError};

const LATEST: &str = "SELECT size, note FROM checkpoints ORDER BY size DESC LIMIT 1";

const INSERT_CHECKPOINT: &str = "
    INSERT INTO checkpoints (size, note, at)
    SELECT ?1, ?2, ?3 WHERE NOT EXISTS (SELECT 1 FROM checkpoints WHERE size >= ?1)";

// A tile only grows: hashes that were sealed stay what they were.
const PUT_TILE: &str = "
    INSERT INTO tiles (level, place, hashes) VALUES (?1, ?2, ?3)
    ON CONFLICT (level, place) DO UPDATE SET hashes = excluded.hashes
    WHERE substr(excluded.hashes, 1, length(tiles.hashes)) = tiles.hashes";

fn seal(
    writing: &mut Writing<'_>,
    size: u64,
    note: &str,
    at: Timestamp,
    tiles: &[(u8, u64, Vec<u8>)],
) -> Result<(), Fault> {
    let connection = writing.connection();
    let sealed =
        connection.prepare_cached(INSERT_CHECKPOINT)?.execute(params![integer(size), note, micros(at)])?;
    if sealed == 0 {
        return Err(Fault::Conflict(format!("the ledger's checkpoint (one of size {size} or more exists)")));
    }
    let mut put = connection.prepare_cached(PUT_TILE)?;
    for (level, place, hashes) in tiles {
        let changed = put
            .execute(params![level, integer(*place), hashes])
            .or_conflict(|| format!("tile {level}/{place} ({} bytes are no tile)", hashes.len()))?;
        if changed == 0 {
            return Err(Fault::Conflict(format!("tile {level}/{place} (its sealed hashes are others)")));
        }
    }
    Ok(())
}

#[async_trait]
impl Checkpoints for SqliteStore {
    async fn latest_checkpoint(&self) -> Result<Option<(u64, String)>, StoreError> {
        self.read(|connection| {
            let latest: Option<(i64, String)> = connection
                .prepare_cached(LATEST)?
                .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            latest.map(|(size, note)| Ok((count(size)?, note))).transpose()
        })
        .await
    }

    async fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(move |connection| {
            Ok(connection
                .prepare_cached("SELECT hashes FROM tiles WHERE level = ?1 AND place = ?2")?
                .query_row(params![level, integer(index)], |row| row.get(0))
                .optional()?)
        })
        .await
    }

    async fn seal(
        &self,
        size: u64,
        note: &str,
        at: Timestamp,
        tiles: &[(u8, u64, Vec<u8>)],
    ) -> Result<(), CommitError> {
        let (note, tiles) = (note.to_owned(), tiles.to_vec());
        self.write(move |writing| seal(writing, size, &note, at, &tiles)).await
    }
}
