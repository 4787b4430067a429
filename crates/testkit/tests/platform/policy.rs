//! Asking the policies: why, who can, who can approve; and what a refusal tells to do next.

use guichet_provider_sdk::{ActionError, Context, Provider, provider};
use guichet_testkit::{
    Effects,
    bench::{Answer, Person},
    patience::until,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::world::{POLICY, REGISTRY, setup, start};

#[derive(Deserialize, JsonSchema)]
struct Secret {
    /// Its name.
    name: String,
    /// What nobody may read.
    #[schemars(extend("x-guichet" = {"sensitive": true}))]
    secret: String,
}

#[derive(Deserialize, JsonSchema)]
struct Letter {
    /// As long as it is.
    letter: String,
}

#[derive(Deserialize, JsonSchema)]
struct Number {
    /// As large as it is.
    number: u64,
}

fn vault() -> Provider {
    provider("vault")
        .action("put-secret", |_: Context, secret: Secret| async move {
            Ok::<_, ActionError>(json!({"name": secret.name, "length": secret.secret.len()}))
        })
        .action("put-number", |_: Context, number: Number| async move {
            Ok::<_, ActionError>(json!({"number": number.number}))
        })
        .action("put-letter", |_: Context, letter: Letter| async move {
            Ok::<_, ActionError>(json!({"length": letter.letter.len()}))
        })
        .into()
}

fn ids(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(|one| one["id"].as_str()).collect()
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(|one| one["name"].as_str()).collect()
}

/// One simulation at a time in a process, and other stories are told in this one.
#[expect(clippy::unwrap_used, reason = "a story that cannot go on has failed")]
async fn simulated(person: &Person, trial: Value) -> Answer {
    until("its turn", || async {
        let answer = person.post("/v1/policy/simulate", trial.clone()).await.unwrap();
        (answer.code() != "too-many-requests").then_some(answer)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_policy_names_what_decides_and_who_could() {
    let (bench, _) = start().await;
    let dana = bench.sign_in("dana").await.unwrap();
    let asked = json!({"action": "things.destroy-item", "input": {"name": "a"}});
    let told = dana.post("/v1/policy/explain", asked.clone()).await.unwrap();
    assert_eq!(told.status, 200, "{}", told.body);
    let told = told.body;
    assert_eq!(told["answer"], "needs_approval", "{told}");
    assert_eq!(ids(&told["decided_by"]), ["developers-act", "provider:things.destroy-item"]);
    assert_eq!(told["decided_by"][0]["place"], "policy/rules.cedar:4");
    assert_eq!(told["decided_by"][0]["says"], "permits");
    assert_eq!(told["approvals"][0]["team"], "ops");
    assert_eq!(told["approvals"][0]["people"], json!(["olga", "omar"]), "dana is of ops, and asks: {told}");
    assert_eq!((&told["resource"], &told["owner"]), (&json!("things/a"), &json!("ops")));
    // The frozen item: a plain no, told with its sentence.
    let frozen = json!({"action": "things.change-item", "input": {"name": "frozen"}});
    let told = dana.post("/v1/policy/explain", frozen).await.unwrap().body;
    assert_eq!((told["answer"].as_str(), ids(&told["decided_by"])), (Some("refused"), vec!["frozen-item"]));
    assert_eq!(told["reasons"][0], "item 'frozen' is frozen until the audit is over");
    assert_eq!(told["next"], "ask team ops when it ends");
    // Without an input it depends on it.
    let told = dana.get("/v1/policy/explain?action=things.change-item").await.unwrap().body;
    assert_eq!((told["answer"].as_str(), ids(&told["decided_by"])), (Some("depends"), vec!["frozen-item"]));
    // What the door does is what was explained.
    let submitted = dana.submit("things.destroy-item", json!({"name": "a"})).await.unwrap();
    assert_eq!(submitted.body["state"], "awaiting_approval");
    let run = submitted.body["id"].as_str().unwrap();
    let told = dana.get(&format!("/v1/policy/explain?run={run}")).await.unwrap().body;
    assert_eq!(told["approvals"][0]["people"], json!(["olga", "omar"]), "{told}");
    assert_eq!(told["principal"]["name"], "dana");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_policy_for_another_needs_the_right_to_audit_and_is_recorded() {
    let (bench, _) = start().await;
    let dana = bench.sign_in("dana").await.unwrap();
    let eve = bench.sign_in("eve").await.unwrap();
    let about = |who: &str| json!({"action": "things.change-item", "input": {"name": "a"}, "as": who});
    let refused = eve.post("/v1/policy/explain", about("dana")).await.unwrap();
    assert_eq!((refused.status.as_u16(), refused.code()), (403, "refused"), "{}", refused.body);
    for question in ["who-can", "who-can-approve"] {
        let path = format!("/v1/policy/{question}");
        let refused = eve.post(&path, json!({"action": "things.list-items"})).await.unwrap();
        assert_eq!(refused.code(), "refused", "{question}");
    }
    let own = eve.post("/v1/policy/explain", about("eve")).await.unwrap();
    assert_eq!(own.body["answer"], "refused", "{}", own.body);
    let told = dana.post("/v1/policy/explain", about("eve")).await.unwrap().body;
    assert_eq!((told["answer"].as_str(), told["principal"]["name"].as_str()), (Some("refused"), Some("eve")));
    let unknown = dana.post("/v1/policy/explain", about("nobody")).await.unwrap();
    assert_eq!(unknown.code(), "invalid-input");
    let records = dana.get("/v1/records?verb=explain_policy").await.unwrap().body;
    let told: Vec<(Option<&str>, Option<&str>)> = records["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| (record["principal"]["name"].as_str(), record["verdict"].as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (Some("dana"), Some("refused")),
            (Some("dana"), Some("allowed")),
            (Some("eve"), Some("allowed")),
            (Some("eve"), Some("refused"))
        ],
        "newest first; also what eve asked about herself: {records}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_can_and_who_can_approve_go_through_all_users() {
    let effects = Effects::default();
    let bench = setup(&effects).start().await.unwrap();
    let dana = bench.sign_in("dana").await.unwrap();
    let asked = json!({"action": "things.destroy-item", "input": {"name": "a"}});
    let told = dana.post("/v1/policy/who-can", asked.clone()).await.unwrap().body;
    assert_eq!(names(&told["able"]), ["dan", "dana"], "{told}");
    assert_eq!(told["able"][0]["answer"], "needs_approval");
    assert_eq!(ids(&told["able"][0]["policies"]), ["developers-act"]);
    assert_eq!(told["asked"], 5);
    let on = json!({"action": "things.change-item", "resource": "things/frozen"});
    let told = dana.post("/v1/policy/who-can", on).await.unwrap().body;
    assert_eq!(names(&told["able"]), Vec::<&str>::new(), "frozen for everybody: {told}");
    let told = dana.post("/v1/policy/who-can-approve", asked).await.unwrap().body;
    assert_eq!(names(&told["able"]), ["olga", "omar"], "{told}");
    assert_eq!(told["able"][0]["policies"], json!(["approvers-approve"]));
    let mut by_dan = json!({"action": "things.destroy-item", "input": {"name": "a"}, "as": "dan"});
    let told = dana.post("/v1/policy/who-can-approve", by_dan.clone()).await.unwrap().body;
    assert_eq!(names(&told["able"]), ["dana", "olga", "omar"], "{told}");
    by_dan["action"] = json!("things.change-item");
    let told = dana.post("/v1/policy/who-can-approve", by_dan).await.unwrap().body;
    assert_eq!(told["answer"], "allowed", "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_tells_who_can_and_nobody_else_hears_it() {
    let (bench, effects) = start().await;
    let eve = bench.sign_in("eve").await.unwrap();
    let refused = eve.submit("things.change-item", json!({"name": "a"})).await.unwrap();
    assert_eq!(refused.code(), "refused");
    assert_eq!(refused.body["next"], "ask dana or dan, who can do it", "{}", refused.body);
    let through = bench.nobody().unwrap().submit("things.change-item", json!({"name": "a"})).await.unwrap();
    assert_eq!(through.status, 401);
    assert!(!through.body.to_string().contains("dana"), "{}", through.body);
    assert_eq!(effects.count("a"), 0);
    let owners = "@id(\"owners-change\") permit (principal, action in Action::\"change\", resource) when { principal in resource.owner };";
    let registry =
        REGISTRY.replace("members: [omar, olga, dana]", "members: [omar, olga, dana], chat: '#ops'");
    let bench = setup(&effects).policy("owners.cedar", owners).registry(&registry).start().await.unwrap();
    let eve = bench.sign_in("eve").await.unwrap();
    let refused = eve.submit("things.change-item", json!({"name": "a"})).await.unwrap();
    assert_eq!(refused.body["next"], "ask dana, olga or omar of team ops, which owns it, in #ops");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn advice_is_for_what_nobody_permits_and_not_for_what_nobody_can_judge() {
    let bench = setup(&Effects::default()).provider("vault", vault()).start().await.unwrap();
    let (dan, eve) = (bench.sign_in("dan").await.unwrap(), bench.sign_in("eve").await.unwrap());
    // Larger than any number that policies know.
    let input = json!({"number": 9_223_372_036_854_775_808_u64});
    for person in [&dan, &eve] {
        let refused = person.submit("vault.put-number", input.clone()).await.unwrap();
        assert_eq!(refused.code(), "refused", "{}", refused.body);
        assert_eq!(refused.body["next"], "correct the input", "{}", refused.body);
        let asked = json!({"action": "vault.put-number", "input": input});
        let told = person.post("/v1/policy/explain", asked).await.unwrap().body;
        assert_eq!(
            (&told["answer"], &told["next"]),
            (&json!("refused"), &json!("correct the input")),
            "{told}"
        );
    }
    let small = eve.submit("vault.put-number", json!({"number": 1})).await.unwrap();
    assert_eq!(small.body["next"], "ask dan or dana, who can do it", "{}", small.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_only_has_to_give_a_reason_can() {
    let reason = "@id(\"say-why\") @reason(\"what broke\") @ticket(\"INC-[0-9]+\")
        forbid (principal, action == Action::\"things.change-item\", resource);";
    let bench = setup(&Effects::default()).policy("reasons.cedar", reason).start().await.unwrap();
    let (dana, eve) = (bench.sign_in("dana").await.unwrap(), bench.sign_in("eve").await.unwrap());
    let asked = json!({"action": "things.change-item", "input": {"name": "a"}});
    let told = dana.post("/v1/policy/who-can", asked.clone()).await.unwrap().body;
    assert_eq!(names(&told["able"]), ["dan", "dana"], "{told}");
    assert_eq!(
        (&told["able"][0]["answer"], ids(&told["able"][0]["policies"])),
        (&json!("depends"), vec!["say-why"])
    );
    assert!(told["able"][0]["waits_for"][0].as_str().unwrap().contains("needs a reason"), "{told}");
    let refused =
        eve.post("/v1/actions/things.change-item/runs", json!({"input": {"name": "a"}})).await.unwrap();
    assert_eq!(refused.body["next"], "ask dana or dan, who can do it", "{}", refused.body);
    // Beforehand it is no plain yes either.
    let look = dana.get("/v1/actions/things.change-item").await.unwrap().body;
    assert_eq!(look["for_me"]["answer"], "depends", "{look}");
    assert_eq!(look["for_me"]["because"], "depends on what it acts on and on the reason that is given");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn simulate_policy_reads_policies_as_a_reload_does() {
    let config = "[approval]\nexpires_seconds = 7200";
    let bench = setup(&Effects::default()).config(config).start().await.unwrap();
    let dana = bench.sign_in("dana").await.unwrap();
    let file = bench.folder().join("policy/rules.cedar").to_string_lossy().into_owned();
    let trial = json!({"policies": {file: POLICY}, "days": 1});
    let told = simulated(&dana, trial).await;
    assert_eq!(told.status, 200, "{}", told.body);
    assert_eq!(told.body["now"], told.body["then"], "the same policies are the same version");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn actions_say_beforehand_what_is_forbidden() {
    let (bench, _) = start().await;
    let looks = async |who: &str| {
        let person = bench.sign_in(who).await.unwrap();
        let listed = person.get("/v1/actions").await.unwrap().body;
        let items = listed["items"].as_array().unwrap().clone();
        items
            .iter()
            .map(|item| {
                let (id, answer) = (item["id"].as_str().unwrap(), item["for_me"]["answer"].as_str().unwrap());
                format!("{} {answer}", id.trim_start_matches("things."))
            })
            .collect::<Vec<_>>()
    };
    let expected = [
        "change-item depends",
        "destroy-item needs_approval",
        "fail-item depends",
        "line-change depends",
        "list-items allowed",
        "slow-change depends",
    ];
    assert_eq!(looks("dana").await, expected, "'frozen' is frozen, so changing depends on the item");
    let refused = expected.map(|line| match line.split_once(' ').unwrap() {
        ("list-items", _) => line.to_owned(),
        (id, _) => format!("{id} refused"),
    });
    assert_eq!(looks("eve").await, refused);
    let one = bench.sign_in("eve").await.unwrap().get("/v1/actions/things.change-item").await.unwrap().body;
    assert_eq!(one["for_me"]["because"], "no policy permits eve to do `things.change-item` in staging");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn simulate_policy_tells_what_would_change_and_what_it_cannot_tell() {
    let effects = Effects::default();
    let bench = setup(&effects).provider("vault", vault()).start().await.unwrap();
    let [dana, dan, eve] = [bench.sign_in("dana"), bench.sign_in("dan"), bench.sign_in("eve")];
    let (dana, dan, eve) = (dana.await.unwrap(), dan.await.unwrap(), eve.await.unwrap());
    for _ in 0..2 {
        assert_eq!(eve.submit("things.list-items", json!({})).await.unwrap().status, 200);
        assert_eq!(dan.submit("things.change-item", json!({"name": "a"})).await.unwrap().status, 202);
    }
    assert_eq!(eve.submit("things.change-item", json!({"name": "a"})).await.unwrap().code(), "refused");
    assert_eq!(dan.submit("things.destroy-item", json!({"name": "a"})).await.unwrap().status, 202);
    assert_eq!(dan.submit("things.change-item", json!({"nam": "a"})).await.unwrap().code(), "invalid-input");
    // More than the records that are read at a time.
    for person in [&eve, &dan] {
        for _ in 0..300 {
            assert_eq!(person.submit("things.list-items", json!({})).await.unwrap().status, 200);
        }
    }
    let secret = dan.submit("vault.put-secret", json!({"name": "a", "secret": "hunter2"})).await.unwrap();
    assert_eq!(secret.status, 202, "{}", secret.body);
    // What is large is recorded as its digest.
    let large = dan.submit("vault.put-letter", json!({"letter": "x".repeat(20_000)})).await.unwrap();
    assert_eq!(large.status, 202, "{}", large.body);

    let other = POLICY
        .replace(
            "permit (principal in Team::\"everybody\", action in Action::\"read\", resource);",
            "permit (principal in Team::\"developers\", action in Action::\"read\", resource);",
        )
        .replace(
            "permit (principal in Team::\"developers\", action in [Action::\"change\"",
            "permit (principal in Team::\"everybody\", action in [Action::\"change\"",
        )
        + "@id(\"two-eyes\") @approval(\"it changes something\") @by(\"owner\")
           forbid (principal == Person::\"dan\", action in Action::\"change\", resource);";
    let trial = json!({"policies": {"rules.cedar": other}, "days": 1});
    let forbidden = eve.post("/v1/policy/simulate", trial.clone()).await.unwrap();
    assert_eq!(forbidden.code(), "refused", "{}", forbidden.body);
    let told = simulated(&dana, trial).await;
    assert_eq!(told.status, 200, "{}", told.body);
    let told = told.body;
    let rows: Vec<String> = told["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let text = |member: &str| row[member].as_str().unwrap().to_owned();
            format!("{} {} {} {}", text("change"), text("principal"), text("action"), row["records"])
        })
        .collect();
    assert_eq!(
        rows,
        [
            "newly_refused eve things.list-items 302",
            "newly_needs_approval dan things.change-item 2",
            "newly_allowed eve things.change-item 1",
        ],
        "{told}"
    );
    assert_eq!(told["changes"][1]["example"]["because"], "it changes something: one person of team ops");
    assert_eq!((&told["replayed"], &told["unchanged"]), (&json!(606), &json!(301)), "{told}");
    let cannot_tell = json!([
        {"why": "the input is redacted", "records": 1},
        {"why": "the input was too large to be recorded", "records": 1},
    ]);
    assert_eq!(told["cannot_tell"], cannot_tell, "{told}");
    // Nothing was put in force.
    assert_eq!(eve.submit("things.list-items", json!({})).await.unwrap().status, 200);
    let broken = json!({"policies": {"new/rules.cedar": "permit (principal, action, resource);"}});
    let broken = simulated(&dana, broken).await;
    assert_eq!(broken.code(), "invalid-input");
    assert_eq!(broken.body["errors"][0]["flag"], "new/rules.cedar:1:1", "{}", broken.body);
}
