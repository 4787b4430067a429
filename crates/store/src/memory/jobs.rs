//! Durable work: waiting, or held under a lease that runs out.

use std::collections::BTreeMap;

use async_trait::async_trait;
use guichet_contract::{JobId, RunId};
use jiff::Timestamp;

use super::{
    MemoryStore,
    state::{KeptJob, State},
    writing::{Writing, conflict},
};
use crate::{CommitError, Job, JobKind, Jobs, Lane, Room, StoreError};

/// New work. Conflict when its id exists, or when it is of the kind that delivers a notice.
pub(super) fn enqueue(writing: &mut Writing<'_>, mut job: Job) -> Result<(), CommitError> {
    job.bulkhead = job.bulkhead.filter(|word| !word.is_empty());
    if writing.state.jobs.contains_key(&job.id) || job.kind == JobKind::DeliverNotice {
        return Err(conflict(format!("job {} (its id exists)", job.id)));
    }
    let same_key = |other: &&KeptJob| job.key.is_some() && other.job.key == job.key;
    let last = writing.state.jobs.values().filter(same_key).map(|other| other.place).max();
    let kept = KeptJob { lease: None, place: last.map_or(0, |last| last + 1), notice: None, job };
    writing.wake_jobs(kept.job.kind);
    writing.put(|state| &mut state.jobs, kept.job.id, Some(kept));
    Ok(())
}

/// The job, if it is held under this lease.
pub(super) fn held(writing: &Writing<'_>, job: JobId, lease: &str) -> Result<KeptJob, CommitError> {
    match writing.state.jobs.get(&job) {
        Some(kept) if kept.is_held_by(lease) => Ok(kept.clone()),
        _ => Err(conflict(format!("job {job} (not held under the lease `{lease}`)"))),
    }
}

/// The work is done. Conflict when it is not held under this lease.
pub(super) fn finish(writing: &mut Writing<'_>, job: JobId, lease: &str) -> Result<(), CommitError> {
    let kept = held(writing, job, lease)?;
    if kept.job.key.is_some() {
        // The next one of its key.
        writing.wake_jobs(kept.job.kind);
    }
    writing.put(|state| &mut state.jobs, job, None);
    Ok(())
}

/// To be tried again. Conflict when it is not held under this lease.
pub(super) fn retry(
    writing: &mut Writing<'_>,
    job: JobId,
    lease: &str,
    due: Timestamp,
) -> Result<(), CommitError> {
    let mut kept = held(writing, job, lease)?;
    kept.lease = None;
    kept.job.due = due;
    writing.wake_jobs(kept.job.kind);
    writing.put(|state| &mut state.jobs, job, Some(kept));
    Ok(())
}

/// What waits is due sooner.
pub(super) fn hasten(writing: &mut Writing<'_>, run: RunId, kind: JobKind, due: Timestamp) {
    let waits_longer = |kept: &&KeptJob| {
        kept.job.run == run && kept.job.kind == kind && kept.lease.is_none() && kept.job.due > due
    };
    let waiting: Vec<KeptJob> = writing.state.jobs.values().filter(waits_longer).cloned().collect();
    for mut kept in waiting {
        kept.job.due = due;
        writing.put(|state| &mut state.jobs, kept.job.id, Some(kept));
    }
    writing.wake_jobs(kind);
}

/// No longer needed.
pub(super) fn drop_for(writing: &mut Writing<'_>, run: RunId, kind: JobKind) {
    let of_run = |kept: &&KeptJob| kept.job.run == run && kept.job.kind == kind;
    let gone: Vec<JobId> = writing.state.jobs.values().filter(of_run).map(|kept| kept.job.id).collect();
    for job in gone {
        // Others may have waited for it.
        writing.wake_jobs(kind);
        writing.put(|state| &mut state.jobs, job, None);
    }
}

/// The empty word is that of jobs without one.
fn bulkhead_of(kept: &KeptJob) -> &str {
    kept.job.bulkhead.as_deref().unwrap_or_default()
}

/// Whether this is the one of its key that may go when it is `now`.
fn is_first_of_its_key(state: &State, kept: &KeptJob, now: Timestamp) -> bool {
    let Some(key) = &kept.job.key else { return true };
    let others = || {
        state.jobs.values().filter(|other| other.job.key.as_ref() == Some(key) && other.job.id != kept.job.id)
    };
    let is_before = |other: &KeptJob| other.place < kept.place && other.job.due <= now;
    !others().any(|other| other.job.attempts > 0) && (kept.job.attempts > 0 || !others().any(is_before))
}

#[async_trait]
impl Jobs for MemoryStore {
    async fn claim_jobs(
        &self,
        lane: &Lane,
        lease: &str,
        now: Timestamp,
        until: Timestamp,
        room: &Room,
    ) -> Result<Vec<Job>, StoreError> {
        let lane = lane.word();
        self.write(|writing| {
            let state = &*writing.state;
            let may_go = |kept: &&KeptJob| {
                kept.lane() == lane && kept.free_at() <= now && is_first_of_its_key(state, kept, now)
            };
            let mut free: Vec<KeptJob> = state.jobs.values().filter(may_go).cloned().collect();
            // What has been free longest comes first.
            free.sort_by_key(|kept| (kept.free_at(), kept.job.id));
            let mut taken: BTreeMap<String, usize> = BTreeMap::new();
            free.retain(|kept| {
                let taken = taken.entry(bulkhead_of(kept).to_owned()).or_default();
                *taken += 1;
                *taken <= room.of(bulkhead_of(kept))
            });
            free.truncate(room.jobs);
            let mut jobs = Vec::new();
            for mut kept in free {
                kept.lease = Some((lease.to_owned(), until));
                kept.job.attempts += 1;
                jobs.push(kept.job.clone());
                writing.put(|state| &mut state.jobs, kept.job.id, Some(kept));
            }
            jobs.sort_by_key(|job| (job.due, job.id));
            Ok(jobs)
        })
        .map_err(CommitError::into_store_error)
    }

    async fn extend_lease(&self, job: JobId, lease: &str, until: Timestamp) -> Result<bool, StoreError> {
        self.write(|writing| {
            let Ok(mut kept) = held(writing, job, lease) else { return Ok(false) };
            kept.lease = Some((lease.to_owned(), until));
            writing.put(|state| &mut state.jobs, job, Some(kept));
            Ok(true)
        })
        .map_err(CommitError::into_store_error)
    }

    async fn next_due(&self, lane: &Lane, room: &Room) -> Result<Option<Timestamp>, StoreError> {
        let lane = lane.word();
        self.read(|state| {
            // What waits behind another of its key is woken by that one's end.
            let counts = |kept: &&KeptJob| {
                kept.lane() == lane
                    && room.of(bulkhead_of(kept)) > 0
                    && is_first_of_its_key(state, kept, kept.free_at())
            };
            Ok(state.jobs.values().filter(counts).map(KeptJob::free_at).min())
        })
    }

    async fn line(&self, key: &str, now: Timestamp) -> Result<Vec<RunId>, StoreError> {
        self.read(|state| {
            let goes = |kept: &&KeptJob| {
                kept.job.key.as_deref() == Some(key) && (kept.job.attempts > 0 || kept.job.due <= now)
            };
            let mut line: Vec<&KeptJob> = state.jobs.values().filter(goes).collect();
            line.sort_by_key(|kept| (kept.job.attempts == 0, kept.place));
            Ok(line.into_iter().map(|kept| kept.job.run).collect())
        })
    }

    async fn free_all_leases(&self) -> Result<u64, StoreError> {
        self.write(|writing| {
            let held: Vec<KeptJob> =
                writing.state.jobs.values().filter(|kept| kept.lease.is_some()).cloned().collect();
            let freed = held.len() as u64;
            for mut kept in held {
                kept.lease = None;
                writing.put(|state| &mut state.jobs, kept.job.id, Some(kept));
            }
            if freed > 0 {
                writing.wake_jobs(JobKind::ExecuteRun);
                writing.wake_jobs(JobKind::DeliverNotice);
            }
            Ok(freed)
        })
        .map_err(CommitError::into_store_error)
    }
}
