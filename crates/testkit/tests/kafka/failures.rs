//! A broker that is not there, and one that does not answer: the first is «not done», the second is not known.

use guichet_throwaway_kafka::Broker;
use serde_json::json;

use crate::world::{able, approve, client, create, is_there, setup, waiting};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_gone_is_told_and_nothing_was_done() {
    if !able() {
        return;
    }
    let mut broker = Broker::start().unwrap();
    let kafka = client(&broker).await;
    create(&kafka, "there", 1).await;
    let settings = format!("[[cluster]]\nname = 'default'\nbootstrap = ['{}']\n", broker.bootstrap());
    let bench = setup(&settings).start().await.unwrap();
    let (dana, omar) = (bench.sign_in("dana").await.unwrap(), bench.sign_in("omar").await.unwrap());
    let run = waiting(&dana, "delete-topic", json!({"cluster": "default", "topic": "there"})).await;
    broker.kill().unwrap();
    let refused = dana.get("/providers/kafka/api/v1/clusters/default/topics").await.unwrap();
    let told = refused.body.to_string();
    assert_eq!(refused.status, 503, "{told}");
    assert!(told.contains("cluster `default`") && told.contains("look whether its brokers are up"), "{told}");
    let listed = dana.get("/providers/kafka/api/v1/clusters").await.unwrap();
    assert_eq!(listed.body["clusters"][0]["up"], false, "{}", listed.body);
    // The yes is kept while nobody is there, and holds when the broker is back.
    approve(&omar, &run).await;
    broker.start_again().unwrap();
    let ended = dana.end_of(run["id"].as_str().unwrap()).await.unwrap();
    assert_eq!(ended["state"], "succeeded", "{ended}");
    assert!(!is_there(&client(&broker).await, "there").await);
}
