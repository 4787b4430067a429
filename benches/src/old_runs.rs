//! A long past: finished runs by the million, each as the gateway itself wrote one of them.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use rusqlite::{Connection, named_params};

/// The id of the run of this number: a UUID of version 7 of its moment.
const ID: &str = "printf('%08x-%04x-7%03x-8000-%012x', at / 65536000, (at / 1000) & 65535, n & 4095, n)";
/// Numbers from 1, each with a moment of its own: one a second, up to when the first run was made.
const NUMBERS: &str = "
    WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :runs),
    moments (n, at) AS (
        SELECT n, (SELECT created_at FROM runs WHERE id = :first) - (:runs - n + 1) * 1000000 FROM numbers)";

/// Writes so many more like the one run that is there, with its events. The gateway must not run.
pub(crate) fn repeat(database: &Path, runs: u64) -> Result<()> {
    let mut connection = Connection::open(database)?;
    connection.pragma_update(None, "synchronous", false)?;
    let first: String = connection
        .query_row("SELECT id FROM runs WHERE state = 'succeeded' LIMIT 1", [], |row| row.get(0))
        .context("no run of this store has succeeded")?;
    let columns: Vec<String> = connection
        .prepare("SELECT name FROM pragma_table_xinfo('runs') WHERE hidden = 0")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let value = |column: &String| match column.as_str() {
        "id" => ID.to_owned(),
        "short_id" => "printf('%08x', n)".to_owned(),
        "created_at" | "started_at" | "finished_at" => "at".to_owned(),
        "idempotency_key" => "NULL".to_owned(),
        "body" => format!("replace(body, :first, {ID})"),
        other => other.to_owned(),
    };
    let values: Vec<String> = columns.iter().map(value).collect();
    let transaction = connection.transaction()?;
    let parameters = named_params! {":runs": i64::try_from(runs)?, ":first": first};
    let written = transaction.execute(
        &format!(
            "{NUMBERS} INSERT INTO runs ({}) SELECT {} FROM moments, runs WHERE runs.id = :first",
            columns.join(", "),
            values.join(", ")
        ),
        parameters,
    )?;
    transaction.execute(
        &format!(
            "{NUMBERS} INSERT INTO events (run, seq, at, body)
             SELECT {}, seq, moments.at, body FROM moments, events WHERE events.run = :first",
            ID.replace("at /", "moments.at /")
        ),
        parameters,
    )?;
    transaction.commit()?;
    ensure!(u64::try_from(written)? == runs, "{written} runs were written instead of {runs}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_run_is_like_the_first_with_an_id_and_a_moment_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let connection = Connection::open(&path).unwrap();
        connection
            .execute_batch(
                "CREATE TABLE runs (id TEXT PRIMARY KEY, short_id TEXT, state TEXT, created_at INTEGER, finished_at INTEGER,
                     idempotency_key TEXT, body TEXT, twice TEXT GENERATED ALWAYS AS (body ->> '$.id') VIRTUAL);
                 CREATE TABLE events (run TEXT, seq INTEGER, at INTEGER, body TEXT, PRIMARY KEY (run, seq));
                 INSERT INTO runs (id, short_id, state, created_at, finished_at, idempotency_key, body)
                     VALUES ('first', 'f', 'succeeded', 1767225600000000, 1767225600000001, 'k', '{\"id\":\"first\"}');
                 INSERT INTO events VALUES ('first', 1, 1, 'a'), ('first', 2, 2, 'b');",
            )
            .unwrap();
        repeat(&path, 1_000).unwrap();
        let count = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(count("SELECT count(DISTINCT id) FROM runs WHERE id = twice"), 1_001);
        assert_eq!(
            count("SELECT count(*) FROM runs WHERE length(id) = 36 AND id GLOB '019b*-7*-8000-*'"),
            1_000
        );
        assert_eq!(count("SELECT count(DISTINCT created_at) FROM runs"), 1_001);
        assert_eq!(count("SELECT count(*) FROM events JOIN runs ON runs.id = events.run"), 2_002);
    }
}
