//! The index that records are found by: a file of its own beside the store, made in the background.
//!
//! The thread that writes records pays nothing for it. What is indexed is not the record but the *block* of 64 records:
//! most terms of neighbours are the same, so that an index over 10 million records has 160,000 rows. A search asks the
//! index for blocks and reads those; the newest records, which the index does not know yet, are read without it.
//!
//! The file holds nothing that the records do not: one that is missing, damaged or not of this store is made anew.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use guichet_contract::Record;
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, params};

use super::{
    columns::micros,
    connection,
    fault::Fault,
    ownership::{beside, make_private_file},
    records::{first_index, next_index},
    search_terms::{hash, terms_of},
};

/// Records of one row of the index.
pub(super) const BLOCK: i64 = 64;
/// Records of one row that tells from when to when they are.
pub(super) const SPAN: i64 = 4096;

/// The form of the file; one of another form is made anew.
const FORM: i64 = 2;

const SCHEMA: &str = "
    CREATE TABLE progress (
        one     INTEGER PRIMARY KEY CHECK (one = 1),
        records INTEGER NOT NULL,   -- so many, from the first one, are indexed
        last    INTEGER NOT NULL,   -- hash of the last of them: tells whether this is the index of this store
        first   INTEGER NOT NULL    -- the first record that was there: words of those before it are not in here
    ) STRICT;
    CREATE TABLE spans (span INTEGER PRIMARY KEY, earliest INTEGER NOT NULL, latest INTEGER NOT NULL) STRICT;
    CREATE VIRTUAL TABLE terms USING fts5(words, content = '', columnsize = 0, detail = none, tokenize = 'ascii');";

/// Where the index of this store is.
pub(super) fn path_of(store: &Path) -> PathBuf {
    beside(store, ".search")
}

/// Writes the index.
pub(super) struct Indexer {
    records: Connection,
    index: Connection,
}

impl Indexer {
    /// Opens the index of the store at `store`, which must exist; makes it anew when it cannot be used.
    pub(super) fn open(store: &Path) -> Result<Self, Fault> {
        let path = path_of(store);
        match Self::open_existing(store, &path) {
            Ok(indexer) => Ok(indexer),
            Err(fault) => {
                tracing::info!(?fault, "the search index is made anew from the records");
                Self::open_new(store)
            }
        }
    }

    /// Makes the index anew, whatever there is. No other indexer may have it open.
    pub(super) fn open_new(store: &Path) -> Result<Self, Fault> {
        let path = path_of(store);
        remove(&path).map_err(|error| Fault::Corrupt(error.to_string()))?;
        Self::open_existing(store, &path)
    }

    fn open_existing(store: &Path, path: &Path) -> Result<Self, Fault> {
        make_private_file(path).map_err(|error| Fault::Corrupt(format!("{}: {error}", path.display())))?;
        let records = connection::to_read(store)?;
        let index = connection::to_index(path)?;
        let form: i64 = index.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if form == 0 {
            let first = first_index(&records)?;
            index.execute_batch(&format!(
                "BEGIN; {SCHEMA} INSERT INTO progress VALUES (1, 0, 0, {first}); PRAGMA user_version = {FORM}; COMMIT;"
            ))?;
        } else if form != FORM {
            return Err(Fault::Corrupt(format!("its form is {form}, not {FORM}")));
        }
        let indexer = Self { records, index };
        let Progress { known, last, first } = indexer.progress()?;
        if first < first_index(&indexer.records)? {
            return Err(Fault::Corrupt("it holds words of records that were pruned".to_owned()));
        }
        if known > 0 && indexer.hash_of(known - 1)? != Some(last) {
            return Err(Fault::Corrupt("it belongs to other records".to_owned()));
        }
        Ok(indexer)
    }

    fn progress(&self) -> Result<Progress, Fault> {
        let mut statement = self.index.prepare_cached("SELECT records, last, first FROM progress")?;
        Ok(statement.query_row([], |row| {
            Ok(Progress { known: row.get(0)?, last: row.get(1)?, first: row.get(2)? })
        })?)
    }

    fn hash_of(&self, index: i64) -> Result<Option<i64>, Fault> {
        let mut statement = self.records.prepare_cached("SELECT body FROM records WHERE log_index = ?1")?;
        let body: Option<String> = statement.query_row([index], |row| row.get(0)).optional()?;
        Ok(body.map(|body| hash(body.as_bytes()).cast_signed()))
    }

    /// Indexes at most about `limit` more records, whole blocks only. Says how many still wait.
    pub(super) fn go_on(&mut self, limit: i64) -> Result<i64, IndexFault> {
        let Progress { known, last, .. } = self.progress().map_err(IndexFault::Index)?;
        let there = next_index(&self.records).map_err(IndexFault::Records)?;
        let until = (known + limit.max(BLOCK)).min(there) / BLOCK * BLOCK;
        if until <= known {
            return Ok(there - known);
        }
        let blocks = self.read_blocks(known / BLOCK, until / BLOCK).map_err(IndexFault::Records)?;
        self.write_blocks(&blocks, until, last).map_err(IndexFault::Index)?;
        Ok(there - until)
    }

    fn read_blocks(&self, from: i64, until: i64) -> Result<Vec<Block>, Fault> {
        let mut read = self.records.prepare_cached(
            "SELECT body FROM records WHERE log_index >= ?1 AND log_index < ?2 ORDER BY log_index",
        )?;
        let mut blocks = Vec::new();
        for number in from..until {
            let (mut terms, mut span, mut last) = (BTreeSet::new(), None::<(i64, i64)>, None);
            let mut rows = read.query([number * BLOCK, (number + 1) * BLOCK])?;
            while let Some(row) = rows.next()? {
                let body = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
                let record: Record = serde_json::from_str(body)?;
                terms_of(&record, &mut terms);
                let at = micros(record.at);
                span = Some(span.map_or((at, at), |(first, last)| (first.min(at), last.max(at))));
                last = Some(hash(body.as_bytes()).cast_signed());
            }
            let terms: Vec<String> = terms.into_iter().collect();
            blocks.push(Block { number, words: terms.join(" "), span, last });
        }
        Ok(blocks)
    }

    /// The records before `until` are indexed then; `last` is the hash of the last one that was indexed before.
    fn write_blocks(&mut self, blocks: &[Block], until: i64, mut last: i64) -> Result<(), Fault> {
        let writing = self.index.transaction()?;
        {
            let mut insert = writing.prepare_cached("INSERT INTO terms (rowid, words) VALUES (?1, ?2)")?;
            let mut put_span = writing.prepare_cached(
                "INSERT INTO spans VALUES (?1, ?2, ?3) ON CONFLICT (span) DO UPDATE
                 SET earliest = min(earliest, excluded.earliest), latest = max(latest, excluded.latest)",
            )?;
            for block in blocks {
                if let Some((earliest, latest)) = block.span {
                    put_span.execute([block.number * BLOCK / SPAN, earliest, latest])?;
                }
                insert.execute(params![block.number, block.words])?;
                last = block.last.unwrap_or(last);
            }
            writing.execute("UPDATE progress SET records = ?1, last = ?2", [until, last])?;
        }
        Ok(writing.commit()?)
    }
}

/// Where the index stands.
struct Progress {
    known: i64,
    last: i64,
    first: i64,
}

/// What the index keeps of 64 records.
struct Block {
    number: i64,
    words: String,
    /// Moment of the earliest and the latest.
    span: Option<(i64, i64)>,
    /// Hash of the last; none when all of them were pruned.
    last: Option<i64>,
}

/// Why indexing did not go on.
#[derive(Debug)]
pub(super) enum IndexFault {
    /// The records cannot be read.
    Records(Fault),
    /// The index cannot be read or written.
    Index(Fault),
}

/// Whether a new index is likely to be better: not when the disk is full or read-only, or somebody else is busy with it.
pub(super) fn is_damage(fault: &Fault) -> bool {
    match fault {
        Fault::Engine(error) => matches!(
            error.sqlite_error_code(),
            None | Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown)
        ),
        _ => true,
    }
}

/// The index as a search sees it, attached to a connection that reads.
pub(super) struct Attached<'a>(pub(super) &'a Connection);

impl Attached<'_> {
    /// So many records, from the first one, are indexed.
    pub(super) fn records(&self) -> Result<i64, Fault> {
        let mut statement = self.0.prepare_cached("SELECT records FROM search.progress")?;
        Ok(statement.query_row([], |row| row.get(0))?)
    }

    /// No indexed record before this one is of this moment or later.
    pub(super) fn first_since(&self, at: i64) -> Result<Option<i64>, Fault> {
        let mut statement = self.0.prepare_cached("SELECT min(span) FROM search.spans WHERE latest >= ?1")?;
        let span: Option<i64> = statement.query_row([at], |row| row.get(0))?;
        Ok(span.map(|span| span * SPAN))
    }

    /// No indexed record from this one on is of before this moment.
    pub(super) fn end_until(&self, at: i64) -> Result<Option<i64>, Fault> {
        let mut statement =
            self.0.prepare_cached("SELECT max(span) FROM search.spans WHERE earliest < ?1")?;
        let span: Option<i64> = statement.query_row([at], |row| row.get(0))?;
        Ok(span.map(|span| (span + 1) * SPAN))
    }

    /// Blocks in which all terms of the question occur, the newest first, from block `from` to before block `to`,
    /// until `each` says false.
    pub(super) fn blocks(
        &self,
        question: &str,
        (from, to): (i64, i64),
        mut each: impl FnMut(i64) -> bool,
    ) -> Result<(), Fault> {
        let mut statement = self.0.prepare_cached(
            "SELECT rowid FROM search.terms WHERE terms MATCH ?1 AND rowid >= ?2 AND rowid < ?3
             ORDER BY rowid DESC",
        )?;
        let mut rows = statement.query(params![question, from, to])?;
        while let Some(row) = rows.next()? {
            if !each(row.get(0)?) {
                break;
            }
        }
        Ok(())
    }
}

/// Removes the index of the store at `store`, which must be closed: it is made anew from the records that are there. After
/// records were pruned, so that their words are gone too.
///
/// # Errors
/// A file that cannot be removed.
pub fn drop_search_index(store: &Path) -> io::Result<()> {
    remove(&path_of(store))
}

/// Removes the file and those that SQLite keeps beside it. Who has it open goes on with what is no longer found.
fn remove(path: &Path) -> io::Result<()> {
    for end in ["", "-wal", "-shm"] {
        let file = beside(path, end);
        match fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io::Error::new(error.kind(), format!("{}: {error}", file.display())));
            }
            _ => {}
        }
    }
    Ok(())
}
