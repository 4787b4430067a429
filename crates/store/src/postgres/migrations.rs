//! The schema, as numbered SQL texts. Forward only: a database that a newer guichetd wrote is not opened.
//!
//! A text that was released never changes; a new one is added at the end. Replicas that start together take turns, so each
//! text is applied once.

use sha2::{Digest as _, Sha256};
use tokio_postgres::Client;

use super::{columns::integer, fault::Fault, locks};
use crate::backup::number_of;

pub(super) const SCHEMA: &[(&str, &str)] = &[
    ("0001_runs", include_str!("schema/0001_runs.sql")),
    ("0002_tokens", include_str!("schema/0002_tokens.sql")),
    ("0003_ledger", include_str!("schema/0003_ledger.sql")),
    ("0040_undone", include_str!("schema/0040_undone.sql")),
    ("0050_long_runs", include_str!("schema/0050_long_runs.sql")),
    ("0051_keys", include_str!("schema/0051_keys.sql")),
    ("0052_schedules", include_str!("schema/0052_schedules.sql")),
    ("0053_bulkheads", include_str!("schema/0053_bulkheads.sql")),
    ("0054_given_back", include_str!("schema/0054_given_back.sql")),
    ("0055_moves", include_str!("schema/0055_moves.sql")),
    ("0056_registrations", include_str!("schema/0056_registrations.sql")),
    ("0057_delivery_log", include_str!("schema/0057_delivery_log.sql")),
    ("0058_channels", include_str!("schema/0058_channels.sql")),
];

const LIST: &str = "
    CREATE TABLE IF NOT EXISTS schema_migrations (
        version    bigint      PRIMARY KEY,
        name       text        NOT NULL,
        sha256     bytea       NOT NULL,             -- of the text that was applied
        applied_at timestamptz NOT NULL DEFAULT now()
    )";

/// Brings the database up to the newest schema, each step in a transaction of its own. Says how many steps were taken.
pub(super) async fn migrate(client: &mut Client) -> Result<usize, Fault> {
    migrate_to(client, SCHEMA.len()).await
}

/// As far as version `target`; a version is the number of texts that were applied.
pub(super) async fn migrate_to(client: &mut Client, target: usize) -> Result<usize, Fault> {
    // Building an index over a large table takes its time, and so does waiting for a replica that builds it.
    client.batch_execute("SET statement_timeout = 0; SET lock_timeout = 0").await?;
    client.execute("SELECT pg_advisory_lock($1)", &[&locks::MIGRATING]).await?;
    let migrated = under_lock(client, target).await;
    client.execute("SELECT pg_advisory_unlock($1)", &[&locks::MIGRATING]).await?;
    client.batch_execute("RESET statement_timeout; RESET lock_timeout").await?;
    migrated
}

async fn under_lock(client: &mut Client, target: usize) -> Result<usize, Fault> {
    let listed = client.query_one("SELECT to_regclass('schema_migrations') IS NOT NULL", &[]).await?;
    let strange = client.query_one("SELECT to_regclass('runs') IS NOT NULL", &[]).await?;
    if !listed.try_get::<_, bool>(0)? && strange.try_get::<_, bool>(0)? {
        return Err(Fault::Corrupt(
            "this database belongs to another program; give an empty one, Guichet makes its tables"
                .to_owned(),
        ));
    }
    client.batch_execute(LIST).await?;
    let applied = applied(client).await?;
    let steps = SCHEMA.iter().enumerate().take(target).skip(applied);
    let mut taken = 0;
    for (position, (name, text)) in steps {
        let step = client.transaction().await?;
        step.batch_execute(text).await?;
        let sha256 = Sha256::digest(text.as_bytes()).to_vec();
        step.execute(
            "INSERT INTO schema_migrations (version, name, sha256) VALUES ($1, $2, $3)",
            &[&integer(position + 1), name, &sha256],
        )
        .await?;
        step.commit().await?;
        taken += 1;
        tracing::info!(migration = name, "the store's schema was brought forward");
    }
    Ok(taken)
}

/// The number of the newest of so many texts.
pub(super) fn schema_of(version: usize) -> u32 {
    SCHEMA.iter().take(version).next_back().map_or(0, |(name, _)| number_of(name))
}

/// How many texts a schema has of which this is the newest text's number.
pub(super) fn version_at(schema: u32) -> usize {
    SCHEMA.iter().filter(|(name, _)| number_of(name) <= schema).count()
}

/// How many texts were applied to the database, which has a list of them. Each must be the one that is known here.
pub(super) async fn applied(client: &Client) -> Result<usize, Fault> {
    let applied = client.query("SELECT name, sha256 FROM schema_migrations ORDER BY version", &[]).await?;
    if applied.len() > SCHEMA.len() {
        return Err(Fault::Corrupt(format!(
            "a newer guichetd wrote it (schema {}, this one knows {}); use that version or a newer one",
            applied.len(),
            SCHEMA.len()
        )));
    }
    for (row, (name, text)) in applied.iter().zip(SCHEMA) {
        let (found, sha256): (&str, &[u8]) = (row.try_get(0)?, row.try_get(1)?);
        if found != *name || sha256 != Sha256::digest(text.as_bytes()).as_slice() {
            return Err(Fault::Corrupt(format!(
                "its migration `{found}` is not the one that this guichetd knows as `{name}`; use the version that \
                 wrote it or a newer one"
            )));
        }
    }
    Ok(applied.len())
}
