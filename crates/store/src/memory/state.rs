//! Everything that is kept, each noun in a sorted map.

use std::collections::BTreeMap;

use guichet_contract::{
    Attempt, DeliveryId, DeliveryState, Digest, JobId, Notice, Registration, Review, Run, RunEvent, RunId,
    Schedule, ScheduleId, TokenId,
};
use jiff::Timestamp;
use uuid::Uuid;

use crate::{Job, Token, Told};

/// The tables.
#[derive(Default)]
pub(super) struct State {
    /// As submitted, with what has changed since; `undone_by` is told when one is read.
    pub(super) runs: BTreeMap<RunId, Run>,
    /// By run and number.
    pub(super) events: BTreeMap<(RunId, u64), RunEvent>,
    pub(super) reviews: BTreeMap<RunId, Review>,
    pub(super) schedules: BTreeMap<ScheduleId, Schedule>,
    /// By provider.
    pub(super) registrations: BTreeMap<String, Registration>,
    pub(super) jobs: BTreeMap<JobId, KeptJob>,
    /// By event, channel and recipient.
    pub(super) told: BTreeMap<(Uuid, String, String), Told>,
    pub(super) delivery_log: BTreeMap<DeliveryId, KeptDelivery>,
    /// By delivery, replay, number and recipient.
    pub(super) attempts: BTreeMap<(DeliveryId, u32, u32, String), Attempt>,
    /// When somebody last had each, by name.
    pub(super) channels: BTreeMap<String, Timestamp>,
    pub(super) tokens: BTreeMap<TokenId, Token>,
    /// By principal and key.
    pub(super) idempotency_keys: BTreeMap<(String, String), (Digest, RunId)>,
    /// The exact text of each, by index.
    pub(super) records: BTreeMap<u64, String>,
    /// How many were ever appended.
    pub(super) record_count: u64,
    /// The signed note, by size.
    pub(super) checkpoints: BTreeMap<u64, String>,
    /// By level and place.
    pub(super) tiles: BTreeMap<(u8, u64), Vec<u8>>,
}

/// A delivery without its tries.
#[derive(Clone)]
pub(super) struct KeptDelivery {
    pub(super) run: RunId,
    pub(super) state: DeliveryState,
    pub(super) replays: u32,
    pub(super) ended_at: Option<Timestamp>,
    /// What it is to tell.
    pub(super) notice: Notice,
}

/// A job with who holds it.
#[derive(Clone)]
pub(super) struct KeptJob {
    pub(super) job: Job,
    /// The holder, and until when.
    pub(super) lease: Option<(String, Timestamp)>,
    /// Its place in the line of its key.
    pub(super) place: u64,
    /// What it is to tell.
    pub(super) notice: Option<Notice>,
}

impl KeptJob {
    /// When it can be claimed: when it is due, or when the lease on it runs out.
    pub(super) fn free_at(&self) -> Timestamp {
        self.lease.as_ref().map_or(self.job.due, |(_, until)| *until)
    }

    /// The word of its lane.
    pub(super) fn lane(&self) -> String {
        match &self.notice {
            Some(notice) => crate::Lane::Channel(notice.channel.clone()).word(),
            None => crate::Lane::Runs.word(),
        }
    }

    /// Whether it is held under this lease.
    pub(super) fn is_held_by(&self, lease: &str) -> bool {
        self.lease.as_ref().is_some_and(|(holder, _)| holder == lease)
    }
}
