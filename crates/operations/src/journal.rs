//! What the provider of a run tells becomes events of the run; its steps that are done are its journal.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use guichet_contract::{EventKind, RunId, STEPS_MAX, StepState};
use guichet_store::{Change, CommitError, StoreError, UnitOfWork};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::{
    execute_run::Held,
    platform::Platform,
    providers::{Reporter, Told},
};

/// Lines, steps and progress that one call may tell, and characters of a line.
const TOLD_MAX: usize = 10_000;
const LINE_MAX: usize = 8_000;
/// Bytes of a journal as JSON; the SDK keeps to half of it.
const JOURNAL_MAX: usize = 1 << 20;
/// How many events are read at once.
const BATCH: usize = 500;

/// The journal of one run, while somebody attends to it.
pub(crate) struct Journal {
    platform: Arc<Platform>,
    run: RunId,
    /// Held by whoever may write steps: a gateway that lost its lease must not go on beside the next.
    hold: Change,
    /// Whether its steps are handed back: of other actions they are told, and nothing rests on them.
    resumable: bool,
    told: AtomicUsize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    steps: Map<String, Value>,
    bytes: usize,
    /// How often it slept, by the name of the pause.
    sleeps: BTreeMap<String, u32>,
    trouble: Option<Trouble>,
}

/// Why a step that was told is not durable.
#[derive(Debug, Clone)]
pub(crate) enum Trouble {
    /// The store did not take it.
    Store(CommitError),
    /// There are too many, or they are too large.
    Full,
}

impl Journal {
    /// Of a run that starts.
    pub(crate) fn empty(platform: &Arc<Platform>, run: RunId, resumable: bool, held: &Held<'_>) -> Self {
        let (platform, hold) = (Arc::clone(platform), held.hold());
        Self { platform, run, hold, resumable, told: AtomicUsize::new(0), kept: Mutex::default() }
    }

    /// As the run's events tell it.
    pub(crate) async fn load(
        platform: &Arc<Platform>,
        run: RunId,
        resumable: bool,
        held: &Held<'_>,
    ) -> Result<Self, StoreError> {
        let journal = Self::empty(platform, run, resumable, held);
        if !resumable {
            return Ok(journal);
        }
        let mut after = 0;
        loop {
            let events = platform.store.events(run, after, BATCH).await?;
            let Some(last) = events.last() else { return Ok(journal) };
            after = last.seq;
            for event in events {
                match event.kind {
                    EventKind::Step { name, state: StepState::Done, result } => {
                        journal.lock().add(name, result.unwrap_or(Value::Null));
                    }
                    EventKind::Waiting { name, until } => journal.sleeps(name, until),
                    _ => {}
                }
            }
        }
    }

    /// The steps that are done, as they are handed over.
    pub(crate) fn steps(&self) -> Map<String, Value> {
        self.lock().steps.clone()
    }

    /// How often it slept.
    pub(crate) fn slept(&self) -> u32 {
        self.lock().sleeps.values().sum()
    }

    /// How often it slept under this name.
    pub(crate) fn slept_as(&self, name: &str) -> u32 {
        self.lock().sleeps.get(name).copied().unwrap_or_default()
    }

    /// Whether it takes no further step or pause.
    pub(crate) fn is_full(&self) -> bool {
        self.lock().steps.len() >= STEPS_MAX
    }

    /// It sleeps until then; the next call is told so.
    pub(crate) fn sleeps(&self, name: String, until: Timestamp) {
        let mut kept = self.lock();
        *kept.sleeps.entry(name.clone()).or_default() += 1;
        kept.add(name, json!({"until": until}));
    }

    /// Why what was told last is not durable.
    pub(crate) fn take_trouble(&self) -> Option<Trouble> {
        self.lock().trouble.take()
    }

    async fn keep(&self, kind: EventKind) -> Result<(), CommitError> {
        let work = UnitOfWork::new().append_event(self.run, self.platform.clock.now(), kind);
        self.platform.store.commit(work).await
    }

    /// A step that is done is handed back only when it is durable.
    async fn keep_step(&self, name: String, result: Option<Value>) {
        let value = result.clone().unwrap_or(Value::Null);
        {
            let mut kept = self.lock();
            if kept.steps.contains_key(&name) {
                return;
            }
            let bytes = kept.bytes + name.len() + value.to_string().len();
            if kept.steps.len() >= STEPS_MAX || bytes > JOURNAL_MAX {
                kept.trouble = Some(Trouble::Full);
                return;
            }
        }
        let kind = EventKind::Step { name: name.clone(), state: StepState::Done, result };
        let work =
            UnitOfWork::new().with(self.hold.clone()).append_event(self.run, self.platform.clock.now(), kind);
        let committed = self.platform.store.commit(work).await;
        let mut kept = self.lock();
        match committed {
            Ok(()) => kept.add(name, value),
            Err(error) => kept.trouble = Some(Trouble::Store(error)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn add(&mut self, name: String, result: Value) {
        self.bytes += name.len() + result.to_string().len();
        self.steps.insert(name, result);
    }
}

#[async_trait]
impl Reporter for Journal {
    async fn tell(&self, told: Told) {
        let told = match told {
            Told::Step { name, state: StepState::Done, result } if self.resumable => {
                return self.keep_step(name, result).await;
            }
            other => other,
        };
        let kind = match self.told.fetch_add(1, Ordering::Relaxed) {
            0..TOLD_MAX => match told {
                Told::Log(line) => EventKind::Log { line: line.chars().take(LINE_MAX).collect() },
                Told::Progress { percent, message } => EventKind::Progress { percent, message },
                Told::Step { name, state, result } => EventKind::Step { name, state, result },
            },
            TOLD_MAX => {
                EventKind::Log { line: format!("… more than {TOLD_MAX} lines; the rest is not kept") }
            }
            _ => return,
        };
        if let Err(error) = self.keep(kind).await {
            tracing::warn!(run = %self.run, %error, "a line of the provider's log was lost");
        }
    }
}
