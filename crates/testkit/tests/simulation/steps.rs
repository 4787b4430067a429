//! An action with steps and a pause, at a provider that keeps nothing between two calls: what was done stands in the journal
//! that comes with each. What is asked of the journal is checked here, call by call.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio::{
    sync::mpsc::{self, Sender},
    time::sleep,
};

use crate::{
    clock::moment_of,
    provider::{Chunk, Head, Manner, SimProvider, plain, problem, streamed},
};

/// How long such a run may take, seconds; its document says so.
pub(crate) const TIMEOUT: u32 = 300;
/// The step with which it gives up and goes back.
const GIVING_UP: &str = "giving up";
const PAUSE: &str = "pause";

/// What outlives the provider's process, of one run.
#[derive(Default, Clone)]
pub(crate) struct Steps {
    /// How often each step was done.
    done: BTreeMap<String, u32>,
    /// Those whose effect stands: done, and not undone.
    pub(crate) stands: BTreeSet<String>,
    /// All that was ever handed back.
    handed: BTreeSet<String>,
    /// The process that was called first.
    born: Option<Duration>,
}

impl Steps {
    /// Whether each step was done once.
    pub(crate) fn were_done_once(&self) -> bool {
        self.done.values().all(|times| *times == 1)
    }
}

/// One call of it.
pub(crate) struct Call {
    pub(crate) run: String,
    pub(crate) input: Value,
    pub(crate) journal: Map<String, Value>,
    /// Somebody wants it stopped.
    pub(crate) cancelled: bool,
}

impl Call {
    /// `has_journal`: the body has it beside the input.
    pub(crate) fn read(run: String, mut body: Value, has_journal: bool, cancelled: bool) -> Self {
        let journal = match has_journal.then(|| body["journal"].take()) {
            Some(Value::Object(journal)) => journal,
            _ => Map::new(),
        };
        let input = if has_journal { body["input"].take() } else { body };
        Self { run, input, journal, cancelled }
    }
}

/// What comes next.
enum Next {
    Step(String),
    Undo(String),
    Pause(Timestamp),
    /// The outcome.
    End(Value),
}

/// The names of the steps of this item, in order: two to four.
pub(crate) fn steps_of(item: &str) -> Vec<String> {
    (0..2 + number_of(item) % 3).map(|step| format!("step {step}")).collect()
}

/// Whether it pauses after the first step.
fn pauses(item: &str) -> bool {
    number_of(item).is_multiple_of(2)
}

fn number_of(item: &str) -> usize {
    item.trim_start_matches(|letter: char| !letter.is_ascii_digit()).parse().unwrap_or(0)
}

impl SimProvider {
    pub(crate) async fn perform_steps(self: Arc<Self>, call: Call, head: Head) {
        let Call { run, journal, .. } = &call;
        if self.inside().under_way.contains_key(run) {
            let _gone = head.send(plain(503));
            return;
        }
        self.begin(run, None, true);
        self.look_at(run, journal);
        let (manner, work) = self.manner();
        let work = work / 4;
        if manner == Manner::Broken {
            let heard = head.send(problem(500, "not now")).is_ok();
            return self.end(run, heard);
        }
        let next = self.next(&call);
        let said = match &next {
            Next::Step(name) => format!("does {name}"),
            Next::Undo(name) => format!("undoes {name}"),
            Next::Pause(until) => format!("waits until {until}"),
            Next::End(outcome) => format!("ends: {outcome}"),
        };
        self.told.tell(format_args!("the provider {said} of …{}: {manner:?} after {work:?}", &run[28..]));
        sleep(work).await;
        let does = !matches!(
            manner,
            Manner::Refused | Manner::BadGateway(false) | Manner::Silent(false) | Manner::Dies(false)
        );
        let told = if does { self.take(&call, &next) } else { given_up(&next) };
        let (say, chunks) = mpsc::channel::<Chunk>(8);
        match manner {
            Manner::Dies(_) => return self.die(),
            Manner::BadGateway(_) => {
                let _gone = head.send(plain(502));
                return self.end(run, false);
            }
            Manner::Silent(_) => {
                self.end(run, false);
                sleep(Duration::from_mins(2)).await;
                return drop(head);
            }
            Manner::DoneAndCut => {
                let _gone = head.send(streamed(chunks));
                // Half the time what was done is told before the cut.
                if self.dice().chance(500) {
                    self.say(&say, told.first()).await;
                }
                return self.end(run, false);
            }
            Manner::Done | Manner::Refused | Manner::Broken => {}
        }
        let mut heard = head.send(streamed(chunks)).is_ok();
        for event in &told {
            heard &= self.say(&say, Some(event)).await;
        }
        self.end(run, heard);
    }

    /// What is handed back was done, and is handed back for ever after.
    fn look_at(&self, run: &str, journal: &Map<String, Value>) {
        let mut inside = self.inside();
        let (since, clocks_agree) = (inside.since, self.clocks_agree);
        let steps = inside.book.steps.entry(run.to_owned()).or_default();
        for name in journal.keys().filter(|name| name.starts_with("step ")) {
            if !steps.done.contains_key(name) {
                self.told.wrong(format_args!("{run}: {name} is handed back and was never done"));
            }
        }
        // A gateway whose lease ran out may call with what it knew then.
        if clocks_agree && let Some(lost) = steps.handed.iter().find(|name| !journal.contains_key(*name)) {
            self.told.wrong(format_args!("{run}: {lost} was handed back, and is not any more"));
        }
        steps.handed.extend(journal.keys().cloned());
        let born = *steps.born.get_or_insert(since);
        if born != since && !journal.is_empty() {
            self.told.counted("gone on by another process");
        }
    }

    fn next(&self, call: &Call) -> Next {
        let Call { input, journal, cancelled, .. } = call;
        let item = input["name"].as_str().unwrap_or_default();
        let steps = steps_of(item);
        let done = steps.iter().take_while(|step| journal.contains_key(*step)).count();
        let given_up = journal.contains_key(GIVING_UP);
        if *cancelled || given_up {
            // The one behind the last that was handed back may have been done.
            let back = steps.iter().take(done + 1).rev().map(|step| format!("undo {step}"));
            if let Some(undo) = back.into_iter().find(|undo| !journal.contains_key(undo)) {
                return Next::Undo(undo);
            }
            return Next::End(if given_up {
                json!({"status": "failed", "problem": {"detail": "it gave up, and all is undone"}})
            } else {
                json!({"status": "cancelled"})
            });
        }
        if done == steps.len() {
            return Next::End(json!({"status": "succeeded", "result": {"steps": done}}));
        }
        if done == 1 && pauses(item) {
            let until = journal.get(PAUSE).and_then(|pause| pause["until"].as_str()?.parse().ok());
            let pause = self.dice().millis(1_000..120_000);
            let until = until.unwrap_or_else(|| moment_of(self.told.now() + pause));
            if moment_of(self.told.now()) < until {
                return Next::Pause(until);
            }
        }
        Next::Step(steps[done].clone())
    }

    /// Does it, and answers what is to be told of it.
    fn take(&self, call: &Call, next: &Next) -> Vec<String> {
        let mut inside = self.inside();
        let book = &mut inside.book;
        let steps = book.steps.entry(call.run.clone()).or_default();
        match next {
            Next::Step(name) => {
                let times = steps.done.entry(name.clone()).or_default();
                *times += 1;
                if *times == 2 {
                    self.told.counted("a step done again");
                }
                steps.stands.insert(name.clone());
                noted(name)
            }
            Next::Undo(name) => {
                steps.stands.remove(name.trim_start_matches("undo "));
                // It may have said that all is done, and nobody heard it.
                book.effects.remove(&call.run);
                noted(name)
            }
            Next::Pause(until) => {
                self.told.counted("paused");
                vec![event("outcome", &json!({"status": "waiting", "name": PAUSE, "until": until}))]
            }
            Next::End(outcome) => {
                if outcome["status"] == "succeeded" {
                    book.effects.insert(call.run.clone(), 1);
                }
                vec![event("outcome", outcome)]
            }
        }
    }

    /// Whether it was taken.
    async fn say(&self, say: &Sender<Chunk>, event: Option<&String>) -> bool {
        let Some(event) = event else { return true };
        say.send(Ok(Bytes::from(event.clone()))).await.is_ok()
    }
}

/// It will go no further: that is journaled before anything is undone. On the way back, and at the end, it is a no of the
/// moment, without a word.
fn given_up(next: &Next) -> Vec<String> {
    match next {
        Next::Step(_) => noted(GIVING_UP),
        _ => Vec::new(),
    }
}

fn noted(name: &str) -> Vec<String> {
    vec![
        event("step", &json!({"name": name, "state": "done", "result": null})),
        event("outcome", &json!({"status": "noted"})),
    ]
}

fn event(kind: &str, data: &Value) -> String {
    format!("event: {kind}\ndata: {data}\n\n")
}
