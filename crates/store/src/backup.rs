//! A backup: a folder that either store writes and either store takes, and a person can read.
//!
//! One file of JSON lines per table, the exact texts of the records among them, and a manifest with the number of rows and
//! the SHA-256 of each file, written last: a folder without one is no backup. Folder 0700, files 0600: it holds the inputs of
//! all runs. The gateway's keys are not in it.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, BufRead as _, BufReader, BufWriter, Read as _, Write as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::StoreError;

/// The form of the folder. Form 1 did not say of which schema it is.
const FORM: u32 = 2;
/// The number of the oldest migration of which there are backups.
const OLDEST: u32 = 40;
const MANIFEST: &str = "manifest.json";

/// What stands in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A UUID in its usual text.
    Id,
    /// Text.
    Text,
    /// A number without a fraction.
    Integer,
    /// Bytes, as hexadecimal digits.
    Bytes,
}

/// One table of a backup, as it is in one schema.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) columns: Vec<(&'static str, Kind)>,
    /// The columns by which its rows are ordered.
    pub(crate) order: &'static str,
}

/// A table as the newest schema has it.
struct Newest {
    name: &'static str,
    columns: &'static [(&'static str, Kind)],
    order: &'static str,
}

use Kind::{Bytes, Id, Integer, Text};

/// All tables, in an order in which rows can be inserted. What is not here is made anew: indexes, probes, notes.
const TABLES: &[Newest] = &[
    Newest {
        name: "runs",
        columns: &[
            ("id", Id),
            ("short_id", Text),
            ("state", Text),
            ("action", Text),
            ("requested_by_kind", Text),
            ("requested_by", Text),
            ("idempotency_key", Text),
            ("created_at", Integer),
            ("started_at", Integer),
            ("finished_at", Integer),
            ("outcome", Text),
            ("body", Text),
            ("waits_until", Integer),
            ("cancel_asked", Text),
        ],
        order: "id",
    },
    Newest {
        name: "decisions",
        columns: &[("run", Id), ("decided_by", Text), ("position", Integer), ("body", Text)],
        order: "run, position",
    },
    Newest {
        name: "events",
        columns: &[("run", Id), ("seq", Integer), ("at", Integer), ("body", Text)],
        order: "run, seq",
    },
    Newest {
        name: "reviews",
        columns: &[
            ("run", Id),
            ("opened_at", Integer),
            ("due_at", Integer),
            ("closed_at", Integer),
            ("closed_by", Text),
            ("words", Text),
        ],
        order: "run",
    },
    Newest {
        name: "schedules",
        columns: &[("id", Id), ("name", Text), ("revision", Integer), ("body", Text)],
        order: "id",
    },
    Newest {
        name: "registrations",
        columns: &[("provider", Text), ("revision", Integer), ("body", Text)],
        order: "provider",
    },
    Newest {
        name: "idempotency_keys",
        columns: &[("principal", Text), ("key", Text), ("request", Text), ("run", Id), ("at", Integer)],
        order: "principal, key",
    },
    Newest {
        name: "jobs",
        columns: &[
            ("id", Id),
            ("kind", Text),
            ("run", Id),
            ("lane", Text),
            ("due", Integer),
            ("attempts", Integer),
            ("lease", Text),
            ("lease_until", Integer),
            ("notice", Text),
            ("key", Text),
            ("place", Integer),
            ("bulkhead", Text),
        ],
        order: "id",
    },
    Newest {
        name: "deliveries",
        columns: &[
            ("event", Id),
            ("channel", Text),
            ("recipient", Text),
            ("run", Id),
            ("at", Integer),
            ("given_up", Integer),
        ],
        order: "event, channel, recipient",
    },
    Newest {
        name: "delivery_log",
        columns: &[
            ("id", Id),
            ("event", Id),
            ("channel", Text),
            ("occasion", Text),
            ("run", Id),
            ("at", Integer),
            ("state", Text),
            ("replays", Integer),
            ("ended_at", Integer),
            ("notice", Text),
        ],
        order: "id",
    },
    Newest {
        name: "delivery_attempts",
        columns: &[
            ("delivery", Id),
            ("replay", Integer),
            ("number", Integer),
            ("recipient", Text),
            ("body", Text),
        ],
        order: "delivery, replay, number, recipient",
    },
    Newest { name: "channels", columns: &[("name", Text), ("seen_at", Integer)], order: "name" },
    Newest {
        name: "tokens",
        columns: &[
            ("id", Id),
            ("secret_sha256", Bytes),
            ("kind", Text),
            ("principal", Text),
            ("name", Text),
            ("scopes", Text),
            ("created_at", Integer),
            ("expires_at", Integer),
            ("last_used_at", Integer),
            ("revoked_at", Integer),
        ],
        order: "id",
    },
    Newest {
        name: "records",
        columns: &[("log_index", Integer), ("at", Integer), ("body", Text)],
        order: "log_index",
    },
    Newest {
        name: "checkpoints",
        columns: &[("size", Integer), ("note", Text), ("at", Integer)],
        order: "size",
    },
    Newest {
        name: "tiles",
        columns: &[("level", Integer), ("place", Integer), ("hashes", Bytes)],
        order: "level, place",
    },
];

/// What migrations added since: the migration's number, the table, its columns; none for a whole table.
const ADDED: &[(u32, &str, &[&str])] = &[
    (50, "runs", &["waits_until", "cancel_asked"]),
    (51, "jobs", &["key", "place"]),
    (52, "schedules", &[]),
    (53, "jobs", &["bulkhead"]),
    (56, "registrations", &[]),
    (57, "delivery_log", &[]),
    (57, "delivery_attempts", &[]),
    (58, "channels", &[]),
];

/// The tables of a schema: that of which this is the newest migration's number.
pub(crate) fn tables_at(schema: u32) -> Vec<Table> {
    let is_there = |table: &str, column: Option<&str>| {
        !ADDED.iter().any(|(since, of, columns)| {
            *since > schema
                && *of == table
                && column.map_or(columns.is_empty(), |column| columns.contains(&column))
        })
    };
    let there = TABLES.iter().filter(|table| is_there(table.name, None));
    let as_it_was = |table: &Newest| {
        let columns = table.columns.iter().filter(|(name, _)| is_there(table.name, Some(name)));
        Table { name: table.name, columns: columns.copied().collect(), order: table.order }
    };
    there.map(as_it_was).collect()
}

/// The number that a migration's name begins with.
pub(crate) fn number_of(migration: &str) -> u32 {
    migration.split('_').next().and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// One value of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cell {
    /// None.
    Null,
    /// An id, a text, or bytes as hexadecimal digits.
    Text(String),
    /// A number.
    Integer(i64),
}

/// What a backup holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Manifest {
    form: u32,
    /// The number of the newest migration of the store that it was made of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    schema: Option<u32>,
    /// By table.
    pub tables: BTreeMap<String, Contents>,
}

/// What one file of a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// How many rows.
    pub rows: u64,
    /// SHA-256 of the file, hexadecimal.
    pub sha256: String,
}

impl Manifest {
    /// How many rows of this table.
    pub fn rows(&self, table: &str) -> u64 {
        self.tables.get(table).map_or(0, |contents| contents.rows)
    }
}

fn told(path: &Path, error: &io::Error) -> StoreError {
    let file = path.display();
    match error.kind() {
        io::ErrorKind::StorageFull => StoreError::DiskFull(format!("{file}: {error}")),
        _ => StoreError::Engine(format!("{file}: {error}")),
    }
}

/// A backup that is being written.
pub(crate) struct Writing {
    folder: PathBuf,
    /// What is to be written.
    pub(crate) tables: Vec<Table>,
    manifest: Manifest,
}

impl Writing {
    /// Begins one of a store of this schema, in a folder that does not exist or is empty.
    pub(crate) fn begin(folder: &Path, schema: u32) -> Result<Self, StoreError> {
        if schema < OLDEST {
            return Err(StoreError::Engine(format!(
                "the store is of schema {schema}, and there are backups from schema {OLDEST} on: bring it forward with \
                 `guichetd migrate`, then make the backup"
            )));
        }
        let made = make_private_folder(folder).and_then(|()| fs::read_dir(folder)?.next().transpose());
        match made {
            Ok(None) => Ok(Self {
                folder: folder.to_owned(),
                tables: tables_at(schema),
                manifest: Manifest { form: FORM, schema: Some(schema), tables: BTreeMap::new() },
            }),
            Ok(Some(_)) => Err(StoreError::Engine(format!(
                "{} is not empty: a backup has a folder of its own",
                folder.display()
            ))),
            Err(error) => Err(told(folder, &error)),
        }
    }

    /// Begins the file of a table.
    pub(crate) fn table(&self, table: &Table) -> Result<TableFile, StoreError> {
        let path = file_of(&self.folder, table.name);
        let file = private(OpenOptions::new().write(true).create_new(true))
            .open(&path)
            .map_err(|error| told(&path, &error))?;
        Ok(TableFile { table: table.clone(), path, file: BufWriter::new(file), hash: Sha256::new(), rows: 0 })
    }

    /// Ends the file of a table.
    pub(crate) fn end(&mut self, file: TableFile) -> Result<(), StoreError> {
        let TableFile { table, path, file, hash, rows } = file;
        let synced =
            file.into_inner().map_err(io::IntoInnerError::into_error).and_then(|file| file.sync_all());
        synced.map_err(|error| told(&path, &error))?;
        self.manifest
            .tables
            .insert(table.name.to_owned(), Contents { rows, sha256: hexadecimal(&hash.finalize()) });
        Ok(())
    }

    /// Writes the manifest: from here on it is a backup.
    pub(crate) fn finish(self) -> Result<Manifest, StoreError> {
        let path = self.folder.join(MANIFEST);
        let written = serde_json::to_vec_pretty(&self.manifest).map_err(io::Error::from).and_then(|text| {
            let mut file = private(OpenOptions::new().write(true).create_new(true)).open(&path)?;
            file.write_all(&text)?;
            file.sync_all()?;
            File::open(&self.folder)?.sync_all()
        });
        written.map_err(|error| told(&path, &error))?;
        Ok(self.manifest)
    }
}

/// A file of rows that is being written.
pub(crate) struct TableFile {
    table: Table,
    path: PathBuf,
    file: BufWriter<File>,
    hash: Sha256,
    rows: u64,
}

impl TableFile {
    /// Writes a row: a cell for each column.
    pub(crate) fn row(&mut self, cells: Vec<Cell>) -> Result<(), StoreError> {
        let members = self.table.columns.iter().zip(cells).map(|((name, _), cell)| {
            let value = match cell {
                Cell::Null => Value::Null,
                Cell::Text(text) => text.into(),
                Cell::Integer(number) => number.into(),
            };
            ((*name).to_owned(), value)
        });
        let mut line = Value::Object(members.collect::<Map<_, _>>()).to_string();
        line.push('\n');
        self.hash.update(line.as_bytes());
        self.rows += 1;
        self.file.write_all(line.as_bytes()).map_err(|error| told(&self.path, &error))
    }
}

/// A backup that is read.
pub(crate) struct Reading {
    folder: PathBuf,
    /// Of the store that it was made of.
    pub(crate) schema: u32,
    /// What it holds.
    pub(crate) tables: Vec<Table>,
    pub(crate) manifest: Manifest,
}

impl Reading {
    /// Opens one of a store of schema `newest` or of an older one; each of its files is what the manifest says.
    pub(crate) fn open(folder: &Path, newest: u32) -> Result<Self, StoreError> {
        let path = folder.join(MANIFEST);
        let text = fs::read(&path).map_err(|error| {
            StoreError::Engine(format!("{} is no complete backup: {MANIFEST}: {error}", folder.display()))
        })?;
        let manifest: Manifest = serde_json::from_slice(&text)
            .map_err(|error| StoreError::Corrupt(format!("{}: {error}", path.display())))?;
        let form = manifest.form;
        if form > FORM {
            let why = format!(
                "{}: its form is {form}, this guichetd knows {FORM}; use a newer one",
                path.display()
            );
            return Err(StoreError::Engine(why));
        }
        let schema = manifest.schema.unwrap_or_else(|| oldest_that_holds(&manifest, folder));
        if schema > newest {
            return Err(StoreError::Engine(format!(
                "{}: a newer guichetd made it (schema {schema}, this one knows {newest}); use that version or a newer one",
                path.display()
            )));
        }
        let reading = Self { folder: folder.to_owned(), schema, tables: tables_at(schema), manifest };
        for table in &reading.tables {
            let path = file_of(folder, table.name);
            let sha256 = sha256_of(&path).map_err(|error| told(&path, &error))?;
            if reading.manifest.tables.get(table.name).is_none_or(|contents| contents.sha256 != sha256) {
                return Err(StoreError::Corrupt(format!(
                    "{} is not what the manifest says: the backup is damaged; take another",
                    path.display()
                )));
            }
        }
        Ok(reading)
    }

    /// Whether this table of it has this column.
    pub(crate) fn has(&self, table: &str, column: &str) -> bool {
        let mut tables = self.tables.iter().filter(|of| of.name == table);
        tables.any(|of| of.columns.iter().any(|(name, _)| *name == column))
    }

    /// What is said of a store that is of a newer schema than the backup.
    pub(crate) fn too_old_for(&self, schema: u32) -> StoreError {
        StoreError::Engine(format!(
            "the store is of schema {schema} and the backup of schema {}: restore it into a new database or data folder, \
             where no guichetd was started yet; it is brought forward with what is in it",
            self.schema
        ))
    }

    /// The rows of a table, a cell for each column.
    pub(crate) fn rows(
        &self,
        table: &Table,
    ) -> Result<impl Iterator<Item = Result<Vec<Cell>, StoreError>> + Send + use<>, StoreError> {
        let (path, table) = (file_of(&self.folder, table.name), table.clone());
        let file = File::open(&path).map_err(|error| told(&path, &error))?;
        Ok(BufReader::new(file).lines().map(move |line| {
            let line = line.map_err(|error| told(&path, &error))?;
            read_row(&table, &line)
                .ok_or_else(|| StoreError::Corrupt(format!("{}: a row of another form", path.display())))
        }))
    }
}

/// The schema of a backup that does not say it: the oldest one that has all that is in it.
fn oldest_that_holds(manifest: &Manifest, folder: &Path) -> u32 {
    let is_in = |table: &str, column: &str| {
        let file = File::open(file_of(folder, table)).ok();
        let row = file.and_then(|file| BufReader::new(file).lines().next()?.ok());
        row.and_then(|row| serde_json::from_str::<Map<String, Value>>(&row).ok())
            .is_some_and(|row| row.contains_key(column))
    };
    let there = ADDED.iter().filter(|(_, table, columns)| {
        manifest.tables.contains_key(*table) && columns.first().is_none_or(|column| is_in(table, column))
    });
    there.map(|(since, ..)| *since).max().unwrap_or(OLDEST)
}

fn file_of(folder: &Path, table: &str) -> PathBuf {
    folder.join(format!("{table}.ndjson"))
}

fn read_row(table: &Table, line: &str) -> Option<Vec<Cell>> {
    let mut row: Map<String, Value> = serde_json::from_str(line).ok()?;
    let cell = |(name, kind): &(&str, Kind)| match (row.remove(*name)?, kind) {
        (Value::Null, _) => Some(Cell::Null),
        (Value::String(text), Kind::Id | Kind::Text | Kind::Bytes) => Some(Cell::Text(text)),
        (Value::Number(number), Kind::Integer) => number.as_i64().map(Cell::Integer),
        _ => None,
    };
    table.columns.iter().map(cell).collect()
}

fn sha256_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hexadecimal(&hash.finalize())),
            read => hash.update(&buffer[..read]),
        }
    }
}

/// Lower-case digits.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// What [`hexadecimal`] wrote.
pub(crate) fn bytes_of(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[cfg(unix)]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600)
}

#[cfg(not(unix))]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

fn make_private_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    #[cfg(unix)]
    fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    Ok(())
}
