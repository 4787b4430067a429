//! A few read-only connections. In WAL mode they see the last commit and never wait for the writer.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
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
    idle: Mutex<Vec<Connection>>,
}

impl Shared {
    fn take_idle(&self) -> Option<Connection> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
    fn give_back(&self, connection: Connection) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }
}

impl Readers {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            shared: Arc::new(Shared {
                path: path.to_owned(),
                turns: Arc::new(Semaphore::new(READERS)),
                idle: Mutex::new(Vec::with_capacity(READERS)),
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
            let connection = match shared.take_idle() {
                Some(connection) => connection,
                None => connection::to_search(&shared.path, &search_index::path_of(&shared.path))?,
            };
            let said = work(&connection);
            shared.give_back(connection);
            said
        });
        match reading.await {
            Ok(said) => said.map_err(|fault| fault.into_store_error(&self.shared.path)),
            Err(_) => Err(StoreError::Engine("a read was cut off before it was done".to_owned())),
        }
    }

    /// Waits for the reads under way, then refuses more.
    pub(super) async fn close(&self) {
        if let Ok(turns) = self.shared.turns.acquire_many(u32::try_from(READERS).unwrap_or(u32::MAX)).await {
            turns.forget();
            self.shared.turns.close();
        }
        while self.shared.take_idle().is_some() {}
    }
}
