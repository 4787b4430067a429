//! The one thread that writes, and its group commit.
//!
//!   callers ──► queue (4,096) ──► BEGIN ─ unit ─ unit ─ unit … ─ COMMIT (one fsync) ──► wakes ──► answers
//!
//! A commit costs a disk write of some hundred microseconds to milliseconds, a unit some ten microseconds. So the
//! thread takes all that waits and commits it together; the busier it is, the less a unit costs. Each unit has its
//! own savepoint: one that conflicts is taken back alone. Nobody is answered, not even with a conflict, before the
//! commit: what a unit saw may be the work of a neighbour that never becomes true.
//!
//! The road not taken: a mutex around the connection. It would commit one unit per disk write.

use std::{
    cell::Cell,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rusqlite::Connection;
use tokio::sync::{mpsc, watch};

use super::{
    fault::Fault,
    ownership::Ownership,
    records::{self, Leaf},
    unit::{Asked, Unit, Unsaid},
    writing::{Writing, in_transaction},
};
use crate::{CommitError, StoreError, wakes::Waking};

/// Units that may wait. At the limit callers wait for a place: the disk sets the pace.
const QUEUE: usize = 4_096;
/// Units of one commit at most, so that the first of them does not wait too long for the last.
const GROUP: usize = 1_024;

/// What the thread is asked to do.
enum Order {
    /// Apply in a savepoint, answer after the commit.
    Unit(Box<dyn Unit>, Synced),
    /// Append; nobody waits for an answer.
    Record(Leaf),
    /// Take no more, write what waits, end.
    Close,
}

/// Whether whoever is answered relies on it that a power cut does not take it back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Synced {
    Yes,
    /// What follows from it is synced, and stands behind it in the same log.
    No,
}

/// The caller's side.
pub(super) struct Writer {
    path: PathBuf,
    lost_records: Arc<AtomicU64>,
    failing: Arc<AtomicBool>,
    /// Closed when the thread has ended.
    ended: watch::Receiver<()>,
    thread: thread::Thread,
    // In this order: dropping the queue ends the thread, then the thread is waited for.
    queue: mpsc::Sender<Order>,
    _thread: Joined,
}

/// Waits for the thread when dropped, so that whoever opens the file next finds it free and complete.
struct Joined(Option<thread::JoinHandle<()>>);

impl Drop for Joined {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            let _ = thread.join();
        }
    }
}

impl Writer {
    /// Starts the thread, which owns the file until it ends.
    pub(super) fn start(
        connection: Connection,
        path: &Path,
        ownership: Ownership,
        wakes: Waking,
    ) -> Result<Self, StoreError> {
        let (queue, orders) = mpsc::channel(QUEUE);
        let (alive, ended) = watch::channel(());
        let lost_records = Arc::new(AtomicU64::new(0));
        let failing = Arc::new(AtomicBool::new(false));
        let thread = WriterThread {
            connection,
            synced: Cell::new(Synced::Yes),
            path: path.to_owned(),
            wakes,
            lost_records: Arc::clone(&lost_records),
            failing: Arc::clone(&failing),
            _ownership: ownership,
            _alive: alive,
        };
        let thread = thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || thread.run(orders))
            .map_err(|error| StoreError::Engine(format!("the writer's thread cannot be started: {error}")))?;
        Ok(Self {
            path: path.to_owned(),
            lost_records,
            failing,
            ended,
            thread: thread.thread().clone(),
            queue,
            _thread: Joined(Some(thread)),
        })
    }

    /// Applies the work alone in its savepoint and answers when it is durable. A caller who goes away before the
    /// answer does not take it back.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Writing<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, CommitError> {
        self.ask(work, Synced::Yes).await
    }

    /// The same, but that a power cut may take it back as long as nothing that was answered by [`Self::write`] came after it.
    /// For leases: a job whose lease is forgotten is taken up anew, and nobody begins it without a lease that is kept.
    pub(super) async fn write_unsynced<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Writing<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, CommitError> {
        self.ask(work, Synced::No).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Writing<'_>) -> Result<T, Fault> + Send + 'static,
        synced: Synced,
    ) -> Result<T, CommitError> {
        let (unit, said) = Asked::new(work);
        self.queue.send(Order::Unit(Box::new(unit), synced)).await.map_err(|_| StoreError::Closed)?;
        self.thread.unpark();
        match said.await.map_err(|_| StoreError::Closed)? {
            Ok(value) => Ok(value),
            Err(Unsaid::Alone(fault)) => Err(fault.into_commit_error(&self.path)),
            Err(Unsaid::WithTheGroup(error)) => Err(error.into()),
        }
    }

    /// Hands a record over; waits only while the queue is full.
    pub(super) async fn append_soon(&self, leaf: Leaf) -> Result<(), StoreError> {
        self.queue.send(Order::Record(leaf)).await.map_err(|_| StoreError::Closed)
    }

    /// Writes all that was handed over, then refuses more. Returns when the file is free.
    pub(super) async fn close(&self) {
        // An error means that it was closed before; then it is waited for all the same.
        let _ = self.queue.send(Order::Close).await;
        self.thread.unpark();
        let _ = self.ended.clone().changed().await;
    }

    #[cfg(test)]
    pub(super) fn waiting_orders(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }

    /// Whether the last write failed.
    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    pub(super) fn lost_records(&self) -> u64 {
        self.lost_records.load(Ordering::Relaxed)
    }
}

/// The thread's side.
struct WriterThread {
    connection: Connection,
    /// As the connection is set.
    synced: Cell<Synced>,
    path: PathBuf,
    wakes: Waking,
    failing: Arc<AtomicBool>,
    lost_records: Arc<AtomicU64>,
    // Dropped last and in this order: the lock after the connection, the sign of the end after the lock.
    _ownership: Ownership,
    _alive: watch::Sender<()>,
}

/// Records that nobody waits for are gathered for so long, so that a busy gateway's reads do not become a transaction
/// each. Whoever is waited for ends the gathering.
const GATHER: Duration = Duration::from_millis(5);

fn gather(orders: &mut mpsc::Receiver<Order>, group: &mut Vec<Order>) {
    let began = Instant::now();
    let mut someone_waits = group.iter().any(|order| !matches!(order, Order::Record(_)));
    while !someone_waits && group.len() < GROUP {
        let Some(rest) = GATHER.checked_sub(began.elapsed()).filter(|rest| !rest.is_zero()) else { return };
        // Units wake the thread. Being woken without one is harmless: it is looked, and parked again.
        thread::park_timeout(rest);
        while group.len() < GROUP
            && let Ok(order) = orders.try_recv()
        {
            someone_waits |= !matches!(order, Order::Record(_));
            group.push(order);
        }
    }
}

impl WriterThread {
    fn run(self, mut orders: mpsc::Receiver<Order>) {
        let mut group = Vec::with_capacity(GROUP);
        while orders.blocking_recv_many(&mut group, GROUP) > 0 {
            gather(&mut orders, &mut group);
            if group.iter().any(|order| matches!(order, Order::Close)) {
                // What is in the queue is still received; new orders are refused.
                orders.close();
            }
            self.write_group(&mut group);
        }
        // All of it into the one file, so that a copy of that file is complete.
        if let Err(error) = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())) {
            tracing::warn!(%error, "the write-ahead log could not be emptied; it will be when the store is opened");
        }
    }

    fn write_group(&self, group: &mut Vec<Order>) {
        let needs_no_sync = |order: &Order| matches!(order, Order::Unit(_, Synced::No) | Order::Close);
        let synced = if group.iter().all(needs_no_sync) { Synced::No } else { Synced::Yes };
        if let Err(fault) = self.sync_from_now_on(synced) {
            return self.give_up(group, &fault.into_store_error(&self.path));
        }
        let written = in_transaction(&self.connection, |writing| {
            group.iter_mut().try_for_each(|order| match order {
                Order::Unit(unit, _) => writing.in_savepoint(|writing| unit.apply(writing)),
                Order::Record(leaf) => records::append(writing, leaf),
                Order::Close => Ok(()),
            })
        });
        match written {
            Ok(woken) => {
                self.failing.store(false, Ordering::Relaxed);
                // Before the answers: who begins to watch with an answer in hand is not woken for what it says.
                woken.wake(&self.wakes);
                for order in group.drain(..) {
                    if let Order::Unit(unit, _) = order {
                        unit.answer(Ok(()));
                    }
                }
            }
            Err(fault) => self.give_up(group, &fault.into_store_error(&self.path)),
        }
    }

    /// Whether the commits that follow wait for the disk. In WAL mode a later commit that does takes all before it along.
    fn sync_from_now_on(&self, synced: Synced) -> Result<(), Fault> {
        if self.synced.get() != synced {
            let words = if synced == Synced::Yes {
                "PRAGMA synchronous = FULL"
            } else {
                "PRAGMA synchronous = NORMAL"
            };
            self.connection.execute_batch(words)?; // it is obeyed when it is read: one that is kept ready would not be
            self.synced.set(synced);
        }
        Ok(())
    }

    /// Nothing of the group became true: all are told. Records that nobody waits for are tried once more, without
    /// the units beside which they failed, and never lost in silence.
    fn give_up(&self, group: &mut Vec<Order>, error: &StoreError) {
        self.failing.store(true, Ordering::Relaxed);
        let mut leaves = Vec::new();
        for order in group.drain(..) {
            match order {
                Order::Unit(unit, _) => unit.answer(Err(error)),
                Order::Record(leaf) => leaves.push(leaf),
                Order::Close => {}
            }
        }
        if leaves.is_empty() {
            return;
        }
        let written = in_transaction(&self.connection, |writing| {
            leaves.iter().try_for_each(|leaf| records::append(writing, leaf))
        });
        match written {
            Ok(woken) => woken.wake(&self.wakes),
            Err(fault) => {
                let error = fault.into_store_error(&self.path);
                self.lost_records.fetch_add(leaves.len() as u64, Ordering::Relaxed);
                tracing::error!(count = leaves.len(), %error, "records of reads could not be written and are lost");
            }
        }
    }
}
