//! What can go wrong inside, before it is told in the words of the store.

use deadpool_postgres::PoolError;
use tokio_postgres::{Error, error::SqlState};

use crate::columns::Unreadable;
use crate::{CommitError, StoreError};

/// What went wrong.
#[derive(Debug)]
pub(super) enum Fault {
    /// The world was not as the caller believed; says what was different.
    Conflict(String),
    /// A caller handed in a cursor that is none.
    BadCursor,
    /// The database holds something that cannot be read.
    Corrupt(String),
    /// The store was closed.
    Closed,
    /// There is no connection.
    Unreachable(String),
    /// PostgreSQL's own words.
    Engine(Error),
}

/// What an error of PostgreSQL means for whoever sent the statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The connection is of no use any more; another may do.
    Lost,
    /// Two transactions stood in each other's way; the same again may do.
    Crossed,
    /// It took too long: somebody keeps a lock, or the server has too much to do. The same again may do.
    Late,
    /// A constraint: the row exists, or the one it belongs to does not.
    Conflict,
    /// Anything else.
    Other,
}

/// What the error means.
pub(super) fn meaning(error: &Error) -> Meaning {
    let Some(code) = error.code() else {
        // Nothing of the server's: the connection broke, or what was sent cannot be encoded.
        return if error.is_closed() || broken(error) { Meaning::Lost } else { Meaning::Other };
    };
    let lost = [
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
    ];
    if lost.contains(code) || is_stale(error) || code.code().starts_with("08") {
        Meaning::Lost
    } else if [SqlState::LOCK_NOT_AVAILABLE, SqlState::QUERY_CANCELED].contains(code) {
        Meaning::Late
    } else if [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED].contains(code) {
        Meaning::Crossed
    } else if code.code().starts_with("23") {
        Meaning::Conflict
    } else {
        Meaning::Other
    }
}

/// Whether the server refused the statement because of the connection it came on: one prepared before a migration is no
/// longer known or gives other columns; a server that became a standby takes no writes. Nothing was done.
pub(super) fn is_stale(error: &Error) -> bool {
    let stale = [
        SqlState::READ_ONLY_SQL_TRANSACTION,
        SqlState::INVALID_SQL_STATEMENT_NAME,
        SqlState::FEATURE_NOT_SUPPORTED,
    ];
    error.code().is_some_and(|code| stale.contains(code))
}

fn broken(error: &Error) -> bool {
    let source = std::error::Error::source(error);
    source.is_some_and(<dyn std::error::Error>::is::<std::io::Error>)
}

impl Fault {
    pub(super) fn into_store_error(self) -> StoreError {
        match self {
            Self::Conflict(what) => StoreError::Engine(what),
            Self::BadCursor => StoreError::BadCursor,
            Self::Corrupt(what) => StoreError::Corrupt(what),
            Self::Closed => StoreError::Closed,
            Self::Unreachable(why) => StoreError::Unreachable(why),
            Self::Engine(error) => told(&error),
        }
    }

    pub(super) fn into_commit_error(self) -> CommitError {
        match self {
            Self::Conflict(what) => CommitError::Conflict { what },
            other => CommitError::Store(other.into_store_error()),
        }
    }
}

/// PostgreSQL's error in the words of the store.
pub(super) fn told(error: &Error) -> StoreError {
    let words = words(error);
    match error.code() {
        Some(code) if *code == SqlState::DISK_FULL => StoreError::DiskFull(words),
        Some(code) if *code == SqlState::READ_ONLY_SQL_TRANSACTION => StoreError::ReadOnly(words),
        Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => StoreError::Engine(format!(
            "{words}; the role of the configuration must own the database's tables"
        )),
        _ => match meaning(error) {
            Meaning::Lost => StoreError::Unreachable(words),
            Meaning::Late => StoreError::Busy(words),
            _ => StoreError::Engine(words),
        },
    }
}

/// The innermost words: `tokio_postgres` says `db error` and keeps the rest for its source. They never hold the URL.
pub(super) fn words(error: &Error) -> String {
    if let Some(told) = error.as_db_error() {
        return format!("PostgreSQL: {} (SQLSTATE {})", told.message(), told.code().code());
    }
    let mut words = format!("PostgreSQL: {error}");
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        words = format!("{words}: {cause}");
        source = cause.source();
    }
    words
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Engine(error)
    }
}

impl From<PoolError> for Fault {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Closed => Self::Closed,
            PoolError::Backend(error) => Self::Unreachable(words(&error)),
            PoolError::Timeout(_) => {
                Self::Unreachable("no connection was free or made within 5 s".to_owned())
            }
            other => Self::Unreachable(other.to_string()),
        }
    }
}

impl From<serde_json::Error> for Fault {
    fn from(error: serde_json::Error) -> Self {
        Self::Corrupt(format!("JSON of an unknown form: {error}"))
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
