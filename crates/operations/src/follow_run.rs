//! Following a run: events so far, then each as it comes, then the end.

use std::{collections::VecDeque, sync::Arc};

use guichet_admission::{Call, Refusal, door};
use guichet_contract::{EventKind, RunEvent, RunId, Verb, redact};
use guichet_store::{StoreError, Wake};
use serde_json::json;
use tokio::sync::broadcast::{self, error::RecvError};

use crate::{platform::Platform, read_runs};

/// How many events are read at once.
const BATCH: usize = 200;

/// A follower of one run.
pub struct Follower {
    platform: Arc<Platform>,
    run: RunId,
    hides_results: bool,
    after: u64,
    wakes: broadcast::Receiver<Wake>,
    waiting: VecDeque<RunEvent>,
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
    // Before reading: what is committed in between wakes us.
    let wakes = platform.store.wakes();
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
        wakes,
        waiting: VecDeque::new(),
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
            self.waiting = self.platform.store.events(self.run, self.after, BATCH).await?.into();
            if !self.waiting.is_empty() {
                continue;
            }
            let ended = self.platform.store.run(self.run).await?.is_none_or(|run| run.state.is_final());
            if ended {
                // The last events and the final state are written together, so nothing can come after this look.
                self.waiting = self.platform.store.events(self.run, self.after, BATCH).await?.into();
                if self.waiting.is_empty() {
                    return Ok(None);
                }
                continue;
            }
            self.wait().await?;
        }
    }

    async fn wait(&mut self) -> Result<(), StoreError> {
        loop {
            match self.wakes.recv().await {
                Ok(Wake::Run(run)) if run == self.run => return Ok(()),
                Ok(Wake::Anything) | Err(RecvError::Lagged(_)) => return Ok(()),
                Ok(_) => {}
                Err(RecvError::Closed) => return Err(StoreError::Closed),
            }
        }
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
