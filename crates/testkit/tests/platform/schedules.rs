//! What is done at set times: once for each time, as its requester, approved once, and never behind anybody's back.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a story that cannot begin or go on has failed")]

use guichet_testkit::{Bench, Effects, LeapingClock, Receiver, bench::Person};
use serde_json::{Value, json};

use crate::{
    notices::until,
    world::{REGISTRY, setup},
};

const DAY: i64 = 86_400;

struct Story {
    bench: Bench,
    effects: Effects,
    clock: LeapingClock,
    dana: Person,
    omar: Person,
}

async fn begin() -> Story {
    begin_with("").await
}

async fn begin_with(config: &str) -> Story {
    let (effects, clock) = (Effects::default(), LeapingClock::default());
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let bench =
        setup(&effects).clock(&clock).config(config).file("hook.secret", secret).start().await.unwrap();
    let (dana, omar) = (bench.sign_in("dana").await.unwrap(), bench.sign_in("omar").await.unwrap());
    Story { bench, effects, clock, dana, omar }
}

fn nightly(action: &str, name: &str) -> Value {
    json!({"name": "nightly", "action": action, "input": {"name": name}, "reason": "as every night",
        "expression": "0 3 * * *", "zone": "Europe/Paris"})
}

impl Story {
    async fn create(&self, body: Value) -> Value {
        let made = self.dana.post("/v1/schedules", body).await.unwrap();
        assert_eq!(made.status, 201, "{}", made.body);
        made.body
    }

    /// To this many seconds after the next time of the schedule. Sessions end meanwhile.
    async fn leap_past(&mut self, schedule: &Value, seconds: i64) {
        let until = self.seconds_to(schedule);
        self.leap(until + seconds).await;
    }

    fn seconds_to(&self, schedule: &Value) -> i64 {
        let next: jiff::Timestamp = schedule["next_at"].as_str().unwrap().parse().unwrap();
        next.duration_since(guichet_contract::Clock::now(&self.clock)).as_secs() + 1
    }

    /// One that omar said yes to, for a month.
    async fn approved(&self) -> Value {
        let now = guichet_contract::Clock::now(&self.clock);
        let mut body = nightly("things.destroy-item", "a");
        body["until"] = json!((now + jiff::SignedDuration::from_hours(24 * 30)).to_string());
        let made = self.create(body).await;
        let yes = json!({"binding": made["binding"]});
        let approved = self.omar.post("/v1/schedules/nightly/approve", yes).await.unwrap().body;
        assert_eq!(approved["state"], "active", "{approved}");
        approved
    }

    async fn leap(&mut self, seconds: i64) {
        self.leap_and(seconds, |_| ()).await;
    }

    /// The same; meanwhile something changes in the gateway's folder.
    async fn leap_and(&mut self, seconds: i64, meanwhile: impl FnOnce(&std::path::Path)) {
        // A worker that sleeps until the machine's clock says so is not woken by a leap: it looks at its start.
        self.bench.stop().await.unwrap();
        meanwhile(self.bench.folder());
        self.clock.leap(seconds);
        self.bench.start_again().await.unwrap();
        self.dana = self.bench.sign_in("dana").await.unwrap();
        self.omar = self.bench.sign_in("omar").await.unwrap();
    }

    async fn read(&self) -> Value {
        self.dana.get("/v1/schedules/nightly").await.unwrap().body
    }

    /// The schedule once this holds of it.
    async fn until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..4_000 {
            let schedule = self.read().await;
            if holds(&schedule) {
                return schedule;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        panic!("{what} did not come about: {}", self.read().await);
    }

    /// The last run, at its end.
    async fn last_run(&self, schedule: &Value) -> Value {
        self.dana.end_of(schedule["last_run"].as_str().unwrap()).await.unwrap()
    }

    async fn runs(&self) -> Vec<Value> {
        self.dana.get("/v1/runs").await.unwrap().body["items"].as_array().unwrap().clone()
    }

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
    for _ in 0..4_000 {
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
    // Two nights, at whatever hour this is told and however long its days are.
    let now = guichet_contract::Clock::now(&story.clock).in_tz("Europe/Paris").unwrap();
    let until = now.checked_add(jiff::Span::new().days(2)).unwrap().timestamp();
    let mut body = nightly("things.destroy-item", "a");
    body["until"] = json!(until.to_string());
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_no_longer_do_it_has_it_done_no_more() {
    let mut story = begin().await;
    let made = story.create(nightly("things.change-item", "a")).await;
    let seconds = story.seconds_to(&made);
    let without_dana = REGISTRY.replace("members: [dana, dan]", "members: [dan]");
    story
        .leap_and(seconds, |folder| {
            std::fs::write(folder.join("registry/registry.yaml"), without_dana).unwrap();
        })
        .await;
    let halted = story.until("the halt", |schedule| schedule["state"] == "paused").await;
    assert!(halted["because"].as_str().unwrap().contains("no policy permits"), "{halted}");
    assert_eq!((story.effects.count("a"), halted.get("last_run")), (0, None), "{halted}");
    let dan = story.bench.sign_in("dan").await.unwrap();
    let found = dan.get("/v1/records?verb=fire_schedule&verdict=refused").await.unwrap().body;
    assert!(
        found["items"][0]["detail"].as_str().unwrap().starts_with("schedule nightly is paused: "),
        "{found}"
    );
    // Back in the team, she lets it go on, and what passed meanwhile is left out.
    story
        .leap_and(DAY, |folder| std::fs::write(folder.join("registry/registry.yaml"), REGISTRY).unwrap())
        .await;
    assert_eq!(story.read().await["state"], "paused");
    let resumed = story.dana.post("/v1/schedules/nightly/resume", json!({})).await.unwrap().body;
    assert_eq!(resumed["state"], "active", "{resumed}");
    let seconds = story.seconds_to(&resumed);
    assert!((0..=DAY + 1).contains(&seconds), "{resumed}");
    // Nor is anything done for somebody who has left.
    story.bench.stop().await.unwrap();
    let file = story.bench.folder().join("guichet.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("name = \"dana\"", "name = \"diana\"")).unwrap();
    story.clock.leap(seconds);
    story.bench.start_again().await.unwrap();
    story.dana = story.bench.sign_in("dan").await.unwrap();
    let halted = story.until("the halt", |schedule| schedule["state"] == "paused").await;
    assert_eq!(halted["because"], "dana is no longer a user of this gateway");
    assert_eq!(story.effects.count("a"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_yes_to_the_schedule_does_not_lift_what_came_after_it() {
    const NEW: &str = "@id(\"destroying\") @approval(\"destroying is new\") @by(\"team:developers\")
        forbid (principal, action in Action::\"destroy\", resource);";
    let mut story = begin_with("[approval]\nexpires_seconds = 604800").await;
    let approved = story.approved().await;
    let seconds = story.seconds_to(&approved);
    story.leap_and(seconds, |folder| std::fs::write(folder.join("policy/new.cedar"), NEW).unwrap()).await;
    let fired = story.until("the run", has_run).await;
    let path = format!("/v1/runs/{}", fired["last_run"].as_str().unwrap());
    let run = story.dana.get(&path).await.unwrap().body;
    assert_eq!((&run["state"], &run["decisions"]), (&json!("awaiting_approval"), &json!([])), "{run}");
    assert_eq!(run["approvals"].as_array().unwrap().len(), 2, "{run}");
    // While it waits, no second one is made.
    story.leap_and(story.seconds_to(&fired), |_| ()).await;
    let left_out =
        story.until("the next time", |schedule| schedule["last"]["at"] != fired["last"]["at"]).await;
    let because = left_out["last"]["because"].as_str().unwrap();
    assert!(because.ends_with("of the time before has not ended: it is awaiting_approval"), "{because}");
    assert_eq!((story.runs().await.len(), story.effects.count("a")), (1, 0));
    // Both say yes to the run, and it goes.
    let dan = story.bench.sign_in("dan").await.unwrap();
    for approver in [&dan, &story.omar] {
        let yes = approver.post(&format!("{path}/approve"), json!({})).await.unwrap();
        assert_eq!(yes.status, 200, "{}", yes.body);
    }
    assert_eq!(story.last_run(&fired).await["state"], "succeeded");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_yes_counts_while_who_gave_it_may_still_give_it() {
    let mut story = begin().await;
    let approved = story.approved().await;
    let without_omar = REGISTRY.replace("[omar, olga, dana]", "[olga, dana]");
    let seconds = story.seconds_to(&approved);
    story
        .leap_and(seconds, |folder| {
            std::fs::write(folder.join("registry/registry.yaml"), without_omar).unwrap();
        })
        .await;
    let fired = story.until("the run", has_run).await;
    let path = format!("/v1/runs/{}", fired["last_run"].as_str().unwrap());
    let run = story.dana.get(&path).await.unwrap().body;
    assert_eq!((&run["state"], &run["decisions"]), (&json!("awaiting_approval"), &json!([])), "{run}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_made_it_and_who_may_approve_it_halt_it_and_nobody_else() {
    let story = begin().await;
    story.create(nightly("things.change-item", "a")).await;
    let (dan, eve) = (story.bench.sign_in("dan").await.unwrap(), story.bench.sign_in("eve").await.unwrap());
    let call = async |person: &Person, verb: &str| {
        person.post(&format!("/v1/schedules/nightly/{verb}"), json!({"reason": "a test"})).await.unwrap()
    };
    assert_eq!(call(&eve, "pause").await.code(), "unknown-schedule");
    assert_eq!(call(&dan, "pause").await.code(), "refused");
    assert_eq!(call(&story.dana, "resume").await.code(), "wrong-state");
    assert_eq!(call(&story.omar, "approve").await.code(), "wrong-state", "it waits for nobody");
    assert_eq!(call(&story.dana, "pause").await.body["state"], "paused");
    assert_eq!(call(&story.dana, "resume").await.body["state"], "active");
    let halted = call(&story.omar, "pause").await;
    assert_eq!((&halted.body["state"], &halted.body["paused_by"]), (&json!("paused"), &json!("omar")));
    let refused = call(&story.dana, "resume").await;
    assert_eq!((refused.code(), &refused.body["next"]), ("refused", &json!("ask omar")), "{}", refused.body);
    assert_eq!(call(&story.omar, "resume").await.body["state"], "active");

    let again = story.dana.post("/v1/schedules", nightly("things.change-item", "b")).await.unwrap();
    assert_eq!(again.code(), "schedule-exists", "{}", again.body);
    for (member, value, code) in [
        ("expression", "at three", "invalid-input"),
        ("zone", "Mars/Base", "invalid-input"),
        ("name", "Nightly Job", "invalid-input"),
        ("until", "2020-01-01", "invalid-input"),
        ("until", "soon", "invalid-input"),
        ("action", "things.no-such", "unknown-action"),
    ] {
        let mut body = nightly("things.change-item", "b");
        body["name"] = json!("other");
        body[member] = json!(value);
        let refused = story.dana.post("/v1/schedules", body).await.unwrap();
        assert_eq!(refused.code(), code, "{member} {value}: {}", refused.body);
    }
    let mut frozen = nightly("things.change-item", "frozen");
    frozen["name"] = json!("other");
    assert_eq!(story.dana.post("/v1/schedules", frozen).await.unwrap().code(), "refused");
    let token = json!({"name": "a script", "expires_in_seconds": 3600, "scopes": ["change"]});
    let token =
        story.dana.post("/v1/tokens", token).await.unwrap().body["token"].as_str().unwrap().to_owned();
    let script = story.bench.with_token(&token).unwrap();
    let refused = script.post("/v1/schedules", nightly("things.change-item", "b")).await.unwrap();
    assert!(refused.body["detail"].as_str().unwrap().contains("would outlive it"), "{}", refused.body);

    let path = "/v1/schedules/nightly";
    let removed = story.dana.call(reqwest::Method::DELETE, path, None).await.unwrap();
    assert_eq!((removed.status.as_u16(), &removed.body["name"]), (200, &json!("nightly")));
    assert_eq!(story.dana.get(path).await.unwrap().code(), "unknown-schedule");
    story.create(nightly("things.change-item", "b")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_whom_it_concerns_are_told() {
    let receiver = Receiver::serve(&[]).await.unwrap();
    let hook = format!(
        "[approval]\nexpires_seconds = 14400\n[[notify]]\nname = \"hook\"\nkind = \"webhook\"\nurl = \"{}\"\nsecret_file = \"hook.secret\"\n",
        receiver.url
    );
    let mut story = begin_with(&hook).await;
    let mut body = nightly("things.destroy-item", "a");
    let now = guichet_contract::Clock::now(&story.clock);
    body["until"] = json!((now + jiff::SignedDuration::from_hours(100)).to_string());
    story.create(body).await;
    let asked =
        until("the question", || receiver.told("approval_requested").pop()).await.event["data"].clone();
    assert_eq!(asked["command"], "guichet schedules approve nightly", "{asked}");
    let sentence = asked["sentence"].as_str().unwrap();
    assert!(sentence.contains("schedule nightly (at 03:00, Europe/Paris, until "), "{sentence}");
    // Nobody decides.
    story.leap(15_000).await;
    let ended = story.until("its end", |schedule| schedule["state"] == "ended").await;
    assert_eq!(ended["because"], "nobody decided on it in time");
    let told = until("the end", || receiver.told("schedule_halted").pop()).await.event["data"].clone();
    assert_eq!(
        (&told["because"], &told["schedule"]),
        (&json!("nobody decided on it in time"), &json!("nightly"))
    );
    assert_eq!(told["to"], json!([{"name": "dana"}]), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_is_away_at_the_time_loses_it_only_when_it_is_missed() {
    let mut story = begin().await;
    let made = story.approved().await;
    story.bench.stop_providers();
    // However often it is asked in vain within the five minutes.
    story.leap_past(&made, 0).await;
    for _ in 0..8 {
        story.leap(20).await;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        let waits = story.read().await;
        assert!(waits.get("last").is_none_or(Value::is_null), "{waits}");
    }
    story.bench.provider_again("things", story.effects.provider()).await.unwrap();
    story.leap(60).await;
    let fired = story.until("the run", has_run).await;
    assert_eq!((&story.last_run(&fired).await["state"], story.effects.count("a")), (&json!("succeeded"), 1));
    // Then it is left out, and who asked for it hears why.
    story.bench.stop_providers();
    story.leap_past(&fired, 0).await;
    story.leap(288).await;
    let left_out = story.until("the end of it", |schedule| schedule["last"]["run"].is_null()).await;
    let because = left_out["last"]["because"].as_str().unwrap();
    let why = ["cannot be reached", "left in peace", "could not be done in time"];
    assert!(why.iter().any(|why| because.contains(why)), "{because}");
    assert_eq!((story.effects.count("a"), &left_out["state"]), (1, &json!("active")));
}

/// Names of the schedules that are among what waits for people.
async fn waiting(person: &Person, query: &str) -> Vec<Value> {
    let answer = person.get(&format!("/v1/approvals{query}")).await.unwrap().body;
    answer["schedules"].as_array().unwrap().iter().map(|schedule| schedule["name"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approver_finds_runs_and_schedules_that_wait_in_one_list() {
    let story = begin().await;
    let run = story.dana.submit("things.destroy-item", json!({"name": "b"})).await.unwrap();
    let mut body = nightly("things.destroy-item", "a");
    body["until"] = json!(
        (guichet_contract::Clock::now(&story.clock) + jiff::SignedDuration::from_hours(100)).to_string()
    );
    let made = story.create(body).await;
    let (eve, olga) = (story.bench.sign_in("eve").await.unwrap(), story.bench.sign_in("olga").await.unwrap());
    for (person, all, mine) in [(&story.omar, 1, 1), (&olga, 1, 1), (&story.dana, 1, 0), (&eve, 0, 0)] {
        let found = (waiting(person, "").await.len(), waiting(person, "?mine=true").await.len());
        assert_eq!(found, (all, mine));
    }
    let list = story.omar.get("/v1/approvals?mine=true").await.unwrap().body;
    assert_eq!((&list["items"][0]["id"], list["items"].as_array().unwrap().len()), (&run.body["id"], 1));
    let shown = &list["schedules"][0];
    assert_eq!(
        (&shown["name"], &shown["binding"]),
        (&json!("nightly"), &made["binding"]),
        "what a yes is given to"
    );
    assert!(shown["in_words"].is_string() && shown["next"][0].is_string(), "{shown}");
    // It is decided where it is shown, and stands there no longer.
    let path = "/v1/schedules/nightly/approve";
    let yes = story.omar.post(path, json!({"binding": shown["binding"]})).await.unwrap();
    assert_eq!(yes.body["state"], "active", "{}", yes.body);
    assert_eq!(waiting(&olga, "?mine=true").await, Vec::<Value>::new());
    assert_eq!(waiting(&olga, "").await, Vec::<Value>::new());
}
