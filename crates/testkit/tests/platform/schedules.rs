//! What is done at set times: once for each time, as its requester, approved once, and never behind anybody's back.

use guichet_testkit::{Bench, Effects, LeapingClock, bench::Person};
use serde_json::{Value, json};

use crate::world::setup;

const DAY: i64 = 86_400;

struct Story {
    bench: Bench,
    effects: Effects,
    clock: LeapingClock,
    dana: Person,
    omar: Person,
}

#[expect(clippy::unwrap_used, reason = "a story that cannot begin has failed")]
async fn begin() -> Story {
    let (effects, clock) = (Effects::default(), LeapingClock::default());
    let bench = setup(&effects).clock(&clock).start().await.unwrap();
    let (dana, omar) = (bench.sign_in("dana").await.unwrap(), bench.sign_in("omar").await.unwrap());
    Story { bench, effects, clock, dana, omar }
}

fn nightly(action: &str, name: &str) -> Value {
    json!({"name": "nightly", "action": action, "input": {"name": name}, "reason": "as every night",
        "expression": "0 3 * * *", "zone": "Europe/Paris"})
}

impl Story {
    #[expect(clippy::unwrap_used, reason = "a story that cannot go on has failed")]
    async fn create(&self, body: Value) -> Value {
        let made = self.dana.post("/v1/schedules", body).await.unwrap();
        assert_eq!(made.status, 201, "{}", made.body);
        made.body
    }

    /// To this many seconds after the next time of the schedule. Sessions end meanwhile.
    #[expect(clippy::unwrap_used, reason = "a story that cannot go on has failed")]
    async fn leap_past(&mut self, schedule: &Value, seconds: i64) {
        let next: jiff::Timestamp = schedule["next_at"].as_str().unwrap().parse().unwrap();
        let now = guichet_contract::Clock::now(&self.clock);
        self.leap(next.duration_since(now).as_secs() + 1 + seconds).await;
    }

    #[expect(clippy::unwrap_used, reason = "a story that cannot go on has failed")]
    async fn leap(&mut self, seconds: i64) {
        // A worker that sleeps until the machine's clock says so is not woken by a leap: it looks at its start.
        self.bench.stop().await.unwrap();
        self.clock.leap(seconds);
        self.bench.start_again().await.unwrap();
        self.dana = self.bench.sign_in("dana").await.unwrap();
        self.omar = self.bench.sign_in("omar").await.unwrap();
    }

    #[expect(clippy::unwrap_used, reason = "a story that cannot go on has failed")]
    async fn read(&self) -> Value {
        self.dana.get("/v1/schedules/nightly").await.unwrap().body
    }

    /// The schedule once this holds of it.
    async fn until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..400 {
            let schedule = self.read().await;
            if holds(&schedule) {
                return schedule;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        panic!("{what} did not come about: {}", self.read().await);
    }

    /// The last run, at its end.
    #[expect(clippy::unwrap_used, reason = "a story that cannot go on has failed")]
    async fn last_run(&self, schedule: &Value) -> Value {
        self.dana.end_of(schedule["last_run"].as_str().unwrap()).await.unwrap()
    }

    #[expect(clippy::unwrap_used, reason = "a story that cannot go on has failed")]
    async fn runs(&self) -> Vec<Value> {
        self.dana.get("/v1/runs").await.unwrap().body["items"].as_array().unwrap().clone()
    }

    #[expect(clippy::unwrap_used, reason = "a story that cannot go on has failed")]
    async fn records(&self, query: &str) -> Vec<Value> {
        self.dana.get(&format!("/v1/records?{query}")).await.unwrap().body["items"]
            .as_array()
            .unwrap()
            .clone()
    }
}

fn has_run(schedule: &Value) -> bool {
    schedule["last"]["run"].is_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_time_makes_one_run() {
    let mut story = begin().await;
    let made = story.create(nightly("things.change-item", "a")).await;
    assert_eq!(
        (&made["state"], &made["in_words"]),
        (&json!("active"), &json!("at 03:00, Europe/Paris")),
        "{made}"
    );
    assert_eq!(made["next"].as_array().unwrap().len(), 5);
    assert_eq!(made["next"][0], made["next_at"]);
    story.leap_past(&made, 0).await;
    let fired = story.until("the first run", has_run).await;
    let run = story.last_run(&fired).await;
    assert_eq!((&run["state"], &run["schedule"]), (&json!("succeeded"), &json!("nightly")), "{run}");
    assert_eq!(run["requested_by"]["name"], "dana");
    // Neither a restart nor a clock that is set back brings it again.
    story.leap(0).await;
    story.leap(-3_600).await;
    story.leap(3_600).await;
    assert_eq!((story.effects.count("a"), story.runs().await.len()), (1, 1));
    let later = story.read().await;
    assert_eq!(later["last"], fired["last"]);
    story.leap_past(&later, 0).await;
    let again = story.until("the second run", |schedule| schedule["last_run"] != fired["last_run"]).await;
    story.last_run(&again).await;
    assert_eq!(story.effects.count("a"), 2);
    assert_eq!(story.records("verb=fire_schedule&verdict=allowed").await.len(), 2);
    let submitted = story.records("verb=submit_run").await;
    assert_eq!(submitted[0]["detail"], "by schedule nightly", "{submitted:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missed_times_are_left_out_or_made_up_for_once() {
    let mut story = begin().await;
    let made = story.create(nightly("things.change-item", "a")).await;
    let once = json!({"name": "once", "missed": "once"});
    let mut body = nightly("things.change-item", "b");
    body.as_object_mut().unwrap().extend(once.as_object().unwrap().clone());
    story.create(body).await;
    story.leap_past(&made, 2 * DAY + 3_600).await;
    let skipped = story.until("the missed times", |schedule| schedule["last"].is_object()).await;
    assert_eq!(skipped["last"]["because"], "3 times were missed, and left out: no gateway was there");
    assert_eq!((skipped.get("last_run"), &skipped["state"]), (None, &json!("active")), "{skipped}");
    for _ in 0..400 {
        if story.effects.count("b") > 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    let once = story.dana.get("/v1/schedules/once").await.unwrap().body;
    assert_eq!(once["last"]["because"], "3 times were missed before");
    assert_eq!((story.effects.count("a"), story.effects.count("b")), (0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn approved_once_it_runs_without_asking_until_its_end() {
    let mut story = begin().await;
    let endless = story.dana.post("/v1/schedules", nightly("things.destroy-item", "a")).await.unwrap();
    assert_eq!(endless.code(), "invalid-input", "{}", endless.body);
    assert!(endless.body["detail"].as_str().unwrap().contains("must end"), "{}", endless.body);
    let now = guichet_contract::Clock::now(&story.clock);
    let mut body = nightly("things.destroy-item", "a");
    body["until"] = json!((now + jiff::SignedDuration::from_hours(49)).to_string());
    let made = story.create(body).await;
    assert_eq!((&made["state"], made.get("next_at")), (&json!("awaiting_approval"), None), "{made}");
    assert_eq!(made["next"].as_array().unwrap().len(), 2, "{made}");

    let approve = json!({"binding": made["binding"]});
    let path = "/v1/schedules/nightly/approve";
    let own = story.dana.post(path, approve.clone()).await.unwrap();
    assert_eq!(own.code(), "own-run", "dana is of team ops herself: {}", own.body);
    let dan = story.bench.sign_in("dan").await.unwrap();
    assert_eq!(dan.post(path, approve.clone()).await.unwrap().code(), "not-an-approver");
    let other = json!({"binding": format!("sha256:{}", "0".repeat(64))});
    assert_eq!(story.omar.post(path, other).await.unwrap().code(), "binding-changed");
    let yes = story.omar.post(path, approve).await.unwrap();
    assert_eq!(yes.body["state"], "active", "{}", yes.body);
    assert_eq!(story.records("verb=approve_schedule&verdict=allowed").await.len(), 1);
    assert_eq!(story.records("verb=approve_schedule&verdict=refused").await.len(), 3);

    // The world moves: what the plan says is another thing each night.
    story.effects.touch("a");
    story.leap_past(&yes.body, 0).await;
    let fired = story.until("the first run", has_run).await;
    let run = story.last_run(&fired).await;
    assert_eq!((&run["state"], &run["decisions"][0]["by"]), (&json!("succeeded"), &json!("omar")), "{run}");
    story.leap_past(&fired, 0).await;
    let last = story.until("the last run", |schedule| schedule["state"] == "ended").await;
    assert_eq!(last["because"], "it has no more times before its end");
    assert_eq!(story.last_run(&last).await["state"], "succeeded");
    assert_eq!((story.effects.count("a"), last.get("next")), (2, None), "{last}");
    story.leap(3 * DAY).await;
    assert_eq!(story.runs().await.len(), 2);
}
