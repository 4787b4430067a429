//! What one piece of work has done so far, as the gateway has made it durable; whether it shall stop; what undoes it.
//!
//! A handler that finished a step waits here until a call of the gateway hands the step back as part of the journal.
//! Nothing else says that it is durable.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use guichet_contract::{Clock, Problem, STEPS_MAX, UNDOING};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use crate::error::ActionError;

/// Largest result of a step, bytes of JSON.
pub(crate) const RESULT_MAX: usize = 64 << 10;
/// Largest journal, bytes of JSON.
pub(crate) const JOURNAL_MAX: usize = 512 << 10;

type Work = Pin<Box<dyn Future<Output = Result<(), ActionError>> + Send>>;
/// A compensation that was not needed yet.
pub(crate) type Undo = Box<dyn FnOnce() -> Work + Send>;

/// Why a handler is put away before its end.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Away {
    /// It sleeps; somebody calls again.
    Waits { name: String, until: Timestamp },
    /// Nobody has called for a long time; whoever calls again begins with the journal.
    Abandoned,
}

/// The journal of one piece of work.
pub(crate) struct Journal {
    /// Whether the gateway keeps it: otherwise nobody hands steps back, and nothing is waited for.
    kept: bool,
    pub(crate) clock: Arc<dyn Clock>,
    inner: Mutex<Inner>,
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct Inner {
    durable: Map<String, Value>,
    /// Where in the story the telling of a step ends.
    told_at: BTreeMap<String, u64>,
    named: BTreeSet<String>,
    /// Pauses that are over.
    slept: BTreeSet<String>,
    weight: usize,
    cancelled: bool,
    /// The process ends: no step is begun any more.
    stopping: bool,
    away: Option<Away>,
    undos: Vec<(String, Undo)>,
}

impl Journal {
    pub(crate) fn new(kept: bool, clock: Arc<dyn Clock>) -> Self {
        Self { kept, clock, inner: Mutex::default(), changes: watch::Sender::new(0) }
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.kept
    }

    /// Takes in what a call hands over. Answers from where in the story the caller has not heard it.
    pub(crate) fn hand_over(&self, steps: &Map<String, Value>, cancelled: bool) -> u64 {
        let position = {
            let mut inner = self.lock();
            for (name, result) in steps {
                if !inner.durable.contains_key(name) {
                    inner.weight += name.len() + result.to_string().len();
                    let _ = inner.durable.insert(name.clone(), result.clone());
                }
            }
            inner.cancelled |= cancelled;
            steps.keys().filter_map(|name| inner.told_at.get(name)).max().copied().unwrap_or_default()
        };
        self.changes.send_modify(|count| *count += 1);
        position
    }

    pub(crate) fn cancel(&self) {
        let _ = self.hand_over(&Map::new(), true);
    }

    /// The process ends: the handler is put away where it next could be.
    pub(crate) fn stop(&self) {
        self.lock().stopping = true;
        self.changes.send_modify(|count| *count += 1);
    }

    /// Whether no step is begun any more: another process will.
    pub(crate) fn is_stopping(&self) -> bool {
        self.kept && self.lock().stopping
    }

    /// Ready when the process ends.
    pub(crate) async fn until_stopping(&self) {
        self.until(|inner| inner.stopping.then_some(())).await;
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.lock().cancelled
    }

    /// The result of a step that is durable.
    pub(crate) fn durable(&self, name: &str) -> Option<Value> {
        self.lock().durable.get(name).cloned()
    }

    /// Why it failed, when it is being undone already.
    pub(crate) fn failure(&self) -> Option<Box<Problem>> {
        self.durable(UNDOING).and_then(|mut undoing| serde_json::from_value(undoing["problem"].take()).ok())
    }

    /// What is journaled before anything is undone: why; which pauses were over by then, so that whoever comes back to it
    /// after a death stops where it failed, neither before nor behind; and what is to be undone.
    pub(crate) fn undoing(&self, problem: &Problem) -> Value {
        let inner = self.lock();
        let undo: Vec<&String> = inner.undos.iter().map(|(name, _)| name).collect();
        json!({"problem": problem, "slept": inner.slept, "undo": undo})
    }

    /// What was to be undone when it failed.
    pub(crate) fn to_be_undone(&self) -> Vec<String> {
        self.durable(UNDOING)
            .and_then(|mut undoing| serde_json::from_value(undoing["undo"].take()).ok())
            .unwrap_or_default()
    }

    /// This pause is over.
    pub(crate) fn slept(&self, name: String) {
        let _ = self.lock().slept.insert(name);
    }

    /// Whether this pause was over when it failed.
    pub(crate) fn had_slept(&self, name: &str) -> bool {
        self.durable(UNDOING).is_some_and(|undoing| {
            undoing["slept"].as_array().is_some_and(|slept| slept.iter().any(|s| s == name))
        })
    }

    /// Takes a name; false when it was taken in this attempt.
    pub(crate) fn take_name(&self, name: &str) -> bool {
        self.lock().named.insert(name.to_owned())
    }

    /// Whether one more step or pause has room, beside all that would undo what was done so far, with `undos` more of it.
    pub(crate) fn has_room(&self, name: &str, undos: usize) -> Result<(), ActionError> {
        let inner = self.lock();
        let undos = inner.undos.len() + undos;
        // One step says that it failed, before anything is undone.
        let kept_free = if undos == 0 { 0 } else { undos + 1 };
        if !self.kept || inner.durable.len() + kept_free < STEPS_MAX {
            return Ok(());
        }
        let detail = format!(
            "`{name}` is not begun: the journal of a run has room for {STEPS_MAX} steps, pauses and what undoes them, and this run \
             has them all"
        );
        Err(ActionError::failed(detail)
            .next("tell the provider's owners: do more in one step, and wait longer in one pause"))
    }

    /// Whether a result still fits. What undoes always does: there is nothing in it, and it must not fail for that.
    pub(crate) fn fits(&self, name: &str, result: &Value) -> Result<(), ActionError> {
        if name == UNDOING || result.is_null() {
            return Ok(());
        }
        let bytes = result.to_string().len();
        if bytes > RESULT_MAX {
            return Err(ActionError::failed(format!(
                "step `{name}` is done, but its result has {bytes} bytes, and a journal takes {RESULT_MAX}"
            ))
            .next("give back less from the step: an id, not the thing"));
        }
        if self.lock().weight + name.len() + bytes > JOURNAL_MAX {
            return Err(ActionError::failed(format!(
                "step `{name}` is done, but the journal of this run is full ({JOURNAL_MAX} bytes)"
            ))
            .next("make fewer steps, or give back less from each"));
        }
        Ok(())
    }

    pub(crate) fn told(&self, name: &str, position: u64) {
        let _ = self.lock().told_at.insert(name.to_owned(), position);
    }

    /// Ready when the step is durable.
    pub(crate) async fn until_durable(&self, name: &str) {
        self.until(|inner| inner.durable.contains_key(name).then_some(())).await;
    }

    /// Ready when it shall stop.
    pub(crate) async fn until_cancelled(&self) {
        self.until(|inner| inner.cancelled.then_some(())).await;
    }

    /// Ready when the handler is to be put away.
    pub(crate) async fn until_away(&self) -> Away {
        self.until(|inner| inner.away.clone()).await
    }

    /// Has the handler put away. It never goes on from here.
    pub(crate) async fn go_away(&self, away: Away) -> std::convert::Infallible {
        let _ = self.lock().away.get_or_insert(away);
        self.changes.send_modify(|count| *count += 1);
        std::future::pending().await
    }

    async fn until<T>(&self, look: impl Fn(&Inner) -> Option<T>) -> T {
        let mut changes = self.changes.subscribe();
        loop {
            if let Some(found) = look(&self.lock()) {
                return found;
            }
            if changes.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    pub(crate) fn add_undo(&self, name: String, undo: Undo) {
        self.lock().undos.push((name, undo));
    }

    /// The compensation that was added last.
    pub(crate) fn next_undo(&self) -> Option<(String, Undo)> {
        self.lock().undos.pop()
    }

    pub(crate) fn has_undos(&self) -> bool {
        !self.lock().undos.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
