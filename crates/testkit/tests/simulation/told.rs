//! The story of a seed, step by step with its virtual time, and what was found wrong in it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, OnceLock, PoisonError},
};

use tokio::time::Instant;

/// What is told of one seed.
#[derive(Default)]
pub(crate) struct Told {
    begun: OnceLock<Instant>,
    lines: Mutex<Vec<String>>,
    wrong: Mutex<Vec<String>>,
    counts: Mutex<Counts>,
}

/// How often each kind of thing happened.
pub(crate) type Counts = BTreeMap<String, u64>;

impl Told {
    /// How long the story goes on, in virtual time.
    pub(crate) fn now(&self) -> std::time::Duration {
        self.begun.get_or_init(Instant::now).elapsed()
    }

    pub(crate) fn tell(&self, text: impl std::fmt::Display) {
        let line = format!("{:>9.3} {text}", self.now().as_secs_f64());
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    /// Something that must never be.
    pub(crate) fn wrong(&self, text: impl std::fmt::Display) {
        self.tell(format!("WRONG: {text}"));
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner).push(text.to_string());
    }

    /// Something that must happen now and then, or the stories prove nothing.
    pub(crate) fn counted(&self, what: impl std::fmt::Display) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(what.to_string()).or_default() += 1;
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn faults(&self) -> Vec<String> {
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn story(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
