//! What the disk can do: the floor under everything that promises durability.

use std::{
    fs::File,
    io::{Seek as _, Write as _},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Result;
use rusqlite::{Connection, params};

use crate::figures::{Measured, of_durations};

/// One page overwritten and synced (`fdatasync`), again and again.
pub(crate) fn syncs(folder: &Path, how_long: Duration) -> Result<Measured> {
    let mut file = File::create(folder.join("synced"))?;
    let page = [7_u8; 4096];
    file.write_all(&page)?;
    file.sync_all()?;
    repeat(how_long, || {
        file.rewind()?;
        file.write_all(&page)?;
        Ok(file.sync_data()?)
    })
}

/// One row of 500 bytes inserted and committed, durably, as the gateway's store is set: WAL, `synchronous = FULL`.
pub(crate) fn commits(folder: &Path, how_long: Duration) -> Result<Measured> {
    let connection = Connection::open(folder.join("commits.sqlite"))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS note (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT",
    )?;
    let text = "x".repeat(500);
    let mut insert = connection.prepare("INSERT INTO note (text) VALUES (?1)")?;
    repeat(how_long, || {
        insert.execute(params![text])?;
        Ok(())
    })
}

fn repeat(how_long: Duration, mut once: impl FnMut() -> Result<()>) -> Result<Measured> {
    let began = Instant::now();
    let mut durations = Vec::new();
    while began.elapsed() < how_long {
        let one = Instant::now();
        once()?;
        durations.push(one.elapsed());
    }
    Ok(of_durations(durations, began.elapsed()))
}
