//! Offsets of a group are set as they were shown, and whoever reads next begins there.

use serde_json::{Value, json};

use crate::world::{
    DEFAULT, able, approved, both, client, committed, create, facts, member, plan, read, reads, setup,
    too_late, waiting, write,
};

fn reset(to: &str, more: &Value) -> Value {
    let mut input = json!({"cluster": "default", "consumer_group": "reader", "topic": "reset", "to": to});
    input.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    input
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_reads_next_begins_where_it_was_set() {
    if !able() {
        return;
    }
    let kafka = client(&DEFAULT).await;
    create(&kafka, "reset", 1).await;
    write(&kafka, "reset", 0, &["a", "b", "c"]).await;
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    #[expect(clippy::disallowed_methods, reason = "the broker's clock is the machine's")]
    let middle = jiff::Timestamp::now();
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    write(&kafka, "reset", 0, &["d", "e"]).await;
    committed(&kafka, "reader", "reset", &[5]).await;
    let bench = setup(&both()).start().await.unwrap();
    let (dana, omar) = (bench.sign_in("dana").await.unwrap(), bench.sign_in("omar").await.unwrap());
    let moment = json!({"at": middle.to_string()});
    for (to, more, shown, first) in [
        ("earliest", json!({}), "0: 5 → 0 (5 behind)", vec!["a", "b", "c", "d", "e"]),
        ("shift", json!({"by": 2}), "0: 0 → 2 (3 behind)", vec!["c", "d", "e"]),
        ("timestamp", moment, "0: 2 → 3 (2 behind)", vec!["d", "e"]),
        ("shift", json!({"by": -100}), "0: 3 → 0 (5 behind)", vec!["a", "b", "c", "d", "e"]),
        ("latest", json!({}), "0: 0 → 5 (0 behind)", vec![]),
    ] {
        let run = waiting(&dana, "reset-offsets", reset(to, &more)).await;
        assert_eq!(facts(&run["plan"])["partitions: old → new"], json!([shown]), "{run}");
        let ended = approved(&dana, &omar, &run).await;
        assert_eq!(ended["state"], "succeeded", "{ended}");
        // Nothing is committed by reading.
        if !first.is_empty() {
            assert_eq!(reads(&kafka, "reader", "reset", first.len()).await, first, "{to}");
        }
    }
    let described = read(&dana, "/default/consumer-groups/reader").await;
    assert_eq!((&described["lag"], &described["partitions"][0]["committed"]), (&json!(0), &json!(5)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_that_moved_since_and_groups_in_use_are_left_alone() {
    if !able() {
        return;
    }
    let kafka = client(&DEFAULT).await;
    create(&kafka, "moved", 1).await;
    write(&kafka, "moved", 0, &["a", "b", "c"]).await;
    committed(&kafka, "mover", "moved", &[1]).await;
    let bench = setup(&both()).start().await.unwrap();
    let (dana, omar) = (bench.sign_in("dana").await.unwrap(), bench.sign_in("omar").await.unwrap());
    let input = json!({"cluster": "default", "consumer_group": "mover", "topic": "moved", "to": "latest"});
    let run = waiting(&dana, "reset-offsets", input.clone()).await;
    committed(&kafka, "mover", "moved", &[2]).await;
    let told = too_late(&omar, &run).await;
    assert!(told.contains("what exactly it is about"), "{told}");
    let consumer = member(&kafka, "mover", "moved").await;
    let refused = plan(&dana, "reset-offsets", input).await;
    assert!(refused.body.to_string().contains("client `tester` on host 127.0.0.1"), "{}", refused.body);
    let described = read(&dana, "/default/consumer-groups/mover").await;
    assert_eq!(described["members"][0]["client_id"], "tester", "{described}");
    assert_eq!(described["partitions"][0]["client_id"], "tester", "{described}");
    assert_eq!((&described["lag"], &described["state"]), (&json!(1), &json!("Stable")), "{described}");
    consumer.close().await.unwrap();
    for (input, told) in [
        (json!({"to": "shift"}), "needs how many messages"),
        (json!({"to": "timestamp"}), "needs the moment"),
        (json!({"to": "latest", "by": 3}), "need neither"),
        (json!({"to": "latest", "partitions": [7]}), "no partition 7"),
    ] {
        let mut whole = json!({"cluster": "default", "consumer_group": "mover", "topic": "moved"});
        whole.as_object_mut().unwrap().extend(input.as_object().cloned().unwrap());
        let wrong = plan(&dana, "reset-offsets", whole).await;
        assert!(wrong.status.is_client_error() && wrong.body.to_string().contains(told), "{}", wrong.body);
    }
}
