//! A topic is made, looked at, changed and given more partitions.

use serde_json::{Value, json};

use crate::world::{DEFAULT, able, both, client, committed, facts, plan, read, setup, write};

async fn done(person: &guichet_testkit::bench::Person, action: &str, input: Value) -> Value {
    let run = person.submit(&format!("kafka.{action}"), input).await.unwrap();
    assert_eq!(run.status, 202, "{}", run.body);
    let ended = person.end_of(run.body["id"].as_str().unwrap()).await.unwrap();
    assert_eq!(ended["state"], "succeeded", "{ended}");
    ended
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_is_made_and_changed_as_it_was_shown() {
    if !able() {
        return;
    }
    let bench = setup(&both()).start().await.unwrap();
    let dana = bench.sign_in("dana").await.unwrap();
    let input = json!({"cluster": "default", "topic": "made", "partitions": 2, "replication": 1,
                       "set": ["retention.ms=3600000"]});
    let shown = plan(&dana, "create-topic", input.clone()).await.body;
    assert_eq!(
        shown["plan"]["sentence"], "Create topic `made` on cluster `default` with 2 partitions",
        "{shown}"
    );
    let missing = dana.get("/providers/kafka/api/v1/clusters/default/topics/made").await.unwrap();
    assert_eq!(missing.status, 404, "a plan makes nothing: {}", missing.body);
    let made = done(&dana, "create-topic", input.clone()).await;
    assert_eq!(made["outcome"]["result"]["partitions"], 2, "{made}");
    let again = dana.submit("kafka.create-topic", input).await.unwrap();
    assert!(again.body.to_string().contains("has topic `made` already"), "{}", again.body);
    for (input, told) in [
        (json!({"cluster": "default", "topic": "a b"}), "letters, digits"),
        (json!({"cluster": "default", "topic": "x", "replication": 3}), "eplication"),
        (json!({"cluster": "default", "topic": "x", "set": ["retention.ms=never"]}), "retention.ms"),
    ] {
        let wrong = plan(&dana, "create-topic", input).await;
        assert!(!wrong.status.is_success() && wrong.body.to_string().contains(told), "{}", wrong.body);
    }

    let alter =
        json!({"cluster": "default", "topic": "made", "set": ["retention.ms=7200000"], "partitions": 3});
    let altered = done(&dana, "alter-topic", alter.clone()).await;
    assert_eq!(
        facts(&altered["plan"])["changes"],
        json!(["retention.ms: 3600000 → 7200000", "partitions: 2 → 3"]),
        "{altered}"
    );
    let nothing = plan(&dana, "alter-topic", alter).await;
    assert!(nothing.body.to_string().contains("is so already"), "{}", nothing.body);
    let fewer =
        plan(&dana, "alter-topic", json!({"cluster": "default", "topic": "made", "partitions": 2})).await;
    assert!(fewer.body.to_string().contains("takes none away"), "{}", fewer.body);
    let unset = json!({"cluster": "default", "topic": "made", "unset": ["retention.ms"]});
    let unset = done(&dana, "alter-topic", unset).await;
    assert_eq!(facts(&unset["plan"])["changes"], json!(["retention.ms: 7200000 → default"]), "{unset}");

    let kafka = client(&DEFAULT).await;
    write(&kafka, "made", 2, &["a", "b", "c"]).await;
    committed(&kafka, "of-made", "made", &[0, 0, 1]).await;
    let described = read(&dana, "/default/topics/made").await;
    assert_eq!(described["partitions"].as_array().unwrap().len(), 3, "{described}");
    assert_eq!((&described["messages"], &described["settings"]), (&json!(3), &json!([])), "{described}");
    assert!(described["bytes"].as_i64().unwrap() > 0 && described["last_write"].is_string(), "{described}");
    assert_eq!(
        described["consumer_groups"],
        json!([{"consumer_group": "of-made", "state": "Empty", "members": 0, "lag": 2}])
    );
}
