//! Backups of this store, and from either store into this one: so one moves from SQLite to PostgreSQL, and back.

use std::path::Path;

use futures_util::{TryStreamExt as _, pin_mut};
use tokio_postgres::{Client, Row, Transaction, types::ToSql};

use super::{PostgresSettings, columns::searchable, connect::Connector, fault::Fault, migrations};
use crate::{
    StoreError,
    backup::{Cell, Kind, Manifest, Reading, Table, Writing},
};

/// What SQLite reads from the JSON whenever it is asked for, and no backup holds; as in `schema/0040_undone.sql`.
const UNDOES: &str = r#"
    UPDATE runs SET undoes = (replace(body, '\u0000', '\ufffd')::jsonb ->> 'undoes')::uuid
    WHERE body LIKE '%"undoes":"%'"#;
/// Rows that are sent at once.
const ROWS: usize = 1_000;

/// What a backup meets: the database's faults, and the folder's.
enum Failed {
    Database(Fault),
    Folder(StoreError),
}

impl From<tokio_postgres::Error> for Failed {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error.into())
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Folder(error)
    }
}

impl From<Failed> for StoreError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Database(fault) => fault.into_store_error(),
            Failed::Folder(error) => error,
        }
    }
}

async fn client(settings: &PostgresSettings) -> Result<Client, StoreError> {
    let connecting = Connector::new(settings)?;
    let (client, connection) = connecting.connect().await.map_err(Fault::into_store_error)?;
    // Ends with its client, which tells what went wrong.
    tokio::spawn(connection);
    Ok(client)
}

/// Writes the database, as it stands at one moment, into the new folder `to`. Gateways go on meanwhile.
pub async fn export(settings: &PostgresSettings, to: &Path) -> Result<Manifest, StoreError> {
    let mut client = client(settings).await?;
    Ok(export_from(&mut client, to).await?)
}

async fn export_from(client: &mut Client, to: &Path) -> Result<Manifest, Failed> {
    // One snapshot sees one state of all tables.
    client
        .batch_execute(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
             SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0",
        )
        .await?;
    let listed = client.query_one("SELECT to_regclass('schema_migrations') IS NOT NULL", &[]).await?;
    if !listed.try_get::<_, bool>(0)? {
        return Err(
            StoreError::Engine("there is no store in this database: nothing to back up".to_owned()).into()
        );
    }
    let version = migrations::applied(client).await.map_err(Failed::Database)?;
    let mut backup = Writing::begin(to, migrations::schema_of(version))?;
    for table in &backup.tables.clone() {
        let mut file = backup.table(table)?;
        let columns: Vec<String> = table.columns.iter().map(|(name, kind)| read_as(name, *kind)).collect();
        let read = format!("SELECT {} FROM {} ORDER BY {}", columns.join(", "), table.name, table.order);
        let rows = client.query_raw(&read, std::iter::empty::<&(dyn ToSql + Sync)>()).await?;
        pin_mut!(rows);
        while let Some(row) = rows.try_next().await? {
            file.row(cells(&row, table)?)?;
        }
        backup.end(file)?;
    }
    client.batch_execute("COMMIT").await?;
    Ok(backup.finish()?)
}

fn read_as(name: &str, kind: Kind) -> String {
    match kind {
        Kind::Text => name.to_owned(),
        Kind::Id => format!("{name}::text"),
        Kind::Integer => format!("{name}::bigint"),
        Kind::Bytes => format!("encode({name}, 'hex')"),
    }
}

fn cells(row: &Row, table: &Table) -> Result<Vec<Cell>, tokio_postgres::Error> {
    let cell = |(place, (_, kind)): (usize, &(&str, Kind))| {
        Ok(match kind {
            Kind::Integer => row.try_get::<_, Option<i64>>(place)?.map_or(Cell::Null, Cell::Integer),
            Kind::Id | Kind::Text | Kind::Bytes => {
                row.try_get::<_, Option<String>>(place)?.map_or(Cell::Null, Cell::Text)
            }
        })
    };
    table.columns.iter().enumerate().map(cell).collect()
}

/// Takes the backup `from` into the database, which must be empty; all of it, or nothing.
pub async fn import(settings: &PostgresSettings, from: &Path) -> Result<Manifest, StoreError> {
    let backup = Reading::open(from, migrations::schema_of(migrations::SCHEMA.len()))?;
    let mut client = client(settings).await?;
    // As it was when the backup was made; what is in it is brought forward with it.
    let version = migrations::version_at(backup.schema);
    migrations::migrate_to(&mut client, version).await.map_err(Fault::into_store_error)?;
    let there = migrations::applied(&client).await.map_err(Fault::into_store_error)?;
    if there > version {
        return Err(backup.too_old_for(migrations::schema_of(there)));
    }
    import_into(&mut client, &backup).await?;
    migrations::migrate(&mut client).await.map_err(Fault::into_store_error)?;
    Ok(backup.manifest)
}

async fn import_into(client: &mut Client, backup: &Reading) -> Result<(), Failed> {
    let writing = client.transaction().await?;
    writing
        .batch_execute("SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0")
        .await?;
    for table in &backup.tables {
        // Nobody writes beside this.
        writing.batch_execute(&format!("LOCK TABLE {} IN EXCLUSIVE MODE", table.name)).await?;
        let found = writing.query_opt(&format!("SELECT 1 FROM {} LIMIT 1", table.name), &[]).await?;
        if found.is_some() {
            return Err(StoreError::Engine(format!(
                "the store is not empty (table {}): a backup is restored into a new database",
                table.name
            ))
            .into());
        }
    }
    for table in &backup.tables {
        take(&writing, backup, table).await?;
    }
    writing
        .execute(
            "UPDATE ledger_head SET next_index = (SELECT coalesce(max(log_index) + 1, 0) FROM records)",
            &[],
        )
        .await?;
    writing.batch_execute(UNDOES).await?;
    if backup.has("jobs", "place") {
        let places = "SELECT setval('job_places', (SELECT coalesce(max(place), 0) + 1 FROM jobs))";
        writing.batch_execute(places).await?;
    }
    writing.commit().await?;
    Ok(())
}

async fn take(writing: &Transaction<'_>, backup: &Reading, table: &Table) -> Result<(), Failed> {
    let names: Vec<&str> = table.columns.iter().map(|(name, _)| *name).collect();
    let arrays = table.columns.iter().enumerate().map(|(place, (_, kind))| {
        let kind = if *kind == Kind::Integer { "bigint" } else { "text" };
        format!("${}::{kind}[]", place + 1)
    });
    let inserted = table.columns.iter().map(|(name, kind)| match kind {
        Kind::Text | Kind::Integer => (*name).to_owned(),
        Kind::Id => format!("{name}::uuid"),
        Kind::Bytes => format!("decode({name}, 'hex')"),
    });
    let insert = format!(
        "INSERT INTO {} ({columns}) SELECT {} FROM unnest({}) AS row ({columns})",
        table.name,
        inserted.collect::<Vec<_>>().join(", "),
        arrays.collect::<Vec<_>>().join(", "),
        columns = names.join(", "),
    );
    let insert = writing.prepare(&insert).await?;
    let mut rows = backup.rows(table)?;
    loop {
        let batch = rows.by_ref().take(ROWS).collect::<Result<Vec<_>, _>>()?;
        if batch.is_empty() {
            return Ok(());
        }
        let columns: Vec<Box<dyn ToSql + Sync + Send>> =
            table.columns.iter().enumerate().map(|(place, (_, kind))| column(&batch, place, *kind)).collect();
        let columns: Vec<&(dyn ToSql + Sync)> = columns.iter().map(|column| &**column as _).collect();
        writing.execute(&insert, &columns).await?;
    }
}

fn column(rows: &[Vec<Cell>], place: usize, kind: Kind) -> Box<dyn ToSql + Sync + Send> {
    if kind == Kind::Integer {
        let numbers = rows.iter().map(|row| match row.get(place) {
            Some(Cell::Integer(number)) => Some(*number),
            _ => None,
        });
        return Box::new(numbers.collect::<Vec<Option<i64>>>());
    }
    let texts = rows.iter().map(|row| match row.get(place) {
        Some(Cell::Text(text)) => Some(searchable(text)),
        _ => None,
    });
    Box::new(texts.collect::<Vec<Option<String>>>())
}
