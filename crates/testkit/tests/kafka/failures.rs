//! A broker that is not there, and one that does not answer: the first is «not done», the second is not known.

use guichet_throwaway_kafka::{Broker, Setup as BrokerSetup};
use serde_json::json;

use crate::{
    proxy::Proxy,
    world::{able, approve, approved, client, create, is_there, setup, waiting},
};

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_does_not_answer_leaves_what_nobody_knows() {
    if !able() {
        return;
    }
    let proxy = Proxy::new().await;
    let given = BrokerSetup { advertised: Some(proxy.port()), ..BrokerSetup::default() };
    let broker = Broker::start_with(&given).unwrap();
    let through = format!("127.0.0.1:{}", proxy.port());
    let mood = proxy.leads_to(&broker.bootstrap());
    let kafka = client(&broker).await;
    create(&kafka, "lost", 1).await;
    create(&kafka, "done", 1).await;
    let settings = format!("[[cluster]]\nname = 'default'\nbootstrap = ['{through}']\n");
    let bench = setup(&settings).start().await.unwrap();
    let (dana, omar) = (bench.sign_in("dana").await.unwrap(), bench.sign_in("omar").await.unwrap());
    mood.swallow_requests();
    let run = waiting(&dana, "delete-topic", json!({"cluster": "default", "topic": "lost"})).await;
    let ended = approved(&dana, &omar, &run).await;
    assert_eq!(ended["state"], "unknown", "{ended}");
    assert!(is_there(&kafka, "lost").await);
    mood.swallow_answers();
    let run = waiting(&dana, "delete-topic", json!({"cluster": "default", "topic": "done"})).await;
    let ended = approved(&dana, &omar, &run).await;
    assert_eq!(ended["state"], "succeeded", "the provider looks whether it is gone: {ended}");
    assert!(ended["outcome"].to_string().contains("did not answer"), "{ended}");
    assert!(!is_there(&kafka, "done").await);
}
