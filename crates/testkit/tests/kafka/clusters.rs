//! Two clusters of two names; who is let in, and how.

use guichet_throwaway_kafka::{Broker, PASSWORD, Setup as BrokerSetup, USER};
use serde_json::json;

use crate::world::{CLUSTER1, DEFAULT, able, both, client, create, read, setup};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_clusters_are_two() {
    if !able() {
        return;
    }
    let (one, other) = (client(&DEFAULT).await, client(&CLUSTER1).await);
    create(&one, "only.here", 1).await;
    create(&other, "only.there", 4).await;
    let bench = setup(&both()).start().await.unwrap();
    let dana = bench.sign_in("dana").await.unwrap();
    let listed = read(&dana, "").await;
    let clusters = listed["clusters"].as_array().unwrap();
    assert_eq!(clusters.len(), 2);
    assert!(clusters.iter().all(|cluster| cluster["up"] == true && cluster["brokers"] == 1), "{listed}");
    for (cluster, is, is_not) in
        [("default", "only.here", "only.there"), ("cluster1", "only.there", "only.here")]
    {
        let topics = read(&dana, &format!("/{cluster}/topics")).await.to_string();
        assert!(topics.contains(is) && !topics.contains(is_not), "{topics}");
        assert!(!topics.contains("__consumer_offsets"), "{topics}");
    }
    let described = read(&dana, "/cluster1").await;
    assert_eq!(described["brokers"][0]["host"], "127.0.0.1", "{described}");
    let found = read(&dana, "/cluster1/topics?contains=there&sizes=true").await;
    assert_eq!(found["topics"][0]["partitions"], 4, "{found}");
    assert_eq!(found["topics"][0]["bytes"], 0, "{found}");
    let unknown = dana.get("/providers/kafka/api/v1/clusters/nowhere/topics").await.unwrap();
    let told = unknown.body.to_string();
    assert!(told.contains("no cluster `nowhere`") && told.contains("default, cluster1"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_signs_in_is_let_in_and_who_does_not_is_told() {
    if !able() {
        return;
    }
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let tls = Some((made.cert.pem(), made.signing_key.serialize_pem()));
    let broker = Broker::start_with(&BrokerSetup { tls, ..BrokerSetup::default() }).unwrap();
    let cluster = |name: &str, bootstrap: &str, mechanism: &str, file: &str, more: &str| {
        format!(
            "[[cluster]]\nname = '{name}'\nbootstrap = ['{bootstrap}']\n{more}\n\
             sasl = {{ mechanism = '{mechanism}', user = '{USER}', password_file = '{file}' }}\n"
        )
    };
    let (sasl, tls) = (broker.bootstrap_sasl(), broker.bootstrap_tls());
    let trusted = "tls = { ca_file = 'ca.pem' }";
    let settings = [
        cluster("plain", &sasl, "plain", "password", ""),
        cluster("scram256", &sasl, "scram-sha-256", "password", ""),
        cluster("scram512", &sasl, "scram-sha-512", "password", ""),
        cluster("tls", &tls, "scram-sha-512", "password", trusted),
        cluster("wrong-plain", &sasl, "plain", "wrong", ""),
        cluster("wrong-scram", &sasl, "scram-sha-512", "wrong", ""),
        cluster("untrusted", &tls, "scram-sha-512", "password", "tls = {}"),
    ]
    .concat();
    let bench = setup(&settings)
        .file("password", PASSWORD)
        .file("wrong", "open sesame")
        .file("ca.pem", &made.cert.pem())
        .start()
        .await
        .unwrap();
    let dana = bench.sign_in("dana").await.unwrap();
    let listed = read(&dana, "").await;
    for cluster in listed["clusters"].as_array().unwrap() {
        let (name, note) = (cluster["name"].as_str().unwrap(), cluster["note"].as_str().unwrap_or_default());
        let bad = name.starts_with("wrong") || name == "untrusted";
        assert_eq!(cluster["up"], json!(!bad), "{listed}");
        if bad {
            assert!(note.contains("does not let Guichet in") || note.contains("certificate"), "{note}");
        }
    }
    assert!(!listed.to_string().contains("sesame"));
    let refused = dana.get("/providers/kafka/api/v1/clusters/wrong-scram/topics").await.unwrap();
    let told = refused.body.to_string();
    assert!(told.contains("does not let Guichet in") && told.contains("correct user, password"), "{told}");
}
