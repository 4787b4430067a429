//! The one task of a replica that writes, and its group commit.
//!
//!   callers ──► queue (4,096) ──► BEGIN ─ units … ─ records ─ note ─ notify ─ COMMIT ──► wakes ──► answers
//!
//! It takes all units that wait and commits them together ([`super::batch`]). Units are values: when the connection
//! breaks before the commit, they are sent again on a new one. When it breaks during the commit, the note that stands in
//! the same transaction tells what became of it: nobody is told of a failure that was none, or the other way round.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{self, Instant},
};
use uuid::Uuid;

use super::{
    batch::{Done, Line, Undone},
    connect::Connector,
    fault::{self, Fault},
    records::Leaf,
    unit::Unit,
};
use crate::{
    CommitError, StoreError,
    wakes::{Wake, Waking},
};

/// Units that may wait. At the limit callers wait for a place: the database sets the pace.
const QUEUE: usize = 4_096;
/// Units of one commit at most.
const GROUP: usize = 1_024;
/// Bytes of one commit at most, about.
const GROUP_BYTES: usize = 8 * 1024 * 1024;
/// Records that nobody waits for are gathered for so long.
const GATHER: Duration = Duration::from_millis(5);
/// How long a database that cannot be reached is tried before those who wait are told; afterwards each group tries once,
/// until it answers again.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long records that nobody waits for are kept while somebody else keeps the ledger locked.
const KEPT_FOR: Duration = Duration::from_mins(1);
/// How long the fate of a commit is asked for.
const ASKED_FOR: Duration = Duration::from_mins(1);
/// The pause between two tries, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// How often a unit that stands in another's way is tried.
const CROSSINGS: u32 = 20;
/// How long a transaction that has begun ahead waits for what will belong to it: less than the server lets one be idle.
const AHEAD: Duration = Duration::from_secs(1);
/// After so many commits the notes of old ones are removed.
const SWEPT_EVERY: u32 = 10_000;

type Answer = oneshot::Sender<Result<(), CommitError>>;

/// A unit in the queue. Without an answer, nobody waits for it.
struct Waiting {
    unit: Unit,
    answer: Option<Answer>,
}

enum Order {
    Write(Waiting),
    /// Take no more, write what waits, end.
    Close,
}

/// The caller's side.
pub(super) struct Writer {
    queue: mpsc::Sender<Order>,
    lost_records: Arc<AtomicU64>,
    failing: Arc<AtomicBool>,
    /// Closed when the task has ended.
    ended: watch::Receiver<()>,
}

impl Writer {
    /// Starts the task. It ends when the writer is dropped or closed and the queue is empty.
    pub(super) fn start(connector: Connector, line: Line, sender: Uuid, wakes: Waking) -> Self {
        let (queue, orders) = mpsc::channel(QUEUE);
        let (alive, ended) = watch::channel(());
        let lost_records = Arc::new(AtomicU64::new(0));
        let failing = Arc::new(AtomicBool::new(false));
        let task = Task {
            connector,
            line: Some(line),
            sender,
            wakes,
            lost_records: Arc::clone(&lost_records),
            failing: Arc::clone(&failing),
            since_sweep: SWEPT_EVERY,
            _alive: alive,
        };
        tokio::spawn(task.run(orders));
        Self { queue, lost_records, failing, ended }
    }

    /// Answers when the unit is durable. A caller who goes away before the answer does not take it back.
    pub(super) async fn write(&self, unit: Unit) -> Result<(), CommitError> {
        let (answer, said) = oneshot::channel();
        let order = Order::Write(Waiting { unit, answer: Some(answer) });
        self.queue.send(order).await.map_err(|_| StoreError::Closed)?;
        said.await.map_err(|_| StoreError::Closed)?
    }

    /// Hands a record over; waits only while the queue is full.
    pub(super) async fn append_soon(&self, leaf: Leaf) -> Result<(), StoreError> {
        let mut unit = Unit::default();
        unit.woken.record = true;
        unit.leaves.push(leaf);
        if self.is_failing() {
            // Handing it over would only lose it: wait, so that the caller hears the truth.
            return self.write(unit).await.map_err(CommitError::into_store_error);
        }
        let order = Order::Write(Waiting { unit, answer: None });
        self.queue.send(order).await.map_err(|_| StoreError::Closed)
    }

    /// Writes all that was handed over, then refuses more.
    pub(super) async fn close(&self) {
        // An error means that it was closed before; then it is waited for all the same.
        let _ = self.queue.send(Order::Close).await;
        let _ = self.ended.clone().changed().await;
    }

    /// Whether the last write failed.
    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    pub(super) fn lost_records(&self) -> u64 {
        self.lost_records.load(Ordering::Relaxed)
    }
}

/// The task's side.
struct Task {
    connector: Connector,
    line: Option<Line>,
    sender: Uuid,
    wakes: Waking,
    lost_records: Arc<AtomicU64>,
    failing: Arc<AtomicBool>,
    since_sweep: u32,
    _alive: watch::Sender<()>,
}

impl Task {
    async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        let mut taken = Vec::with_capacity(GROUP);
        while self.receive(&mut orders, &mut taken).await > 0 {
            gather(&mut orders, &mut taken).await;
            let mut group = Vec::with_capacity(taken.len());
            let mut weight = 0;
            for order in taken.drain(..) {
                let Order::Write(waiting) = order else {
                    // What is in the queue is still received; new orders are refused.
                    orders.close();
                    continue;
                };
                weight += waiting.unit.weight();
                group.push(waiting);
                if weight > GROUP_BYTES {
                    self.write(std::mem::take(&mut group)).await;
                    weight = 0;
                }
            }
            if !group.is_empty() {
                self.write(group).await;
            }
            self.sweep().await;
        }
    }

    /// What waits, or else what comes next. The transaction for it has begun by then, if it comes soon.
    async fn receive(&mut self, orders: &mut mpsc::Receiver<Order>, taken: &mut Vec<Order>) -> usize {
        if let Some(line) = &mut self.line
            && line.begin_ahead().await.is_ok()
        {
            if let Ok(received) = time::timeout(AHEAD, orders.recv_many(taken, GROUP)).await {
                return received;
            }
            if line.end_ahead().await.is_err() {
                self.line = None;
            }
        }
        orders.recv_many(taken, GROUP).await
    }

    /// Makes the group true, in smaller groups where it must be.
    async fn write(&mut self, group: Vec<Waiting>) {
        let patient = !self.failing.load(Ordering::Relaxed);
        let begun = Instant::now();
        let until = begun + PATIENCE;
        let mut groups = vec![(group, 0)];
        let mut pause = PAUSE.0;
        let mut lost = false;
        while let Some((group, tries)) = groups.pop() {
            match self.try_once(&group).await {
                Ok(done) => {
                    self.failing.store(false, Ordering::Relaxed);
                    self.answer(group, done);
                }
                // A connection that led nowhere takes long to be found out; another one is tried all the same.
                Err(Undone::Lost(_) | Undone::Late(_)) if patient && (!lost || Instant::now() < until) => {
                    lost = true;
                    time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE.1);
                    groups.push((group, tries));
                }
                Err(Undone::Crossed(_)) if group.len() > 1 => {
                    // Alone, each holds what it needs for a moment only. Popped from the end, so in their order.
                    groups.extend(group.into_iter().rev().map(|waiting| (vec![waiting], 0)));
                }
                Err(Undone::Crossed(_)) if tries < CROSSINGS => {
                    time::sleep(Duration::from_millis(u64::from(tries) * 5)).await;
                    groups.push((group, tries + 1));
                }
                Err(Undone::Refused(error) | Undone::Late(error)) if is_mixed(&group) => {
                    // Records that nobody waits for are not to be lost for the units beside which they failed.
                    let (units, records): (Vec<_>, Vec<_>) =
                        group.into_iter().partition(|waiting| waiting.answer.is_some());
                    self.give_up(units, &error);
                    groups.push((records, tries));
                }
                Err(Undone::Unknown(_, error)) => {
                    self.give_up(group, &error);
                    // It may be true all the same, and nobody else wakes our own.
                    self.wakes.wake(Wake::Anything);
                }
                Err(Undone::Late(_)) if nobody_waits(&group) && begun.elapsed() < KEPT_FOR => {
                    // Whoever hands over more waits from now on, and hears the truth.
                    self.failing.store(true, Ordering::Relaxed);
                    time::sleep(pause).await;
                    groups.push((group, tries));
                }
                Err(
                    Undone::Lost(error)
                    | Undone::Late(error)
                    | Undone::Crossed(error)
                    | Undone::Refused(error),
                ) => self.give_up(group, &error),
            }
        }
    }

    /// Writes the group; when the connection broke during the commit, finds out what became of it.
    async fn try_once(&mut self, group: &[Waiting]) -> Result<Done, Undone> {
        let commit = Uuid::new_v4();
        let sender = self.sender;
        let line = self.line().await.map_err(Undone::Lost)?;
        let units: Vec<&Unit> = group.iter().map(|waiting| &waiting.unit).collect();
        let written = line.write(&units, commit, sender).await;
        match written {
            Err(Undone::Unknown(done, error)) => {
                self.line = None;
                match self.became_true(commit).await {
                    Some(true) => Ok(done),
                    Some(false) => Err(Undone::Lost(error)),
                    None => Err(Undone::Unknown(done, unknown(&error))),
                }
            }
            Err(undone) => {
                // Whatever state its transaction is in, nothing may be added to it; dropping it ends it.
                self.line = None;
                Err(undone)
            }
            Ok(done) => Ok(done),
        }
    }

    async fn became_true(&mut self, commit: Uuid) -> Option<bool> {
        let until = Instant::now() + ASKED_FOR;
        let mut pause = PAUSE.0;
        while Instant::now() < until {
            if let Ok(line) = self.line().await {
                match line.became_true(commit).await {
                    Ok(became) => return Some(became),
                    Err(error) => {
                        self.line = None;
                        tracing::warn!(error = fault::words(&error), "the fate of a commit is asked again");
                    }
                }
            }
            time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
        None
    }

    /// The connection, made anew when it broke.
    async fn line(&mut self) -> Result<&mut Line, StoreError> {
        let standing = self.line.take().filter(|line| !line.is_closed());
        let line = match standing {
            Some(line) => line,
            None => open_line(&self.connector).await.map_err(Fault::into_store_error)?,
        };
        Ok(self.line.insert(line))
    }

    fn answer(&self, group: Vec<Waiting>, done: Done) {
        // Before the answers: who begins to watch with an answer in hand is not woken for what it says.
        for wake in done.woken.wakes() {
            self.wakes.wake(wake);
        }
        for (waiting, answer) in group.into_iter().zip(done.answers) {
            match (waiting.answer, answer) {
                // The caller may have gone.
                (Some(caller), answer) => drop(caller.send(answer)),
                (None, Ok(())) => {}
                (None, Err(error)) => self.lose(waiting.unit.leaves.len(), &error.into_store_error()),
            }
        }
    }

    fn give_up(&self, group: Vec<Waiting>, error: &StoreError) {
        self.failing.store(true, Ordering::Relaxed);
        let mut lost = 0;
        for waiting in group {
            match waiting.answer {
                Some(caller) => drop(caller.send(Err(error.clone().into()))),
                None => lost += waiting.unit.leaves.len(),
            }
        }
        if lost > 0 {
            self.lose(lost, error);
        }
    }

    fn lose(&self, count: usize, error: &StoreError) {
        self.lost_records.fetch_add(count as u64, Ordering::Relaxed);
        tracing::error!(count, %error, "records of reads could not be written and are lost");
    }

    async fn sweep(&mut self) {
        self.since_sweep += 1;
        if self.since_sweep < SWEPT_EVERY {
            return;
        }
        self.since_sweep = 0;
        if let Some(line) = &self.line
            && let Err(error) = line.sweep().await
        {
            tracing::warn!(error = fault::words(&error), "notes of old commits are removed later");
        }
    }
}

/// A connection to write on.
pub(super) async fn open_line(connector: &Connector) -> Result<Line, Fault> {
    let (client, connection) = connector.connect().await?;
    let driving = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::warn!(error = fault::words(&error), "the writer's connection to PostgreSQL broke");
        }
    });
    let line = Line::new(client, driving.abort_handle());
    line.plan_once().await?;
    Ok(line)
}

fn unknown(error: &StoreError) -> StoreError {
    StoreError::Unknown(error.to_string())
}

fn nobody_waits(group: &[Waiting]) -> bool {
    group.iter().all(|waiting| waiting.answer.is_none())
}

fn is_mixed(group: &[Waiting]) -> bool {
    let waited_for = group.iter().filter(|waiting| waiting.answer.is_some()).count();
    waited_for > 0 && waited_for < group.len()
}

/// Records that nobody waits for are gathered, so that a busy gateway's reads do not become a transaction each. Whoever
/// is waited for ends the gathering.
async fn gather(orders: &mut mpsc::Receiver<Order>, taken: &mut Vec<Order>) {
    let waited_for = |order: &Order| !matches!(order, Order::Write(Waiting { answer: None, .. }));
    let until = Instant::now() + GATHER;
    let mut seen = 0;
    loop {
        if taken.iter().skip(seen).any(waited_for) || taken.len() >= GROUP {
            return;
        }
        seen = taken.len();
        let room = GROUP - seen;
        match time::timeout_at(until, orders.recv_many(taken, room)).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}
