//! Opening, moving forward, limits.

use super::{Database, PostgresStore, cluster};
use crate::{
    StoreError, UnitOfWork,
    conformance::fixtures::*,
    postgres::{PostgresSettings, migrate, migrations},
};

/// All that a schema consists of, a line each.
const SHAPE: &str = "
    SELECT string_agg(line, E'\\n' ORDER BY line) FROM (
        SELECT format('column %s.%s %s %s %s', table_name, column_name, data_type, is_nullable, column_default)
        FROM information_schema.columns WHERE table_schema = 'public'
        UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
        UNION ALL SELECT conrelid::regclass || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
                  WHERE connamespace = 'public'::regnamespace
        UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
        UNION ALL SELECT version || ' ' || name || ' ' || encode(sha256, 'hex') FROM schema_migrations
    ) AS shape (line)";

#[tokio::test]
async fn a_database_of_any_released_version_becomes_like_a_fresh_one() {
    let fresh = Database::fresh();
    assert_eq!(migrate(&fresh.settings()).await.unwrap(), migrations::SCHEMA.len());
    assert_eq!(migrate(&fresh.settings()).await.unwrap(), 0, "nothing is left to do");
    let expected = fresh.sql(SHAPE);
    assert!(expected.contains("runs_move") && expected.lines().count() > 60, "{expected}");
    for version in 0..migrations::SCHEMA.len() {
        let old = Database::of_version(version).await;
        assert_eq!(old.sql("SELECT count(*) FROM schema_migrations"), version.to_string());
        let store = old.store().await;
        assert_eq!(old.sql(SHAPE), expected, "from version {version}");
        store.check_writable().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn replicas_that_start_together_migrate_once() {
    let database = Database::fresh();
    let starting = (0..4).map(|_| {
        let settings = database.settings();
        async move { PostgresStore::open(&settings).await.map(drop) }
    });
    for started in at_once(starting).await {
        started.unwrap();
    }
    let applied = database.sql("SELECT count(*) FROM schema_migrations");
    assert_eq!(applied, migrations::SCHEMA.len().to_string());
}

async fn refused(settings: &PostgresSettings) -> String {
    let error = PostgresStore::open(settings).await.err().unwrap().to_string();
    assert!(!error.contains("throwaway"), "a password is shown: {error}");
    error
}

#[tokio::test]
async fn what_is_no_store_is_left_alone() {
    let theirs = Database::fresh();
    theirs.sql("CREATE TABLE runs (x int)");
    assert!(refused(&theirs.settings()).await.contains("belongs to another program"));

    let newer = Database::fresh();
    drop(newer.store().await);
    newer.sql("INSERT INTO schema_migrations (version, name, sha256) VALUES (99, '0099_later', '')");
    assert!(refused(&newer.settings()).await.contains("a newer guichetd wrote it"));

    let other = Database::fresh();
    drop(other.store().await);
    other.sql("UPDATE schema_migrations SET sha256 = '' WHERE version = 2");
    assert!(refused(&other.settings()).await.contains("0002_tokens"));
}

#[tokio::test]
async fn who_cannot_be_reached_is_told_without_the_password() {
    let settings = |url: &str| PostgresSettings { url: url.to_owned().into(), password: None, ca_file: None };
    let nobody = refused(&settings("postgresql://ada:throwaway@127.0.0.1:1/guichet?sslmode=disable")).await;
    assert!(nobody.contains("cannot be reached"), "{nobody}");
    let strange = refused(&settings("postgresql://ada:throwaway@[/guichet")).await;
    assert!(strange.contains("postgresql://user@host:port/database"), "{strange}");
    let port = cluster().port();
    let wrong = format!("postgresql://nobody:throwaway@127.0.0.1:{port}/postgres?sslmode=disable");
    assert!(refused(&settings(&wrong)).await.contains("password authentication failed"));
    // A server without TLS, and settings that ask for it.
    let plain = format!("postgresql://postgres:throwaway@127.0.0.1:{port}/postgres?sslmode=verify-full");
    assert!(refused(&settings(&plain)).await.contains("TLS"));
}

#[tokio::test]
async fn sessions_have_their_limits() {
    let database = Database::fresh();
    let store = database.store().await;
    let names =
        ["synchronous_commit", "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"];
    for (name, expected) in names.into_iter().zip(["on", "30s", "10s", "5s"]) {
        let rows = store.rows(&format!("SHOW {name}"), &[]).await.unwrap();
        assert_eq!(rows[0].get::<_, &str>(0), expected, "{name}");
    }
}

#[tokio::test]
async fn a_unit_that_waits_for_a_lock_does_not_wait_for_ever_and_fails_alone() {
    let database = Database::fresh();
    let store = database.store().await;
    let client = database.somebody().await;
    client.batch_execute("BEGIN; LOCK TABLE tokens IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let token = token_of("ada", crate::TokenKind::Session);
    let (stuck, other) = tokio::join!(
        store.commit(unit(crate::Change::InsertToken(token))),
        store.commit(UnitOfWork::new().append_record(numbered_record(1))),
    );
    assert!(matches!(stuck, Err(crate::CommitError::Store(StoreError::Busy(_)))), "{stuck:?}");
    other.unwrap();
    assert_eq!(store.record_count().await.unwrap(), 1);
}
