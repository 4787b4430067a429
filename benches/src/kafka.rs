//! A broker with ten thousand topics and a thousand consumer groups: how long lists, pickers, lag and plans take, asked of
//! the provider as a gateway asks it. The wire to the broker and the broker's own work are in each figure.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures_util::{StreamExt as _, stream};
use guichet_provider_kafka::{Settings, provider};
use guichet_provider_sdk::bench::Bench;
use guichet_throwaway_kafka::{Broker, Setup};
use krafka::{
    Kafka, Record,
    admin::{AlterConsumerGroupOffsetsOptions, CreateTopicsOptions, NewTopic, TopicPartition},
};
use serde_json::{Value, json};

use crate::figures::{Table, median};

const TOPICS: usize = 10_000;
const GROUPS: usize = 1_000;
/// Topics that each group reads.
const READS: usize = 10;
/// How often each is asked.
const TIMES: usize = 7;

/// Takes some minutes, 1 GiB of memory and of disk.
pub(crate) fn measure() -> Result<String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(measured())
}

async fn measured() -> Result<String> {
    let broker = Broker::start_with(&Setup { heap_mib: 900, ..Setup::default() })?;
    let kafka = Kafka::builder(broker.bootstrap()).connect().await?;
    let began = Instant::now();
    fill(&kafka).await?;
    let filled = began.elapsed();
    let settings = format!("[[cluster]]\nname = 'default'\nbootstrap = ['{}']\n", broker.bootstrap());
    let bench = Bench::new(provider(&Settings::from_toml(&settings)?)?)?;
    let mut table = Table::new(&["asked for", "rows", "first", "median", "most"]);
    let of_cluster = json!({"cluster": "default"});
    let with = |name: &str, value: Value| {
        let mut input = of_cluster.clone();
        input[name] = value;
        input
    };
    for (what, operation, input, rows) in [
        ("clusters list", "list-clusters", json!({}), "/clusters"),
        ("clusters describe", "describe-cluster", of_cluster.clone(), "/brokers"),
        ("topics list, and its picker", "list-topics", of_cluster.clone(), "/topics"),
        ("topics list --contains", "list-topics", with("contains", json!("service-17.")), "/topics"),
        ("topics list --sizes", "list-topics", with("sizes", json!(true)), "/topics"),
        ("topics describe", "describe-topic", with("topic", json!(name(0))), "/consumer_groups"),
        (
            "consumer-groups list, and its picker",
            "list-consumer-groups",
            of_cluster.clone(),
            "/consumer_groups",
        ),
        ("consumer-groups list --lag", "list-consumer-groups", with("lag", json!(true)), "/consumer_groups"),
        (
            "consumer-groups describe",
            "describe-consumer-group",
            with("consumer_group", json!("group-0000")),
            "/partitions",
        ),
    ] {
        let (mut took, mut count) = (Vec::new(), 0);
        for _ in 0..TIMES {
            let began = Instant::now();
            let told = bench
                .call(operation, input.clone())
                .await
                .map_err(|problem| anyhow::anyhow!("{problem:?}"))?;
            took.push(began.elapsed());
            count = told.pointer(rows).and_then(Value::as_array).map_or(0, Vec::len);
        }
        table.row(&cells(what, count, &took));
    }
    let mut took = Vec::new();
    for _ in 0..TIMES {
        let began = Instant::now();
        let told = bench.plan("delete-topic", with("topic", json!(name(0)))).await;
        let told = told.map_err(|problem| anyhow::anyhow!("{problem:?}"))?;
        took.push(began.elapsed());
        ensure!(!told.facts.is_empty(), "the plan tells nothing");
    }
    table.row(&cells("topics delete --plan", 1, &took));
    Ok(format!(
        "## A Kafka cluster of {TOPICS} topics and {GROUPS} consumer groups\n\n\
         One broker with a heap of 900 MiB, {} MiB resident; made in {:.0} s; each group has committed {READS} topics.\n\n{}",
        broker.resident_kib() / 1024,
        filled.as_secs_f64(),
        table.into_text()
    ))
}

fn cells(what: &str, rows: usize, took: &[Duration]) -> Vec<String> {
    let milliseconds = |took: &Duration| took.as_secs_f64() * 1_000.0;
    let text = |figure: f64| format!("{figure:.0} ms");
    let first = took.first().map_or(f64::NAN, milliseconds);
    let most = took.iter().map(milliseconds).fold(0.0, f64::max);
    vec![
        what.to_owned(),
        rows.to_string(),
        text(first),
        text(median(took.iter().map(milliseconds))),
        text(most),
    ]
}

fn name(number: usize) -> String {
    format!("service-{}.events-{number:05}", number % 200)
}

async fn fill(kafka: &Kafka) -> Result<()> {
    let admin = kafka.admin();
    let numbers: Vec<usize> = (0..TOPICS).collect();
    for some in numbers.chunks(250) {
        let new: Result<Vec<NewTopic>, _> =
            some.iter().map(|number| NewTopic::new(name(*number), 1, 1)).collect();
        for (topic, told) in admin.create_topics(new?, CreateTopicsOptions::default()).await? {
            told.with_context(|| format!("{topic} is not made"))?;
        }
    }
    let producer = kafka.producer().build().await?;
    for number in 0..100 {
        let sent = producer.send(Record::new(name(number), "x").partition(0)).await?;
        ensure!(sent.offset == 0, "{sent:?}");
    }
    producer.close().await?;
    let commits = (0..GROUPS).map(|group| {
        let offsets: Vec<(TopicPartition, i64)> =
            (0..READS).map(|number| (TopicPartition::new(name(group * READS + number), 0), 0)).collect();
        let options = AlterConsumerGroupOffsetsOptions::default();
        let admin = &admin;
        async move {
            for told in admin
                .alter_consumer_group_offsets(format!("group-{group:04}"), offsets, options)
                .await?
                .into_values()
            {
                told?;
            }
            anyhow::Ok(())
        }
    });
    let commits: Vec<_> = commits.collect();
    let done: Vec<Result<()>> = stream::iter(commits).buffer_unordered(32).collect().await;
    done.into_iter().collect()
}
