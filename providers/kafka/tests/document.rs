//! The document as the gateway reads it, and what is told without a broker.

use guichet_contract::openapi::{self, Strictness};
use guichet_provider_kafka::{Settings, provider};
use guichet_provider_sdk::bench::Bench;
use serde_json::json;

#[test]
fn the_gateway_reads_the_document() {
    let provider = provider(&Settings::default()).unwrap();
    provider.check().unwrap();
    let reading = openapi::read("kafka", &provider.document(), Strictness::Strict).unwrap();
    assert_eq!(reading.warnings, []);
    let mut commands: Vec<String> = reading.actions.iter().map(|action| action.command.join(" ")).collect();
    commands.sort();
    assert_eq!(
        commands,
        [
            "kafka clusters describe",
            "kafka clusters list",
            "kafka clusters names",
            "kafka consumer-groups delete",
            "kafka consumer-groups describe",
            "kafka consumer-groups list",
            "kafka consumer-groups reset-offsets",
            "kafka topics alter",
            "kafka topics create",
            "kafka topics delete",
            "kafka topics describe",
            "kafka topics list",
            "kafka topics produce-message",
            "kafka topics read-messages",
        ]
    );
    let delete = reading.actions.iter().find(|action| action.operation == "delete-topic").unwrap();
    assert_eq!(delete.approval.as_ref().unwrap().by.to_string(), "owner");
    assert_eq!(delete.resource.as_deref(), Some("kafka/{cluster}/topics/{topic}"));
    assert_eq!(delete.options["topic"].with["cluster"], "cluster");
    assert_eq!(delete.options["cluster"].operation, "name-clusters");
    assert_eq!(delete.facts["written in the last hour"], json!({"type": "boolean"}));
}

#[tokio::test]
async fn a_cluster_that_is_not_there_is_told_within_seconds() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let toml = format!("[[cluster]]\nname = 'gone'\nbootstrap = ['127.0.0.1:{port}']\n");
    let bench = Bench::new(provider(&Settings::from_toml(&toml).unwrap()).unwrap()).unwrap();
    let listed = bench.call("list-clusters", json!({})).await.unwrap();
    assert_eq!(listed["clusters"][0]["up"], false, "{listed}");
    let problem = bench.call("list-topics", json!({"cluster": "gone"})).await.unwrap_err();
    assert_eq!(problem.status, 503);
    assert!(problem.detail.contains("cluster `gone` cannot be reached"), "{problem:?}");
    let unknown = bench.call("list-topics", json!({"cluster": "other"})).await.unwrap_err();
    assert_eq!((unknown.status, unknown.next.as_deref()), (404, Some("clusters: gone")));
}

#[tokio::test]
async fn who_chooses_a_cluster_waits_for_none() {
    // Taken by the system, and never by anybody else: as long as it may take, nobody answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let bootstrap = silent.local_addr().unwrap();
    let toml = format!("[[cluster]]\nname = 'silent'\ntitle = 'Orders'\nbootstrap = ['{bootstrap}']\n");
    let bench = Bench::new(provider(&Settings::from_toml(&toml).unwrap()).unwrap()).unwrap();
    let source = bench.action("list-topics").unwrap().options["cluster"].operation.clone();
    let named = tokio::time::timeout(std::time::Duration::from_secs(3), bench.call(&source, json!({})));
    let named = named.await.unwrap().unwrap();
    let expected = json!({"clusters": [{"name": "silent", "title": "Orders", "environment": null}]});
    assert_eq!(named, expected);
}
