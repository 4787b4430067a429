//! Topics and groups are deleted: in the words of who asked for it, after a yes, and only what was shown.

use std::process::Output;

use guichet_testkit::{Bench, bench::Person, patience::until};
use serde_json::{Value, json};

use crate::world::{
    CLUSTER1, DEFAULT, able, approve, both, client, committed, create, facts, is_group, is_there, member,
    plan, setup, too_late, types, waiting, write,
};

/// Types a command that waits for a yes, gives it, and waits for its end.
async fn typed_and_approved(bench: &Bench, dana: &Person, omar: &Person, words: &[&str]) -> (Value, Output) {
    let child = types(bench, dana, words);
    let run = until("the run to wait for omar", || async {
        let mine = omar.get("/v1/approvals?mine=true").await.unwrap().body;
        mine["items"].get(0).cloned()
    })
    .await;
    approve(omar, &run).await;
    let output = tokio::task::spawn_blocking(|| child.wait_with_output().unwrap()).await.unwrap();
    (run, output)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_is_deleted_in_the_words_of_its_issue() {
    if !able() {
        return;
    }
    let kafka = client(&DEFAULT).await;
    create(&kafka, "master.monthly_invoices", 3).await;
    write(&kafka, "master.monthly_invoices", 1, &["a", "b"]).await;
    committed(&kafka, "billing", "master.monthly_invoices", &[0, 1]).await;
    let bench = setup(&both()).start().await.unwrap();
    let (dana, omar) = (bench.sign_in("dana").await.unwrap(), bench.sign_in("omar").await.unwrap());
    let words = [
        "kafka",
        "topics",
        "delete",
        "--cluster",
        "default",
        "--topic",
        "master.monthly_invoices",
        "--approval-description",
        "nobody reads it any more",
    ];
    let (run, output) = typed_and_approved(&bench, &dana, &omar, &words).await;
    assert_eq!(run["reason"], "nobody reads it any more");
    assert_eq!(run["resource"], "kafka/default/topics/master.monthly_invoices");
    assert_eq!(run["owner"], "stream");
    assert_eq!(
        run["plan"]["sentence"],
        "Delete topic `master.monthly_invoices` on cluster `default`: 3 partitions and all its messages"
    );
    let facts = facts(&run["plan"]);
    assert_eq!((&facts["partitions"], &facts["messages"]), (&json!(3), &json!(2)), "{facts:?}");
    assert_eq!(facts["written in the last hour"], true);
    assert!(facts["last write"].as_str().unwrap().ends_with(" ago)"), "{facts:?}");
    assert_eq!(facts["consumer groups"], json!(["billing (Empty, 0 members, 1 behind)"]));
    assert!(facts["size"].as_str().unwrap().ends_with('B'), "{facts:?}");
    let told =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("Delete topic `master.monthly_invoices`"), "{told}");
    assert!(!is_there(&kafka, "master.monthly_invoices").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_is_deleted_in_the_words_of_its_issue() {
    if !able() {
        return;
    }
    let kafka = client(&CLUSTER1).await;
    create(&kafka, "hello", 2).await;
    write(&kafka, "hello", 0, &["a", "b", "c"]).await;
    committed(&kafka, "hello.flowcon", "hello", &[1, 0]).await;
    let bench = setup(&both()).start().await.unwrap();
    let (dana, omar) = (bench.sign_in("dana").await.unwrap(), bench.sign_in("omar").await.unwrap());
    let words = [
        "kafka",
        "consumer-groups",
        "delete",
        "--cluster",
        "cluster1",
        "--consumer-group",
        "hello.flowcon",
        "--approval-description",
        "the service is gone",
    ];
    let (run, output) = typed_and_approved(&bench, &dana, &omar, &words).await;
    let facts = facts(&run["plan"]);
    assert_eq!((&facts["state"], &facts["members"], &facts["lag"]), (&json!("Empty"), &json!(0), &json!(2)));
    assert_eq!(facts["topics"], json!(["hello (2 behind)"]));
    assert!(facts["last commit"].as_str().unwrap().ends_with(" ago)"), "{facts:?}");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!is_group(&kafka, "hello.flowcon").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_with_members_is_refused_and_they_are_named() {
    if !able() {
        return;
    }
    let kafka = client(&DEFAULT).await;
    create(&kafka, "in-use", 1).await;
    write(&kafka, "in-use", 0, &["a"]).await;
    let consumer = member(&kafka, "busy", "in-use").await;
    let bench = setup(&both()).start().await.unwrap();
    let dana = bench.sign_in("dana").await.unwrap();
    let input = json!({"cluster": "default", "consumer_group": "busy"});
    let refused = plan(&dana, "delete-consumer-group", input.clone()).await;
    let told = refused.body.to_string();
    assert!(refused.status.is_client_error(), "{told}");
    for word in ["client `tester`", "on host 127.0.0.1", "1 member", "stop these consumers first"] {
        assert!(told.contains(word), "{word}: {told}");
    }
    let refused = dana.submit("kafka.delete-consumer-group", input.clone()).await.unwrap();
    assert!(refused.status.is_client_error() && refused.body.to_string().contains("client `tester`"));
    // Who joins after the yes voids it.
    consumer.commit().await.unwrap();
    consumer.close().await.unwrap();
    let omar = bench.sign_in("omar").await.unwrap();
    let run = waiting(&dana, "delete-consumer-group", input).await;
    let consumer = member(&kafka, "busy", "in-use").await;
    let _ = consumer.poll(std::time::Duration::from_millis(500)).await.unwrap();
    let told = too_late(&omar, &run).await;
    assert!(told.contains("client `tester`"), "{told}");
    assert!(is_group(&kafka, "busy").await);
    consumer.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_yes_does_not_delete_what_was_made_anew() {
    if !able() {
        return;
    }
    let kafka = client(&DEFAULT).await;
    create(&kafka, "phoenix", 1).await;
    let bench = setup(&both()).start().await.unwrap();
    let (dana, omar) = (bench.sign_in("dana").await.unwrap(), bench.sign_in("omar").await.unwrap());
    let run = waiting(&dana, "delete-topic", json!({"cluster": "default", "topic": "phoenix"})).await;
    let options = krafka::admin::DeleteTopicsOptions::default();
    kafka.admin().delete_topics(["phoenix"], options).await.unwrap().remove("phoenix").unwrap().unwrap();
    until("the topic to be gone", || async { (!is_there(&kafka, "phoenix").await).then_some(()) }).await;
    create(&kafka, "phoenix", 1).await;
    let told = too_late(&omar, &run).await;
    assert!(told.contains("changed: id:"), "{told}");
    assert!(is_there(&kafka, "phoenix").await);
    let internal =
        plan(&dana, "delete-topic", json!({"cluster": "default", "topic": "__consumer_offsets"})).await;
    assert!(internal.status.is_client_error(), "{}", internal.body);
}
