//! Messages are read within limits and without what is masked, and written one at a time; neither in production.

use serde_json::json;

use crate::world::{DEFAULT, able, client, create, read, setup, write};

fn settings(more: &str) -> String {
    format!("[[cluster]]\nname = 'default'\nbootstrap = ['{}']\n{more}\n", DEFAULT.bootstrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_messages_are_read_without_what_is_masked() {
    if !able() {
        return;
    }
    let kafka = client(&DEFAULT).await;
    create(&kafka, "people", 2).await;
    write(&kafka, "people", 0, &["no json", r#"{"id": 1, "mail": "a@b", "cards": [{"number": 7}]}"#]).await;
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    let long = format!(r#"{{"id": 2, "mail": "c@d", "text": "{}"}}"#, "x".repeat(5_000));
    write(&kafka, "people", 1, &[&long]).await;
    let masked = "[[cluster.mask]]\ntopics = 'peo*'\npaths = ['$.mail', '$..number']\nheaders = ['Authorization']\n\
                  key = true";
    let bench = setup(&settings(masked)).start().await.unwrap();
    let dana = bench.sign_in("dana").await.unwrap();
    let told = read(&dana, "/default/topics/people/messages?last=2&max_bytes=200").await;
    let messages = told["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 2, "{told}");
    assert_eq!(messages[0]["partition"], 1, "the latest first: {told}");
    assert!(messages[0]["value"].as_str().unwrap().contains("… (the first 200 of 50"), "{told}");
    assert_eq!(messages[1]["value"], json!({"id": 1, "mail": "[masked]", "cards": [{"number": "[masked]"}]}));
    assert_eq!(messages[1]["key"], "[masked]");
    assert_eq!(messages[1]["headers"], json!(["authorization=[masked]"]));
    assert_eq!(messages[1]["hidden"], "2 members, the key, header authorization");
    assert!(!told.to_string().contains('@'), "{told}");
    let all = read(&dana, "/default/topics/people/messages?partition=0").await;
    assert_eq!(all["messages"][1]["value"], "[masked]", "what is no JSON is hidden whole: {all}");
    let too_many = dana.get("/providers/kafka/api/v1/clusters/default/topics/people/messages?last=101").await;
    assert_eq!(too_many.unwrap().status, 422);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_message_is_written_and_no_large_one() {
    if !able() {
        return;
    }
    let kafka = client(&DEFAULT).await;
    create(&kafka, "try", 2).await;
    let bench = setup(&settings("max_message_bytes = 100")).start().await.unwrap();
    let dana = bench.sign_in("dana").await.unwrap();
    let input = |value: &str| json!({"cluster": "default", "topic": "try", "key": "k", "value": value, "headers": ["a=b=c"], "partition": 1});
    let run = dana.submit("kafka.produce-message", input("hello")).await.unwrap();
    let ended = dana.end_of(run.body["id"].as_str().unwrap()).await.unwrap();
    assert_eq!(ended["state"], "succeeded", "{ended}");
    assert_eq!(
        ended["plan"]["sentence"],
        "Write one message of 11 bytes to topic `try` on cluster `default`"
    );
    let told = read(&dana, "/default/topics/try/messages").await;
    let message = &told["messages"][0];
    assert_eq!(
        (&message["key"], &message["value"], &message["headers"], &message["partition"]),
        (&json!("k"), &json!("hello"), &json!(["a=b=c"]), &json!(1)),
        "{told}"
    );
    let large = dana.submit("kafka.produce-message", input(&"x".repeat(100))).await.unwrap();
    assert!(large.body.to_string().contains("at most 100 are written"), "{}", large.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_production_messages_are_for_nobody_unless_settings_say_so() {
    if !able() {
        return;
    }
    let kafka = client(&DEFAULT).await;
    create(&kafka, "secret", 1).await;
    write(&kafka, "secret", 0, &["x"]).await;
    for (more, read, written) in [
        ("environment = 'production'", false, false),
        ("environment = 'production'\nread_messages = true", true, false),
        ("environment = 'production'\nproduce_messages = true", false, true),
        ("read_messages = false", false, true),
    ] {
        let bench = setup(&settings(more)).start().await.unwrap();
        let dana = bench.sign_in("dana").await.unwrap();
        let path = "/providers/kafka/api/v1/clusters/default/topics/secret/messages";
        let answer = dana.get(path).await.unwrap();
        assert_eq!(answer.status.is_success(), read, "{more}: {}", answer.body);
        if !read {
            assert!(answer.body.to_string().contains("`read_messages = true`"), "{}", answer.body);
        }
        let input = json!({"cluster": "default", "topic": "secret", "value": "x"});
        let answer = dana.submit("kafka.produce-message", input).await.unwrap();
        assert_eq!(answer.status.is_success(), written, "{more}: {}", answer.body);
    }
}
