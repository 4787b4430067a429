//! The audit trail. The text that is written is the text that is hashed, to the byte.

use async_trait::async_trait;
use guichet_contract::{Record, record::LedgerRecord};
use guichet_ledger::TILE_WIDTH;

use super::{
    MemoryStore,
    writing::{Writing, conflict},
};
use crate::{
    CommitError, Page, PageRequest, Records, RecordsFilter, StoreError, cursor,
    sqlite::search_terms::lets_through,
};

/// The next leaf of the ledger.
pub(super) fn append(writing: &mut Writing<'_>, record: &Record) -> Result<(), CommitError> {
    let text = serde_json::to_string(record)
        .map_err(|error| StoreError::Corrupt(format!("a record that is no JSON: {error}")))?;
    let index = writing.next_index();
    writing.put(|state| &mut state.records, index, Some(text));
    Ok(())
}

/// Deletes what lies before this index and is sealed.
pub(super) fn prune(writing: &mut Writing<'_>, before: u64) -> Result<(), CommitError> {
    let sealed = writing.state.checkpoints.keys().next_back().copied().unwrap_or(0);
    let there = writing.state.record_count;
    if !before.is_multiple_of(TILE_WIDTH as u64) || before > sealed || before >= there {
        return Err(conflict(format!(
            "the records before {before} ({sealed} are sealed, {there} are there, and whole tiles are pruned)"
        )));
    }
    let gone: Vec<u64> = writing.state.records.range(..before).map(|(index, _)| *index).collect();
    for index in gone {
        writing.put(|state| &mut state.records, index, None);
    }
    Ok(())
}

#[async_trait]
impl Records for MemoryStore {
    async fn records(
        &self,
        filter: &RecordsFilter,
        page: &PageRequest,
    ) -> Result<Page<LedgerRecord>, StoreError> {
        let before = page.cursor.as_deref().map(cursor::read_record).transpose()?.unwrap_or(u64::MAX);
        let limit = cursor::limit(page);
        self.read(|state| {
            let mut items = Vec::new();
            for (index, text) in state.records.range(..before).rev() {
                let record: Record = serde_json::from_str(text)
                    .map_err(|error| StoreError::Corrupt(format!("record {index}: {error}")))?;
                if !lets_through(filter, &record) {
                    continue;
                }
                if items.len() == limit {
                    return Ok(Page { items, next: Some(cursor::of_record(index + 1)) });
                }
                items.push(LedgerRecord { index: *index, record });
            }
            Ok(Page { items, next: None })
        })
    }

    async fn leaves(&self, from: u64, limit: usize) -> Result<Vec<(u64, String)>, StoreError> {
        self.read(|state| {
            Ok(state.records.range(from..).take(limit).map(|(index, text)| (*index, text.clone())).collect())
        })
    }

    /// There is no index: every search reads the records themselves.
    async fn index_records(&self, _limit: u64) -> Result<u64, StoreError> {
        self.read(|_| Ok(0))
    }

    async fn first_record(&self) -> Result<u64, StoreError> {
        self.read(|state| Ok(state.records.keys().next().copied().unwrap_or(0)))
    }

    async fn record_count(&self) -> Result<u64, StoreError> {
        self.read(|state| Ok(state.record_count))
    }
}
