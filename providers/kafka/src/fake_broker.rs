//! What a real broker does only once in a while, asked of the client's own fake one: it cannot tell an offset, has an open
//! transaction, takes a request and never answers, is gone.

use std::time::{Duration, Instant};

use guichet_provider_sdk::bench::Bench;
use krafka::{
    error::ErrorCode,
    testing::{ApiKey, Control, FakeBroker},
};
use serde_json::json;

use crate::{
    cluster::Clusters,
    provider,
    settings::Settings,
    traffic::Writes,
    wire::{At, Draft, Fault, NewTopic, Partition, Stretch},
};

fn settings(broker: &FakeBroker) -> Settings {
    let bootstrap = broker.bootstrap_servers();
    let toml = format!("[[cluster]]\nname = 'default'\nbootstrap = ['{bootstrap}']\n");
    Settings::from_toml(&toml).unwrap()
}

/// A broker with a topic of so many messages, and the provider's own way to it.
async fn with_messages(count: usize) -> (FakeBroker, Clusters) {
    let broker = FakeBroker::start().await.unwrap();
    assert!(broker.create_topic("t", 1));
    let clusters = Clusters::new(&settings(&broker)).unwrap();
    for number in 0..count {
        let draft = Draft {
            topic: "t".to_owned(),
            partition: Some(0),
            key: None,
            value: format!("message {number}"),
            headers: Vec::new(),
        };
        let _ = clusters.find("default").unwrap().wire.produce(&draft).await.unwrap();
    }
    (broker, clusters)
}

/// From here on, all belongs to a transaction that nobody ends.
fn open_transaction(broker: &FakeBroker, from: i64) {
    broker.with_state(|state| {
        let _ = state.partition_mut("t", 0).unwrap().open_transactions.insert(99, from);
    });
}

#[tokio::test]
async fn an_end_that_cannot_be_told_is_not_the_beginning() {
    let (broker, clusters) = with_messages(2).await;
    let cluster = clusters.find("default").unwrap();
    let topic = cluster.wire.topic("t").await.unwrap();
    let partition = Partition::new("t", 0);
    broker.on(ApiKey::ListOffsets, |_| Control::Error(ErrorCode::OffsetNotAvailable));
    let now = "2026-11-21T08:00:00Z".parse().unwrap();
    let asked = [(partition.clone(), At::Latest)];
    let (writes, told) = tokio::join!(Writes::of(cluster, &topic, now), cluster.wire.offsets(&asked));
    let writes = writes.unwrap();
    assert!(writes.recent() && !writes.are_none(), "what cannot be told counts as written");
    assert!(told.unwrap().is_empty(), "there is an end, and it was not told");
    // What is behind the last message is told as none.
    broker.clear_hooks();
    let asked = [(partition.clone(), At::Moment("2999-01-01T00:00:00Z".parse().unwrap()))];
    let told = cluster.wire.offsets(&asked).await.unwrap();
    assert!(told[&partition].is_none(), "{told:?}");
}

#[tokio::test]
async fn an_open_transaction_keeps_no_reader_waiting() {
    let (broker, clusters) = with_messages(5).await;
    open_transaction(&broker, 3);
    let bench = Bench::new(provider(&settings(&broker)).unwrap()).unwrap();
    let begun = Instant::now();
    let told = bench.call("read-messages", json!({"cluster": "default", "topic": "t"})).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    let values: Vec<&str> =
        told["messages"].as_array().unwrap().iter().map(|one| one["value"].as_str().unwrap()).collect();
    assert_eq!(values.len(), 3, "{told}");
    assert!(values.contains(&"message 2"), "{told}");
    assert!(told.get("note").is_none(), "{told}");
    // Who asks for what lies behind it all the same is told that it is not all.
    let stretch = Stretch { partition: 0, from: 0, until: 5 };
    let read = clusters.find("default").unwrap().wire.read("t", &[stretch], 1_000).await.unwrap();
    assert_eq!((read.messages.len(), read.whole), (3, false));
}

#[tokio::test]
async fn what_was_cut_off_is_told() {
    let (_broker, clusters) = with_messages(5).await;
    let wire = &clusters.find("default").unwrap().wire;
    let stretch = || [Stretch { partition: 0, from: 0, until: 5 }];
    let cut = wire.read("t", &stretch(), 20).await.unwrap();
    assert!(cut.messages.len() < 5 && !cut.whole, "{cut:?}");
    let all = wire.read("t", &stretch(), 10_000).await.unwrap();
    assert_eq!((all.messages.len(), all.whole), (5, true));
}

fn new_topic() -> NewTopic {
    NewTopic {
        name: "new".to_owned(),
        partitions: Some(1),
        replication: Some(1),
        settings: std::collections::BTreeMap::new(),
    }
}

#[tokio::test]
async fn a_change_that_nobody_took_is_told_as_not_done() {
    let (broker, clusters) = with_messages(0).await;
    let wire = &clusters.find("default").unwrap().wire;
    assert_eq!(wire.topics().await.unwrap().len(), 1);
    drop(broker);
    // Until the client has seen that its connection is gone: what it sends into it may have arrived, for all it knows.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let gone = wire.create_topic(&new_topic(), false).await.unwrap_err();
    assert!(matches!(gone, Fault::Unreachable(_)), "{gone:?}");
}

#[tokio::test]
async fn a_change_that_was_taken_and_not_answered_is_not_known() {
    let (broker, clusters) = with_messages(0).await;
    let wire = &clusters.find("default").unwrap().wire;
    broker.on_once(ApiKey::CreateTopics, |_| Control::ApplyThen(Box::new(Control::Disconnect)));
    let cut = wire.create_topic(&new_topic(), false).await.unwrap_err();
    assert!(matches!(cut, Fault::Unanswered(_)), "{cut:?}");
    broker.on_once(ApiKey::CreateTopics, |_| Control::Silence);
    let silent = wire.create_topic(&new_topic(), false).await.unwrap_err();
    assert!(matches!(silent, Fault::Unanswered(_)), "{silent:?}");
}
