//! Runs of one concurrency key go one at a time, in order, and say behind which run they wait.

use guichet_testkit::bench::Person;
use serde_json::{Value, json};

use crate::world::start;

#[expect(clippy::unwrap_used, reason = "a story that cannot go on has failed")]
async fn submit(person: &Person, key: &str, name: &str, milliseconds: u64) -> Value {
    let input = json!({"key": key, "name": name, "milliseconds": milliseconds});
    let answer = person.submit("things.line-change", input).await.unwrap();
    assert_eq!(answer.status, 202, "{}", answer.body);
    answer.body
}

#[expect(clippy::unwrap_used, reason = "a story that cannot go on has failed")]
fn id(run: &Value) -> &str {
    run["id"].as_str().unwrap()
}

#[expect(clippy::unwrap_used, reason = "a story that cannot go on has failed")]
async fn read(person: &Person, run: &Value) -> Value {
    person.get(&format!("/v1/runs/{}", id(run))).await.unwrap().body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_of_one_key_go_one_at_a_time_in_order_and_another_key_passes_them() {
    let (bench, effects) = start().await;
    let (dana, dan) = (bench.sign_in("dana").await.unwrap(), bench.sign_in("dan").await.unwrap());
    let mut line = Vec::new();
    for number in 0..5 {
        // Whose they are makes no difference.
        let person = if number % 2 == 0 { &dana } else { &dan };
        line.push(submit(person, "shop", &format!("item-{number}"), 250).await);
    }
    assert_eq!(line[0]["concurrency"], "shop");
    assert_eq!(line[0].get("behind"), None, "{}", line[0]);
    assert_eq!((&line[1]["behind"], &line[4]["behind"]), (&line[0]["id"], &line[3]["id"]), "{}", line[4]);
    let listed = dana.get("/v1/runs?state=queued").await.unwrap().body;
    assert!(listed["items"].as_array().unwrap().iter().any(|run| run["behind"] == line[3]["id"]), "{listed}");
    let other = submit(&dan, "other", "passes", 0).await;
    assert_eq!(dan.end_of(id(&other)).await.unwrap()["state"], "succeeded");
    for run in &line {
        let ended = dana.end_of(id(run)).await.unwrap();
        assert_eq!((&ended["state"], ended.get("behind")), (&json!("succeeded"), None), "{ended}");
    }
    assert_eq!(effects.order(), ["passes", "item-0", "item-1", "item-2", "item-3", "item-4"]);
    assert_eq!(effects.most_at_once("shop"), 1);
    let events = dana.get(&format!("/v1/runs/{}/events", id(&line[1]))).await.unwrap().body.to_string();
    let short = &id(&line[0])[28..];
    assert!(events.contains(&format!("waits behind run {short}: one run at a time for shop")), "{events}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_cancelled_lets_the_next_pass() {
    let (bench, effects) = start().await;
    let dana = bench.sign_in("dana").await.unwrap();
    let first = submit(&dana, "shop", "first", 600).await;
    let second = submit(&dana, "shop", "second", 0).await;
    let third = submit(&dana, "shop", "third", 0).await;
    let gone = dana.post(&format!("/v1/runs/{}/cancel", id(&second)), json!({})).await.unwrap();
    assert_eq!(gone.body["state"], "cancelled", "{}", gone.body);
    assert_eq!(read(&dana, &third).await["behind"], first["id"]);
    assert_eq!(dana.end_of(id(&third)).await.unwrap()["state"], "succeeded");
    assert_eq!(effects.order(), ["first", "third"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_is_kept_over_a_restart() {
    let (mut bench, effects) = start().await;
    let dana = bench.sign_in("dana").await.unwrap();
    let mut line = Vec::new();
    for number in 0..4 {
        line.push(submit(&dana, "shop", &format!("item-{number}"), 400).await);
    }
    while read(&dana, &line[0]).await["state"] != "running" {}
    bench.stop().await.unwrap();
    bench.start_again().await.unwrap();
    for run in &line {
        assert_eq!(dana.end_of(id(run)).await.unwrap()["state"], "succeeded");
    }
    assert_eq!(effects.order(), ["item-0", "item-1", "item-2", "item-3"]);
    assert_eq!(effects.most_at_once("shop"), 1);
}
