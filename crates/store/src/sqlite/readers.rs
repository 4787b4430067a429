//! A few read-only connections. In WAL mode they see the last commit and never wait for the writer.
//!
//!   by key: on the thread that asks    everything else: on a thread that may block

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::{connection, fault::Fault, search_index};
use crate::StoreError;

/// Reads that go on at once; the others wait in the order they came. More than the cores of a small machine
/// would only fight for them.
const READERS: usize = 4;

/// The pool. Connections are opened when first needed.
pub(super) struct Readers {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    turns: Arc<Semaphore>,
    idle: Mutex<Idle>,
}

/// Connections that nobody uses, all opened since the search index was made anew last.
#[derive(Default)]
struct Idle {
    connections: Vec<Connection>,
    /// How often it was made anew.
    age: u64,
}

impl Shared {
    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// A connection, if there is one, and the age of those that are opened now.
    fn take_idle(&self) -> (Option<Connection>, u64) {
        let mut idle = self.idle();
        (idle.connections.pop(), idle.age)
    }
    fn give_back(&self, connection: Connection, age: u64) {
        let mut idle = self.idle();
        if idle.age == age {
            idle.connections.push(connection);
        }
    }
}

impl Readers {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            shared: Arc::new(Shared {
                path: path.to_owned(),
                turns: Arc::new(Semaphore::new(READERS)),
                idle: Mutex::default(),
            }),
        }
    }

    /// Runs the work on a thread that may block, with a connection of its own.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let turns = Arc::clone(&self.shared.turns);
        let turn = turns.acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let shared = Arc::clone(&self.shared);
        let reading = tokio::task::spawn_blocking(move || {
            // Held here and not by the caller, who may go away while SQLite still reads.
            let _turn = turn;
            let (connection, age) = shared.take_idle();
            let connection = match connection {
                Some(connection) => connection,
                None => connection::to_search(&shared.path, &search_index::path_of(&shared.path))?,
            };
            let said = work(&connection);
            shared.give_back(connection, age);
            said
        });
        match reading.await {
            Ok(said) => said.map_err(|fault| fault.into_store_error(&self.shared.path)),
            Err(_) => Err(StoreError::Engine("a read was cut off before it was done".to_owned())),
        }
    }

    /// Runs work that finds its few rows by key on the thread that asks: it takes some ten microseconds, and to hand it to
    /// another thread and back takes more. As long as there is no connection yet, it is read like everything else.
    pub(super) async fn look<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let Ok(turn) = self.shared.turns.try_acquire() else { return self.read(work).await };
        let (Some(connection), age) = self.shared.take_idle() else {
            drop(turn);
            return self.read(work).await;
        };
        let said = work(&connection);
        self.shared.give_back(connection, age);
        said.map_err(|fault| fault.into_store_error(&self.shared.path))
    }

    /// Waits for the reads under way, then refuses more.
    pub(super) async fn close(&self) {
        if let Ok(turns) = self.shared.turns.acquire_many(u32::try_from(READERS).unwrap_or(u32::MAX)).await {
            turns.forget();
            self.shared.turns.close();
        }
        self.renew();
    }

    /// From now on connections are opened anew: those there are know a search index that is no longer used.
    pub(super) fn renew(&self) {
        let mut idle = self.shared.idle();
        idle.age += 1;
        idle.connections.clear();
    }
}
