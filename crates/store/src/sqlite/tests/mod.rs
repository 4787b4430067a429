//! What is true of SQLite alone. What is true of every store stands in `conformance`.

mod crash;
mod failures;
mod forgetting;
mod opening;
mod searching;

use std::{path::PathBuf, sync::Arc};

use tempfile::TempDir;

use super::SqliteStore;
use crate::conformance::Premises;

/// A directory that goes away with the case.
struct Directory(TempDir);

impl Directory {
    fn fresh() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
    fn file(&self) -> PathBuf {
        self.0.path().join("guichet.db")
    }
    fn store(&self) -> SqliteStore {
        SqliteStore::open(&self.file()).unwrap()
    }
}

impl Premises for Directory {
    type Store = SqliteStore;
    async fn open(&self) -> Arc<SqliteStore> {
        Arc::new(self.store())
    }
}

mod conformance {
    use super::Directory;
    crate::conformance_suite!(Directory::fresh());
}
