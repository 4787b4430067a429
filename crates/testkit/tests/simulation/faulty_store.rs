//! One replica's way to the store: slow, cut off for a while, failing before anything took effect, and with commits that
//! arrive after their sender is dead.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use guichet_contract::{
    Delivery, DeliveryId, Digest, JobId, Notice, PrincipalKind, Record, Registration, Review, Run, RunEvent,
    RunId, RunState, Schedule, ScheduleId, TokenId, record::LedgerRecord,
};
use guichet_store::{
    Change, Checkpoints, CommitError, DeliveriesFilter, Events, Idempotency, Job, Jobs, Lane, Notices, Page,
    PageRequest, Records, RecordsFilter, Registrations, Reviews, Room, RunWakes, Runs, RunsFilter, Schedules,
    Store, StoreError, Token, Tokens, UnitOfWork, Wake, Wakes,
    memory::{Memory, MemoryStore},
};
use guichet_testkit::Dice;
use jiff::Timestamp;
use tokio::{sync::broadcast, time::sleep};
use uuid::Uuid;

use crate::{story::Shape, told::Told};

/// The outcome of a run is tried so often before it is left to the next attempt.
const OUTCOME_TRIES: u32 = 6;

/// How the way of one replica is, whichever process uses it.
pub(crate) struct Faults {
    replica: usize,
    told: Arc<Told>,
    dice: Mutex<Dice>,
    /// Other replicas use the same store, so what this one sent may arrive after its death.
    shared: bool,
    /// Calls that fail, in a thousand.
    failing: u64,
    /// More may go wrong than leases allow.
    beyond: bool,
    calm: AtomicBool,
    cut_off: AtomicBool,
    /// Calls of the store since the story began.
    calls: AtomicU64,
    inside: Mutex<Inside>,
}

/// More calls than any story needs: somebody asks in circles, and virtual time stands still.
const CALLS_MOST: u64 = 50_000;

#[derive(Default)]
struct Inside {
    /// Runs whose provider this replica has called, or is about to.
    performing: BTreeSet<RunId>,
    /// Runs that may end unknown because of what happened to this replica.
    excused: BTreeSet<RunId>,
    outcomes_refused: BTreeMap<RunId, u32>,
    /// Leases of which the last sign of life was refused: the next one passes, so that a lease is never lost by chance alone.
    last_sign_refused: BTreeSet<JobId>,
}

impl Faults {
    pub(crate) fn new(replica: usize, told: &Arc<Told>, dice: Dice, shape: Shape, failing: u64) -> Self {
        Self {
            replica,
            told: Arc::clone(told),
            dice: Mutex::new(dice),
            shared: shape.replicas > 1,
            failing,
            beyond: shape.beyond,
            calm: AtomicBool::new(failing == 0),
            cut_off: AtomicBool::new(false),
            calls: AtomicU64::new(0),
            inside: Mutex::default(),
        }
    }

    pub(crate) fn calm_down(&self) {
        self.calm.store(true, Ordering::Relaxed);
        self.cut_off.store(false, Ordering::Relaxed);
    }

    pub(crate) fn cut_off(&self, cut_off: bool) {
        self.cut_off.store(cut_off, Ordering::Relaxed);
    }

    /// The process is dead: nobody knows what became of what it was performing.
    pub(crate) fn died(&self) {
        let mut inside = self.inside();
        let performing = std::mem::take(&mut inside.performing);
        inside.excused.extend(performing);
        inside.last_sign_refused.clear();
    }

    pub(crate) fn excuses(&self, run: RunId) -> bool {
        self.inside().excused.contains(&run)
    }

    /// Whether a wake of another replica is heard here.
    pub(crate) fn hears(&self) -> bool {
        self.calm.load(Ordering::Relaxed) || !(self.is_cut_off() || self.dice().chance(100))
    }

    fn is_cut_off(&self) -> bool {
        self.cut_off.load(Ordering::Relaxed)
    }

    fn dice(&self) -> MutexGuard<'_, Dice> {
        self.dice.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn latency(&self) {
        if self.calm.load(Ordering::Relaxed) {
            return;
        }
        let pause = {
            let mut dice = self.dice();
            match dice.below(100) {
                0..60 => return,
                60..96 => dice.millis(1..20),
                _ => dice.millis(20..1_500),
            }
        };
        sleep(pause).await;
    }

    /// The way there: late, and not to the end when it is cut off or the dice say so.
    async fn way(&self) -> Result<(), StoreError> {
        if self.calls.fetch_add(1, Ordering::Relaxed) > CALLS_MOST {
            self.told.wrong(format_args!("r{} asks the store in circles", self.replica));
            std::future::pending::<()>().await;
        }
        self.latency().await;
        if self.is_cut_off() {
            return Err(StoreError::Engine("the store cannot be reached".to_owned()));
        }
        let fails = !self.calm.load(Ordering::Relaxed) && self.dice().chance(self.failing);
        if fails { Err(StoreError::Engine("the store has failed".to_owned())) } else { Ok(()) }
    }
}

/// The moves of a unit.
fn moves(work: &UnitOfWork) -> Vec<(RunId, RunState, RunState)> {
    let moved = work.changes.iter().filter_map(|change| match change {
        Change::MoveRun { run, from, to, .. } => Some((*run, *from, *to)),
        _ => None,
    });
    moved.collect()
}

/// The store as one process of a replica sees it.
pub(crate) struct FaultyStore {
    inner: Arc<MemoryStore>,
    faults: Arc<Faults>,
}

impl FaultyStore {
    pub(crate) fn open(memory: &Memory, faults: &Arc<Faults>) -> Self {
        let ears = Arc::clone(faults);
        let inner = MemoryStore::open_hearing(memory, Arc::new(move |_| ears.hears()));
        Self { inner: Arc::new(inner), faults: Arc::clone(faults) }
    }

    /// The connection stands again: what was told meanwhile is not known.
    pub(crate) fn connect(&self) {
        self.inner.wake_all();
    }

    async fn send(&self, work: UnitOfWork) -> Result<(), CommitError> {
        self.faults.way().await?;
        let on_its_own =
            self.faults.shared && !self.faults.calm.load(Ordering::Relaxed) && self.faults.dice().chance(250);
        if !on_its_own {
            return self.inner.commit(work).await;
        }
        // On the wire: it arrives whether or not its sender still lives.
        let (inner, pause) = (Arc::clone(&self.inner), self.faults.dice().millis(1..1_500));
        let sent = tokio::spawn(async move {
            sleep(pause).await;
            inner.commit(work).await
        });
        sent.await.unwrap_or(Err(StoreError::Closed.into()))
    }

    fn note(&self, moves: &[(RunId, RunState, RunState)], answer: &Result<(), CommitError>) {
        let mut inside = self.faults.inside();
        for (run, from, to) in moves {
            let said = match answer {
                Ok(()) => "committed".to_owned(),
                Err(CommitError::Conflict { what }) => format!("conflict: {what}"),
                Err(CommitError::Store(error)) => error.to_string(),
            };
            let (replica, short) = (self.faults.replica, run.short());
            self.faults.told.tell(format_args!("r{replica} {short} {from} → {to}: {said}"));
            match (answer, *from, *to) {
                (Err(_), _, RunState::Running)
                | (Ok(()) | Err(CommitError::Conflict { .. }), RunState::Running, _) => {
                    inside.performing.remove(run);
                }
                (Err(CommitError::Store(_)), RunState::Running, _) => {
                    let refused = inside.outcomes_refused.entry(*run).or_default();
                    *refused += 1;
                    if *refused >= OUTCOME_TRIES {
                        inside.excused.insert(*run);
                    }
                }
                _ => {}
            }
        }
    }
}

impl Wakes for FaultyStore {
    fn wakes(&self) -> broadcast::Receiver<Wake> {
        self.inner.wakes()
    }

    fn wakes_of(&self, run: RunId) -> RunWakes {
        self.inner.wakes_of(run)
    }
}

#[async_trait]
impl Store for FaultyStore {
    async fn commit(&self, work: UnitOfWork) -> Result<(), CommitError> {
        let moves = moves(&work);
        for (run, _, to) in &moves {
            if *to == RunState::Running {
                self.faults.inside().performing.insert(*run);
            }
        }
        let answer = self.send(work).await;
        // It has taken effect, or has not; whoever dies here never learns it.
        self.faults.latency().await;
        self.note(&moves, &answer);
        answer
    }

    async fn append_soon(&self, record: Record) -> Result<(), StoreError> {
        self.faults.way().await?;
        self.inner.append_soon(record).await
    }

    fn is_shared(&self) -> bool {
        self.faults.shared
    }

    fn lost_records(&self) -> u64 {
        self.inner.lost_records()
    }

    async fn check_writable(&self) -> Result<(), StoreError> {
        self.faults.way().await?;
        self.inner.check_writable().await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

#[async_trait]
impl Jobs for FaultyStore {
    async fn claim_jobs(
        &self,
        lane: &Lane,
        lease: &str,
        now: Timestamp,
        until: Timestamp,
        room: &Room,
    ) -> Result<Vec<Job>, StoreError> {
        self.faults.way().await?;
        let jobs = self.inner.claim_jobs(lane, lease, now, until, room).await?;
        self.faults.latency().await;
        Ok(jobs)
    }

    async fn extend_lease(&self, job: JobId, lease: &str, until: Timestamp) -> Result<bool, StoreError> {
        let may_pass = self.faults.inside().last_sign_refused.remove(&job);
        if let Err(error) = self.faults.way().await
            && (!may_pass || self.faults.beyond)
        {
            self.faults.inside().last_sign_refused.insert(job);
            return Err(error);
        }
        self.inner.extend_lease(job, lease, until).await
    }

    async fn next_due(&self, lane: &Lane, room: &Room) -> Result<Option<Timestamp>, StoreError> {
        self.faults.way().await?;
        self.inner.next_due(lane, room).await
    }

    async fn line(&self, key: &str, now: Timestamp) -> Result<Vec<RunId>, StoreError> {
        self.faults.way().await?;
        self.inner.line(key, now).await
    }

    async fn free_all_leases(&self) -> Result<u64, StoreError> {
        self.inner.free_all_leases().await
    }
}

/// Reads that go the faulty way and do nothing else.
macro_rules! reads {
    ($($noun:ident { $(fn $name:ident(&self $(, $given:ident: $kind:ty)*) -> $answer:ty;)* })*) => { $(
        #[async_trait]
        impl $noun for FaultyStore { $(
            async fn $name(&self $(, $given: $kind)*) -> $answer {
                self.faults.way().await?;
                self.inner.$name($($given),*).await
            }
        )* }
    )* };
}

reads! {
    Runs {
        fn run(&self, id: RunId) -> Result<Option<Run>, StoreError>;
        fn runs_by_short_id(&self, short: &str) -> Result<Vec<RunId>, StoreError>;
        fn runs(&self, filter: &RunsFilter, page: &PageRequest) -> Result<Page<Run>, StoreError>;
        fn open_runs(&self) -> Result<Vec<(RunState, u64)>, StoreError>;
        fn open_runs_of(&self, kind: PrincipalKind, name: &str) -> Result<u64, StoreError>;
    }
    Schedules {
        fn schedule(&self, id: ScheduleId) -> Result<Option<Schedule>, StoreError>;
        fn schedule_by_name(&self, name: &str) -> Result<Option<Schedule>, StoreError>;
        fn schedules(&self, after: Option<&str>, limit: usize) -> Result<Vec<Schedule>, StoreError>;
    }
    Registrations {
        fn registration(&self, provider: &str) -> Result<Option<Registration>, StoreError>;
        fn registrations(&self, limit: usize) -> Result<Vec<Registration>, StoreError>;
    }
    Events {
        fn events(&self, run: RunId, after: u64, limit: usize) -> Result<Vec<RunEvent>, StoreError>;
    }
    Reviews {
        fn review(&self, run: RunId) -> Result<Option<Review>, StoreError>;
        fn open_reviews(&self, due_before: Timestamp, after: Option<(Timestamp, RunId)>, limit: usize) -> Result<Vec<Review>, StoreError>;
    }
    Notices {
        fn notice(&self, job: JobId) -> Result<Option<Notice>, StoreError>;
        fn told(&self, event: Uuid, channel: &str) -> Result<Vec<guichet_store::Told>, StoreError>;
        fn delivery(&self, id: DeliveryId) -> Result<Option<Delivery>, StoreError>;
        fn deliveries(&self, filter: &DeliveriesFilter, page: &PageRequest) -> Result<Page<Delivery>, StoreError>;
        fn oldest_kept_delivery(&self, keep: u64) -> Result<Option<Timestamp>, StoreError>;
        fn forget_deliveries(&self, before: Timestamp) -> Result<u64, StoreError>;
        fn note_channels(&self, channels: &[String], at: Timestamp) -> Result<(), StoreError>;
        fn channels_noted_at(&self) -> Result<Option<Timestamp>, StoreError>;
        fn gone_channels(&self, kept: &[String], seen_before: Timestamp) -> Result<Vec<String>, StoreError>;
    }
    Tokens {
        fn token_by_secret(&self, secret_sha256: &[u8; 32]) -> Result<Option<Token>, StoreError>;
        fn token(&self, id: TokenId) -> Result<Option<Token>, StoreError>;
        fn personal_tokens(&self, principal: &str) -> Result<Vec<Token>, StoreError>;
    }
    Idempotency {
        fn idempotent_run(&self, principal: &str, key: &str) -> Result<Option<(Digest, RunId)>, StoreError>;
    }
    Records {
        fn records(&self, filter: &RecordsFilter, page: &PageRequest) -> Result<Page<LedgerRecord>, StoreError>;
        fn leaves(&self, from: u64, limit: usize) -> Result<Vec<(u64, String)>, StoreError>;
        fn index_records(&self, limit: u64) -> Result<u64, StoreError>;
        fn first_record(&self) -> Result<u64, StoreError>;
        fn record_count(&self) -> Result<u64, StoreError>;
    }
    Checkpoints {
        fn latest_checkpoint(&self) -> Result<Option<(u64, String)>, StoreError>;
        fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<u8>>, StoreError>;
        fn seal(&self, size: u64, note: &str, at: Timestamp, tiles: &[(u8, u64, Vec<u8>)]) -> Result<(), CommitError>;
    }
}
