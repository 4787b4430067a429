//! The audit trail. The text that is written is the text that is hashed, to the byte.

use async_trait::async_trait;
use guichet_contract::{Record, record::LedgerRecord};
use guichet_ledger::TILE_WIDTH;
use rusqlite::{Connection, params};

use super::{
    SqliteStore,
    columns::{count, integer, micros},
    fault::{Fault, OrConflict as _},
    search,
    writing::Writing,
};
use crate::{Page, PageRequest, Records, RecordsFilter, StoreError};

/// A record as it is written: its exact text, and what it is found by.
pub(super) struct Leaf {
    at: i64,
    principal: Option<String>,
    action: Option<String>,
    run: Option<String>,
    verb: &'static str,
    verdict: &'static str,
    body: String,
}

impl Leaf {
    pub(super) fn of(record: &Record) -> Result<Self, Fault> {
        Ok(Self {
            at: micros(record.at),
            principal: record.principal.as_ref().map(|principal| principal.name.clone()),
            action: record.action.as_ref().map(|action| action.as_str().to_owned()),
            run: record.run.map(|run| run.to_string()),
            verb: record.verb.as_str(),
            verdict: record.verdict.as_str(),
            body: serde_json::to_string(record)?,
        })
    }
}

const APPEND: &str = "
    INSERT INTO records (log_index, at, principal, action, run, verb, verdict, body)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";

/// The next leaf of the ledger.
pub(super) fn append(writing: &mut Writing<'_>, leaf: &Leaf) -> Result<(), Fault> {
    let index = writing.next_index();
    writing
        .connection()
        .prepare_cached(APPEND)?
        .execute(params![
            integer(index),
            leaf.at,
            leaf.principal,
            leaf.action,
            leaf.run,
            leaf.verb,
            leaf.verdict,
            leaf.body
        ])
        .or_conflict(|| format!("record {index} (its index exists)"))?;
    Ok(())
}

/// The index of the next record.
pub(super) fn next_index(connection: &Connection) -> Result<i64, Fault> {
    let mut statement = connection.prepare_cached("SELECT coalesce(max(log_index) + 1, 0) FROM records")?;
    Ok(statement.query_row([], |row| row.get(0))?)
}

/// The index of the first record that is there; 0 when there is none.
pub(super) fn first_index(connection: &Connection) -> Result<i64, Fault> {
    let mut statement = connection.prepare_cached("SELECT coalesce(min(log_index), 0) FROM records")?;
    Ok(statement.query_row([], |row| row.get(0))?)
}

/// Deletes what lies before this index and is sealed.
pub(super) fn prune(writing: &mut Writing<'_>, before: u64) -> Result<(), Fault> {
    let connection = writing.connection();
    let sealed: i64 =
        connection.query_row("SELECT coalesce(max(size), 0) FROM checkpoints", [], |row| row.get(0))?;
    let (before, there) = (integer(before), next_index(connection)?);
    if before % integer(TILE_WIDTH) != 0 || before > sealed || before >= there {
        return Err(Fault::Conflict(format!(
            "the records before {before} ({sealed} are sealed, {there} are there, and whole tiles are pruned)"
        )));
    }
    // What is gone shall not be read from free pages of the file either.
    let overwrite = |switch: &str| {
        connection.query_row(&format!("PRAGMA secure_delete = {switch}"), [], |_| Ok(())).map_err(Fault::from)
    };
    overwrite("ON")?;
    connection.execute("DELETE FROM records WHERE log_index < ?1", [before])?;
    overwrite("OFF")
}

const LEAVES: &str = "SELECT log_index, body FROM records WHERE log_index >= ?1 ORDER BY log_index LIMIT ?2";

#[async_trait]
impl Records for SqliteStore {
    async fn records(
        &self,
        filter: &RecordsFilter,
        page: &PageRequest,
    ) -> Result<Page<LedgerRecord>, StoreError> {
        let (filter, page) = (filter.clone(), page.clone());
        let (found, refused) =
            self.read(move |connection| search::list(connection, &filter, &page, search::LOOKED_AT)).await?;
        if let Some(fault) = refused {
            self.index_refused(&fault);
        }
        Ok(found)
    }

    async fn leaves(&self, from: u64, limit: usize) -> Result<Vec<(u64, String)>, StoreError> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(LEAVES)?;
            let rows = statement.query_map(params![integer(from), integer(limit)], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
            })?;
            rows.map(|row| {
                let (index, body) = row?;
                Ok((count(index)?, body))
            })
            .collect()
        })
        .await
    }

    async fn index_records(&self, limit: u64) -> Result<u64, StoreError> {
        self.index(limit).await
    }

    async fn first_record(&self) -> Result<u64, StoreError> {
        self.read(|connection| Ok(count(first_index(connection)?)?)).await
    }

    async fn record_count(&self) -> Result<u64, StoreError> {
        self.read(|connection| Ok(count(next_index(connection)?)?)).await
    }
}
