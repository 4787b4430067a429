//! What people are to be told, and who was told.

use std::collections::BTreeSet;

use async_trait::async_trait;
use guichet_contract::{Delivery, DeliveryId, JobId, Notice};
use jiff::Timestamp;
use uuid::Uuid;

use super::{
    MemoryStore, deliveries,
    state::KeptJob,
    writing::{Writing, conflict},
};
use crate::{CommitError, DeliveriesFilter, Job, JobKind, Notices, Page, PageRequest, StoreError, Told};

/// Something to tell. Conflict when the job's id exists, or when it is of another kind.
pub(super) fn enqueue(writing: &mut Writing<'_>, job: &Job, notice: Notice) -> Result<(), CommitError> {
    if writing.state.jobs.contains_key(&job.id) || job.kind != JobKind::DeliverNotice {
        return Err(conflict(format!("job {} (its id exists, or its kind delivers no notice)", job.id)));
    }
    deliveries::begin(writing, job, &notice)?;
    writing.wake_jobs(job.kind);
    let kept = KeptJob { lease: None, place: 0, notice: Some(notice), job: Job { key: None, ..job.clone() } };
    writing.put(|state| &mut state.jobs, kept.job.id, Some(kept));
    Ok(())
}

/// Somebody was told, or never will be. Conflict when that was written before.
pub(super) fn note_told(writing: &mut Writing<'_>, told: Told) -> Result<(), CommitError> {
    let key = (told.event, told.channel.clone(), told.recipient.clone());
    if writing.state.told.contains_key(&key) {
        let (event, channel, recipient) = key;
        return Err(conflict(format!(
            "telling of {event} through {channel} to `{recipient}` (it is noted already)"
        )));
    }
    writing.put(|state| &mut state.told, key, Some(told));
    Ok(())
}

#[async_trait]
impl Notices for MemoryStore {
    async fn notice(&self, job: JobId) -> Result<Option<Notice>, StoreError> {
        self.read(|state| Ok(state.jobs.get(&job).and_then(|kept| kept.notice.clone())))
    }

    async fn told(&self, event: Uuid, channel: &str) -> Result<Vec<Told>, StoreError> {
        let from = (event, channel.to_owned(), String::new());
        self.read(|state| {
            let of_event = state.told.range(from..);
            let of_event = of_event.take_while(|((of, by, _), _)| *of == event && by == channel);
            Ok(of_event.map(|(_, told)| told.clone()).collect())
        })
    }

    async fn delivery(&self, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
        self.read(|state| Ok(deliveries::one(state, id)))
    }

    async fn deliveries(
        &self,
        filter: &DeliveriesFilter,
        page: &PageRequest,
    ) -> Result<Page<Delivery>, StoreError> {
        self.read(|state| deliveries::list(state, filter, page))
    }

    async fn oldest_kept_delivery(&self, keep: u64) -> Result<Option<Timestamp>, StoreError> {
        self.read(|state| Ok(deliveries::oldest_kept(state, keep)))
    }

    async fn forget_deliveries(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.write(|writing| Ok(deliveries::forget(writing, before))).map_err(CommitError::into_store_error)
    }

    async fn note_channels(&self, channels: &[String], at: Timestamp) -> Result<(), StoreError> {
        self.write(|writing| {
            for name in channels {
                let seen_at = writing.state.channels.get(name).copied().map_or(at, |seen| seen.max(at));
                writing.put(|state| &mut state.channels, name.clone(), Some(seen_at));
            }
            Ok(())
        })
        .map_err(CommitError::into_store_error)
    }

    async fn channels_noted_at(&self) -> Result<Option<Timestamp>, StoreError> {
        self.read(|state| Ok(state.channels.values().max().copied()))
    }

    async fn gone_channels(
        &self,
        kept: &[String],
        seen_before: Timestamp,
    ) -> Result<Vec<String>, StoreError> {
        self.read(|state| {
            let waited_for = state.jobs.values().filter_map(|job| job.notice.as_ref());
            let is_gone = |name: &&String| {
                !kept.contains(name) && state.channels.get(*name).is_none_or(|seen| *seen < seen_before)
            };
            let gone: BTreeSet<&String> = waited_for.map(|notice| &notice.channel).filter(is_gone).collect();
            Ok(gone.into_iter().cloned().collect())
        })
    }
}
