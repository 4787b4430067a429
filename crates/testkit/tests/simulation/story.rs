//! One seed: so many replicas, so many steps, each a person's or a fault; then all faults stop, and everything must come to
//! its end.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use guichet_contract::{Run, RunId, RunState, TokenId};
use guichet_store::{
    Change, Store as _, Token, TokenKind, UnitOfWork,
    memory::{Memory, MemoryStore},
};
use guichet_testkit::Dice;
use jiff::{SignedDuration, Timestamp};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use uuid::Uuid;

use crate::{
    check,
    clock::VirtualClock,
    faulty_store::Faults,
    people::{ANSWERED_WITHIN, People, Wish},
    provider::SimProvider,
    replica::Replica,
    rules, schedules,
    told::Told,
};

/// What may happen in a story.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) replicas: usize,
    /// The store fails, gateways and providers die.
    pub(crate) faults: bool,
    /// Clocks differ by more, and cuts last longer, than leases allow.
    pub(crate) beyond: bool,
}

impl Shape {
    /// Every eighth seed is free of faults, every eighth beyond what leases allow.
    pub(crate) fn of(seed: u64) -> Self {
        match seed % 8 {
            0 => Self { replicas: 1, faults: false, beyond: false },
            1 | 2 => Self { replicas: 1, faults: true, beyond: false },
            3 | 4 => Self { replicas: 2, faults: true, beyond: false },
            5 | 6 => Self { replicas: 3, faults: true, beyond: false },
            _ => Self { replicas: 3, faults: true, beyond: true },
        }
    }
}

/// Steps of one story.
const STEPS: usize = 40;
/// How far a clock is ahead or behind, at most, milliseconds. A lease of 30 s is prolonged every 10 s; one sign of life may
/// fail, and each call may take 3 s: what is left is 4 s between two clocks.
const CLOCK: u64 = 1_900;
/// How long a replica is cut off from the store, at most, milliseconds: less than from one sign of life to the next.
const CUT: u64 = 8_000;
/// The same beyond what leases allow.
const BEYOND: u64 = 90_000;
/// Virtual time within which everything ends once nothing fails any more.
const ENDS_WITHIN: Duration = Duration::from_mins(40);

/// A story under way.
pub(crate) struct Story {
    pub(crate) shape: Shape,
    pub(crate) told: Arc<Told>,
    pub(crate) memory: Memory,
    pub(crate) provider: Arc<SimProvider>,
    pub(crate) people: Arc<People>,
    dice: Dice,
    wishes: usize,
    /// What people and machines do while the story goes on.
    under_way: JoinSet<()>,
    /// Chance of what concerns the schedule, where there is one.
    schedule: Option<Dice>,
    /// A replica is cut off until then; nobody is cut off twice in quick succession.
    cut_until: Duration,
}

impl Story {
    async fn begin(seed: u64, told: Arc<Told>) -> Self {
        let shape = Shape::of(seed);
        told.tell(format_args!("seed {seed}: {shape:?}"));
        let mut dice = Dice::new(seed);
        let memory = Memory::default();
        sign_in(&memory).await;
        let provider = SimProvider::new(&told, &memory, dice.fork(), shape);
        let replicas = (0..shape.replicas).map(|number| {
            let ahead = if shape.replicas > 1 { ahead(&mut dice, CLOCK) } else { 0 };
            let failing = if shape.faults { 10 + dice.below(60) } else { 0 };
            Arc::new(Replica {
                number,
                clock: Arc::new(VirtualClock::new(&told, ahead, dice.fork())),
                faults: Arc::new(Faults::new(number, &told, dice.fork(), shape, failing)),
                told: Arc::clone(&told),
                memory: memory.clone(),
                provider: Arc::clone(&provider),
                alone: shape.replicas == 1,
                at_once: usize::try_from(1 + dice.below(4)).unwrap_or(1),
                other_policies: Mutex::new(false),
                live: Mutex::new(None),
                stopping: AtomicBool::new(false),
                lost: AtomicBool::new(false),
            })
        });
        let replicas: Vec<Arc<Replica>> = replicas.collect();
        for replica in &replicas {
            replica.start().await;
        }
        let people = People::new(&told, replicas);
        let mut under_way = JoinSet::new();
        let mut schedule = schedules::belongs_to(seed).then(|| Dice::new(!seed));
        if let Some(dice) = &mut schedule {
            under_way.spawn(Arc::clone(&people).schedule(dice.fork()));
        }
        let cut_until = Duration::ZERO;
        Self { shape, told, memory, provider, people, dice, wishes: 0, under_way, schedule, cut_until }
    }

    fn any_replica(&mut self) -> Arc<Replica> {
        Arc::clone(self.dice.one_of(&self.people.replicas).unwrap())
    }

    async fn step(&mut self) {
        match self.dice.below(if self.shape.faults { 98 } else { 76 }) {
            0..32 => self.submit(),
            32..58 => self.with_a_run(People::approve),
            58..64 => self.with_a_run(|people, item, run, dice| people.end(item, run, true, dice)),
            64..67 => self.with_a_run(|people, item, run, dice| people.end(item, run, false, dice)),
            67..71 => {
                if let Some((item, _)) = self.people.any_run(&self.memory, &mut self.dice) {
                    self.told.tell(format_args!("{item} changes"));
                    self.provider.touch(&item);
                }
            }
            71..72 => self.reload(),
            72..76 => {
                let most = if self.dice.chance(300) { 700_000 } else { 60_000 };
                let pause = self.dice.millis(5_000..most);
                self.told.tell(format_args!("time passes: {pause:?}"));
                sleep(pause).await;
            }
            76..84 => self.kill().await,
            84..86 => self.restart().await,
            86..91 => self.cut_off(),
            91..96 => self.set_clock(),
            _ => self.provider.die(),
        }
        let pause = match self.dice.below(100) {
            0..50 => self.dice.millis(0..50),
            50..85 => self.dice.millis(0..3_000),
            _ => self.dice.millis(0..20_000),
        };
        sleep(pause).await;
    }

    fn submit(&mut self) {
        self.wishes += 1;
        let wish = Wish::any(self.wishes, &mut self.dice);
        self.under_way.spawn(Arc::clone(&self.people).submit(wish, self.dice.fork()));
    }

    fn with_a_run<F: Future<Output = ()> + Send + 'static>(
        &mut self,
        act: impl FnOnce(Arc<People>, String, RunId, Dice) -> F,
    ) {
        if let Some((item, run)) = self.people.any_run(&self.memory, &mut self.dice) {
            self.under_way.spawn(act(Arc::clone(&self.people), item, run, self.dice.fork()));
        }
    }

    fn reload(&mut self) {
        let replica = self.any_replica();
        let mut other = replica.other_policies.lock().unwrap();
        *other = !*other;
        self.told.tell(format_args!("r{} reads other policies", replica.number));
        if let Some(platform) = replica.platform() {
            platform.door.replace_world(rules::world(*other));
        }
    }

    async fn kill(&mut self) {
        let replica = self.any_replica();
        replica.kill().await;
        let pause = self.dice.millis(0..40_000);
        self.under_way.spawn(async move {
            sleep(pause).await;
            replica.start().await;
        });
    }

    async fn restart(&mut self) {
        let replica = self.any_replica();
        replica.stop().await;
        replica.start().await;
    }

    fn cut_off(&mut self) {
        if self.told.now() < self.cut_until {
            return;
        }
        let replica = self.any_replica();
        let pause = self.dice.millis(0..if self.shape.beyond { BEYOND } else { CUT });
        self.cut_until = self.told.now() + pause + Duration::from_secs(40);
        self.told.tell(format_args!("r{} is cut off for {pause:?}", replica.number));
        self.told.counted("gateway cut off");
        replica.cut_off(true);
        self.under_way.spawn(async move {
            sleep(pause).await;
            replica.cut_off(false);
        });
    }

    fn set_clock(&mut self) {
        let replica = self.any_replica();
        let most = if self.shape.beyond { BEYOND } else { CLOCK };
        let ahead = ahead(&mut self.dice, most);
        self.told.tell(format_args!("the clock of r{} is {ahead} ms ahead", replica.number));
        replica.clock.set_ahead(ahead);
    }

    /// Nothing fails any more; everybody hears an answer, every run ends, every gateway stops.
    async fn end(&mut self) {
        if self.shape.replicas > 1 && self.dice.chance(500) {
            let replica = self.any_replica();
            replica.lost.store(true, Ordering::Relaxed);
            replica.kill().await;
        }
        self.told.tell("nothing fails any more");
        for replica in &self.people.replicas {
            replica.faults.calm_down();
            replica.start().await;
        }
        self.provider.calm_down();
        let answered =
            timeout(ANSWERED_WITHIN, async { while self.under_way.join_next().await.is_some() {} });
        if answered.await.is_err() {
            self.told.wrong("somebody never hears an answer");
        }
        if let Some(dice) = &mut self.schedule
            && timeout(ANSWERED_WITHIN, self.people.halt(dice)).await.is_err()
        {
            self.told.wrong("the schedule cannot be halted");
        }
        let ended = timeout(ENDS_WITHIN, async {
            let all_end = || self.memory.look_at_runs(|runs| runs.values().all(|run| run.state.is_final()));
            while !(all_end() && self.provider.is_idle()) {
                sleep(Duration::from_secs(5)).await;
            }
        });
        if ended.await.is_err() {
            self.memory.look_at_runs(|runs| {
                for run in runs.values().filter(|run| !run.state.is_final()) {
                    self.told.wrong(format_args!("{} is {} for ever", run.id, run.state));
                }
            });
        }
        // Of what is unknown the provider is asked, where it says that it remembers.
        let settled = timeout(ENDS_WITHIN, async {
            while self.unsettled().is_some() {
                sleep(Duration::from_secs(30)).await;
            }
        });
        if settled.await.is_err() {
            self.told.wrong(format_args!("{:?} is unknown, and its provider knows", self.unsettled()));
        }
        for replica in &self.people.replicas {
            replica.stop().await;
        }
    }

    /// A run that is unknown though its provider could tell.
    fn unsettled(&self) -> Option<RunId> {
        self.memory.look_at_runs(|runs| {
            let could_tell = |run: &&Run| {
                run.state == RunState::Unknown
                    && run.action.as_str() == "things.asked"
                    && self.provider.remembers(&run.id.to_string())
            };
            runs.values().find(could_tell).map(|run| run.id)
        })
    }
}

fn ahead(dice: &mut Dice, most: u64) -> i64 {
    i64::try_from(dice.below(2 * most)).unwrap_or(0) - i64::try_from(most).unwrap_or(0)
}

async fn sign_in(memory: &Memory) {
    let store = MemoryStore::open(memory);
    let tokens = rules::EVERYBODY.iter().zip(1_u128..).map(|(name, number)| {
        Change::InsertToken(Token {
            id: TokenId(Uuid::from_u128(number)),
            secret_sha256: guichet_identity::secret::sha256(&rules::secret_of(name)),
            kind: TokenKind::Session,
            principal: (*name).to_owned(),
            name: "session".to_owned(),
            scopes: Vec::new(),
            created_at: Timestamp::UNIX_EPOCH,
            expires_at: Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24 * 365 * 200),
            last_used_at: None,
            revoked_at: None,
        })
    });
    store.commit(tokens.fold(UnitOfWork::new(), UnitOfWork::with)).await.unwrap();
}

/// Lives through one seed. What is wrong with it stands in `told`.
pub(crate) fn live(seed: u64, told: &Arc<Told>) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut story = Story::begin(seed, Arc::clone(told)).await;
        for _ in 0..STEPS {
            story.step().await;
            check::always(&story);
            if !told.faults().is_empty() {
                return;
            }
        }
        story.end().await;
        check::at_the_end(&story).await;
    });
}
