//! Durable work: waiting, or held under a lease that runs out.

use async_trait::async_trait;
use guichet_contract::{JobId, RunId};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{
    SqliteStore,
    columns::{count, integer, micros, moment, word},
    fault::{Fault, OrConflict as _},
    writing::Writing,
};
use crate::{CommitError, Job, JobKind, Jobs, Lane, Room, StoreError};

// Without a key there is no line to stand in.
const ENQUEUE: &str = "
    INSERT INTO jobs (id, kind, run, due, attempts, key, bulkhead, place)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, coalesce((SELECT max(place) + 1 FROM jobs WHERE key = ?6), 0))";

/// New work. Conflict when its id exists.
pub(super) fn enqueue(writing: &mut Writing<'_>, job: &Job) -> Result<(), Fault> {
    writing
        .connection()
        .prepare_cached(ENQUEUE)?
        .execute(params![
            job.id.to_string(),
            job.kind.as_str(),
            job.run.to_string(),
            micros(job.due),
            job.attempts,
            job.key,
            job.bulkhead.as_deref().unwrap_or_default(),
        ])
        .or_conflict(|| format!("job {} (its id exists)", job.id))?;
    writing.wake_jobs(job.kind);
    Ok(())
}

/// The work is done. Conflict when it is not held under this lease.
pub(super) fn finish(writing: &mut Writing<'_>, job: JobId, lease: &str) -> Result<(), Fault> {
    let mut statement = writing
        .connection()
        .prepare_cached("DELETE FROM jobs WHERE id = ?1 AND lease = ?2 RETURNING kind, key")?;
    let gone: Option<(String, Option<String>)> = statement
        .query_row(params![job.to_string(), lease], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    drop(statement);
    if let Some((kind, Some(_))) = &gone {
        // The next one of its key.
        writing.wake_jobs(kind_of(kind)?);
    }
    held(usize::from(gone.is_some()), job, lease)
}

/// Conflict when it is not held under this lease.
pub(super) fn hold(writing: &mut Writing<'_>, job: JobId, lease: &str) -> Result<(), Fault> {
    let rows: i64 = writing
        .connection()
        .prepare_cached("SELECT count(*) FROM jobs WHERE id = ?1 AND lease = ?2")?
        .query_row(params![job.to_string(), lease], |row| row.get(0))?;
    held(usize::from(rows > 0), job, lease)
}

const RETRY: &str = "
    UPDATE jobs SET due = ?3, lease = NULL, lease_until = NULL WHERE id = ?1 AND lease = ?2 RETURNING kind";

/// To be tried again. Conflict when it is not held under this lease.
pub(super) fn retry(writing: &mut Writing<'_>, job: JobId, lease: &str, due: Timestamp) -> Result<(), Fault> {
    let mut statement = writing.connection().prepare_cached(RETRY)?;
    let freed: Option<String> =
        statement.query_row(params![job.to_string(), lease, micros(due)], |row| row.get(0)).optional()?;
    drop(statement);
    if let Some(kind) = &freed {
        writing.wake_jobs(kind_of(kind)?);
    }
    held(usize::from(freed.is_some()), job, lease)
}

const HASTEN: &str = "
    UPDATE jobs SET due = ?3 WHERE run = ?1 AND kind = ?2 AND lease IS NULL AND due > ?3";

/// What waits is due sooner.
pub(super) fn hasten(
    writing: &mut Writing<'_>,
    run: RunId,
    kind: JobKind,
    due: Timestamp,
) -> Result<(), Fault> {
    writing.connection().prepare_cached(HASTEN)?.execute(params![
        run.to_string(),
        kind.as_str(),
        micros(due)
    ])?;
    writing.wake_jobs(kind);
    Ok(())
}

/// No longer needed.
pub(super) fn drop_for(writing: &mut Writing<'_>, run: RunId, kind: JobKind) -> Result<(), Fault> {
    let gone = writing
        .connection()
        .prepare_cached("DELETE FROM jobs WHERE run = ?1 AND kind = ?2")?
        .execute(params![run.to_string(), kind.as_str()])?;
    if gone > 0 {
        // Others may have waited for them.
        writing.wake_jobs(kind);
    }
    Ok(())
}

fn held(changed: usize, job: JobId, lease: &str) -> Result<(), Fault> {
    if changed == 1 {
        Ok(())
    } else {
        Err(Fault::Conflict(format!("job {job} (not held under the lease `{lease}`)")))
    }
}

// From one entry of the index to the first of the next word: as many steps as there are words, not jobs.
const BULKHEADS: &str = "
    WITH RECURSIVE known (word) AS (
        SELECT min(bulkhead) FROM jobs WHERE lane = ?1
        UNION ALL
        SELECT (SELECT min(bulkhead) FROM jobs WHERE lane = ?1 AND bulkhead > known.word)
        FROM known WHERE known.word IS NOT NULL)
    SELECT word FROM known WHERE word IS NOT NULL";

// What has been free longest comes first. A holder that died is one more reason to be free.
const FREE: &str = "
    SELECT free_at, id FROM jobs AS job
    WHERE lane = ?1 AND bulkhead = ?2 AND free_at <= ?3
      AND (key IS NULL OR (
          NOT EXISTS (SELECT 1 FROM jobs AS begun
                      WHERE begun.key = job.key AND begun.attempts > 0 AND begun.id <> job.id)
          AND (job.attempts > 0 OR NOT EXISTS (
              SELECT 1 FROM jobs AS before
              WHERE before.key = job.key AND before.place < job.place AND before.due <= ?3))))
    ORDER BY free_at, id LIMIT ?4";

const CLAIM: &str = "
    UPDATE jobs SET lease = ?2, lease_until = ?3, attempts = attempts + 1 WHERE id = ?1
    RETURNING id, kind, run, due, attempts, key, nullif(bulkhead, '')";

/// The bulkheads of this lane that there is room behind, and how much.
fn open(connection: &Connection, lane: &str, room: &Room) -> Result<Vec<(String, usize)>, Fault> {
    let mut statement = connection.prepare_cached(BULKHEADS)?;
    let words = statement.query_map([lane], |row| row.get::<_, String>(0))?;
    let with_room = words.map(|word| word.map(|word| (room.of(&word), word)));
    let open = with_room.filter(|found| !matches!(found, Ok((0, _))));
    Ok(open.map(|found| found.map(|(room, word)| (word, room))).collect::<Result<_, _>>()?)
}

fn kind_of(word: &str) -> Result<JobKind, Fault> {
    Ok(serde_json::from_value(word.into())?)
}

fn read_row(row: &Row<'_>) -> Result<Job, Fault> {
    let kind: String = row.get(1)?;
    Ok(Job {
        id: word(&row.get::<_, String>(0)?)?,
        kind: kind_of(&kind)?,
        run: word(&row.get::<_, String>(2)?)?,
        due: moment(row.get(3)?)?,
        attempts: row.get(4)?,
        key: row.get(5)?,
        bulkhead: row.get(6)?,
    })
}

// What waits behind another of its key is woken by that one's end. One that stands further back and is due first does
// not wait, unless one before it is due by then.
const NEXT_DUE: &str = "
    SELECT free_at FROM jobs AS job
    WHERE lane = ?1 AND bulkhead = ?2
      AND (key IS NULL OR (
          NOT EXISTS (SELECT 1 FROM jobs AS begun
                      WHERE begun.key = job.key AND begun.attempts > 0 AND begun.id <> job.id)
          AND (job.attempts > 0 OR NOT EXISTS (
              SELECT 1 FROM jobs AS before
              WHERE before.key = job.key AND before.place < job.place AND before.due <= job.free_at))))
    ORDER BY free_at LIMIT 1";

const LINE: &str = "
    SELECT run FROM jobs WHERE key = ?1 AND (attempts > 0 OR due <= ?2) ORDER BY attempts = 0, place";

#[async_trait]
impl Jobs for SqliteStore {
    async fn claim_jobs(
        &self,
        lane: &Lane,
        lease: &str,
        now: Timestamp,
        until: Timestamp,
        room: &Room,
    ) -> Result<Vec<Job>, StoreError> {
        let (lane, lease, room) = (lane.word(), lease.to_owned(), room.clone());
        self.write_unsynced(move |writing| {
            let connection = writing.connection();
            let mut free = Vec::new();
            for (bulkhead, most) in open(connection, &lane, &room)? {
                let mut statement = connection.prepare_cached(FREE)?;
                let found = statement
                    .query_map(params![lane, bulkhead, micros(now), integer(most)], |row| {
                        Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
                    })?;
                for found in found {
                    free.push(found?);
                }
            }
            free.sort_unstable();
            free.truncate(room.jobs);
            let mut statement = connection.prepare_cached(CLAIM)?;
            let mut jobs = Vec::with_capacity(free.len());
            for (_, id) in free {
                let mut rows = statement.query(params![id, lease, micros(until)])?;
                if let Some(row) = rows.next()? {
                    jobs.push(read_row(row)?);
                }
            }
            jobs.sort_by_key(|job| (job.due, job.id));
            Ok(jobs)
        })
        .await
        .map_err(CommitError::into_store_error)
    }

    async fn extend_lease(&self, job: JobId, lease: &str, until: Timestamp) -> Result<bool, StoreError> {
        let lease = lease.to_owned();
        self.write_unsynced(move |writing| {
            let extended = writing
                .connection()
                .prepare_cached("UPDATE jobs SET lease_until = ?3 WHERE id = ?1 AND lease = ?2")?
                .execute(params![job.to_string(), lease, micros(until)])?;
            Ok(extended == 1)
        })
        .await
        .map_err(CommitError::into_store_error)
    }

    async fn next_due(&self, lane: &Lane, room: &Room) -> Result<Option<Timestamp>, StoreError> {
        let (lane, room) = (lane.word(), room.clone());
        self.look(move |connection| {
            let mut statement = connection.prepare_cached(NEXT_DUE)?;
            let mut next: Option<i64> = None;
            for (bulkhead, _) in open(connection, &lane, &room)? {
                let free_at: Option<i64> =
                    statement.query_row([&lane, &bulkhead], |row| row.get(0)).optional()?;
                next = next.into_iter().chain(free_at).min();
            }
            Ok(next.map(moment).transpose()?)
        })
        .await
    }

    async fn line(&self, key: &str, now: Timestamp) -> Result<Vec<RunId>, StoreError> {
        let key = key.to_owned();
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(LINE)?;
            let runs = statement.query_map(params![key, micros(now)], |row| row.get::<_, String>(0))?;
            runs.map(|run| word(&run?)).collect()
        })
        .await
    }

    async fn free_all_leases(&self) -> Result<u64, StoreError> {
        self.write(|writing| {
            let freed = writing
                .connection()
                .prepare_cached("UPDATE jobs SET lease = NULL, lease_until = NULL WHERE lease IS NOT NULL")?
                .execute([])?;
            if freed > 0 {
                writing.wake_jobs(JobKind::ExecuteRun);
                writing.wake_jobs(JobKind::DeliverNotice);
            }
            Ok(count(integer(freed))?)
        })
        .await
        .map_err(CommitError::into_store_error)
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;
    use crate::sqlite::{connection, migrations, ownership};

    /// Steps of SQLite's machine that this statement takes, and how many rows it gives.
    fn steps(connection: &Connection, sql: &str, values: &[&dyn rusqlite::ToSql]) -> (i32, usize) {
        let mut statement = connection.prepare(sql).unwrap();
        let rows = statement.query_map(values, |_| Ok(())).unwrap().count();
        (statement.get_status(StatementStatus::VmStep), rows)
    }

    #[test]
    fn ten_thousand_behind_a_full_bulkhead_cost_a_claim_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("guichet.db");
        let _owned = ownership::Ownership::take(&file).unwrap();
        let mut connection = connection::to_write(&file).unwrap();
        migrations::migrate(&mut connection).unwrap();
        let fill = "
            WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 10000)
            INSERT INTO jobs (id, kind, run, due, attempts, bulkhead)
            SELECT 'job ' || n, 'execute_run', 'run ' || n, n, 0, 'full' FROM numbers
            UNION ALL SELECT 'job of b', 'execute_run', 'run of b', 20000, 0, 'b'
            UNION ALL SELECT 'job of z', 'execute_run', 'run of z', 20000, 0, 'z'";
        connection.execute(fill, []).unwrap();
        let bulkheads = steps(&connection, BULKHEADS, &[&"runs"]);
        assert_eq!(bulkheads.1, 3);
        let free = steps(&connection, FREE, &[&"runs", &"b", &30_000, &10]);
        assert_eq!(free.1, 1);
        let next = steps(&connection, NEXT_DUE, &[&"runs", &"z"]);
        assert_eq!(next.1, 1);
        assert!(bulkheads.0 + free.0 + next.0 < 1_000, "{bulkheads:?} {free:?} {next:?}");
        // Of one that is open, no more are looked at than are taken.
        assert!(steps(&connection, FREE, &[&"runs", &"full", &30_000, &10]).0 < 1_000);
    }
}
