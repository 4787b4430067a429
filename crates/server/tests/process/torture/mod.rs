//! Gateways, workers and a provider killed at instants nobody chose, while changes of every sort are asked for, approved,
//! cancelled and tried again: no accepted run is lost, nothing is done twice, every run ends as what happened, and all
//! books agree. A dozen kills in each test run; as many as one likes with `cargo xtask torture KILLS`.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use guichet_testkit::{Dice, patience::within};
use guichet_throwaway_postgres::Cluster;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::sleep};

use crate::{
    gateway::{Gateway, until_within},
    person::{Address, Person},
    proof::{proven, told},
    provider_process::ProviderProcess,
    replica::{Replica, database},
};

use self::workshop::PARTS;

pub(crate) mod workshop;

/// Kills in an ordinary test run, on each store.
const KILLS: usize = 12;
/// How long all that was accepted may take to its end once nobody is killed any more. The longest: a lease of half a minute,
/// then the back-off of a minute.
const TO_THE_END: Duration = Duration::from_mins(4);

#[expect(clippy::disallowed_methods, reason = "how long to torture is for whoever starts it to say")]
fn kills() -> usize {
    std::env::var("GUICHET_TORTURE_KILLS").map_or(KILLS, |kills| kills.parse().unwrap())
}

/// Someone at whichever gateway chance leads them to.
#[derive(Clone)]
struct Somebody {
    person: Person,
    gateways: Vec<Address>,
}

impl Somebody {
    /// None when nobody answered.
    async fn asks(
        &self,
        chance: &mut Dice,
        method: Method,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> Option<crate::person::Answer> {
        let which = usize::try_from(chance.below(self.gateways.len() as u64)).unwrap();
        self.person.at(&self.gateways[which]).call(method, path, body, headers).await.ok()
    }
}

/// What was accepted: key → run, and of what sort it is.
type Accepted = Arc<Mutex<BTreeMap<String, (String, &'static str)>>>;

/// Submits until it is accepted, however often somebody dies meanwhile.
async fn accepted(dana: &Somebody, chance: &mut Dice, action: &str, input: &Value, key: &str) -> String {
    let path = format!("/v1/actions/{action}/runs");
    let body = json!({"input": input, "reason": "because"});
    let accepted = async {
        loop {
            let answer =
                dana.asks(chance, Method::POST, &path, Some(&body), &[("idempotency-key", key)]).await;
            if let Some(answer) = answer {
                let status = answer.status.as_u16();
                if matches!(status, 200 | 202) {
                    return answer.id();
                }
                // Full, or about to stop, or the provider's document was not read yet by a gateway that has just begun.
                assert!(status >= 500 || matches!(status, 404 | 429), "{key}: {status} {}", answer.body);
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    within(TO_THE_END, &format!("{key} to be accepted"), accepted).await
}

async fn submit(dana: Somebody, number: u64, accepted_runs: Accepted, stop: Arc<AtomicBool>) {
    let mut chance = Dice::of_the_moment(number);
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        let action = match chance.below(8) {
            0 => "workshop.demolish",
            1 | 2 => "workshop.build",
            3 | 4 => "workshop.stamp",
            _ => "workshop.make",
        };
        let crooked = if chance.below(5) == 0 { " crooked" } else { "" };
        let key = format!("{number}-{count}{crooked}");
        let input = json!({"name": key, "milliseconds": chance.below(80)});
        let run = accepted(&dana, &mut chance, action, &input, &key).await;
        if chance.below(3) == 0 {
            let again = accepted(&dana, &mut chance, action, &input, &key).await;
            assert_eq!(again, run, "one key, one run");
        }
        accepted_runs.lock().unwrap().insert(key, (run.clone(), action));
        if chance.below(8) == 0 {
            sleep(Duration::from_millis(chance.below(300))).await;
            let path = format!("/v1/runs/{run}/cancel");
            let why = json!({"reason": "no longer"});
            // 409: too late. Nobody there: whether it was heard is told by what becomes of the run.
            if let Some(answer) = dana.asks(&mut chance, Method::POST, &path, Some(&why), &[]).await {
                let status = answer.status.as_u16();
                assert!(status == 200 || status == 409 || status >= 500, "{status} {}", answer.body);
            }
        }
        count += 1;
        sleep(Duration::from_millis(chance.below(60))).await;
    }
}

async fn approve_all(omar: Somebody, stop: Arc<AtomicBool>) {
    let mut chance = Dice::of_the_moment(77);
    while !stop.load(Ordering::Relaxed) {
        if let Some(waiting) = omar.asks(&mut chance, Method::GET, "/v1/approvals?mine=true", None, &[]).await
        {
            for run in waiting.body["items"].as_array().into_iter().flatten() {
                let path = format!("/v1/runs/{}/approve", run["id"].as_str().unwrap());
                let binding = json!({"binding": run["binding"]});
                if let Some(answer) = omar.asks(&mut chance, Method::POST, &path, Some(&binding), &[]).await {
                    // 409: an approval whose answer was lost in a kill was counted all the same.
                    let status = answer.status.as_u16();
                    assert!(matches!(status, 200 | 409) || status >= 500, "{status} {}", answer.body);
                }
            }
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// All that can be killed.
struct Victims {
    gateway: Gateway,
    replicas: Vec<Replica>,
    workshop: ProviderProcess,
}

impl Victims {
    /// Kills one, or two at once, and starts them again, sometimes killing what is still starting.
    async fn kill(&mut self, chance: &mut Dice, checkpoints: &mut Vec<String>) -> usize {
        let all = 2 + self.replicas.len();
        let first = usize::try_from(chance.below(all as u64)).unwrap();
        let second = (chance.below(4) == 0).then(|| (first + 1) % all);
        let victims: Vec<usize> = std::iter::once(first).chain(second).collect();
        for victim in &victims {
            self.kill_one(*victim);
        }
        sleep(Duration::from_millis(chance.below(300))).await;
        for victim in &victims {
            match *victim {
                0 => {
                    if chance.below(3) == 0 {
                        self.gateway.spawn();
                        sleep(Duration::from_millis(chance.below(400))).await;
                        self.gateway.kill();
                    }
                    self.gateway.start().await;
                }
                1 => self.workshop.start(),
                other => self.replicas[other - 2].start().await,
            }
        }
        let nobody = self.gateway.sign_in("dana").await;
        if let Ok(note) = nobody.call(Method::GET, "/v1/ledger/checkpoint", None, &[]).await
            && let (200, Some(text)) = (note.status.as_u16(), note.body.as_str())
        {
            checkpoints.push(text.to_owned());
        }
        victims.len()
    }

    fn kill_one(&mut self, victim: usize) {
        match victim {
            0 => self.gateway.kill(),
            1 => self.workshop.kill(),
            other => self.replicas[other - 2].kill(),
        }
    }
}

/// Changes of every sort, asked for at these gateways by several people at once until it is enough.
pub(crate) struct Load {
    dana: Somebody,
    accepted_runs: Accepted,
    submitters: Vec<JoinHandle<()>>,
    approver: JoinHandle<()>,
    enough: Arc<AtomicBool>,
    all_done: Arc<AtomicBool>,
}

impl Load {
    /// At these gateways, whose people the first one knows.
    pub(crate) async fn begin(gateway: &Gateway, gateways: Vec<Address>) -> Self {
        let somebody =
            async |name: &str| Somebody { person: gateway.sign_in(name).await, gateways: gateways.clone() };
        let (dana, omar) = (somebody("dana").await, somebody("omar").await);
        let (enough, all_done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let accepted_runs = Accepted::default();
        let submitters = (0..4)
            .map(|number| {
                tokio::spawn(submit(dana.clone(), number, Arc::clone(&accepted_runs), Arc::clone(&enough)))
            })
            .collect();
        let approver = tokio::spawn(approve_all(omar, Arc::clone(&all_done)));
        Self { dana, accepted_runs, submitters, approver, enough, all_done }
    }

    /// How many runs were accepted so far.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted_runs.lock().unwrap().len()
    }

    /// No more is asked for; what was accepted ends, and all books agree. More runs succeeded than there were `faults`.
    pub(crate) async fn ends(self, workshop: &ProviderProcess, checkpoints: &[String], faults: usize) {
        self.enough.store(true, Ordering::Relaxed);
        for submitter in self.submitters {
            within(TO_THE_END, "a submitter to hear its last answer", submitter).await.unwrap();
        }
        until_within(TO_THE_END, "the end of all runs", || async {
            let open = self.dana.person.get("/v1/runs?state=awaiting_approval,queued,running").await;
            open.body["items"].as_array()?.is_empty().then_some(())
        })
        .await;
        self.all_done.store(true, Ordering::Relaxed);
        within(TO_THE_END, "the approver to hear the last answer", self.approver).await.unwrap();
        let known = self.accepted_runs.lock().unwrap().clone();
        all_books_agree(&self.dana.person, &known, &workshop::books(workshop), checkpoints, faults).await;
    }
}

async fn torture(gateway: Gateway, replicas: Vec<Replica>, mut workshop: ProviderProcess) {
    workshop.believe(&gateway).await;
    workshop.start();
    let mut gateways = vec![gateway.address().clone()];
    // One that only works answers nobody.
    gateways
        .extend(replicas.iter().filter(|replica| replica.serves()).map(|replica| replica.address.clone()));
    let load = Load::begin(&gateway, gateways).await;
    let mut victims = Victims { gateway, replicas, workshop };
    let mut chance = Dice::of_the_moment(99);
    let (mut killed, mut checkpoints) = (0, Vec::new());
    while killed < kills() {
        sleep(Duration::from_millis(50 + chance.below(900))).await;
        killed += victims.kill(&mut chance, &mut checkpoints).await;
    }
    load.ends(&victims.workshop, &checkpoints, killed).await;
}

async fn all_books_agree(
    dana: &Person,
    known: &BTreeMap<String, (String, &'static str)>,
    books: &BTreeMap<String, usize>,
    checkpoints: &[String],
    killed: usize,
) {
    let runs = dana.all("/v1/runs").await;
    let by_key: BTreeMap<&str, &Value> =
        runs.iter().map(|run| (run["idempotency_key"].as_str().unwrap(), run)).collect();
    assert_eq!(by_key.len(), runs.len(), "one key, one run");
    assert!(
        known.keys().map(String::as_str).eq(by_key.keys().copied()),
        "all that were accepted, and no others: {known:?}\n{:?}",
        by_key.keys()
    );
    let records = proven(dana, checkpoints).await;
    let mut states: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let (mut explained, mut given_backs) = (0, 0);
    for (key, run) in &by_key {
        let (id, state) = (run["id"].as_str().unwrap(), run["state"].as_str().unwrap());
        let (accepted, action) = &known[*key];
        assert_eq!(accepted, id, "the run that was accepted");
        *states.entry((action, state)).or_default() += 1;
        let tries = |what: &str| books.get(&format!("{id}/{what}")).copied().unwrap_or_default();
        let ended = told(&records, id, "record_outcome");
        assert_eq!(told(&records, id, "submit_run"), 1, "{run}");
        // Begun once more than its call could not be sent, or never.
        let [begun, given_back] = ["allowed", "failed"].map(|verdict| {
            let of_run =
                records.iter().filter(|record| record["run"] == id && record["verb"] == "execute_run");
            of_run.filter(|record| record["verdict"] == verdict).count()
        });
        assert!(
            begun <= given_back + 1 && ended <= 1,
            "begun {begun}, given back {given_back}, ended {ended}: {run}"
        );
        given_backs += given_back;
        match *action {
            "workshop.make" | "workshop.demolish" => {
                let done = tries("make");
                explained += usize::from(done > 0);
                assert!(done <= 1, "done {done} times: {run}");
                match state {
                    "succeeded" => assert_eq!(done, 1, "{run}"),
                    "failed" | "cancelled" => assert_eq!(done, 0, "{run}"),
                    "unknown" => {}
                    other => panic!("nothing here ends as {other}: {run}"),
                }
            }
            "workshop.stamp" => {
                let done = tries("stamp");
                explained += usize::from(done > 0);
                match state {
                    "succeeded" => assert!(done >= 1, "{run}"),
                    "failed" | "cancelled" => assert_eq!(done, 0, "{run}"),
                    "unknown" => {}
                    other => panic!("nothing here ends as {other}: {run}"),
                }
            }
            "workshop.build" => explained += built(run, state, &tries),
            other => panic!("{other}"),
        }
    }
    assert_eq!(explained, books.len(), "something was done for no run that is known: {books:?}");
    let tried: usize = books.values().sum();
    println!(
        "{killed} faults, {} runs, {} things done in {tried} tries, {given_backs} calls not sent, {} records, {} older \
         checkpoints: {states:?}",
        runs.len(),
        books.len(),
        records.len(),
        checkpoints.len()
    );
    let succeeded: usize =
        states.iter().filter(|((_, state), _)| *state == "succeeded").map(|(_, count)| count).sum();
    assert!(succeeded >= killed, "it was alive in between: {states:?}");
}

/// How many of the things done were done for this run.
fn built(run: &Value, state: &str, tries: &impl Fn(&str) -> usize) -> usize {
    let laid = PARTS.map(tries);
    let taken = PARTS.map(|part| tries(&format!("undo {part}")));
    let crooked = run["input"]["name"].as_str().unwrap().ends_with("crooked");
    match state {
        "succeeded" => {
            assert!(!crooked && laid.iter().all(|tries| *tries >= 1), "{laid:?} {run}");
            assert_eq!(taken, [0; 3], "{run}");
        }
        // The provider was away when it was to begin, and again.
        "failed" if !crooked || laid == [0; 3] => {
            assert_eq!((laid, taken), ([0; 3], [0; 3]), "{run}");
        }
        "failed" => {
            assert!(crooked, "it fails for no other reason: {run}");
            assert!(laid.iter().chain(&taken).all(|tries| *tries >= 1), "{laid:?} {taken:?} {run}");
        }
        // Whatever was laid was taken away again.
        "cancelled" => {
            for (laid, taken) in laid.iter().zip(taken) {
                assert!(*laid == 0 || taken >= 1, "{run}");
            }
        }
        other => panic!("a run that goes on wherever it was does not end as {other}: {run}"),
    }
    // One part after the other, also over many lives.
    for pair in laid.windows(2) {
        assert!(pair[0] >= 1 || pair[1] == 0, "{laid:?} {run}");
    }
    laid.iter().chain(&taken).filter(|tries| **tries > 0).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_done_twice_on_sqlite() {
    let workshop = workshop::unborn();
    let gateway = Gateway::started("", &workshop.table()).await;
    torture(gateway, Vec::new(), workshop).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_done_twice_on_postgresql() {
    let cluster = Cluster::start().unwrap();
    let workshop = workshop::unborn();
    let mut gateway = Gateway::prepared("", "").await;
    let store = database(&cluster, &gateway);
    gateway.with_tables(&format!("{store}{}", workshop.table()));
    gateway.start().await;
    let replicas =
        vec![Replica::doing(&gateway, &["serve"]).await, Replica::doing(&gateway, &["work"]).await];
    torture(gateway, replicas, workshop).await;
}
