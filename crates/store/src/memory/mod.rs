//! The store of the simulation: everything in maps, nothing on a disk, no thread and no timer of its own.
//!
//! For tests only, behind the feature `conformance`: no configuration can name it. Several stores can be opened over one
//! [`Memory`], as replicas open one database: what one commits, all see at once, and whoever waits at any of them is woken.
//! The same calls in the same order leave the same state and wake the same waiters in the same order: every map is sorted.
//!
//! A file by noun, as in `sqlite/`. A change that cannot be made takes back those of its unit before it (`writing`).
//!
//! Begin reading at [`writing`], then `runs`.

mod checkpoints;
mod deliveries;
mod events;
mod idempotency;
mod jobs;
mod notices;
mod records;
mod registrations;
mod reviews;
mod runs;
mod schedules;
mod state;
mod tokens;
mod writing;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use guichet_contract::{Record, Run, RunId};
use tokio::sync::broadcast;

use self::{
    state::State,
    writing::{Woken, Writing},
};
use crate::{
    CommitError, StoreError, UnitOfWork,
    traits::Store,
    wakes::{RunWakes, Wake, Wakes, Waking},
};

/// Decides which wakes of others reach a store: true lets it pass.
pub type Hears = Arc<dyn Fn(Wake) -> bool + Send + Sync>;

/// What outlives the stores that are opened over it.
#[derive(Clone, Default)]
pub struct Memory(Arc<Inside>);

#[derive(Default)]
struct Inside {
    state: Mutex<State>,
    open: Mutex<Listeners>,
}

/// Who is to be woken, in the order of opening.
#[derive(Default)]
struct Listeners {
    next: u64,
    all: Vec<Listener>,
}

struct Listener {
    number: u64,
    wakes: Waking,
    hears: Hears,
}

impl Memory {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every checkpoint that was ever signed, with its size, the smallest first.
    pub fn checkpoints(&self) -> Vec<(u64, String)> {
        self.state().checkpoints.iter().map(|(size, note)| (*size, note.clone())).collect()
    }

    /// Looks at every run that is kept. Whoever looks asks no store meanwhile.
    pub fn look_at_runs<T>(&self, look: impl FnOnce(&BTreeMap<RunId, Run>) -> T) -> T {
        look(&self.state().runs)
    }

    fn listeners(&self) -> MutexGuard<'_, Listeners> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One process's way to a [`Memory`].
pub struct MemoryStore {
    memory: Memory,
    number: u64,
    wakes: Waking,
    closed: AtomicBool,
}

impl Drop for MemoryStore {
    fn drop(&mut self) {
        self.memory.listeners().all.retain(|listener| listener.number != self.number);
    }
}

impl MemoryStore {
    /// A store that is told of everything that others commit.
    pub fn open(memory: &Memory) -> Self {
        Self::open_hearing(memory, Arc::new(|_| true))
    }

    /// A store that is told of what others commit as far as `hears` lets it pass. What it commits itself always wakes its
    /// own waiters.
    pub fn open_hearing(memory: &Memory, hears: Hears) -> Self {
        let wakes = Waking::new();
        let mut listeners = memory.listeners();
        let number = listeners.next;
        listeners.next += 1;
        listeners.all.push(Listener { number, wakes: wakes.clone(), hears });
        drop(listeners);
        Self { memory: memory.clone(), number, wakes, closed: AtomicBool::new(false) }
    }

    fn read<T>(&self, read: impl FnOnce(&State) -> Result<T, StoreError>) -> Result<T, StoreError> {
        if self.is_closed() {
            return Err(StoreError::Closed);
        }
        read(&self.memory.state())
    }

    /// All of the work becomes true, or nothing of it; then whoever waits is woken.
    fn write<T>(
        &self,
        work: impl FnOnce(&mut Writing<'_>) -> Result<T, CommitError>,
    ) -> Result<T, CommitError> {
        if self.is_closed() {
            return Err(StoreError::Closed.into());
        }
        let mut state = self.memory.state();
        let mut writing = Writing::of(&mut state);
        let said = match work(&mut writing) {
            Ok(said) => said,
            Err(error) => {
                writing.take_back();
                return Err(error);
            }
        };
        let woken = writing.woken;
        drop(state);
        self.wake(woken);
        Ok(said)
    }

    fn wake(&self, woken: Woken) {
        let wakes = woken.into_wakes();
        for listener in &self.memory.listeners().all {
            for wake in wakes.iter().filter(|wake| listener.number == self.number || (listener.hears)(**wake))
            {
                listener.wakes.wake(*wake);
            }
        }
    }

    /// Wakes of others may have been missed: all who wait here look anew.
    pub fn wake_all(&self) {
        self.wakes.wake(Wake::Anything);
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }
}

impl Wakes for MemoryStore {
    fn wakes(&self) -> broadcast::Receiver<Wake> {
        self.wakes.wakes()
    }

    fn wakes_of(&self, run: RunId) -> RunWakes {
        self.wakes.wakes_of(run)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn commit(&self, work: UnitOfWork) -> Result<(), CommitError> {
        self.write(|writing| work.changes.into_iter().try_for_each(|change| writing.apply(change)))
    }

    async fn append_soon(&self, record: Record) -> Result<(), StoreError> {
        self.write(|writing| records::append(writing, &record)).map_err(CommitError::into_store_error)
    }

    fn lost_records(&self) -> u64 {
        0
    }

    /// Others may have opened the same memory.
    fn is_shared(&self) -> bool {
        true
    }

    async fn check_writable(&self) -> Result<(), StoreError> {
        self.write(|_| Ok(())).map_err(CommitError::into_store_error)
    }

    async fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::Premises;

    struct Kept(Memory);

    impl Premises for Kept {
        type Store = MemoryStore;
        async fn open(&self) -> Arc<MemoryStore> {
            Arc::new(MemoryStore::open(&self.0))
        }
    }

    mod conformance {
        use super::{Kept, Memory};
        crate::conformance_suite!(Kept(Memory::default()));
    }

    mod sharing {
        use super::*;
        use crate::{Lane, Room, conformance::fixtures::*};

        #[tokio::test]
        async fn what_one_commits_the_others_see_and_hear_of() {
            let memory = Memory::default();
            let (one, other) = (MemoryStore::open(&memory), MemoryStore::open(&memory));
            let deaf = MemoryStore::open_hearing(&memory, Arc::new(|_| false));
            let (mut heard, mut missed) = (other.wakes(), deaf.wakes());
            one.commit(UnitOfWork::new().enqueue_job(job_due(second(0)))).await.unwrap();
            assert_eq!(heard.try_recv().unwrap(), Wake::Job);
            assert!(missed.try_recv().is_err());
            assert_eq!(
                deaf.claim_jobs(&Lane::Runs, "a", second(0), second(9), &Room::any(9)).await.unwrap().len(),
                1
            );
            assert_eq!(
                one.claim_jobs(&Lane::Runs, "b", second(0), second(9), &Room::any(9)).await.unwrap(),
                []
            );
            one.close().await;
            assert!(other.check_writable().await.is_ok(), "one closes for itself alone");
        }
    }
}
