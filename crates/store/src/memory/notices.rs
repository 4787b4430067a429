//! What people are to be told, and who was told.

use async_trait::async_trait;
use guichet_contract::{JobId, Notice};
use uuid::Uuid;

use super::{
    MemoryStore,
    state::KeptJob,
    writing::{Writing, conflict},
};
use crate::{CommitError, Delivery, Job, JobKind, Notices, StoreError};

/// Something to tell. Conflict when the job's id exists, or when it is of another kind.
pub(super) fn enqueue(writing: &mut Writing<'_>, job: &Job, notice: Notice) -> Result<(), CommitError> {
    if writing.state.jobs.contains_key(&job.id) || job.kind != JobKind::DeliverNotice {
        return Err(conflict(format!("job {} (its id exists, or its kind delivers no notice)", job.id)));
    }
    writing.wake_jobs(job.kind);
    let kept = KeptJob { lease: None, place: 0, notice: Some(notice), job: Job { key: None, ..job.clone() } };
    writing.put(|state| &mut state.jobs, kept.job.id, Some(kept));
    Ok(())
}

/// Somebody was told, or never will be. Conflict when that was written before.
pub(super) fn note_delivery(writing: &mut Writing<'_>, delivery: Delivery) -> Result<(), CommitError> {
    let key = (delivery.event, delivery.channel.clone(), delivery.recipient.clone());
    if writing.state.deliveries.contains_key(&key) {
        let (event, channel, recipient) = key;
        return Err(conflict(format!(
            "delivery of {event} through {channel} to `{recipient}` (it is noted already)"
        )));
    }
    writing.put(|state| &mut state.deliveries, key, Some(delivery));
    Ok(())
}

#[async_trait]
impl Notices for MemoryStore {
    async fn notice(&self, job: JobId) -> Result<Option<Notice>, StoreError> {
        self.read(|state| Ok(state.jobs.get(&job).and_then(|kept| kept.notice.clone())))
    }

    async fn deliveries(&self, event: Uuid, channel: &str) -> Result<Vec<Delivery>, StoreError> {
        let from = (event, channel.to_owned(), String::new());
        self.read(|state| {
            let of_event = state.deliveries.range(from..);
            let of_event = of_event.take_while(|((of, by, _), _)| *of == event && by == channel);
            Ok(of_event.map(|(_, delivery)| delivery.clone()).collect())
        })
    }

    async fn drop_notices_of_others(&self, channels: &[String]) -> Result<u64, StoreError> {
        self.write(|writing| {
            let is_others = |kept: &&KeptJob| {
                kept.notice.as_ref().is_some_and(|notice| !channels.contains(&notice.channel))
            };
            let gone: Vec<JobId> =
                writing.state.jobs.values().filter(is_others).map(|kept| kept.job.id).collect();
            for job in &gone {
                writing.put(|state| &mut state.jobs, *job, None);
            }
            Ok(gone.len() as u64)
        })
        .map_err(CommitError::into_store_error)
    }
}
