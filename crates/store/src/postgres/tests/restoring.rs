//! Backups of other schemas than the newest: those of older ones are taken, those of newer ones are not.

use std::{collections::BTreeSet, fs, path::Path};

use guichet_contract::{Clock as _, JobId, Notice, Occasion, Run, RunState, SystemClock};
use rusqlite::Connection;
use serde_json::Value;

use super::{Database, moving::files};
use crate::{
    Change, Job, JobKind, RunsFilter, Store, UnitOfWork,
    backup::{number_of, tables_at},
    conformance::fixtures::*,
    postgres::{export, import, migrations},
    sqlite::{self, SqliteStore},
};

/// The version from which there are backups, and all that follow.
fn versions() -> impl Iterator<Item = (usize, u32)> {
    let numbers = migrations::SCHEMA.iter().map(|(name, _)| number_of(name));
    (1..).zip(numbers).filter(|(_, number)| *number >= 40)
}

/// Puts what is in the one database into the other, as far as that has room for it.
fn copy(from: &Database, to: &Database, schema: u32) {
    for table in tables_at(schema) {
        let columns: Vec<&str> = table.columns.iter().map(|(name, _)| *name).collect();
        let columns = columns.join(", ");
        let places = vec!["%L"; table.columns.len()].join(", ");
        let name = table.name;
        let insert = from.sql(&format!(
            "SELECT string_agg(format('INSERT INTO {name} ({columns}) VALUES ({places});', {columns}), '') FROM {name}"
        ));
        if !insert.is_empty() {
            to.sql(&insert);
        }
    }
    to.sql("UPDATE ledger_head SET next_index = (SELECT count(*) FROM records)");
}

/// A run that waits for its job, behind the bulkhead of its provider, and its record.
fn waiting() -> (Run, UnitOfWork) {
    let run = run_in(RunState::Queued);
    let bulkhead = run.action.as_str().split('.').next().map(str::to_owned);
    let job = Job { run: run.id, bulkhead, ..job_due(second(7)) };
    let told =
        Job { id: JobId::new(&SystemClock), kind: JobKind::DeliverNotice, bulkhead: None, ..job.clone() };
    let notice = Notice {
        event: SystemClock.new_uuid(),
        at: second(3),
        occasion: Occasion::ApprovalRequested,
        channel: "hook".into(),
        by: None,
        verdict: None,
        because: None,
        state: RunState::Queued,
        closed: BTreeSet::new(),
        open: BTreeSet::new(),
        asked: BTreeSet::new(),
    };
    let work = UnitOfWork::new().insert_run(run.clone()).append_record(numbered_record(0)).enqueue_job(job);
    // What waits to be told is in the log of deliveries, also in that of a store that had none.
    (run, work.with(Change::EnqueueNotice { job: told, notice }))
}

async fn has(store: &dyn Store, run: &Run) {
    let page = store.runs(&RunsFilter::default(), &first(10)).await.unwrap();
    assert_eq!(page.items.iter().map(|run| run.id).collect::<Vec<_>>(), [run.id]);
    assert_eq!(store.record_count().await.unwrap(), 1);
    store.commit(UnitOfWork::new().append_record(numbered_record(1))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_each_schema_is_taken_by_the_newest() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let newest = Database::fresh();
    let (run, work) = waiting();
    newest.store().await.commit(work).await.unwrap();
    export(&newest.settings(), &path("newest")).await.unwrap();
    let expected = files(&path("newest"));
    for (version, schema) in versions() {
        let old = Database::of_version(version).await;
        copy(&newest, &old, schema);
        let backup = path(&format!("of-{schema}"));
        export(&old.settings(), &backup).await.unwrap();
        assert_eq!(old.sql("SELECT count(*) FROM schema_migrations"), version.to_string(), "left as it was");

        // Into either store; then it is as if it had been there all the time.
        let taken = Database::fresh();
        import(&taken.settings(), &backup).await.unwrap();
        export(&taken.settings(), &path(&format!("{schema}-in-postgres"))).await.unwrap();
        assert_eq!(files(&path(&format!("{schema}-in-postgres"))), expected, "{schema}");
        has(&taken.store().await, &run).await;
        let file = path(&format!("{schema}.sqlite"));
        sqlite::import(&file, &backup).unwrap();
        sqlite::export(&file, &path(&format!("{schema}-in-sqlite"))).unwrap();
        assert_eq!(files(&path(&format!("{schema}-in-sqlite"))), expected, "{schema}");
        has(&SqliteStore::open(&file).unwrap(), &run).await;

        // One of the form that did not say of which schema it is.
        edit_manifest(&backup, |manifest| {
            manifest["form"] = 1.into();
            manifest.as_object_mut().unwrap().remove("schema");
        });
        let unsaid = path(&format!("{schema}-unsaid.sqlite"));
        sqlite::import(&unsaid, &backup).unwrap();
        has(&SqliteStore::open(&unsaid).unwrap(), &run).await;
    }
}

fn edit_manifest(backup: &Path, edit: impl FnOnce(&mut Value)) {
    let file = backup.join("manifest.json");
    let mut manifest: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    edit(&mut manifest);
    fs::write(&file, manifest.to_string()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_newer_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let newest = Database::fresh();
    newest.store().await.commit(waiting().1).await.unwrap();
    let said = |error: crate::StoreError| error.to_string();

    // Made by a newer guichetd.
    export(&newest.settings(), &path("later")).await.unwrap();
    edit_manifest(&path("later"), |manifest| manifest["schema"] = 99.into());
    for told in [
        said(import(&Database::fresh().settings(), &path("later")).await.unwrap_err()),
        said(sqlite::import(&path("later.sqlite"), &path("later")).unwrap_err()),
    ] {
        assert!(told.contains("a newer guichetd made it (schema 99"), "{told}");
    }

    // Of a store that a newer guichetd brought forward: not all of it would be in it.
    newest.sql("INSERT INTO schema_migrations (version, name, sha256) VALUES (99, '0099_later', '')");
    let told = said(export(&newest.settings(), &path("not all")).await.unwrap_err());
    assert!(told.contains("a newer guichetd wrote it") && !path("not all").exists(), "{told}");
    let file = path("guichet.sqlite");
    SqliteStore::open(&file).unwrap().close().await;
    Connection::open(&file).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let told = said(sqlite::export(&file, &path("not all")).unwrap_err());
    assert!(told.contains("a newer guichetd wrote it") && !path("not all").exists(), "{told}");

    // An old one, into a store that is newer already: what its migrations would have done to it is not guessed.
    let old = Database::of_version(versions().next().unwrap().0).await;
    export(&old.settings(), &path("old")).await.unwrap();
    let file = path("new.sqlite");
    SqliteStore::open(&file).unwrap().close().await;
    let new = Database::fresh();
    drop(new.store().await);
    for told in [
        said(import(&new.settings(), &path("old")).await.unwrap_err()),
        said(sqlite::import(&file, &path("old")).unwrap_err()),
    ] {
        assert!(told.contains("restore it into a new database or data folder"), "{told}");
    }
    // And what is no store is no backup.
    let told = said(export(&Database::fresh().settings(), &path("nothing")).await.unwrap_err());
    assert!(told.contains("nothing to back up"), "{told}");
}

/// Whoever adds a column or a table finds out here that backups must know it.
#[tokio::test]
async fn a_backup_knows_all_that_each_schema_holds() {
    let not_kept = ["commits", "found_by", "found_in", "found_until", "ledger_head", "schema_migrations"];
    for (version, schema) in versions() {
        let database = Database::of_version(version).await;
        let found = database.sql(
            "SELECT table_name || '.' || column_name FROM information_schema.columns
             WHERE table_schema = 'public' AND is_generated = 'NEVER'",
        );
        let found: BTreeSet<&str> = found
            .lines()
            .filter(|column| !not_kept.contains(&column.split('.').next().unwrap()))
            // Made anew from the JSON beside it.
            .filter(|column| *column != "runs.undoes")
            .collect();
        let tables = tables_at(schema);
        let known: Vec<String> = tables
            .iter()
            .flat_map(|table| table.columns.iter().map(move |(name, _)| format!("{}.{name}", table.name)))
            .collect();
        let known: BTreeSet<&str> = known.iter().map(String::as_str).collect();
        assert_eq!(known, found, "schema {schema}");
    }
}
