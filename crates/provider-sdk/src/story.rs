//! What is told about one piece of work while it goes on, for whoever listens, also for those who come late.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::{Value, json};
use tokio::sync::watch;

use crate::{answer::Answer, journal::Journal};

/// Events kept for late listeners; older ones are dropped and counted.
const KEPT_EVENTS: usize = 1_000;
/// Characters kept of a line.
const KEPT_LINE: usize = 4_096;

/// One event of the stream.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Told {
    pub(crate) name: &'static str,
    pub(crate) data: Value,
}

/// The events of one piece of work, and its end.
pub(crate) struct Story {
    /// What it has done, as the gateway knows it.
    pub(crate) journal: Arc<Journal>,
    inner: Mutex<Inner>,
    /// Counts changes, so that listeners wake without holding the lock.
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct Inner {
    /// How many events were dropped before `events[0]`.
    dropped: u64,
    events: VecDeque<Told>,
    end: Option<Answer>,
}

impl Story {
    pub(crate) fn new(journal: Arc<Journal>) -> Self {
        Self { journal, inner: Mutex::default(), changes: watch::Sender::new(0) }
    }

    pub(crate) fn log(&self, line: &str) {
        let line: String = line.chars().take(KEPT_LINE).collect();
        let _ = self.tell("log", json!({"line": line}));
    }

    /// Answers how many events were told up to this one.
    pub(crate) fn tell(&self, name: &'static str, data: Value) -> u64 {
        let position = {
            let mut inner = self.lock();
            if inner.end.is_some() {
                return inner.dropped + inner.events.len() as u64;
            }
            if inner.events.len() == KEPT_EVENTS {
                let _ = inner.events.pop_front();
                inner.dropped += 1;
            }
            let position = inner.dropped + inner.events.len() as u64 + 1;
            // Before anybody can hear it: who hands the step back at once must not be told it a second time.
            if let (Some(step), "done") =
                (data["name"].as_str().filter(|_| name == "step"), data["state"].as_str().unwrap_or_default())
            {
                self.journal.told(step, position);
            }
            inner.events.push_back(Told { name, data });
            position
        };
        self.changes.send_modify(|count| *count += 1);
        position
    }

    /// Tells the end, once; a second end is not heard.
    pub(crate) fn end(&self, answer: Answer) {
        {
            let mut inner = self.lock();
            if inner.end.is_some() {
                return;
            }
            inner.end = Some(answer);
        }
        self.changes.send_modify(|count| *count += 1);
    }

    pub(crate) fn ended(&self) -> Option<Answer> {
        self.lock().end.clone()
    }

    /// Waits for the end.
    pub(crate) async fn wait(&self) -> Answer {
        let mut changes = self.changes.subscribe();
        loop {
            if let Some(answer) = self.ended() {
                return answer;
            }
            if changes.changed().await.is_err() {
                return Answer::Lost;
            }
        }
    }

    /// The events from `position` on and then the end, waiting for news. `position` moves on.
    pub(crate) async fn next(&self, position: &mut u64) -> (Vec<Told>, Option<Answer>) {
        let mut changes = self.changes.subscribe();
        loop {
            let (news, end) = self.since(position);
            if !news.is_empty() || end.is_some() {
                return (news, end);
            }
            if changes.changed().await.is_err() {
                return (Vec::new(), Some(Answer::Lost));
            }
        }
    }

    fn since(&self, position: &mut u64) -> (Vec<Told>, Option<Answer>) {
        let inner = self.lock();
        let mut news = Vec::new();
        if *position < inner.dropped {
            let missed = inner.dropped - *position;
            news.push(Told {
                name: "log",
                data: json!({"line": format!("({missed} earlier events are not kept)")}),
            });
            *position = inner.dropped;
        }
        let skip = usize::try_from(*position - inner.dropped).unwrap_or(usize::MAX);
        news.extend(inner.events.iter().skip(skip).cloned());
        *position = inner.dropped + inner.events.len() as u64;
        (news, inner.end.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_hands_a_step_back_at_once_is_not_told_it_again() {
        let story = Story::new(Arc::new(Journal::new(true, Arc::new(guichet_contract::SystemClock))));
        let position = story.tell("step", json!({"name": "a", "state": "done", "result": 1}));
        let handed = json!({"a": 1}).as_object().cloned().unwrap();
        assert_eq!((story.journal.hand_over(&handed, false), position), (1, 1));
    }

    #[tokio::test]
    async fn who_comes_late_hears_what_is_kept_and_the_end() {
        let story = Story::new(Arc::new(Journal::new(false, Arc::new(guichet_contract::SystemClock))));
        for number in 0..KEPT_EVENTS + 5 {
            story.log(&number.to_string());
        }
        story.end(Answer::Done(json!(1)));
        story.log("after the end");
        let mut position = 0;
        let (news, end) = story.next(&mut position).await;
        assert_eq!(news.len(), KEPT_EVENTS + 1);
        assert_eq!(news[0].data["line"], "(5 earlier events are not kept)");
        assert_eq!(news[1].data["line"], "5");
        assert_eq!(end, Some(Answer::Done(json!(1))));
        assert_eq!(story.wait().await, Answer::Done(json!(1)));
    }
}
