//! Opening, moving forward, copying.

use std::fs;

use guichet_contract::RunState;
use rusqlite::Connection;

use super::Directory;
use crate::{
    Lane, StoreError, UnitOfWork,
    conformance::fixtures::*,
    sqlite::{SqliteStore, backup, connection, migrations, ownership},
};

#[test]
fn a_second_gateway_is_told_to_stay_away() {
    let directory = Directory::fresh();
    let first = directory.store();
    let error = SqliteStore::open(&directory.file()).err().unwrap().to_string();
    assert!(error.contains("guichet.db is in use by process"), "{error}");
    assert!(error.contains(&std::process::id().to_string()), "{error}");
    drop(first);
    directory.store();
}

#[tokio::test]
async fn closing_frees_the_file_for_the_next() {
    let directory = Directory::fresh();
    let first = directory.store();
    first.close().await;
    let _next = directory.store();
    assert!(matches!(first.record_count().await, Err(StoreError::Closed)));
}

#[test]
fn what_is_no_store_is_left_alone() {
    let directory = Directory::fresh();
    let garbage = "neither a database nor empty\n".repeat(400);
    fs::write(directory.file(), &garbage).unwrap();
    let error = SqliteStore::open(&directory.file()).err().unwrap();
    assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains("guichet.db") && text.contains("not a database") && text.contains("backup"),
        "{text}"
    );
    assert_eq!(fs::read_to_string(directory.file()).unwrap(), garbage);

    fs::remove_file(directory.file()).unwrap();
    let other = Connection::open(directory.file()).unwrap();
    other.execute_batch("CREATE TABLE theirs (x)").unwrap();
    drop(other);
    let error = SqliteStore::open(&directory.file()).err().unwrap().to_string();
    assert!(error.contains("belongs to another program"), "{error}");
}

#[tokio::test]
async fn a_damaged_page_is_told_and_not_guessed() {
    let directory = Directory::fresh();
    let store = directory.store();
    let run = run_in(RunState::Queued);
    store.commit(UnitOfWork::new().insert_run(run.clone())).await.unwrap();
    store.close().await;
    drop(store);
    let mut bytes = fs::read(directory.file()).unwrap();
    // All but the first page, which holds the header and the beginning of the schema.
    bytes[4096..].fill(0xA5);
    fs::write(directory.file(), bytes).unwrap();
    let error = match SqliteStore::open(&directory.file()) {
        Err(error) => error,
        Ok(store) => store.run(run.id).await.unwrap_err(),
    };
    assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");
    assert!(error.to_string().contains("guichet.db"), "{error}");
}

#[test]
fn a_missing_directory_is_named() {
    let directory = Directory::fresh();
    let error = SqliteStore::open(&directory.0.path().join("nowhere/guichet.db")).err().unwrap().to_string();
    assert!(error.contains("nowhere") && error.contains("directory does not exist"), "{error}");
}

#[test]
fn a_path_that_is_a_directory_is_named() {
    let directory = Directory::fresh();
    fs::create_dir(directory.file()).unwrap();
    let error = SqliteStore::open(&directory.file()).err().unwrap();
    assert!(matches!(error, StoreError::ReadOnly(_)), "{error:?}");
    assert!(error.to_string().contains("guichet.db"), "{error}");
}

/// A kill tells nothing about a power cut; what does is whether the log is synced at every commit.
#[tokio::test]
async fn commits_are_synced() {
    let directory = Directory::fresh();
    let store = directory.store();
    let (journal, synchronous): (String, i64) = store
        .write(|writing| {
            let connection = writing.connection();
            let journal = connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
            Ok((journal, connection.pragma_query_value(None, "synchronous", |row| row.get(0))?))
        })
        .await
        .unwrap();
    assert_eq!((journal.as_str(), synchronous), ("wal", 2), "2 is FULL");
}

/// A version-1 file held runs, decisions, events, jobs and keys.
#[tokio::test]
async fn a_file_of_version_1_is_brought_forward() {
    let directory = Directory::fresh();
    let run = run_in(RunState::Queued);
    {
        let ownership = ownership::Ownership::take(&directory.file()).unwrap();
        let mut old = connection::to_write(&directory.file()).unwrap();
        migrations::migrate_to(&mut old, 1).unwrap();
        assert!(old.prepare("SELECT 1 FROM records").is_err(), "the ledger came later");
        old.execute(
            "INSERT INTO runs (id, short_id, state, action, requested_by_kind, requested_by, created_at, body)
             VALUES (?1, ?2, 'queued', 'postgres.cancel-query', 'person', 'ada', ?3, ?4)",
            (
                run.id.to_string(),
                run.id.short(),
                run.created_at.as_microsecond(),
                serde_json::to_string(&run).unwrap(),
            ),
        )
        .unwrap();
        old.execute(
            "INSERT INTO jobs (id, kind, run, due, attempts) VALUES (?1, 'execute_run', ?2, ?3, 0)",
            (job_id().to_string(), run.id.to_string(), second(5).as_microsecond()),
        )
        .unwrap();
        drop((old, ownership));
    }
    for _ in 0..2 {
        let store = directory.store();
        assert_eq!(store.run(run.id).await.unwrap(), Some(run.clone()));
        assert_eq!(store.next_due(&Lane::Runs, &Room::any(1)).await.unwrap(), Some(second(5)));
        store.commit(UnitOfWork::new().append_record(numbered_record(0))).await.unwrap();
    }
    let version: i64 = Connection::open(directory.file())
        .unwrap()
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    assert_eq!(version, 17);
}

#[test]
fn a_file_of_a_newer_version_is_not_opened() {
    let directory = Directory::fresh();
    drop(directory.store());
    Connection::open(directory.file()).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let error = SqliteStore::open(&directory.file()).err().unwrap().to_string();
    assert!(error.contains("a newer guichetd wrote it (schema 99"), "{error}");
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_can_read_the_files() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = Directory::fresh();
    fs::write(directory.file(), "").unwrap();
    fs::set_permissions(directory.file(), fs::Permissions::from_mode(0o644)).unwrap();
    let store = directory.store();
    store.commit(UnitOfWork::new().append_record(numbered_record(0))).await.unwrap();
    backup(&directory.file(), &directory.0.path().join("copy.db")).unwrap();
    let files: Vec<_> = fs::read_dir(directory.0.path()).unwrap().map(Result::unwrap).collect();
    assert_eq!(files.len(), 8, "store and search index with WAL and shared memory, lock, copy: {files:?}");
    for file in files {
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{file:?} has mode {mode:o}");
    }
}

#[tokio::test]
async fn a_copy_is_complete_while_the_store_is_in_use() {
    let (directory, elsewhere) = (Directory::fresh(), Directory::fresh());
    let store = directory.store();
    let run = run_in(RunState::Queued);
    store.commit(UnitOfWork::new().insert_run(run.clone()).append_record(numbered_record(1))).await.unwrap();
    backup(&directory.file(), &elsewhere.file()).unwrap();
    store.commit(UnitOfWork::new().append_record(numbered_record(2))).await.unwrap();

    let copy = elsewhere.store();
    assert_eq!(copy.run(run.id).await.unwrap(), Some(run));
    assert_eq!((copy.record_count().await.unwrap(), store.record_count().await.unwrap()), (1, 2));
    assert!(backup(&directory.file(), &elsewhere.file()).is_err(), "a copy never replaces a store");
}
