//! Backups of this store, and from either store into this one.

use std::path::Path;

use guichet_contract::Record;
use rusqlite::{Connection, Row, params_from_iter, types::Value};

use super::{connection, fault::Fault, migrations, ownership::Ownership};
use crate::{
    StoreError,
    backup::{Cell, Kind, Manifest, Reading, Table, Writing, bytes_of, hexadecimal},
};

/// Writes the store at `from`, as it stands at one moment, into the new folder `to`. Blocks; a gateway that owns `from` goes
/// on meanwhile.
pub fn export(from: &Path, to: &Path) -> Result<Manifest, StoreError> {
    if !from.is_file() {
        return Err(StoreError::Engine(format!("{} is not there: nothing to back up", from.display())));
    }
    let mut reading = connection::to_read(from).map_err(|fault| fault.into_store_error(from))?;
    // One transaction sees one state of all tables.
    let reading = reading.transaction().map_err(|error| Fault::from(error).into_store_error(from))?;
    let version = migrations::version_of(&reading).map_err(|fault| fault.into_store_error(from))?;
    let mut backup = Writing::begin(to, migrations::schema_of(version))?;
    for table in &backup.tables.clone() {
        let mut file = backup.table(table)?;
        each_row(&reading, table, |cells| file.row(cells))
            .map_err(|fault| fault.into_store_error(from))??;
        backup.end(file)?;
    }
    backup.finish()
}

fn each_row(
    reading: &Connection,
    table: &Table,
    mut tell: impl FnMut(Vec<Cell>) -> Result<(), StoreError>,
) -> Result<Result<(), StoreError>, Fault> {
    let names: Vec<&str> = table.columns.iter().map(|(name, _)| *name).collect();
    let mut statement = reading.prepare(&format!(
        "SELECT {} FROM {} ORDER BY {}",
        names.join(", "),
        table.name,
        table.order
    ))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if let Err(error) = tell(cells(row, table)?) {
            return Ok(Err(error));
        }
    }
    Ok(Ok(()))
}

fn cells(row: &Row<'_>, table: &Table) -> Result<Vec<Cell>, Fault> {
    let cell = |place| {
        Ok(match row.get::<_, Value>(place)? {
            Value::Null => Cell::Null,
            Value::Integer(number) => Cell::Integer(number),
            Value::Text(text) => Cell::Text(text),
            Value::Blob(bytes) => Cell::Text(hexadecimal(&bytes)),
            Value::Real(_) => return Err(Fault::Corrupt(format!("a fraction in table {}", table.name))),
        })
    };
    (0..table.columns.len()).map(cell).collect()
}

/// Takes the backup `from` into the store at `to`, which must be empty or not exist; all of it, or nothing. Blocks.
pub fn import(to: &Path, from: &Path) -> Result<Manifest, StoreError> {
    let backup = Reading::open(from, migrations::schema_of(migrations::newest()))?;
    let _ownership = Ownership::take(to)?;
    let mut connection = connection::to_write(to)?;
    let taken = take(&mut connection, &backup).map_err(|fault| fault.into_store_error(to))?;
    taken?;
    Ok(backup.manifest)
}

fn take(connection: &mut Connection, backup: &Reading) -> Result<Result<(), StoreError>, Fault> {
    // As it was when the backup was made; what is in it is brought forward with it.
    let (there, version) = (migrations::version_of(connection)?, migrations::version_at(backup.schema));
    if there > version {
        return Ok(Err(backup.too_old_for(migrations::schema_of(there))));
    }
    migrations::migrate_to(connection, version)?;
    let writing = connection.transaction()?;
    for table in &backup.tables {
        let empty = format!("SELECT NOT EXISTS (SELECT 1 FROM {})", table.name);
        if !writing.query_row(&empty, [], |row| row.get(0))? {
            return Ok(Err(StoreError::Engine(format!(
                "the store is not empty (table {}): a backup is restored into a new one",
                table.name
            ))));
        }
    }
    for table in &backup.tables {
        // What SQLite computes is not inserted; what it filters records by is read from them.
        let kept: Vec<usize> =
            (0..table.columns.len()).filter(|place| table.columns[*place].0 != "lane").collect();
        let mut names: Vec<&str> = kept.iter().map(|place| table.columns[*place].0).collect();
        let is_records = table.name == "records";
        if is_records {
            names.extend(["principal", "action", "run", "verb", "verdict"]);
        }
        let places = vec!["?"; names.len()].join(", ");
        let insert = format!("INSERT INTO {} ({}) VALUES ({places})", table.name, names.join(", "));
        let mut insert = writing.prepare(&insert)?;
        let rows = match backup.rows(table) {
            Ok(rows) => rows,
            Err(error) => return Ok(Err(error)),
        };
        for row in rows {
            let row = match row {
                Ok(row) => row,
                Err(error) => return Ok(Err(error)),
            };
            let mut values = Vec::with_capacity(names.len());
            for place in &kept {
                values.push(value(&row[*place], table.columns[*place].1)?);
            }
            if is_records {
                values.extend(found_by(&row)?);
            }
            insert.execute(params_from_iter(values))?;
        }
    }
    writing.commit()?;
    migrations::migrate(connection)?;
    Ok(Ok(()))
}

fn value(cell: &Cell, kind: Kind) -> Result<Value, Fault> {
    Ok(match cell {
        Cell::Null => Value::Null,
        Cell::Integer(number) => Value::Integer(*number),
        Cell::Text(text) if kind == Kind::Bytes => Value::Blob(
            bytes_of(text).ok_or_else(|| Fault::Corrupt("bytes that are not hexadecimal".to_owned()))?,
        ),
        Cell::Text(text) => Value::Text(text.clone()),
    })
}

/// The columns that repeat what a record says.
fn found_by(row: &[Cell]) -> Result<Vec<Value>, Fault> {
    let Some(Cell::Text(body)) = row.last() else {
        return Err(Fault::Corrupt("a record without its text".to_owned()));
    };
    let record: Record = serde_json::from_str(body)?;
    let text = |value: Option<String>| value.map_or(Value::Null, Value::Text);
    Ok(vec![
        text(record.principal.map(|principal| principal.name)),
        text(record.action.map(|action| action.as_str().to_owned())),
        text(record.run.map(|run| run.to_string())),
        text(Some(record.verb.as_str().to_owned())),
        text(Some(record.verdict.as_str().to_owned())),
    ])
}
