//! Runs with the same concurrency key go one at a time: who stands before whom.

use std::collections::BTreeMap;

use guichet_contract::{EventKind, Run, RunId, RunState};
use guichet_store::{Change, StoreError};
use jiff::Timestamp;

use crate::platform::Platform;

/// The lines that were looked at, so that a page of runs looks at each once.
#[derive(Default)]
pub(crate) struct Lines(BTreeMap<String, Vec<RunId>>);

impl Lines {
    /// The run, with the one that goes before it. A store that does not answer leaves it untold.
    pub(crate) async fn told(&mut self, platform: &Platform, mut run: Run) -> Run {
        let Some(key) = run.line().filter(|_| run.state == RunState::Queued) else { return run };
        if !self.0.contains_key(&key) {
            let line = line(platform, &key, platform.clock.now()).await.unwrap_or_default();
            self.0.insert(key.clone(), line);
        }
        let line = self.0.get(&key).map_or(&[][..], Vec::as_slice);
        let place = line.iter().position(|other| *other == run.id);
        run.behind =
            place.and_then(|place| place.checked_sub(1)).and_then(|before| line.get(before)).copied();
        run
    }
}

/// One run, as [`Lines::told`] tells it.
pub(crate) async fn told(platform: &Platform, run: Run) -> Run {
    Lines::default().told(platform, run).await
}

/// What to add to the unit that queues a run: that others go first, if so. It is told as it was at this moment.
pub(crate) async fn waiting(platform: &Platform, run: &Run, at: Timestamp) -> Option<Change> {
    let (line, key) = (run.line()?, run.concurrency.as_ref()?);
    let before = self::line(platform, &line, at).await.ok()?.pop()?;
    let line = format!("waits behind run {}: one run at a time for {key}", before.short());
    Some(Change::AppendEvent { run: run.id, at, kind: EventKind::Log { line } })
}

async fn line(platform: &Platform, key: &str, now: Timestamp) -> Result<Vec<RunId>, StoreError> {
    let line = platform.store.line(key, now).await;
    line.inspect_err(|error| tracing::warn!(%error, key, "who waits behind whom is not known"))
}
