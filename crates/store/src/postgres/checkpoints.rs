//! The ledger's seal: tiles of hashes, and signed checkpoints.

use async_trait::async_trait;
use jiff::Timestamp;
use tokio_postgres::Transaction;

use super::{
    PostgresStore,
    columns::{count, integer, micros},
    fault::{Fault, Meaning, meaning},
    locks,
};
use crate::{Checkpoints, CommitError, StoreError};

const LATEST: &str = "SELECT size, note FROM checkpoints ORDER BY size DESC LIMIT 1";

const INSERT_CHECKPOINT: &str = "
    INSERT INTO checkpoints (size, note, at)
    SELECT $1, $2, $3 WHERE NOT EXISTS (SELECT 1 FROM checkpoints WHERE size >= $1)";

// A tile only grows: hashes that were sealed stay what they were.
const PUT_TILE: &str = "
    INSERT INTO tiles (level, place, hashes) VALUES ($1, $2, $3)
    ON CONFLICT (level, place) DO UPDATE SET hashes = excluded.hashes
    WHERE substring(excluded.hashes FROM 1 FOR length(tiles.hashes)) = tiles.hashes";

async fn seal(
    transaction: &Transaction<'_>,
    size: u64,
    note: &str,
    at: Timestamp,
    tiles: &[(u8, u64, Vec<u8>)],
) -> Result<(), Fault> {
    // Sealers of several replicas take turns; the statement after this one sees what the one before has sealed.
    transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&locks::SEALING]).await?;
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 3] = [&integer(size), &note, &micros(at)];
    if transaction.execute(INSERT_CHECKPOINT, &values).await? == 0 {
        return Err(Fault::Conflict(format!("the ledger's checkpoint (one of size {size} or more exists)")));
    }
    let put = transaction.prepare(PUT_TILE).await?;
    for (level, place, hashes) in tiles {
        match transaction.execute(&put, &[&i16::from(*level), &integer(*place), hashes]).await {
            Ok(0) => {
                return Err(Fault::Conflict(format!("tile {level}/{place} (its sealed hashes are others)")));
            }
            Err(error) if meaning(&error) == Meaning::Conflict => {
                let length = hashes.len();
                return Err(Fault::Conflict(format!("tile {level}/{place} ({length} bytes are no tile)")));
            }
            put => put?,
        };
    }
    Ok(())
}

#[async_trait]
impl Checkpoints for PostgresStore {
    async fn latest_checkpoint(&self) -> Result<Option<(u64, String)>, StoreError> {
        let rows = self.rows(LATEST, &[]).await?;
        self.first(&rows, |row| Ok((count(row.try_get(0)?)?, row.try_get(1)?)))
    }

    async fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let find = "SELECT hashes FROM tiles WHERE level = $1 AND place = $2";
        let rows = self.rows(find, &[&i16::from(level), &integer(index)]).await?;
        self.first(&rows, |row| Ok(row.try_get(0)?))
    }

    async fn seal(
        &self,
        size: u64,
        note: &str,
        at: Timestamp,
        tiles: &[(u8, u64, Vec<u8>)],
    ) -> Result<(), CommitError> {
        let sealing = self.answered(async {
            let mut client = self.client().await?;
            let transaction = client.transaction().await?;
            seal(&transaction, size, note, at, tiles).await?;
            // When the connection breaks here, the sealer looks at the latest checkpoint and finds out.
            Ok(transaction.commit().await?)
        });
        sealing.await.map_err(Fault::into_commit_error)
    }
}
