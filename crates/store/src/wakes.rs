//! Waking those who wait, after the commit and never before.
//!
//!   a commit ──► jobs, notices, records ──► all who take them up or seal them
//!            └─► run R                  ──► those who watch R, and nobody else
//!
//! Thousands may follow a run each: what happens to one must not wake those of the others.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use guichet_contract::RunId;
use tokio::sync::broadcast::{self, error::RecvError};

use crate::StoreError;

/// What has become true just now, for those who wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// A job that moves a run was added or became free.
    Job,
    /// Something to tell was added or became free.
    Notice,
    /// A run has new events. Only those who watch it hear it ([`Wakes::wakes_of`]).
    Run(RunId),
    /// The ledger has new records.
    Record,
    /// A provider registered, said again that it is there, or left.
    Registration,
    /// Any of these, of which nobody told: whoever waits looks anew.
    Anything,
}

/// Waking those who wait.
pub trait Wakes {
    /// From now on, whatever is not about one run. A receiver that lags is told so and reads anew.
    fn wakes(&self) -> broadcast::Receiver<Wake>;

    /// From now on, whatever may have happened to this run.
    fn wakes_of(&self, run: RunId) -> RunWakes;
}

/// Waits until the ledger has new records, or may have (some wakes were missed), and then for `gather`, so that those that
/// come together are looked at once. For ever when the store is gone.
pub async fn next_records(wakes: &mut broadcast::Receiver<Wake>, gather: Duration) {
    loop {
        match wakes.recv().await {
            Ok(Wake::Record | Wake::Anything) | Err(RecvError::Lagged(_)) => break,
            Ok(_) => {}
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
    tokio::time::sleep(gather).await;
    // What was told meanwhile is seen by the look that follows; it must not become a look of its own.
    *wakes = wakes.resubscribe();
}

/// Wakes kept for a receiver that is slow; one that lags further is told so and reads anew.
const KEPT: usize = 4_096;

/// A store's side: tells those who wait. Its clones tell the same ones.
#[derive(Clone)]
pub(crate) struct Waking {
    all: broadcast::Sender<Wake>,
    watched: Arc<Watched>,
}

/// The runs that somebody watches. In an order that is always the same: a simulated story must not depend on chance.
#[derive(Default)]
struct Watched(Mutex<BTreeMap<RunId, broadcast::Sender<()>>>);

impl Watched {
    fn by_run(&self) -> MutexGuard<'_, BTreeMap<RunId, broadcast::Sender<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waking {
    pub(crate) fn new() -> Self {
        Self { all: broadcast::channel(KEPT).0, watched: Arc::default() }
    }

    pub(crate) fn wake(&self, wake: Wake) {
        // Of those who are told nobody may be there any more.
        match wake {
            Wake::Run(run) => {
                if let Some(sender) = self.watched.by_run().get(&run) {
                    let _ = sender.send(());
                }
            }
            Wake::Anything => {
                for sender in self.watched.by_run().values() {
                    let _ = sender.send(());
                }
                let _ = self.all.send(wake);
            }
            Wake::Job | Wake::Notice | Wake::Record | Wake::Registration => {
                let _ = self.all.send(wake);
            }
        }
    }

    pub(crate) fn wakes(&self) -> broadcast::Receiver<Wake> {
        self.all.subscribe()
    }

    pub(crate) fn wakes_of(&self, run: RunId) -> RunWakes {
        // One place: who was told once more before they looked looks once.
        let heard = self.watched.by_run().entry(run).or_insert_with(|| broadcast::channel(1).0).subscribe();
        RunWakes { heard, run, watched: Arc::downgrade(&self.watched) }
    }
}

/// Whoever watches one run.
#[derive(Debug)]
pub struct RunWakes {
    heard: broadcast::Receiver<()>,
    run: RunId,
    watched: Weak<Watched>,
}

impl RunWakes {
    /// Waits until something may have happened to the run since the last call. `Closed` when the store is gone.
    ///
    /// # Errors
    /// [`StoreError::Closed`].
    pub async fn next(&mut self) -> Result<(), StoreError> {
        match self.heard.recv().await {
            Ok(()) => Ok(()),
            Err(RecvError::Lagged(_)) => {
                // What is kept is from before now: one look is enough for it too.
                self.heard = self.heard.resubscribe();
                Ok(())
            }
            Err(RecvError::Closed) => Err(StoreError::Closed),
        }
    }
}

impl Drop for RunWakes {
    fn drop(&mut self) {
        let Some(watched) = self.watched.upgrade() else { return };
        let mut by_run = watched.by_run();
        // The last one is still counted here.
        if by_run.get(&self.run).is_some_and(|sender| sender.receiver_count() <= 1) {
            by_run.remove(&self.run);
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn run(number: u128) -> RunId {
        RunId(Uuid::from_u128(number))
    }

    #[tokio::test]
    async fn who_watches_a_run_hears_of_that_run_alone() {
        let waking = Waking::new();
        let (mut all, mut first, mut second) =
            (waking.wakes(), waking.wakes_of(run(1)), waking.wakes_of(run(2)));
        waking.wake(Wake::Run(run(1)));
        first.next().await.unwrap();
        assert!(second.heard.try_recv().is_err());
        assert!(all.try_recv().is_err());
        waking.wake(Wake::Anything);
        first.next().await.unwrap();
        second.next().await.unwrap();
        assert_eq!(all.try_recv().unwrap(), Wake::Anything);
    }

    #[tokio::test]
    async fn told_many_times_is_told_once() {
        let waking = Waking::new();
        let mut watching = waking.wakes_of(run(1));
        for _ in 0..9 {
            waking.wake(Wake::Run(run(1)));
        }
        watching.next().await.unwrap();
        assert!(watching.heard.try_recv().is_err());
        drop(waking);
        assert!(matches!(watching.next().await, Err(StoreError::Closed)));
    }

    #[test]
    fn whom_nobody_watches_is_forgotten() {
        let waking = Waking::new();
        let (one, other) = (waking.wakes_of(run(1)), waking.wakes_of(run(1)));
        drop(one);
        assert_eq!(waking.watched.by_run().len(), 1);
        drop(other);
        assert!(waking.watched.by_run().is_empty());
    }
}
