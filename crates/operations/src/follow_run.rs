//! Following a run: events so far, then each as it comes, then the end.

use std::{collections::VecDeque, sync::Arc};

use guichet_admission::{Call, Refusal, door};
use guichet_contract::{EventKind, RunEvent, RunId, RunState, Verb, redact};
use guichet_store::{RunWakes, StoreError};
use serde_json::json;

use crate::{platform::Platform, read_runs};

/// How many events are read at once.
const BATCH: usize = 200;

/// A follower of one run.
pub struct Follower {
    platform: Arc<Platform>,
    run: RunId,
    hides_results: bool,
    after: u64,
    wakes: RunWakes,
    waiting: VecDeque<RunEvent>,
    /// Whatever was there at the last look was taken: nothing new before the next wake.
    caught_up: bool,
    /// Nothing more can come than what is waiting.
    all_told: bool,
    /// As far as is known: by the run when it began, then by its events.
    ended: bool,
}

/// Follows from after event `after` (0 for all).
///
/// # Errors
/// Unknown run, or one the caller may not see.
pub async fn follow_run(
    platform: &Arc<Platform>,
    call: &Call,
    run: &str,
    after: u64,
) -> Result<Follower, Refusal> {
    let caller = read_runs::reader(platform, call).await?;
    let run = read_runs::find(platform, &caller, run, Verb::ReadRuns).await?;
    let followed = |record: &mut guichet_contract::Record| {
        door::describe_run(record, &run);
        record.detail = Some("follow".to_owned());
    };
    platform.note_shown(&caller, Verb::ReadRuns, followed).await;
    let world = platform.door.world();
    let sensitive = world.catalogue.action(run.action.as_str()).is_none_or(|action| action.action.sensitive);
    let hides_results = sensitive && !run.requested_by.is_same_actor(&caller.principal);
    Ok(Follower {
        platform: Arc::clone(platform),
        hides_results,
        run: run.id,
        after,
        wakes: platform.store.wakes_of(run.id),
        waiting: VecDeque::new(),
        caught_up: false,
        all_told: false,
        ended: run.state.is_final(),
    })
}

impl Follower {
    /// The next event; `None` when the run has ended and all was told.
    ///
    /// # Errors
    /// The store's; the follower may come back with the last event id it saw.
    pub async fn next(&mut self) -> Result<Option<RunEvent>, StoreError> {
        loop {
            if let Some(mut event) = self.waiting.pop_front() {
                self.after = event.seq;
                if self.hides_results {
                    hide_results(&mut event.kind);
                }
                return Ok(Some(event));
            }
            if self.all_told {
                return Ok(None);
            }
            self.read().await?;
        }
    }

    /// What was not told yet; waits for it when there is nothing.
    async fn read(&mut self) -> Result<(), StoreError> {
        loop {
            if self.caught_up {
                self.wakes.next().await?;
            }
            let events = self.platform.store.events(self.run, self.after, BATCH).await?;
            self.caught_up = events.len() < BATCH;
            if let Some(state) = events.iter().rev().find_map(state_told) {
                self.ended = state.is_final();
            }
            self.waiting = events.into();
            // The last events and the final state are written together: nothing comes after them.
            self.all_told = self.caught_up && self.ended;
            if !self.waiting.is_empty() || self.all_told {
                return Ok(());
            }
        }
    }
}

fn state_told(event: &RunEvent) -> Option<RunState> {
    match &event.kind {
        EventKind::State { state, .. } => Some(*state),
        _ => None,
    }
}

/// What a sensitive action gives is its requester's alone.
fn hide_results(kind: &mut EventKind) {
    let result = match kind {
        EventKind::Outcome { outcome } => &mut outcome.result,
        EventKind::Step { result, .. } => result,
        EventKind::State { .. }
        | EventKind::Decision { .. }
        | EventKind::Comment { .. }
        | EventKind::Log { .. }
        | EventKind::Waiting { .. }
        | EventKind::CancelAsked { .. }
        | EventKind::Progress { .. } => return,
    };
    *result = result.take().map(|_| json!(redact::REDACTED));
}
