//! The store for several replicas: one PostgreSQL database.
//!
//! Each replica writes through one task that puts many callers' units into one transaction (`writer`, `batch`), reads and
//! claims on a small pool, and listens on one connection for what other replicas committed (`listen`). A file by noun holds
//! the statements and the functions that run them, and carries the noun's trait. The schema is numbered SQL text
//! (`migrations`), forward only.
//!
//! Moments are kept to the microsecond. Nothing here decides: a condition is a `WHERE`, and the number of changed
//! rows is checked.
//!
//! Begin reading at `writer`, then `runs`.

mod batch;
mod change;
mod checkpoints;
mod clock;
mod columns;
mod connect;
mod deliveries;
mod events;
mod export;
mod fault;
mod idempotency;
mod jobs;
mod listen;
mod locks;
mod merge;
mod migrations;
mod notices;
mod records;
mod registrations;
mod reviews;
mod runs;
mod schedules;
mod search;
mod search_index;
mod tokens;
mod unit;
mod writer;

#[cfg(test)]
mod tests;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use deadpool_postgres::{Object, Pool};
use guichet_contract::{Clock, Record, RunId};
use tokio::{
    sync::{broadcast, oneshot},
    task::AbortHandle,
};
use tokio_postgres::{Row, types::ToSql};
use uuid::Uuid;

use self::{
    clock::DatabaseClock,
    connect::Connector,
    fault::{Fault, Meaning, meaning},
    records::Leaf,
    unit::Unit,
    writer::Writer,
};
pub use self::{
    connect::{PostgresSettings, check_url},
    export::{export, import},
};
use crate::cursor;
use crate::{
    CommitError, StoreError, UnitOfWork,
    traits::Store,
    wakes::{RunWakes, Wake, Wakes, Waking},
};

/// A database that takes longer to write nothing is not writable, and who waited longer for a read was not heard.
const WRITABLE_WITHIN: Duration = Duration::from_secs(5);

/// A store in one PostgreSQL database, which other replicas may use at the same time.
///
/// Dropping it writes what was handed over, behind the back of whoever drops; [`Store::close`] waits for that.
pub struct PostgresStore {
    pool: Pool,
    writer: Writer,
    wakes: Waking,
    clock: DatabaseClock,
    listener: AbortHandle,
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

/// Someone who waits for the database.
struct Patience<'a> {
    pool: &'a Pool,
    since: Instant,
    answered: bool,
}

impl Drop for Patience<'_> {
    fn drop(&mut self) {
        if !self.answered && self.since.elapsed() > WRITABLE_WITHIN {
            self.pool.retain(|_, _| false);
        }
    }
}

impl PostgresStore {
    /// Connects and brings the schema up to date. Must be called within a Tokio runtime.
    ///
    /// Fails when the database cannot be reached, belongs to another program, or was written by a newer guichetd.
    pub async fn open(settings: &PostgresSettings) -> Result<Self, StoreError> {
        Self::open_connector(&Connector::new(settings)?).await.map_err(Fault::into_store_error)
    }

    async fn open_connector(connector: &Connector) -> Result<Self, Fault> {
        migrate_over(connector).await?;
        let line = writer::open_line(connector).await?;
        let pool = connector.pool().map_err(|error| Fault::Unreachable(error.to_string()))?;
        let wakes = Waking::new();
        // Chance, and not a clock: it only tells this replica's notifications from the others'.
        let sender = Uuid::new_v4();
        let (ready, listens) = oneshot::channel();
        let clock = DatabaseClock::default();
        let listening = listen::listen(connector.clone(), sender, wakes.clone(), clock.clone(), move || {
            let _ = ready.send(());
        });
        let listener = tokio::spawn(listening).abort_handle();
        let writer = Writer::start(connector.clone(), line, sender, wakes.clone());
        let store = Self { pool, writer, wakes, clock, listener };
        match tokio::time::timeout(connector.within(), listens).await {
            Ok(Ok(())) => Ok(store),
            _ => Err(Fault::Unreachable(
                "no connection can listen: is the limit of connections reached?".into(),
            )),
        }
    }

    /// A connection of the pool.
    async fn client(&self) -> Result<Object, Fault> {
        Ok(self.pool.get().await?)
    }

    /// Reads. Tried once more when the connection turns out to be broken.
    async fn rows(&self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, StoreError> {
        self.rows_or_fault(sql, values).await.map_err(Fault::into_store_error)
    }

    async fn rows_or_fault(&self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Fault> {
        match self.rows_once(sql, values).await {
            Err(Fault::Engine(error)) if meaning(&error) == Meaning::Lost => {
                self.rows_once(sql, values).await
            }
            read => read,
        }
    }

    /// Reads, or changes rows in a transaction of its own and reads them; tried once.
    async fn rows_once(&self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Fault> {
        self.answered(async {
            let client = self.client().await?;
            let statement = client.prepare_cached(sql).await?;
            Ok(client.query(&statement, values).await?)
        })
        .await
    }

    /// Waits for an answer of the database. A connection that gives none is given up, with those that wait beside it; also
    /// when whoever asked loses patience first.
    async fn answered<T>(&self, asking: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        self.answered_within(connect::ANSWERED_WITHIN, asking).await
    }

    async fn answered_within<T>(
        &self,
        within: Duration,
        asking: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        // Dropped after what was asked, whose connection is back in the pool by then.
        let mut patience = Patience { pool: &self.pool, since: Instant::now(), answered: false };
        match tokio::time::timeout(within, asking).await {
            Ok(answer) => {
                patience.answered = true;
                if let Err(Fault::Engine(error)) = &answer
                    && meaning(error) == Meaning::Lost
                {
                    // It is back in the pool, and what befell it befell those beside it: all are made anew.
                    self.pool.retain(|_, _| false);
                }
                answer
            }
            Err(_) => Err(Fault::Unreachable(format!("it said nothing for {} s", within.as_secs()))),
        }
    }

    /// Changes rows in a transaction of its own, and counts them. Tried once more only when it was surely not done.
    async fn change(&self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<u64, StoreError> {
        let changed = match self.change_once(sql, values).await {
            Err(Fault::Engine(error)) if fault::is_stale(&error) => self.change_once(sql, values).await,
            changed => changed,
        };
        changed.map_err(Fault::into_store_error)
    }

    async fn change_once(&self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<u64, Fault> {
        self.answered(async {
            let client = self.client().await?;
            let statement = client.prepare_cached(sql).await?;
            Ok(client.execute(&statement, values).await?)
        })
        .await
    }

    #[expect(clippy::unused_self, reason = "it stands where the rows came from")]
    fn each<T>(&self, rows: &[Row], read: impl Fn(&Row) -> Result<T, Fault>) -> Result<Vec<T>, StoreError> {
        rows.iter().map(read).collect::<Result<_, _>>().map_err(Fault::into_store_error)
    }

    #[expect(clippy::unused_self, reason = "it stands where the rows came from")]
    fn first<T>(
        &self,
        rows: &[Row],
        read: impl Fn(&Row) -> Result<T, Fault>,
    ) -> Result<Option<T>, StoreError> {
        rows.first().map(read).transpose().map_err(Fault::into_store_error)
    }

    fn wake_here(&self, wakes: &[Wake]) {
        for wake in wakes {
            self.wakes.wake(*wake);
        }
    }
}

/// Brings the schema of a database up to date, and says how many steps that took.
pub async fn migrate(settings: &PostgresSettings) -> Result<usize, StoreError> {
    migrate_over(&Connector::new(settings)?).await.map_err(Fault::into_store_error)
}

async fn migrate_over(connector: &Connector) -> Result<usize, Fault> {
    let (mut client, connection) = connector.connect().await?;
    let driving = tokio::spawn(connection);
    let migrated = migrations::migrate(&mut client).await;
    drop(client);
    // It ends with its client; what it says then is said above.
    let _ended = driving.await;
    migrated
}

impl Wakes for PostgresStore {
    fn wakes(&self) -> broadcast::Receiver<Wake> {
        self.wakes.wakes()
    }

    fn wakes_of(&self, run: RunId) -> RunWakes {
        self.wakes.wakes_of(run)
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn commit(&self, work: UnitOfWork) -> Result<(), CommitError> {
        // Written as JSON here and not by the writer: that task is the one all others wait for.
        let unit = change::unit_of(&work.changes).map_err(Fault::into_commit_error)?;
        self.writer.write(unit).await
    }

    async fn append_soon(&self, record: Record) -> Result<(), StoreError> {
        let leaf = Leaf::of(&record).map_err(Fault::into_store_error)?;
        self.writer.append_soon(leaf).await
    }

    fn lost_records(&self) -> u64 {
        self.writer.lost_records()
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn clock(&self) -> Option<Arc<dyn Clock>> {
        Some(Arc::new(self.clock.clone()))
    }

    async fn check_writable(&self) -> Result<(), StoreError> {
        // An empty unit leaves its note, which is a write like any other.
        match tokio::time::timeout(WRITABLE_WITHIN, self.writer.write(Unit::default())).await {
            Ok(written) => written.map_err(CommitError::into_store_error),
            Err(_) => Err(StoreError::Unreachable(format!(
                "no write was answered within {} s",
                WRITABLE_WITHIN.as_secs()
            ))),
        }
    }

    async fn close(&self) {
        self.writer.close().await;
        self.listener.abort();
        self.pool.close();
    }
}
