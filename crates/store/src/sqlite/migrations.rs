//! The schema, as numbered SQL texts. Forward only: a file that a newer guichetd wrote is not opened.
//!
//! A text that was released never changes; a new one is added at the end.

use rusqlite::{Connection, TransactionBehavior};

use super::fault::Fault;
use crate::backup::number_of;

/// In the header of the file, so that another program's database is never taken for a store: "Guch".
const APPLICATION_ID: i32 = 0x4775_6368;

const SCHEMA: &[(&str, &str)] = &[
    ("0001_runs", include_str!("schema/0001_runs.sql")),
    ("0002_tokens", include_str!("schema/0002_tokens.sql")),
    ("0003_ledger", include_str!("schema/0003_ledger.sql")),
    ("0004_open_runs", include_str!("schema/0004_open_runs.sql")),
    ("0005_reviews", include_str!("schema/0005_reviews.sql")),
    ("0020_search", include_str!("schema/0020_search.sql")),
    ("0030_notices", include_str!("schema/0030_notices.sql")),
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

/// Brings the file up to the newest schema, each step in a transaction of its own.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), Fault> {
    migrate_to(connection, SCHEMA.len())
}

/// As far as version `target`; a version is the number of texts that were applied.
pub(super) fn migrate_to(connection: &mut Connection, target: usize) -> Result<(), Fault> {
    let version = version_of(connection)?;
    for (position, (name, text)) in SCHEMA.iter().enumerate().take(target).skip(version) {
        let step = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        step.execute_batch(text)?;
        step.pragma_update(None, "application_id", APPLICATION_ID)?;
        step.pragma_update(None, "user_version", super::columns::integer(position + 1))?;
        step.commit()?;
        tracing::info!(migration = name, "the store's schema was brought forward");
    }
    Ok(())
}

/// The number of the newest of so many texts.
pub(super) fn schema_of(version: usize) -> u32 {
    SCHEMA.iter().take(version).next_back().map_or(0, |(name, _)| number_of(name))
}

/// How many texts a schema has of which this is the newest text's number.
pub(super) fn version_at(schema: u32) -> usize {
    SCHEMA.iter().filter(|(name, _)| number_of(name) <= schema).count()
}

/// How many texts there are.
pub(super) fn newest() -> usize {
    SCHEMA.len()
}

/// How many texts were applied to the file.
pub(super) fn version_of(connection: &Connection) -> Result<usize, Fault> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let version = usize::try_from(pragma("user_version")?).unwrap_or(usize::MAX);
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables > 0 && pragma("application_id")? != i64::from(APPLICATION_ID) {
        return Err(Fault::Corrupt(
            "this database belongs to another program; give another path, Guichet makes the file".to_owned(),
        ));
    }
    if version > SCHEMA.len() {
        return Err(Fault::Corrupt(format!(
            "a newer guichetd wrote it (schema {version}, this one knows {}); use that version or a newer one",
            SCHEMA.len()
        )));
    }
    Ok(version)
}
