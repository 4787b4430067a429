//! Memory of changes by `Idempotency-Key`: the same call twice is done once and answered twice.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use guichet_contract::{Clock, Digest};
use jiff::{SignedDuration, Timestamp};

use crate::{answer::Answer, journal::Journal, story::Story};

/// Operation and `Idempotency-Key`.
type Key = (String, String);

/// Bounds of the memory. What is in flight is never forgotten, whatever the bounds say; how much can be in
/// flight is bounded by the provider's limit on calls.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) entries: usize,
    pub(crate) bytes: usize,
    pub(crate) age: SignedDuration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { entries: 10_000, bytes: 64 << 20, age: SignedDuration::from_hours(24) }
    }
}

pub(crate) struct Replay {
    bounds: Bounds,
    clock: Arc<dyn Clock>,
    memory: Mutex<Memory>,
}

/// What is remembered of a call.
pub(crate) enum Remembered {
    /// It ended so, or is under way.
    Story(Arc<Story>),
    /// Nothing; what was called after this moment would be known.
    Nothing {
        /// When the memory began, or what it last forgot had ended.
        since: Timestamp,
    },
}

#[derive(Default)]
struct Memory {
    entries: HashMap<Key, Entry>,
    /// Ended entries by their last use, the longest unused first.
    ended: BTreeMap<u64, Key>,
    bytes: usize,
    tick: u64,
    /// When the memory began, or what it last forgot had ended.
    since: Timestamp,
    stopping: bool,
}

struct Entry {
    input: Digest,
    story: Arc<Story>,
    /// When and how heavy it ended, and its place in `ended`.
    ended: Option<Ended>,
}

struct Ended {
    at: Timestamp,
    weight: usize,
    tick: u64,
}

/// What a call with this key meets.
pub(crate) enum Entered {
    /// It is the first: do the work, then end the ticket.
    First(Ticket),
    /// Someone was there before: listen to this story.
    Again(Arc<Story>),
    /// The key was used with another input.
    Conflict,
}

/// The duty to end an entry. Dropped without an end, it tells that the work is lost.
pub(crate) struct Ticket {
    replay: Arc<Replay>,
    key: Option<Key>,
    resumable: bool,
    pub(crate) story: Arc<Story>,
}

impl Replay {
    pub(crate) fn new(bounds: Bounds, clock: Arc<dyn Clock>) -> Self {
        let memory = Memory { since: clock.now(), ..Memory::default() };
        Self { bounds, clock, memory: Mutex::new(memory) }
    }

    /// The process ends: what keeps a journal is put away after its present step, and goes on in another.
    pub(crate) fn stop(&self) {
        let mut memory = self.lock();
        memory.stopping = true;
        for entry in memory.entries.values() {
            entry.story.journal.stop();
        }
    }

    /// What is known of a call, without making it.
    pub(crate) fn look(&self, operation: &str, key: &str, input: &Digest) -> Remembered {
        let memory = self.lock();
        match memory.entries.get(&(operation.to_owned(), key.to_owned())) {
            Some(entry) if entry.input == *input => Remembered::Story(Arc::clone(&entry.story)),
            _ => Remembered::Nothing { since: memory.since },
        }
    }

    /// `resumable`: the gateway keeps its journal, and what was lost begins anew.
    pub(crate) fn enter(
        self: &Arc<Self>,
        operation: &str,
        key: &str,
        input: &Digest,
        resumable: bool,
    ) -> Entered {
        let key = (operation.to_owned(), key.to_owned());
        let now = self.clock.now();
        let mut memory = self.lock();
        memory.forget_old(now, self.bounds.age);
        if let Some(entry) = memory.entries.get(&key) {
            if entry.input != *input {
                return Entered::Conflict;
            }
            let story = Arc::clone(&entry.story);
            memory.touch(&key);
            return Entered::Again(story);
        }
        let journal = Arc::new(Journal::new(resumable, Arc::clone(&self.clock)));
        if memory.stopping {
            journal.stop();
        }
        let story = Arc::new(Story::new(journal));
        let entry = Entry { input: input.clone(), story: Arc::clone(&story), ended: None };
        memory.entries.insert(key.clone(), entry);
        Entered::First(Ticket { replay: Arc::clone(self), key: Some(key), story, resumable })
    }

    fn ended(&self, key: &Key, answer: &Answer) {
        let at = self.clock.now();
        let mut memory = self.lock();
        memory.tick += 1;
        let (tick, weight) = (memory.tick, answer.weight());
        if let Some(entry) = memory.entries.get_mut(key) {
            entry.ended = Some(Ended { at, weight, tick });
            memory.ended.insert(tick, key.clone());
            memory.bytes += weight;
        }
        while memory.ended.len() > self.bounds.entries || memory.bytes > self.bounds.bytes {
            if !memory.forget_oldest() {
                break;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    fn touch(&mut self, key: &Key) {
        self.tick += 1;
        let tick = self.tick;
        if let Some(ended) = self.entries.get_mut(key).and_then(|entry| entry.ended.as_mut())
            && let Some(key) = self.ended.remove(&ended.tick)
        {
            ended.tick = tick;
            self.ended.insert(tick, key);
        }
    }

    /// Use keeps an entry from being pushed out, not from growing old: only the front is looked at, so one
    /// old entry that is in use may stay until it is the longest unused.
    fn forget_old(&mut self, now: Timestamp, age: SignedDuration) {
        while let Some((_, key)) = self.ended.first_key_value() {
            let old = self
                .entries
                .get(key)
                .and_then(|entry| entry.ended.as_ref())
                .is_none_or(|ended| now.duration_since(ended.at) > age);
            if !old || !self.forget_oldest() {
                return;
            }
        }
    }

    fn forget_oldest(&mut self) -> bool {
        let Some((_, key)) = self.ended.pop_first() else { return false };
        if let Some(ended) = self.entries.remove(&key).and_then(|entry| entry.ended) {
            self.bytes = self.bytes.saturating_sub(ended.weight);
            self.since = self.since.max(ended.at);
        }
        true
    }
}

impl Ticket {
    /// Ends the work with this answer, which is kept when it is an end.
    pub(crate) fn end(mut self, answer: Answer) {
        if !answer.is_kept() || (self.resumable && answer == Answer::Lost) {
            return self.give_back(answer);
        }
        if let Some(key) = self.key.take() {
            self.replay.ended(&key, &answer);
        }
        self.story.end(answer);
    }

    /// Nothing was begun: forgets the key, and tells whoever joined meanwhile.
    pub(crate) fn give_back(mut self, answer: Answer) {
        if let Some(key) = self.key.take() {
            let _ = self.replay.lock().entries.remove(&key);
        }
        self.story.end(answer);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            if self.resumable {
                let _ = self.replay.lock().entries.remove(&key);
            } else {
                self.replay.ended(&key, &Answer::Lost);
            }
            self.story.end(Answer::Lost);
        }
    }
}

#[cfg(test)]
mod tests {
    use guichet_contract::SystemClock;
    use serde_json::json;

    use super::*;

    fn replay(entries: usize) -> Arc<Replay> {
        Arc::new(Replay::new(Bounds { entries, ..Bounds::default() }, Arc::new(SystemClock)))
    }

    fn first(replay: &Arc<Replay>, key: &str) -> Ticket {
        match replay.enter("op", key, &Digest::of_json(&json!(1)), false) {
            Entered::First(ticket) => ticket,
            _ => panic!("{key} was there already"),
        }
    }

    fn is_first(replay: &Arc<Replay>, key: &str) -> bool {
        matches!(replay.enter("op", key, &Digest::of_json(&json!(1)), false), Entered::First(_))
    }

    #[test]
    fn the_longest_unused_is_forgotten_but_never_what_is_in_flight() {
        let replay = replay(2);
        let in_flight = first(&replay, "flying");
        for key in ["a", "b"] {
            first(&replay, key).end(Answer::Done(json!(key)));
        }
        assert!(!is_first(&replay, "a"), "used again, so b is now the longest unused");
        first(&replay, "c").end(Answer::Done(json!("c")));
        assert!(!is_first(&replay, "a"));
        assert!(!is_first(&replay, "flying"));
        assert!(is_first(&replay, "b"), "b was pushed out by c");
        in_flight.end(Answer::Done(json!(1)));
    }

    #[test]
    fn heavy_answers_push_out_old_ones() {
        let bounds = Bounds { bytes: 1_000, ..Bounds::default() };
        let replay = Arc::new(Replay::new(bounds, Arc::new(SystemClock)));
        first(&replay, "a").end(Answer::Done(json!("x".repeat(600))));
        first(&replay, "b").end(Answer::Done(json!("x".repeat(600))));
        assert!(!is_first(&replay, "b"));
        assert!(is_first(&replay, "a"));
    }

    #[test]
    fn lost_work_is_told_and_work_never_begun_is_forgotten() {
        let replay = replay(10);
        drop(first(&replay, "lost"));
        let Entered::Again(story) = replay.enter("op", "lost", &Digest::of_json(&json!(1)), false) else {
            panic!()
        };
        assert_eq!(story.ended(), Some(Answer::Lost));
        first(&replay, "busy").give_back(Answer::Lost);
        assert!(is_first(&replay, "busy"));
    }

    #[test]
    fn another_input_is_a_conflict() {
        let replay = replay(10);
        let _ticket = first(&replay, "a");
        assert!(matches!(replay.enter("op", "a", &Digest::of_json(&json!(2)), false), Entered::Conflict));
        assert!(matches!(replay.enter("other", "a", &Digest::of_json(&json!(2)), false), Entered::First(_)));
    }
}
