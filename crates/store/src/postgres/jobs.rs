//! Durable work: waiting, or held under a lease that runs out.

use async_trait::async_trait;
use guichet_contract::{JobId, RunId};
use jiff::Timestamp;
use tokio_postgres::Row;

use super::{
    PostgresStore,
    columns::{count, integer, micros, moment, row, searchable, values, word},
    fault::{Fault, Meaning, meaning},
    unit::{Turn, Unit, Wants},
};
use crate::{Job, JobKind, Jobs, Lane, Room, StoreError, Wake};

// Without a key there is no line to stand in.
const ENQUEUE: &str = "
    INSERT INTO jobs (id, kind, run, lane, due, attempts, key, bulkhead, place)
    SELECT new.*, CASE WHEN key IS NULL THEN 0 ELSE nextval('job_places') END
    FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::bigint[], $6::integer[], $7::text[], $8::text[])
         AS new (id, kind, run, lane, due, attempts, key, bulkhead)";

/// New work. Conflict when its id exists.
pub(super) fn enqueue(unit: &mut Unit, job: &Job) {
    let columns = row![
        job.id.0,
        job.kind.as_str(),
        job.run.0,
        Lane::Runs.word(),
        micros(job.due),
        attempts(job.attempts),
        job.key.as_deref().map(searchable),
        searchable(job.bulkhead.as_deref().unwrap_or_default()),
    ];
    let conflict = format!("job {} (its id exists, or its kind delivers a notice)", job.id);
    unit.about.push(job.run.0);
    unit.alike((Turn::EnqueueJob, ENQUEUE, Wants::Rows(1)), columns, job.id.0, conflict);
    unit.woken.jobs(job.kind);
}

/// How often a claim that another one crosses is tried again.
const TRIES: u32 = 20;

/// As PostgreSQL holds a number of attempts.
pub(super) fn attempts(attempts: u32) -> i32 {
    i32::try_from(attempts).unwrap_or(i32::MAX)
}

const HASTEN: &str =
    "UPDATE jobs SET due = $3 WHERE run = $1 AND kind = $2 AND lease IS NULL AND due > $3 RETURNING kind";

/// What waits is due sooner.
pub(super) fn hasten(unit: &mut Unit, run: RunId, kind: JobKind, due: Timestamp) {
    unit.job_kinds(HASTEN, values![run.0, kind.as_str(), micros(due)]);
}

// Whoever waits for its key is woken; without one, nobody waits.
pub(super) const FINISH: &str = "
    DELETE FROM jobs USING unnest($1::uuid[], $2::text[]) AS done (id, lease)
    WHERE jobs.id = done.id AND jobs.lease = done.lease RETURNING CASE WHEN key IS NOT NULL THEN kind END";

/// The work is done. Conflict when it is not held under this lease.
pub(super) fn finish(unit: &mut Unit, job: JobId, lease: &str) {
    let columns = row![job.0, lease.to_owned()];
    unit.alike((Turn::FinishJob, FINISH, Wants::Kinds(1)), columns, job.0, not_held(job, lease));
}

// Locked, so that it stays so until the commit.
pub(super) const HOLD: &str = "
    SELECT 1 FROM jobs, unnest($1::uuid[], $2::text[]) AS held (id, lease)
    WHERE jobs.id = held.id AND jobs.lease = held.lease FOR NO KEY UPDATE OF jobs";

/// Conflict when it is not held under this lease.
pub(super) fn hold(unit: &mut Unit, job: JobId, lease: &str) {
    let columns = row![job.0, lease.to_owned()];
    unit.alike((Turn::HoldJob, HOLD, Wants::Rows(1)), columns, job.0, not_held(job, lease));
}

const RETRY: &str = "
    UPDATE jobs SET due = $3, lease = NULL, lease_until = NULL WHERE id = $1 AND lease = $2 RETURNING kind";

/// To be tried again. Conflict when it is not held under this lease.
pub(super) fn retry(unit: &mut Unit, job: JobId, lease: &str, due: Timestamp) {
    unit.job_kind(RETRY, values![job.0, lease.to_owned(), micros(due)], not_held(job, lease));
}

const DROP_FOR: &str = "
    DELETE FROM jobs WHERE run = $1 AND kind = $2 RETURNING CASE WHEN key IS NOT NULL THEN kind END";

/// No longer needed.
pub(super) fn drop_for(unit: &mut Unit, run: RunId, kind: JobKind) {
    unit.job_kinds(DROP_FOR, values![run.0, kind.as_str()]);
}

fn not_held(job: JobId, lease: &str) -> String {
    format!("job {job} (not held under the lease `{lease}`)")
}

// `open`: the bulkheads of lane $1 that there is room behind, and how much; $2 and $3 are those that are named and their
// room, $4 is that of each other, $5 the most. From one entry of the index to the first of the next word: as many steps as
// there are words, not jobs.
macro_rules! with_open {
    ($rest:literal) => {
        concat!(
            "WITH RECURSIVE known (word) AS (
                (SELECT bulkhead FROM jobs WHERE lane = $1 ORDER BY bulkhead LIMIT 1)
                UNION ALL
                SELECT (SELECT bulkhead FROM jobs WHERE lane = $1 AND bulkhead > known.word ORDER BY bulkhead LIMIT 1)
                FROM known WHERE known.word IS NOT NULL),
            open (word, room) AS (
                SELECT word, least(room, $5) FROM (
                    SELECT word, coalesce((SELECT room FROM unnest($2::text[], $3::bigint[]) named (of, room)
                                           WHERE named.of = word), $4::bigint)
                    FROM known WHERE word IS NOT NULL) known (word, room)
                WHERE room > 0)",
            $rest
        )
    };
}

// What has been free longest comes first. A holder that died is one more reason to be free; what another replica is
// claiming at this instant is passed over. A claim waits for no disk: what follows from it does, and stands behind it in
// the same log; one that a crash of the server takes back is made again, and nobody begins a job without a lease.
pub(super) const CLAIM: &str = with_open!(
    ",
    free AS (
        SELECT job.id, job.free_at FROM open CROSS JOIN LATERAL (
            SELECT id, free_at FROM jobs job
            WHERE lane = $1 AND bulkhead = open.word AND free_at <= $6
              AND (key IS NULL OR (
                  NOT EXISTS (SELECT 1 FROM jobs begun
                              WHERE begun.key = job.key AND begun.attempts > 0 AND begun.id <> job.id)
                  AND (job.attempts > 0 OR NOT EXISTS (
                      SELECT 1 FROM jobs before
                      WHERE before.key = job.key AND before.place < job.place AND before.due <= $6))))
            ORDER BY free_at, id LIMIT open.room
            FOR UPDATE OF job SKIP LOCKED) job)
    UPDATE jobs SET lease = $7, lease_until = $8, attempts = attempts + 1
    WHERE id = ANY (ARRAY (SELECT id FROM free ORDER BY free_at, id LIMIT $5))
      AND (SELECT set_config('synchronous_commit', 'off', true)) = 'off'
    RETURNING id, kind, run, due, attempts, key, nullif(bulkhead, '')"
);

fn read_row(row: &Row) -> Result<Job, Fault> {
    Ok(Job {
        id: JobId(row.try_get(0)?),
        kind: word(row.try_get(1)?)?,
        run: RunId(row.try_get(2)?),
        due: moment(row.try_get(3)?)?,
        attempts: u32::try_from(row.try_get::<_, i32>(4)?).unwrap_or_default(),
        key: row.try_get(5)?,
        bulkhead: row.try_get(6)?,
    })
}

// What waits behind another of its key is woken by that one's end. One that stands further back and is due first does
// not wait, unless one before it is due by then.
pub(super) const NEXT_DUE: &str = with_open!(
    "
    SELECT job.free_at FROM open CROSS JOIN LATERAL (
        SELECT free_at FROM jobs job
        WHERE lane = $1 AND bulkhead = open.word
          AND (key IS NULL OR (
              NOT EXISTS (SELECT 1 FROM jobs begun
                          WHERE begun.key = job.key AND begun.attempts > 0 AND begun.id <> job.id)
              AND (job.attempts > 0 OR NOT EXISTS (
                  SELECT 1 FROM jobs before
                  WHERE before.key = job.key AND before.place < job.place AND before.due <= job.free_at))))
        ORDER BY free_at LIMIT 1) job
    ORDER BY 1 LIMIT 1"
);

/// A [`Room`] as the statements want it.
struct Rooms {
    words: Vec<String>,
    most: Vec<i64>,
    others: i64,
    jobs: i64,
}

impl From<&Room> for Rooms {
    fn from(room: &Room) -> Self {
        let named = room.behind.iter().map(|(word, room)| (searchable(word), integer(*room)));
        let (words, most) = std::iter::once((String::new(), integer(room.free))).chain(named).unzip();
        Self { words, most, others: integer(room.behind_others), jobs: integer(room.jobs) }
    }
}

const LINE: &str =
    "SELECT run FROM jobs WHERE key = $1 AND (attempts > 0 OR due <= $2) ORDER BY attempts = 0, place";

const FREE_ALL: &str = "UPDATE jobs SET lease = NULL, lease_until = NULL WHERE lease IS NOT NULL";

#[async_trait]
impl Jobs for PostgresStore {
    async fn claim_jobs(
        &self,
        lane: &Lane,
        lease: &str,
        now: Timestamp,
        until: Timestamp,
        room: &Room,
    ) -> Result<Vec<Job>, StoreError> {
        let (lane, now, until) = (lane.word(), micros(now), micros(until));
        let Rooms { words, most, others, jobs } = room.into();
        let mut tries = 0;
        let rows = loop {
            match self.rows_once(CLAIM, &[&lane, &words, &most, &others, &jobs, &now, &lease, &until]).await {
                // Another replica was faster with a key: what stands before whom is looked at anew.
                Err(Fault::Engine(error))
                    if tries < TRIES && matches!(meaning(&error), Meaning::Conflict | Meaning::Crossed) =>
                {
                    tries += 1;
                }
                rows => break rows.map_err(Fault::into_store_error)?,
            }
        };
        let mut jobs = self.each(&rows, read_row)?;
        // RETURNING promises no order.
        jobs.sort_by_key(|job| (job.due, job.id));
        Ok(jobs)
    }

    async fn extend_lease(&self, job: JobId, lease: &str, until: Timestamp) -> Result<bool, StoreError> {
        let extend = "UPDATE jobs SET lease_until = $3 WHERE id = $1 AND lease = $2";
        Ok(self.change(extend, &[&job.0, &lease, &micros(until)]).await? == 1)
    }

    async fn next_due(&self, lane: &Lane, room: &Room) -> Result<Option<Timestamp>, StoreError> {
        let Rooms { words, most, others, jobs } = room.into();
        let rows = self.rows(NEXT_DUE, &[&lane.word(), &words, &most, &others, &jobs]).await?;
        self.first(&rows, |row| Ok(moment(row.try_get(0)?)?))
    }

    async fn line(&self, key: &str, now: Timestamp) -> Result<Vec<RunId>, StoreError> {
        let rows = self.rows(LINE, &[&searchable(key), &micros(now)]).await?;
        self.each(&rows, |row| Ok(RunId(row.try_get(0)?)))
    }

    async fn free_all_leases(&self) -> Result<u64, StoreError> {
        let freed = self.change(FREE_ALL, &[]).await?;
        if freed > 0 {
            self.wake_here(&[Wake::Job, Wake::Notice]);
        }
        Ok(count(integer(freed))?)
    }
}
