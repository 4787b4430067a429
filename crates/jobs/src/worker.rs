//! One worker: claims what is due, performs it under a lease that it keeps alive, hands back what failed.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use guichet_contract::Clock;
use guichet_lifecycle::BackOff;
use guichet_store::{Change, CommitError, Job, Lane, Room, Store, UnitOfWork, Wake};
use jiff::{SignedDuration, Timestamp};
use tokio::{
    sync::broadcast::{self, error::RecvError},
    task::JoinSet,
    time,
};
use tokio_util::sync::CancellationToken;

use crate::bulkheads::{Bulkheads, KnownBulkheads};

/// Does what a job asks for, and finishes it in the same unit of work as its effect.
#[async_trait]
pub trait Perform: Send + Sync + 'static {
    /// Performs. `Ok` means the job is finished or was taken away; an error means it shall be tried again.
    async fn perform(&self, job: &Job, lease: &str) -> Result<(), CommitError>;
}

/// How a worker works.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// Which jobs it takes.
    pub lane: Lane,
    /// How many jobs at once, at least 1. A quarter of these places are bulkheads' own, so that each that is known goes on
    /// however many hang behind others; each has one, also where there are more of them than that. Jobs without a bulkhead
    /// are counted apart: as many may go beside the others.
    pub at_once: usize,
    /// The bulkheads that are known, and how many of each go at most, at least 1.
    pub bulkheads: KnownBulkheads,
    /// How long a lease holds without a sign of life, at least 3 s.
    pub lease: Duration,
    /// How long a stopping worker waits for what it has begun.
    pub drain: Duration,
}

impl Default for WorkerSettings {
    fn default() -> Self {
        Self {
            lane: Lane::Runs,
            at_once: 64,
            bulkheads: KnownBulkheads::default(),
            lease: Duration::from_secs(30),
            drain: Duration::from_secs(20),
        }
    }
}

/// Takes jobs up until it is told to stop.
pub struct Worker {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    perform: Arc<dyn Perform>,
    settings: WorkerSettings,
    /// This worker's name on the leases it holds.
    lease: String,
    bulkheads: Mutex<Bulkheads>,
}

/// The longest a worker sleeps without a look, should a wake ever be lost.
const LOOK_AT_LEAST_EVERY: Duration = Duration::from_mins(1);
/// What becomes due within so long may begin so much later.
const SETTLES: Duration = Duration::from_millis(5);
/// The pauses after the store has failed, and between tries of one job.
const PAUSES: BackOff = BackOff::seconds(1, 60);

impl Worker {
    /// A worker under a name of its own.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        perform: Arc<dyn Perform>,
        settings: WorkerSettings,
    ) -> Self {
        let lease = clock.new_uuid().to_string();
        let bulkheads = Mutex::new(Bulkheads::new(settings.at_once, settings.bulkheads.clone()));
        Self { store, clock, perform, settings, lease, bulkheads }
    }

    /// Works until `stop`, then waits for what it has begun, at most `drain`. What is still running then keeps its
    /// lease until that runs out.
    pub async fn work(self, stop: CancellationToken) {
        let worker = Arc::new(self);
        let mut wakes = worker.store.wakes();
        let mut begun = JoinSet::new();
        let mut failures = 0_u32;
        while !stop.is_cancelled() {
            while begun.try_join_next().is_some() {}
            // What woke us until here is seen by this look.
            while wakes.try_recv().is_ok() {}
            worker.bulkheads().look();
            let room = worker.bulkheads().room();
            let mut looked = room.clone(); // the room of the last look
            let claimed = if room.jobs == 0 { Ok(Vec::new()) } else { worker.claim(&room).await };
            let pause = match claimed {
                Ok(jobs) => {
                    failures = 0;
                    let all = room.jobs > 0 && jobs.len() == room.jobs;
                    for job in jobs {
                        // It can be given out to us while it is under way here: when it was handed back an instant ago and is
                        // due, or when the clock leaps and a lease of our own looks run out. One goes on at a time.
                        if worker.bulkheads().begin(&job) {
                            let under_way = UnderWay { worker: Arc::clone(&worker), job };
                            begun.spawn(async move {
                                under_way.worker.perform_one(&under_way.job).await;
                                under_way.end().await;
                            });
                        }
                    }
                    looked = worker.bulkheads().room();
                    if all {
                        continue;
                    }
                    None
                }
                Err(error) => {
                    failures += 1;
                    tracing::error!(%error, "no jobs could be claimed");
                    Some(Duration::try_from(PAUSES.after(failures)).unwrap_or(LOOK_AT_LEAST_EVERY))
                }
            };
            // What there was no room for waits for the end of what is under way, or of what has ended since that look.
            let waits = looked.leaves_some_out() && !begun.is_empty();
            // In this order: what a simulated story does must not depend on chance.
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = worker.rest(pause, &looked) => {}
                () = woken(&mut wakes, &worker.settings.lane), if failures == 0 => {}
                _ = begun.join_next(), if waits && failures == 0 => {}
            }
        }
        let rest = async { while begun.join_next().await.is_some() {} };
        if time::timeout(worker.settings.drain, rest).await.is_err() {
            match &worker.settings.lane {
                Lane::Runs => {
                    tracing::warn!(
                        "stopping while jobs are still running; their runs go on after the start where their actions are \
                         resumable, and are told as unknown elsewhere"
                    );
                }
                Lane::Channel(channel) => {
                    tracing::info!(
                        channel,
                        "stopping while people are being told; it is tried again after the start"
                    );
                }
            }
        }
    }

    fn bulkheads(&self) -> MutexGuard<'_, Bulkheads> {
        self.bulkheads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn claim(&self, room: &Room) -> Result<Vec<Job>, guichet_store::StoreError> {
        let now = self.clock.now();
        self.store.claim_jobs(&self.settings.lane, &self.lease, now, self.lease_until(now), room).await
    }

    /// For so long, or until something is due. While one job follows the other, nobody is asked when that will be.
    async fn rest(&self, pause: Option<Duration>, room: &Room) {
        if let Some(pause) = pause {
            return time::sleep(pause).await;
        }
        time::sleep(SETTLES).await;
        let pause = self.until_next_due(room).await;
        time::sleep(pause).await;
    }

    /// Of what there is room for.
    async fn until_next_due(&self, room: &Room) -> Duration {
        if room.jobs == 0 {
            return LOOK_AT_LEAST_EVERY;
        }
        match self.store.next_due(&self.settings.lane, room).await {
            Ok(None) => LOOK_AT_LEAST_EVERY,
            Ok(Some(due)) => {
                let wait = due.duration_since(self.clock.now());
                // A millisecond more, so that a rounded clock does not look just before.
                Duration::try_from(wait)
                    .map_or(Duration::from_millis(1), |wait| wait + Duration::from_millis(1))
                    .min(LOOK_AT_LEAST_EVERY)
            }
            Err(_) => Duration::try_from(PAUSES.first).unwrap_or(LOOK_AT_LEAST_EVERY),
        }
    }

    fn lease_until(&self, now: Timestamp) -> Timestamp {
        now + SignedDuration::try_from(self.settings.lease).unwrap_or(SignedDuration::from_secs(30))
    }

    async fn perform_one(&self, job: &Job) {
        let work = self.perform.perform(job, &self.lease);
        tokio::pin!(work);
        let mut sign_of_life = time::interval(self.settings.lease / 3);
        sign_of_life.tick().await; // the first tick is now
        let result = loop {
            tokio::select! {
                biased;
                result = &mut work => break result,
                _ = sign_of_life.tick() => {
                    let until = self.lease_until(self.clock.now());
                    let extending = self.store.extend_lease(job.id, &self.lease, until);
                    // A store that does not answer must not use up the lease: the next sign is tried in time.
                    match time::timeout(self.settings.lease / 4, extending).await {
                        Ok(Ok(true)) => {}
                        // The work goes on: its own conditional change decides whether it still counts.
                        Ok(Ok(false)) => {
                            tracing::warn!(job = %job.id, "the lease was lost while the job was performed");
                        }
                        Ok(Err(error)) => {
                            tracing::warn!(job = %job.id, %error, "the lease could not be extended");
                        }
                        Err(_) => {
                            tracing::warn!(job = %job.id, "the lease could not be extended: no answer of the store");
                        }
                    }
                }
            }
        };
        if let Err(error) = result {
            tracing::warn!(job = %job.id, run = %job.run, attempts = job.attempts, %error, "the job is tried again");
            let due = self.clock.now() + PAUSES.after(job.attempts);
            let again = Change::RetryJob { job: job.id, lease: self.lease.clone(), due };
            if let Err(error) = self.store.commit(UnitOfWork::new().with(again)).await {
                tracing::warn!(job = %job.id, %error, "the job keeps its lease until that runs out");
            }
        }
    }
}

/// A job that is under way until this is dropped, also when performing it panics.
struct UnderWay {
    worker: Arc<Worker>,
    job: Job,
}

impl UnderWay {
    /// What was given out meanwhile is given out anew. Where what is over has finished it, or has handed it back later than
    /// that, nobody holds it under this lease, and there is nothing to do.
    async fn end(self) {
        let Self { worker, job } = &self;
        if !worker.bulkheads().end(job) {
            return;
        }
        let again = Change::RetryJob { job: job.id, lease: worker.lease.clone(), due: worker.clock.now() };
        match worker.store.commit(UnitOfWork::new().with(again)).await {
            Ok(()) | Err(CommitError::Conflict { .. }) => {}
            Err(CommitError::Store(error)) => {
                tracing::warn!(job = %job.id, %error, "the job keeps its lease until that runs out");
            }
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.worker.bulkheads().end(&self.job);
    }
}

async fn woken(wakes: &mut broadcast::Receiver<Wake>, lane: &Lane) {
    let wanted = if *lane == Lane::Runs { Wake::Job } else { Wake::Notice };
    loop {
        match wakes.recv().await {
            Err(RecvError::Lagged(_)) => return,
            Ok(wake) if wake == wanted || wake == Wake::Anything => return,
            Ok(_) => {}
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use guichet_contract::{JobId, RunId, SystemClock};
    use guichet_store::{
        JobKind,
        memory::{Memory, MemoryStore},
    };

    use super::*;

    /// Hands its job back, due at once, and lingers for a moment: as a run does that is called again without a pause.
    struct HandsBack {
        store: Arc<MemoryStore>,
        performed: Mutex<Vec<time::Instant>>,
    }

    #[async_trait]
    impl Perform for HandsBack {
        async fn perform(&self, job: &Job, lease: &str) -> Result<(), CommitError> {
            let times = {
                let mut performed = self.performed.lock().unwrap();
                performed.push(time::Instant::now());
                performed.len()
            };
            let (job, lease) = (job.id, lease.to_owned());
            if times > 1 {
                return self.store.commit(UnitOfWork::new().with(Change::FinishJob { job, lease })).await;
            }
            let again = Change::RetryJob { job, lease, due: SystemClock.now() };
            self.store.commit(UnitOfWork::new().with(again)).await?;
            time::sleep(Duration::from_millis(500)).await;
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_given_out_while_it_is_under_way_goes_on_right_after_it() {
        let store = Arc::new(MemoryStore::open(&Memory::default()));
        let job = Job {
            id: JobId::new(&SystemClock),
            kind: JobKind::ExecuteRun,
            run: RunId::new(&SystemClock),
            due: SystemClock.now(),
            attempts: 0,
            key: None,
            bulkhead: None,
        };
        store.commit(UnitOfWork::new().enqueue_job(job)).await.unwrap();
        let hands_back = Arc::new(HandsBack { store: Arc::clone(&store), performed: Mutex::new(Vec::new()) });
        let perform: Arc<dyn Perform> = Arc::clone(&hands_back) as _;
        let worker = Worker::new(store, Arc::new(SystemClock), perform, WorkerSettings::default());
        let stop = CancellationToken::new();
        let begun = time::Instant::now();
        let working = tokio::spawn(worker.work(stop.clone()));
        time::sleep(Duration::from_secs(5)).await;
        stop.cancel();
        working.await.unwrap();
        let performed = hands_back.performed.lock().unwrap();
        let after: Vec<Duration> = performed.iter().map(|at| *at - begun).collect();
        assert_eq!(after.len(), 2, "it does not wait for its lease to run out: {after:?}");
        assert!(after[1] >= after[0] + Duration::from_millis(500), "one goes on at a time: {after:?}");
    }
}
