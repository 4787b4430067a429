//! The audit trail. The text that is written is the text that is hashed, to the byte.

use async_trait::async_trait;
use guichet_contract::{Record, record::LedgerRecord};

use super::{
    PostgresStore,
    columns::{count, integer, micros, values},
    fault::Fault,
    search, search_index,
    unit::Unit,
};
use crate::{Page, PageRequest, Records, RecordsFilter, StoreError};

/// A record as it is written.
#[derive(Clone)]
pub(super) struct Leaf {
    pub(super) at: i64,
    pub(super) body: String,
}

impl Leaf {
    pub(super) fn of(record: &Record) -> Result<Self, Fault> {
        Ok(Self { at: micros(record.at), body: serde_json::to_string(record)? })
    }

    pub(super) fn weight(&self) -> usize {
        self.body.len()
    }
}

/// All records of a transaction, in their order. Whoever runs it holds the head until the commit, so that indexes are
/// given in the order of the commits.
pub(super) const APPEND: &str = "
    WITH head AS (UPDATE ledger_head SET next_index = next_index + $1 RETURNING next_index - $1 AS first)
    INSERT INTO records (log_index, at, body)
    SELECT head.first + leaf.place - 1, leaf.at, leaf.body
    FROM head, unnest($2::bigint[], $3::text[]) WITH ORDINALITY AS leaf (at, body, place)";

/// The next leaf of the ledger.
pub(super) fn append(unit: &mut Unit, record: &Record) -> Result<(), Fault> {
    unit.leaves.push(Leaf::of(record)?);
    unit.woken.record = true;
    Ok(())
}

// Not locked, or everybody would wait for the deletion: the ledger and its seal only grow, so what holds stays true.
const MAY_PRUNE: &str = "
    SELECT 1 FROM ledger_head
    WHERE $1::bigint % 256 = 0 AND $1 < next_index AND $1 <= (SELECT coalesce(max(size), 0) FROM checkpoints)";

/// Deletes what lies before this index and is sealed.
pub(super) fn prune(unit: &mut Unit, before: u64) {
    let conflict =
        format!("the records before {before} (whole tiles are pruned, sealed ones, and never the last)");
    unit.one(MAY_PRUNE, values![integer(before)], conflict);
    unit.any("DELETE FROM records WHERE log_index < $1", values![integer(before)]);
    unit.any("DELETE FROM found_by WHERE log_index < $1", values![integer(before)]);
}

const LEAVES: &str = "SELECT log_index, body FROM records WHERE log_index >= $1 ORDER BY log_index LIMIT $2";

/// The index of the next record.
pub(super) const NEXT_INDEX: &str = "SELECT next_index FROM ledger_head";

#[async_trait]
impl Records for PostgresStore {
    async fn records(
        &self,
        filter: &RecordsFilter,
        page: &PageRequest,
    ) -> Result<Page<LedgerRecord>, StoreError> {
        search::list(self, filter, page).await
    }

    async fn leaves(&self, from: u64, limit: usize) -> Result<Vec<(u64, String)>, StoreError> {
        let rows = self.rows(LEAVES, &[&integer(from), &integer(limit)]).await?;
        self.each(&rows, |row| Ok((count(row.try_get(0)?)?, row.try_get(1)?)))
    }

    async fn index_records(&self, limit: u64) -> Result<u64, StoreError> {
        Ok(count(search_index::go_on(self, integer(limit)).await.map_err(Fault::into_store_error)?)?)
    }

    async fn first_record(&self) -> Result<u64, StoreError> {
        let rows = self.rows("SELECT coalesce(min(log_index), 0) FROM records", &[]).await?;
        Ok(self.first(&rows, |row| Ok(count(row.try_get(0)?)?))?.unwrap_or_default())
    }

    async fn record_count(&self) -> Result<u64, StoreError> {
        let rows = self.rows(NEXT_INDEX, &[]).await?;
        Ok(self.first(&rows, |row| Ok(count(row.try_get(0)?)?))?.unwrap_or_default())
    }
}
