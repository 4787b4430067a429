//! Two brokers, the people around them, and clients of their own that write and read.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    process::{Child, Command, ExitCode, Stdio},
    sync::LazyLock,
    time::Duration,
};

use guichet_testkit::{
    Bench, Setup,
    bench::{Answer, Person},
    skipped,
};
use guichet_throwaway_kafka::{Broker, missing};
use krafka::{
    Kafka, Record,
    admin::{CreateTopicsOptions, NewTopic, TopicPartition},
    consumer::{AutoOffsetReset, Consumer},
};
use serde_json::{Value, json};

/// The cluster `default`, for all tests; its janitor ends it with this process.
pub(crate) static DEFAULT: LazyLock<Broker> = LazyLock::new(|| Broker::start().unwrap());
/// The cluster `cluster1`.
pub(crate) static CLUSTER1: LazyLock<Broker> = LazyLock::new(|| Broker::start().unwrap());

const POLICY: &str = r#"
@id("everybody-reads")
permit (principal, action in Action::"read", resource);
@id("developers-act")
permit (principal in Team::"developers", action in [Action::"change", Action::"destroy"], resource);
@id("approvers-approve")
permit (principal, action == Action::"approve", resource);
@id("everybody-looks")
permit (principal, action == Action::"view_run", resource);
"#;

const REGISTRY: &str = "
teams:
  - {name: developers, members: [dana]}
  - {name: stream, members: [omar]}
  - {name: platform, members: [olga]}
resources:
  - {pattern: 'kafka/**', owner: stream}
";

/// Whether this machine can run a broker; says so when it cannot.
pub(crate) fn able() -> bool {
    match missing() {
        Some(why) => {
            skipped(&why);
            false
        }
        None => true,
    }
}

/// Settings of the two clusters.
pub(crate) fn both() -> String {
    format!(
        "[[cluster]]\nname = 'default'\ntitle = 'Default'\nbootstrap = ['{}']\n\
         [[cluster]]\nname = 'cluster1'\nbootstrap = ['{}']\n",
        DEFAULT.bootstrap(),
        CLUSTER1.bootstrap()
    )
}

/// A gateway with the provider in its process, as an operator would write it.
pub(crate) fn setup(settings: &str) -> Setup {
    ["dana", "omar", "olga"]
        .into_iter()
        .fold(Setup::new(), Setup::person)
        .policy("rules.cedar", POLICY)
        .registry(REGISTRY)
        .file("kafka.toml", settings)
        .config("[[provider]]\nname = \"kafka\"\nembedded = \"kafka\"\nsettings = \"kafka.toml\"")
}

pub(crate) async fn client(broker: &Broker) -> Kafka {
    Kafka::builder(broker.bootstrap()).client_id("tester").connect().await.unwrap()
}

pub(crate) async fn create(kafka: &Kafka, topic: &str, partitions: i32) {
    let new = NewTopic::new(topic, partitions, 1).unwrap();
    let told = kafka.admin().create_topics([new], CreateTopicsOptions::default()).await.unwrap();
    told.into_values().next().unwrap().unwrap();
    for _ in 0..200 {
        let admin = kafka.admin();
        let told = admin.describe_topics([topic], krafka::admin::DescribeTopicsOptions::default()).await;
        if told.unwrap().into_values().next().unwrap().is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(crate) async fn write(kafka: &Kafka, topic: &str, partition: i32, values: &[&str]) {
    let producer = kafka.producer().linger(Duration::ZERO).build().await.unwrap();
    for value in values {
        let record = Record::new(topic, (*value).to_owned()).key("k").partition(partition);
        let _ = producer.send(record.header("authorization", "secret")).await.unwrap();
    }
    producer.close().await.unwrap();
}

/// A member of a group, which has read something of this topic.
pub(crate) async fn member(kafka: &Kafka, group: &str, topic: &str) -> Consumer {
    let consumer = kafka.consumer(group).auto_offset_reset(AutoOffsetReset::Earliest);
    let consumer = consumer.enable_auto_commit(false).build().await.unwrap();
    consumer.subscribe([topic]).await.unwrap();
    for _ in 0..100 {
        if !consumer.poll(Duration::from_millis(200)).await.unwrap().is_empty() {
            return consumer;
        }
    }
    consumer
}

/// What a member of this group reads now, values in order.
pub(crate) async fn reads(kafka: &Kafka, group: &str, topic: &str, count: usize) -> Vec<String> {
    let consumer = kafka.consumer(group).auto_offset_reset(AutoOffsetReset::Latest);
    let consumer = consumer.enable_auto_commit(false).build().await.unwrap();
    consumer.subscribe([topic]).await.unwrap();
    let mut values = Vec::new();
    for _ in 0..50 {
        for record in consumer.poll(Duration::from_millis(200)).await.unwrap() {
            values.push(record.value_str().unwrap().to_owned());
        }
        if values.len() >= count {
            break;
        }
    }
    consumer.close().await.unwrap();
    values
}

/// Has a group without members that has committed these offsets of partition 0 and on.
pub(crate) async fn committed(kafka: &Kafka, group: &str, topic: &str, offsets: &[i64]) {
    let offsets = (0..).zip(offsets).map(|(number, offset)| (TopicPartition::new(topic, number), *offset));
    let options = krafka::admin::AlterConsumerGroupOffsetsOptions::default();
    let told = kafka.admin().alter_consumer_group_offsets(group, offsets, options).await.unwrap();
    for told in told.into_values() {
        told.unwrap();
    }
}

/// Whether a topic is there.
pub(crate) async fn is_there(kafka: &Kafka, topic: &str) -> bool {
    let options = krafka::admin::ListTopicsOptions::default();
    kafka.admin().list_topics(options).await.unwrap().iter().any(|name| name == topic)
}

/// Whether a group is there.
pub(crate) async fn is_group(kafka: &Kafka, group: &str) -> bool {
    let options = krafka::admin::ListConsumerGroupsOptions::default();
    let listed = kafka.admin().list_consumer_groups(options).await.unwrap();
    listed.into_values().flat_map(Result::unwrap).any(|told| told.group_id == group)
}

/// A read that must come.
pub(crate) async fn read(person: &Person, path: &str) -> Value {
    let answer = person.get(&format!("/providers/kafka/api/v1/clusters{path}")).await.unwrap();
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer.body
}

/// A run that waits for somebody's yes.
pub(crate) async fn waiting(person: &Person, action: &str, input: Value) -> Value {
    let answer = person.submit(&format!("kafka.{action}"), input).await.unwrap();
    assert_eq!(answer.status, 202, "{}", answer.body);
    assert_eq!(answer.body["state"], "awaiting_approval", "{}", answer.body);
    answer.body
}

/// A yes to what was shown.
pub(crate) async fn approve(person: &Person, run: &Value) -> Answer {
    let path = format!("/v1/runs/{}/approve", run["id"].as_str().unwrap());
    let answer = person.post(&path, json!({"binding": run["binding"]})).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer
}

/// A yes to what was shown, and what came of it.
pub(crate) async fn approved(requester: &Person, approver: &Person, run: &Value) -> Value {
    approve(approver, run).await;
    requester.end_of(run["id"].as_str().unwrap()).await.unwrap()
}

/// A yes to what is no longer as it was shown: it is refused, and the run void. Answers what was said.
pub(crate) async fn too_late(approver: &Person, run: &Value) -> String {
    let path = format!("/v1/runs/{}/approve", run["id"].as_str().unwrap());
    let answer = approver.post(&path, json!({"binding": run["binding"]})).await.unwrap();
    assert_eq!(answer.code(), "plan-drifted", "{}", answer.body);
    let now = approver.get(&format!("/v1/runs/{}", run["id"].as_str().unwrap())).await.unwrap();
    assert_eq!(now.body["state"], "voided", "{}", now.body);
    answer.body["detail"].as_str().unwrap().to_owned()
}

/// The facts of a plan by name.
pub(crate) fn facts(plan: &Value) -> BTreeMap<String, Value> {
    let facts = plan["facts"].as_array().unwrap();
    facts.iter().map(|fact| (fact["name"].as_str().unwrap().to_owned(), fact["value"].clone())).collect()
}

/// What a run would do.
pub(crate) async fn plan(person: &Person, action: &str, input: Value) -> Answer {
    let path = format!("/v1/actions/kafka.{action}/plan");
    person.post(&path, json!({"input": input, "reason": "a test"})).await.unwrap()
}

const WORDS: &str = "GUICHET_TEST_WORDS";

/// Types a command, in a process of its own: this very program, told to run one test alone, which plays `guichet`.
pub(crate) fn types(bench: &Bench, person: &Person, words: &[&str]) -> Child {
    let token = person.token().unwrap();
    let home = bench.folder().join("home");
    std::fs::create_dir_all(&home).unwrap();
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "world::plays_guichet", "--nocapture"])
        .env(WORDS, words.join("\n"))
        .env("GUICHET_GATEWAY", &bench.url)
        .env("GUICHET_TOKEN", token)
        .env("GUICHET_CONFIG_DIR", &home)
        .env("XDG_CACHE_HOME", &home)
        .env("HOME", &home)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the part is handed over in the environment")]
fn plays_guichet() {
    let Ok(words) = std::env::var(WORDS) else { return };
    guichet_testkit::bench::install_tls();
    let words: Vec<OsString> =
        std::iter::once("guichet").chain(words.split('\n')).map(OsString::from).collect();
    let code = guichet_cli::run(&words);
    assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::SUCCESS));
}
