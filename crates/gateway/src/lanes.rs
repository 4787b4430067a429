//! Threads that each serve their own connections, from the first byte to the last.
//!
//! A runtime that moves tasks between its threads wakes one of them for nearly every message, and on a loaded machine a
//! wake-up costs as much as the rest of a read. A lane is a runtime of one thread: a connection stays on it, and so does
//! what it calls. What is long or heavy (runs, sealing, reloading) is not done here but on the process's own runtime.
//!
//! The road not taken: one listener per lane (`SO_REUSEPORT`). The kernel then deals by a hash, and of few connections
//! most may land on one lane; dealt in turns they do not.

use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};

/// Started lanes. Dropping them ends their threads; what still runs on them is dropped.
pub(crate) struct Lanes {
    lanes: Vec<Lane>,
    next: AtomicUsize,
}

struct Lane {
    runtime: Handle,
    // Closed when the lane shall end. The thread is not waited for: it may be in the middle of a poll.
    _open: oneshot::Sender<()>,
}

impl Lanes {
    /// As many as there are cores.
    ///
    /// # Errors
    /// A machine that gives no thread.
    pub(crate) fn start() -> io::Result<Self> {
        let count = thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
        let lanes = (0..count).map(Lane::start).collect::<io::Result<_>>()?;
        Ok(Self { lanes, next: AtomicUsize::new(0) })
    }

    /// The next one in turn.
    pub(crate) fn next(&self) -> Option<&Handle> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        self.lanes.get(turn % self.lanes.len().max(1)).map(|lane| &lane.runtime)
    }
}

impl Lane {
    fn start(number: usize) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (open, closed) = oneshot::channel::<()>();
        thread::Builder::new().name(format!("lane-{number}")).spawn(move || {
            // An error is the sign: the other end was dropped.
            let _ = runtime.block_on(closed);
            runtime.shutdown_background();
        })?;
        Ok(Self { runtime: handle, _open: open })
    }
}
