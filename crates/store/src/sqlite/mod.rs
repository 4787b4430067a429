//! The embedded store: one SQLite file in WAL mode, owned by one process.
//!
//! All writes go through one thread that puts many callers' units into one disk write (`writer`); reads go to a
//! few read-only connections (`readers`). A file by noun holds the statements and the functions that run them,
//! and carries the noun's trait. The schema is numbered SQL text (`migrations`), forward only.
//!
//! Moments are kept to the microsecond. Nothing here decides: a condition is a `WHERE`, and the number of changed
//! rows is checked.
//!
//! Begin reading at `writer`, then `runs`.

mod backup;
mod change;
mod checkpoints;
mod columns;
mod connection;
mod deliveries;
mod events;
mod export;
mod fault;
mod idempotency;
mod jobs;
mod migrations;
mod notices;
mod ownership;
mod probe;
mod readers;
mod records;
mod registrations;
mod reviews;
mod runs;
mod schedules;
mod search;
mod search_index;
pub(crate) mod search_terms;
mod tokens;
mod unit;
mod writer;
mod writing;

#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use guichet_contract::{Record, RunId};
use tokio::sync::broadcast;

pub use self::{
    backup::backup,
    export::{export, import},
    search_index::drop_search_index,
};
use self::{
    fault::Fault,
    ownership::Ownership,
    readers::Readers,
    records::Leaf,
    search_index::{IndexFault, Indexer},
    writer::Writer,
};
use crate::cursor;
use crate::{
    CommitError, StoreError, UnitOfWork,
    traits::Store,
    wakes::{RunWakes, Wake, Wakes, Waking},
};

/// A store in one SQLite file.
///
/// Dropping it writes what was handed over and waits for that; [`Store::close`] does the same without blocking.
pub struct SqliteStore {
    path: PathBuf,
    readers: Arc<Readers>,
    indexing: Arc<Mutex<Indexing>>,
    /// A search could not use the index.
    index_is_damaged: Arc<AtomicBool>,
    writer: Writer,
    wakes: Waking,
}

/// Who writes the search index.
enum Indexing {
    Open(Box<Indexer>),
    /// The index was damaged, and could not be made anew yet.
    Lost,
    Closed,
}

impl SqliteStore {
    /// Opens the file, made when there is none (mode 0600), and brings its schema up to date. Blocks.
    ///
    /// Fails when another process has it open, when it is not a Guichet store, and when a newer guichetd wrote it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let ownership = Ownership::take(path)?;
        let mut connection = connection::to_write(path)?;
        migrations::migrate(&mut connection).map_err(|fault| fault.into_store_error(path))?;
        let indexer = Indexer::open(path).map_err(|fault| fault.into_store_error(path))?;
        let wakes = Waking::new();
        Ok(Self {
            path: path.to_owned(),
            readers: Arc::new(Readers::new(path)),
            indexing: Arc::new(Mutex::new(Indexing::Open(Box::new(indexer)))),
            index_is_damaged: Arc::default(),
            writer: Writer::start(connection, path, ownership, wakes.clone())?,
            wakes,
        })
    }

    /// How many orders wait for the writer.
    #[cfg(test)]
    fn waiting_orders(&self) -> usize {
        self.writer.waiting_orders()
    }

    /// Reads on one of the read-only connections.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&rusqlite::Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.readers.read(work).await
    }

    /// Reads a few rows that are found by key.
    async fn look<T: Send + 'static>(
        &self,
        work: impl FnOnce(&rusqlite::Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.readers.look(work).await
    }

    /// A search was refused by the index. If it is damaged, the next call of [`Self::index`] makes it anew.
    fn index_refused(&self, fault: &Fault) {
        if !search_index::is_damage(fault) {
            tracing::debug!(?fault, "the search index could not be asked; the records were read themselves");
        } else if !self.index_is_damaged.swap(true, Ordering::Relaxed) {
            tracing::warn!(?fault, "the search index is damaged; it is made anew from the records");
        }
    }

    /// Makes more records quick to find, on a thread that may block.
    async fn index(&self, limit: u64) -> Result<u64, StoreError> {
        let (indexing, readers) = (Arc::clone(&self.indexing), Arc::clone(&self.readers));
        let (path, damaged) = (self.path.clone(), Arc::clone(&self.index_is_damaged));
        let indexed = tokio::task::spawn_blocking(move || {
            let mut indexing = indexing.lock().unwrap_or_else(PoisonError::into_inner);
            if matches!(*indexing, Indexing::Closed) {
                return Err(StoreError::Closed);
            }
            if damaged.load(Ordering::Relaxed) {
                *indexing = Indexing::Lost;
            }
            if matches!(*indexing, Indexing::Lost) {
                let made = Indexer::open_new(&path)
                    .map_err(|fault| fault.into_store_error(&search_index::path_of(&path)))?;
                *indexing = Indexing::Open(Box::new(made));
                readers.renew();
                damaged.store(false, Ordering::Relaxed);
            }
            let Indexing::Open(indexer) = &mut *indexing else { return Err(StoreError::Closed) };
            match indexer.go_on(columns::integer(limit)) {
                Ok(waiting) => columns::count(waiting)
                    .map_err(|unreadable| Fault::from(unreadable).into_store_error(&path)),
                Err(IndexFault::Records(fault)) => Err(fault.into_store_error(&path)),
                Err(IndexFault::Index(fault)) => {
                    damaged.fetch_or(search_index::is_damage(&fault), Ordering::Relaxed);
                    Err(fault.into_store_error(&search_index::path_of(&path)))
                }
            }
        });
        let cut_off = || StoreError::Engine("indexing was cut off before it was done".to_owned());
        indexed.await.unwrap_or_else(|_| Err(cut_off()))
    }

    /// Writes through the writer thread, alone in its savepoint.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut writing::Writing<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, CommitError> {
        self.writer.write(work).await
    }

    /// The same for what may be forgotten when the machine loses power ([`Writer::write_unsynced`]).
    async fn write_unsynced<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut writing::Writing<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, CommitError> {
        self.writer.write_unsynced(work).await
    }
}

impl Wakes for SqliteStore {
    fn wakes(&self) -> broadcast::Receiver<Wake> {
        self.wakes.wakes()
    }

    fn wakes_of(&self, run: RunId) -> RunWakes {
        self.wakes.wakes_of(run)
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn commit(&self, work: UnitOfWork) -> Result<(), CommitError> {
        self.write(move |writing| work.changes.iter().try_for_each(|change| change::apply(writing, change)))
            .await
    }

    async fn append_soon(&self, record: Record) -> Result<(), StoreError> {
        // Written as JSON here and not by the writer: that thread is the one all others wait for.
        let leaf = Leaf::of(&record).map_err(|fault| fault.into_store_error(&self.path))?;
        if self.writer.is_failing() {
            // Handing it over would only lose it: wait for the disk, so that the caller hears the truth.
            return self
                .write(move |writing| records::append(writing, &leaf))
                .await
                .map_err(CommitError::into_store_error);
        }
        self.writer.append_soon(leaf).await
    }

    fn lost_records(&self) -> u64 {
        self.writer.lost_records()
    }

    async fn check_writable(&self) -> Result<(), StoreError> {
        self.write(probe::write_and_take_back).await.map_err(CommitError::into_store_error)
    }

    async fn close(&self) {
        self.readers.close().await;
        *self.indexing.lock().unwrap_or_else(PoisonError::into_inner) = Indexing::Closed;
        self.writer.close().await;
    }
}
