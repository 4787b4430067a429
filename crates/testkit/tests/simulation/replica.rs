//! One gateway: the real door, operations, worker, sealer and dispatch, over a faulty store and a simulated network. All of
//! its tasks hang on one set, which is dropped when it dies.

use std::{
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use guichet_admission::Door;
use guichet_contract::Clock;
use guichet_dispatch::{Claims, Dispatch, Limits, Provider, SignTokens, Transport};
use guichet_identity::Identity;
use guichet_jobs::{Perform, Worker, WorkerSettings};
use guichet_ledger::{KeySet, Signer};
use guichet_operations::{
    Messages, NoServices, Platform, Settings, execute_run, expire_run, fire_schedule, reconcile_run,
    seal_records,
};
use guichet_store::{CommitError, Job, JobKind, Store, memory::Memory};
use tokio::{
    sync::{oneshot, watch},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::VirtualClock,
    faulty_store::{Faults, FaultyStore},
    provider::{Network, SimProvider},
    rules,
    told::Told,
};

/// A machine with a gateway on it, which may be dead at the moment.
pub(crate) struct Replica {
    pub(crate) number: usize,
    pub(crate) clock: Arc<VirtualClock>,
    pub(crate) faults: Arc<Faults>,
    pub(crate) told: Arc<Told>,
    pub(crate) memory: Memory,
    pub(crate) provider: Arc<SimProvider>,
    /// No other process uses the store.
    pub(crate) alone: bool,
    /// How many runs it performs at once.
    pub(crate) at_once: usize,
    /// Whether it read the policies that came later.
    pub(crate) other_policies: Mutex<bool>,
    pub(crate) live: Mutex<Option<Live>>,
    /// A process is about to end: the next one waits for that.
    pub(crate) stopping: AtomicBool,
    /// The machine is lost: no process comes after this one.
    pub(crate) lost: AtomicBool,
}

/// A running process.
pub(crate) struct Live {
    platform: Arc<Platform>,
    store: Arc<FaultyStore>,
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

/// The key of every ledger.
pub(crate) fn ledger_keys() -> Arc<KeySet> {
    static KEYS: OnceLock<Arc<KeySet>> = OnceLock::new();
    Arc::clone(KEYS.get_or_init(|| {
        Arc::new(KeySet::new(Signer::from_seed("guichet/staging", [7; 32]).unwrap(), Vec::new()).unwrap())
    }))
}

/// What a provider checks of a token is not what these stories are about.
struct AnyToken;

impl SignTokens for AnyToken {
    fn sign(&self, _: &Claims<'_>) -> Result<String, String> {
        Ok("token".to_owned())
    }
}

struct Performer(Arc<Platform>);

#[async_trait]
impl Perform for Performer {
    async fn perform(&self, job: &Job, lease: &str) -> Result<(), CommitError> {
        match job.kind {
            JobKind::ExecuteRun => execute_run::execute_run(&self.0, job, lease).await,
            JobKind::ExpireRun => expire_run::expire_run(&self.0, job, lease).await,
            JobKind::ReconcileRun => reconcile_run::reconcile_run(&self.0, job, lease).await,
            JobKind::FireSchedule => fire_schedule::fire_schedule(&self.0, job, lease).await,
            JobKind::DeliverNotice => unreachable!("nobody is told anything in these stories"),
        }
    }
}

impl Replica {
    fn live(&self) -> MutexGuard<'_, Option<Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn platform(&self) -> Option<Arc<Platform>> {
        self.live().as_ref().map(|live| Arc::clone(&live.platform))
    }

    /// Cuts it off from the store, or no longer.
    pub(crate) fn cut_off(&self, cut_off: bool) {
        self.faults.cut_off(cut_off);
        if let (Some(live), false) = (self.live().as_ref(), cut_off) {
            live.store.connect();
        }
    }

    /// Starts a process where there is none.
    pub(crate) async fn start(&self) {
        let may_not = self.stopping.load(Ordering::Relaxed) || self.lost.load(Ordering::Relaxed);
        if may_not || self.live().is_some() {
            return;
        }
        self.told.tell(format_args!("r{} starts", self.number));
        let faulty = Arc::new(FaultyStore::open(&self.memory, &self.faults));
        let store = Arc::clone(&faulty) as Arc<dyn Store>;
        if self.alone {
            store.free_all_leases().await.unwrap();
        }
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let identity = Identity::new(Arc::clone(&store), Arc::clone(&clock), rules::users()).unwrap();
        let world = rules::world(*self.other_policies.lock().unwrap());
        let carrier = Transport::Carried(Arc::new(Network(Arc::clone(&self.provider))));
        let things = Provider::new("things", carrier, Limits::default());
        let dispatch = Dispatch::new(vec![things], Arc::new(AnyToken), Arc::clone(&clock));
        let platform = Arc::new(Platform {
            door: Door::new(world, Arc::new(identity), Arc::clone(&store), Arc::clone(&clock)),
            store: Arc::clone(&store),
            providers: Arc::new(dispatch),
            services: Arc::new(NoServices),
            messages: Messages::none(),
            clock: Arc::clone(&clock),
            settings: Settings::default(),
        });
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        let performer = Arc::new(Performer(Arc::clone(&platform)));
        let settings = WorkerSettings { at_once: self.at_once, ..WorkerSettings::default() };
        let worker = Worker::new(Arc::clone(&store), Arc::clone(&clock), performer, settings);
        tasks.spawn(worker.work(stop.clone()));
        let (sealed, _) = watch::channel(None);
        tasks.spawn(seal_records::work(store, ledger_keys(), clock, sealed, stop.clone()));
        *self.live() = Some(Live { platform, store: faulty, tasks, stop });
    }

    /// `kill -9`: every task is dropped where it stands.
    pub(crate) async fn kill(&self) {
        let Some(mut live) = self.live().take() else { return };
        self.told.tell(format_args!("r{} is killed", self.number));
        self.told.counted("gateway killed");
        self.faults.died();
        live.tasks.shutdown().await;
        // What was begun between the last look and the end.
        self.faults.died();
    }

    /// It is told to stop, and ends by itself.
    pub(crate) async fn stop(&self) {
        let Some(mut live) = self.live().take() else { return };
        self.told.tell(format_args!("r{} stops", self.number));
        self.stopping.store(true, Ordering::Relaxed);
        live.stop.cancel();
        let ended = timeout(Duration::from_mins(2), async {
            while let Some(ended) = live.tasks.join_next().await {
                if ended.is_err_and(|error| error.is_panic()) {
                    self.told.wrong(format_args!("a task of r{} panicked", self.number));
                }
            }
        });
        if ended.await.is_err() {
            self.told.wrong(format_args!("r{} does not stop", self.number));
        }
        self.stopping.store(false, Ordering::Relaxed);
        self.faults.died();
    }

    /// Asks it for something, as a request would: what is under way dies with it. None when there is no answer.
    pub(crate) async fn ask<T, F>(&self, request: impl FnOnce(Arc<Platform>) -> F) -> Option<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let (say, said) = oneshot::channel();
        {
            let mut live = self.live();
            let live = live.as_mut()?;
            let asked = request(Arc::clone(&live.platform));
            live.tasks.spawn(async move {
                // Whoever asked may have gone.
                let _ = say.send(asked.await);
            });
        }
        said.await.ok()
    }
}
