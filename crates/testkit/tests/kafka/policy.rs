//! What a plan tells, policies can read: who writes to a topic in the last hour needs a second team's yes.

use serde_json::{Value, json};

use crate::world::{DEFAULT, able, approve, approved, both, client, create, setup, waiting, write};

const WRITTEN: &str = r#"
@id("written-topics") @approval("somebody wrote to it in the last hour") @by("team:platform")
forbid (principal, action == Action::"kafka.delete-topic", resource)
when { context has plan && context.plan has "written in the last hour" && context.plan["written in the last hour"] };
"#;

fn waits_for(run: &Value) -> Vec<&str> {
    let mut policies: Vec<&str> =
        run["approvals"].as_array().unwrap().iter().map(|one| one["policy"].as_str().unwrap()).collect();
    policies.sort_unstable();
    policies
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_was_written_in_the_last_hour_needs_a_second_approver() {
    if !able() {
        return;
    }
    let kafka = client(&DEFAULT).await;
    for topic in ["quiet", "written", "wakes"] {
        create(&kafka, topic, 1).await;
    }
    write(&kafka, "written", 0, &["x"]).await;
    let bench = setup(&both()).policy("written.cedar", WRITTEN).start().await.unwrap();
    let dana = bench.sign_in("dana").await.unwrap();
    let (omar, olga) = (bench.sign_in("omar").await.unwrap(), bench.sign_in("olga").await.unwrap());
    let of = |topic: &str| json!({"cluster": "default", "topic": topic});

    let quiet = waiting(&dana, "delete-topic", of("quiet")).await;
    assert_eq!(waits_for(&quiet).len(), 1, "its owner alone: {quiet}");
    assert_eq!(approved(&dana, &omar, &quiet).await["state"], "succeeded");

    let written = waiting(&dana, "delete-topic", of("written")).await;
    assert_eq!(waits_for(&written).len(), 2, "{written}");
    assert!(waits_for(&written).contains(&"written-topics"), "{written}");
    let half = approve(&omar, &written).await;
    assert_eq!(half.body["state"], "awaiting_approval", "{}", half.body);
    let explained =
        dana.get(&format!("/v1/policy/explain?run={}", written["id"].as_str().unwrap())).await.unwrap();
    assert!(explained.body.to_string().contains("written-topics"), "{}", explained.body);
    assert_eq!(approved(&dana, &olga, &written).await["state"], "succeeded");

    // Somebody begins to write after it was shown: the yes to a quiet topic is not enough any more.
    let wakes = waiting(&dana, "delete-topic", of("wakes")).await;
    assert_eq!(waits_for(&wakes).len(), 1, "{wakes}");
    write(&kafka, "wakes", 0, &["x"]).await;
    let ended = approved(&dana, &omar, &wakes).await;
    assert_eq!(ended["state"], "voided", "{ended}");
    assert!(ended.to_string().contains("somebody wrote to it in the last hour"), "{ended}");
}
