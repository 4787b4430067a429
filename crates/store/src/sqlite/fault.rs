//! What can go wrong inside, before it is told in the words of the store.

use std::path::Path;

use rusqlite::{Error, ErrorCode};

use crate::columns::Unreadable;
use crate::{CommitError, StoreError};

/// What went wrong. Told to callers as [`CommitError`] or [`StoreError`], with the file's name.
#[derive(Debug)]
pub(super) enum Fault {
    /// The world was not as the caller believed; says what was different.
    Conflict(String),
    /// A caller handed in a cursor that is none.
    BadCursor,
    /// The file holds something that cannot be read.
    Corrupt(String),
    /// SQLite's own words.
    Engine(Error),
}

impl Fault {
    pub(super) fn into_store_error(self, path: &Path) -> StoreError {
        let file = path.display();
        let error = match self {
            Self::Conflict(what) => return StoreError::Engine(format!("{file}: {what}")),
            Self::BadCursor => return StoreError::BadCursor,
            Self::Corrupt(what) => return StoreError::Corrupt(format!("{file}: {what}")),
            Self::Engine(error) => error,
        };
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => StoreError::DiskFull(format!("{file}: {error}")),
            Some(
                ErrorCode::ReadOnly
                | ErrorCode::CannotOpen
                | ErrorCode::PermissionDenied
                | ErrorCode::SystemIoFailure
                | ErrorCode::AuthorizationForStatementDenied,
            ) => StoreError::ReadOnly(format!("{file}: {error}")),
            Some(ErrorCode::NotADatabase) => StoreError::Corrupt(format!(
                "{file}: {error}; it is no Guichet store: give another path, or put a backup in its place"
            )),
            Some(ErrorCode::DatabaseCorrupt) => {
                StoreError::Corrupt(format!("{file}: {error}; it is damaged: put a backup in its place"))
            }
            _ => StoreError::Engine(format!("{file}: {error}")),
        }
    }

    pub(super) fn into_commit_error(self, path: &Path) -> CommitError {
        match self {
            Self::Conflict(what) => CommitError::Conflict { what },
            other => CommitError::Store(other.into_store_error(path)),
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Engine(error)
    }
}

impl From<serde_json::Error> for Fault {
    fn from(error: serde_json::Error) -> Self {
        Self::Corrupt(format!("JSON of an unknown form: {error}"))
    }
}

/// A broken constraint is a conflict: the row exists, or the one it belongs to does not.
pub(super) trait OrConflict<T> {
    /// Says what, if it was a constraint.
    fn or_conflict(self, what: impl FnOnce() -> String) -> Result<T, Fault>;
}

impl<T> OrConflict<T> for Result<T, Error> {
    fn or_conflict(self, what: impl FnOnce() -> String) -> Result<T, Fault> {
        self.map_err(|error| match error.sqlite_error_code() {
            Some(ErrorCode::ConstraintViolation) => Fault::Conflict(what()),
            _ => Fault::Engine(error),
        })
    }
}

impl From<Unreadable> for Fault {
    fn from(unreadable: Unreadable) -> Self {
        match unreadable {
            Unreadable::Cursor => Self::BadCursor,
            Unreadable::Value(what) => Self::Corrupt(what),
        }
    }
}
