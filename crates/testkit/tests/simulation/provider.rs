//! A provider and the network before it: answers late, never, half or wrong, dies with what it was doing, forgets what it
//! had answered. What it has done is counted in a book that outlives its process.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use guichet_contract::{RunId, RunState};
use guichet_dispatch::{AnswerBody, Carry, NoAnswer};
use guichet_store::memory::Memory;
use guichet_testkit::Dice;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, StreamBody};
use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::sleep,
};

use crate::{
    clock::moment_of,
    steps::{Call, Steps},
    story::Shape,
    told::Told,
};

pub(crate) type Chunk = Result<Bytes, std::io::Error>;
pub(crate) type Head = oneshot::Sender<Response<AnswerBody>>;

/// The provider.
pub(crate) struct SimProvider {
    pub(crate) told: Arc<Told>,
    /// Its clock and those of the gateways are as near as the protocol wants them.
    pub(crate) clocks_agree: bool,
    memory: Memory,
    dice: Mutex<Dice>,
    inside: Mutex<Inside>,
}

#[derive(Default)]
pub(crate) struct Inside {
    calm: bool,
    down: bool,
    /// What its process is doing.
    process: JoinSet<()>,
    /// What its process remembers of the ends of runs, and since when it remembers.
    remembered: BTreeMap<String, Value>,
    pub(crate) since: Duration,
    /// Runs that it was told to stop.
    to_stop: BTreeSet<String>,
    /// Run → key of its line, while it is being performed.
    pub(crate) under_way: BTreeMap<String, Option<String>>,
    /// Version of each item: a plan tells of it.
    versions: BTreeMap<String, u64>,
    pub(crate) book: Book,
}

/// What outlives the process, by run.
#[derive(Default, Clone)]
pub(crate) struct Book {
    /// How often it was done.
    pub(crate) effects: BTreeMap<String, u32>,
    /// How often it was asked for.
    pub(crate) calls: BTreeMap<String, u32>,
    /// Of these, nobody may have heard the answer.
    pub(crate) lost: BTreeSet<String>,
    /// What came of the steps of those that have some.
    pub(crate) steps: BTreeMap<String, Steps>,
}

/// How a call ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    Done,
    /// Its own no: surely not done.
    Refused,
    Broken,
    /// Done or not, and something between them answers for it.
    BadGateway(bool),
    /// Done, and the answer is cut.
    DoneAndCut,
    /// Done or not, and no answer ever.
    Silent(bool),
    /// Done or not, and then the process dies.
    Dies(bool),
}

impl SimProvider {
    pub(crate) fn new(told: &Arc<Told>, memory: &Memory, dice: Dice, shape: Shape) -> Arc<Self> {
        let inside = Mutex::new(Inside { calm: !shape.faults, ..Inside::default() });
        let (told, memory, clocks_agree) = (Arc::clone(told), memory.clone(), !shape.beyond);
        Arc::new(Self { told, clocks_agree, memory, dice: Mutex::new(dice), inside })
    }

    pub(crate) fn calm_down(&self) {
        let mut inside = self.inside();
        inside.calm = true;
        inside.down = false;
    }

    /// The process is gone, with all that it was doing and all that it remembered. After a while there is another one.
    pub(crate) fn die(self: &Arc<Self>) {
        self.told.tell("the provider dies");
        self.told.counted("provider dies");
        let mut inside = self.inside();
        inside.down = true;
        inside.remembered.clear();
        inside.to_stop.clear();
        let under_way = std::mem::take(&mut inside.under_way);
        inside.book.lost.extend(under_way.into_keys());
        let process = std::mem::take(&mut inside.process);
        drop(inside);
        drop(process);
        let (provider, pause) = (Arc::clone(self), self.dice().millis(0..10_000));
        tokio::spawn(async move {
            sleep(pause).await;
            let mut inside = provider.inside();
            inside.down = false;
            inside.since = provider.told.now();
        });
    }

    pub(crate) fn touch(&self, item: &str) {
        *self.inside().versions.entry(item.to_owned()).or_default() += 1;
    }

    pub(crate) fn book(&self) -> Book {
        self.inside().book.clone()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.inside().under_way.is_empty()
    }

    pub(crate) fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn dice(&self) -> MutexGuard<'_, Dice> {
        self.dice.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_calm(&self) -> bool {
        self.inside().calm
    }

    async fn latency(&self) {
        let pause = if self.is_calm() { Duration::ZERO } else { self.dice().millis(0..60) };
        if !pause.is_zero() {
            sleep(pause).await;
        }
    }

    /// Whether it could say what became of this run.
    pub(crate) fn remembers(&self, run: &str) -> bool {
        self.inside().remembered.contains_key(run)
    }

    /// What became of a run; with `stop`, it is to end.
    fn recall(&self, run: &str, stop: bool) -> Response<AnswerBody> {
        let mut inside = self.inside();
        let told = if let Some(outcome) = inside.remembered.get(run) {
            json!({"known": true, "outcome": outcome})
        } else if inside.under_way.contains_key(run) {
            if stop {
                inside.to_stop.insert(run.to_owned());
            }
            json!({"known": true, "under_way": true})
        } else if self.clocks_agree {
            json!({"known": false, "remembers_since": moment_of(inside.since)})
        } else {
            json!({"known": false})
        };
        answer(200, "application/json", &told)
    }

    async fn plan(&self, input: &Value) -> Response<AnswerBody> {
        if !self.is_calm() {
            let roll = self.dice().below(100);
            match roll {
                0..3 => return std::future::pending().await,
                3..8 => return plain(503),
                8..9 => return problem(422, "it cannot be done"),
                _ => {}
            }
        }
        self.latency().await;
        let name = input["name"].as_str().unwrap_or_default();
        let version = self.inside().versions.get(name).copied().unwrap_or_default();
        answer(
            200,
            "application/json",
            &json!({"sentence": format!("Destroy {name}"), "facts": [{"name": "version", "value": version}]}),
        )
    }

    pub(crate) fn manner(&self) -> (Manner, Duration) {
        if self.is_calm() {
            return (Manner::Done, self.dice().millis(0..300));
        }
        let mut dice = self.dice();
        let manner = match dice.below(100) {
            0..72 => Manner::Done,
            72..78 => Manner::Refused,
            78..82 => Manner::Broken,
            82..86 => Manner::BadGateway(dice.chance(500)),
            86..90 => Manner::DoneAndCut,
            90..96 => Manner::Silent(dice.chance(500)),
            _ => Manner::Dies(dice.chance(500)),
        };
        let work = match dice.below(100) {
            0..70 => dice.millis(0..1_500),
            70..95 => dice.millis(0..19_000),
            _ => dice.millis(0..65_000),
        };
        (manner, work)
    }

    /// Begins, as its process does, and checks what must hold at this moment.
    pub(crate) fn begin(&self, run: &str, key: Option<String>, again: bool) {
        let state_of = |id: &str| {
            let id: RunId = id.parse().ok()?;
            self.memory.look_at_runs(|runs| runs.get(&id).map(|run| run.state))
        };
        // The intent is durable before the call; by now somebody may have given the caller up.
        if !matches!(state_of(run), Some(RunState::Running | RunState::Unknown)) {
            self.told.wrong(format_args!("{run} is performed while it is {:?}", state_of(run)));
        }
        let mut inside = self.inside();
        let calls = inside.book.calls.entry(run.to_owned()).or_default();
        *calls += 1;
        if *calls > 1 && !again {
            self.told.wrong(format_args!("the provider is called {calls} times for {run}"));
        }
        if key.is_some() {
            for (other, _) in inside.under_way.iter().filter(|(other, of)| **of == key && *other != run) {
                if state_of(other) == Some(RunState::Running) {
                    self.told.wrong(format_args!("{run} and {other} of one key at once"));
                }
            }
        }
        inside.under_way.insert(run.to_owned(), key);
    }

    /// Does it; where the action may be called again, once for its key.
    fn do_it(&self, run: &str, again: bool) {
        let mut inside = self.inside();
        let effects = inside.book.effects.entry(run.to_owned()).or_default();
        *effects = if again { 1 } else { *effects + 1 };
    }

    /// Its process knows how it ended, whether or not anybody hears it.
    fn remember(&self, run: &str, outcome: &Value) {
        self.inside().remembered.insert(run.to_owned(), outcome.clone());
    }

    pub(crate) fn end(&self, run: &str, heard: bool) {
        let mut inside = self.inside();
        inside.under_way.remove(run);
        if !heard {
            inside.book.lost.insert(run.to_owned());
        }
    }

    async fn perform(self: Arc<Self>, run: String, input: Value, head: Head, path: String) {
        let again = path == "/again";
        let (is_under_way, is_done) = {
            let inside = self.inside();
            (inside.under_way.contains_key(&run), inside.book.effects.contains_key(&run))
        };
        if again && (is_under_way || is_done) {
            // Who asks again hears the same, or is asked for patience.
            let said =
                if is_done { answer(200, "application/json", &json!({"done": run})) } else { plain(503) };
            let _gone = head.send(said);
            return;
        }
        self.begin(&run, input["key"].as_str().map(str::to_owned), again);
        let (manner, work) = self.manner();
        self.told.tell(format_args!("the provider begins …{}: {manner:?} after {work:?}", &run[28..]));
        if matches!(path.as_str(), "/long" | "/asked") {
            return self.tell_long(&run, manner, work, head).await;
        }
        sleep(work).await;
        let does = matches!(
            manner,
            Manner::Done
                | Manner::DoneAndCut
                | Manner::BadGateway(true)
                | Manner::Silent(true)
                | Manner::Dies(true)
        );
        if does {
            self.do_it(&run, again);
        }
        let said = match manner {
            Manner::Done => answer(200, "application/json", &json!({"done": run})),
            Manner::Refused => problem(422, "it is not to be touched"),
            Manner::Broken => problem(500, "it broke before anything was done"),
            Manner::BadGateway(_) => plain(502),
            Manner::DoneAndCut => cut_short(),
            Manner::Silent(_) => {
                self.end(&run, false);
                sleep(Duration::from_mins(2)).await;
                return drop(head);
            }
            Manner::Dies(_) => return self.die(),
        };
        let heard = head.send(said).is_ok() && !matches!(manner, Manner::BadGateway(_) | Manner::DoneAndCut);
        self.end(&run, heard);
    }

    /// As a stream of events: lines first, the outcome last.
    async fn tell_long(self: &Arc<Self>, run: &str, manner: Manner, work: Duration, head: Head) {
        let (say, chunks) = mpsc::channel::<Chunk>(8);
        let _gone = head.send(streamed(chunks));
        for line in 1..=2 {
            sleep(work / 3).await;
            let _gone = say
                .send(Ok(Bytes::from(format!("event: log\ndata: {{\"line\":\"{line} of 2\"}}\n\n"))))
                .await;
        }
        sleep(work / 3).await;
        let stopped = self.inside().to_stop.contains(run);
        let does = !stopped && !matches!(manner, Manner::Refused | Manner::Broken | Manner::Dies(false));
        if does {
            self.do_it(run, false);
        }
        let outcome = match (stopped, does) {
            (true, _) => json!({"status": "cancelled"}),
            (_, true) => json!({"status": "succeeded", "result": {"done": run}}),
            _ => json!({"status": "failed", "problem": {"detail": "not to be touched"}}),
        };
        match manner {
            Manner::Dies(_) => return self.die(),
            Manner::Done | Manner::Refused | Manner::Broken => self.remember(run, &outcome),
            _ => {
                self.remember(run, &outcome);
                return self.end(run, false);
            }
        }
        let heard = say.send(Ok(Bytes::from(format!("event: outcome\ndata: {outcome}\n\n")))).await.is_ok();
        self.end(run, heard);
    }
}

fn answer(status: u16, kind: &str, body: &Value) -> Response<AnswerBody> {
    let body = Full::new(Bytes::from(body.to_string())).map_err(|never| match never {}).boxed_unsync();
    Response::builder().status(status).header("content-type", kind).body(body).unwrap()
}

pub(crate) fn problem(status: u16, detail: &str) -> Response<AnswerBody> {
    answer(status, "application/problem+json", &json!({"detail": detail}))
}

pub(crate) fn plain(status: u16) -> Response<AnswerBody> {
    answer(status, "text/html", &json!("bad gateway"))
}

pub(crate) fn streamed(chunks: mpsc::Receiver<Chunk>) -> Response<AnswerBody> {
    let frames = stream::unfold(chunks, |mut chunks| async move { Some((chunks.recv().await?, chunks)) });
    let body = StreamBody::new(frames.map(|chunk| chunk.map(http_body::Frame::data))).boxed_unsync();
    Response::builder().status(200).header("content-type", "text/event-stream").body(body).unwrap()
}

/// A good head, half a body, and the end of the connection.
fn cut_short() -> Response<AnswerBody> {
    let frames = [Ok(http_body::Frame::data(Bytes::from("{\"do"))), Err(std::io::Error::other("cut"))];
    let body = StreamBody::new(stream::iter(frames)).boxed_unsync();
    Response::builder().status(200).header("content-type", "application/json").body(body).unwrap()
}

/// The network between a gateway and the provider.
pub(crate) struct Network(pub(crate) Arc<SimProvider>);

#[async_trait]
impl Carry for Network {
    async fn carry(&self, request: Request<Full<Bytes>>) -> Result<Response<AnswerBody>, NoAnswer> {
        let provider = &self.0;
        provider.latency().await;
        let unlucky = !provider.is_calm() && provider.dice().chance(20);
        if unlucky || provider.inside().down {
            return Err(NoAnswer::NotConnected("nobody listens".to_owned()));
        }
        let (head, body) = request.into_parts();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let input: Value = serde_json::from_slice(&body).unwrap_or_default();
        let text = |name: &str| {
            head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        let run = text("idempotency-key");
        match text("guichet-mode").as_str() {
            "plan" => return Ok(provider.plan(&input).await),
            "outcome" => return Ok(provider.recall(&run, false)),
            "cancel" => return Ok(provider.recall(&run, true)),
            _ => {}
        }
        let (say, said) = oneshot::channel();
        let (path, provider) = (head.uri.path().to_owned(), Arc::clone(provider));
        if path == "/steps" {
            let (has_journal, stop) = (text("guichet-journal") == "body", text("guichet-cancel") == "asked");
            let call = Call::read(run, input, has_journal, stop);
            provider.inside().process.spawn(Arc::clone(&provider).perform_steps(call, say));
        } else {
            provider.inside().process.spawn(Arc::clone(&provider).perform(run, input, say, path));
        }
        said.await.map_err(|_| NoAnswer::Cut("the connection was reset".to_owned()))
    }
}
