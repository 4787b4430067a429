//! How connections are opened.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, config::DbConfig};

use super::fault::Fault;
use crate::StoreError;

/// SQLite waits so long for another process that reads or copies the file, milliseconds.
const BUSY_MS: u32 = 5_000;
/// Statements kept ready on each connection; there are fewer, but filtered lists come in many forms.
const STATEMENTS_KEPT: usize = 128;
/// Pages in the WAL before a commit also moves them into the file: 16 MiB, so that this is rare on the hot path.
const CHECKPOINT_PAGES: u32 = 4_000;

/// The one connection that writes. The file must exist.
pub(super) fn to_write(path: &Path) -> Result<Connection, StoreError> {
    open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .and_then(|connection| {
            connection.pragma_update(None, "journal_mode", "WAL")?;
            // A commit that was answered survives a power cut, not only a crash.
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.pragma_update(None, "foreign_keys", true)?;
            connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
            connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
            Ok(connection)
        })
        .map_err(|fault| fault.into_store_error(path))
}

/// One of the connections that read.
pub(super) fn to_read(path: &Path) -> Result<Connection, Fault> {
    open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

/// One that reads the store and, under the name `search`, its index. An index that cannot be used is left out: then whoever
/// asks it is told, and everything else goes on.
pub(super) fn to_search(path: &Path, index: &Path) -> Result<Connection, Fault> {
    let connection = to_read(path)?;
    let Some(index) = index.to_str() else {
        return Err(Fault::Corrupt("the path of the store must be UTF-8".to_owned()));
    };
    if let Err(error) = connection.execute("ATTACH DATABASE ?1 AS search", [index]) {
        tracing::warn!(%error, index, "the search index cannot be used; searches read the records themselves");
    }
    Ok(connection)
}

/// The one connection that writes the search index. What a crash takes away is indexed again.
pub(super) fn to_index(path: &Path) -> Result<Connection, Fault> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    Ok(connection)
}

fn open(path: &Path, access: OpenFlags) -> Result<Connection, Fault> {
    // No mutex: a connection is used by one thread at a time, which Rust proves.
    let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.pragma_update(None, "busy_timeout", BUSY_MS)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cache_size", -16_000)?; // KiB
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    // Otherwise a statement on a table with a partial index is prepared anew each time, lest a value make another plan better.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(connection)
}
