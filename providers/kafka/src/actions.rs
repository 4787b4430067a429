//! The provider's declarations: every action, its words, and who must approve.

use guichet_provider_sdk::{OptionsFrom, Provider, from, owner, provider as declare, table, with};
use serde_json::json;

use crate::{
    alter_topic,
    cluster::Clusters,
    clusters, create_topic, delete_group, delete_topic, groups, produce_message, read_messages,
    reset_offsets,
    settings::{Settings, SettingsError},
    topics,
};

const CLUSTERS: &str = "/api/v1/clusters";
const TOPICS: &str = "/api/v1/clusters/{cluster}/topics";
const TOPIC: &str = "/api/v1/clusters/{cluster}/topics/{topic}";
const MESSAGES: &str = "/api/v1/clusters/{cluster}/topics/{topic}/messages";
const GROUPS: &str = "/api/v1/clusters/{cluster}/consumer-groups";
const GROUP: &str = "/api/v1/clusters/{cluster}/consumer-groups/{consumer_group}";
const OFFSETS: &str = "/api/v1/clusters/{cluster}/consumer-groups/{consumer_group}/offsets";
/// What a topic and a group are called in the registry and in policies.
const A_TOPIC: &str = "kafka/{cluster}/topics/{topic}";
const A_GROUP: &str = "kafka/{cluster}/consumer-groups/{consumer_group}";

/// The provider `kafka` for these clusters. Connects to nothing before it is asked.
pub fn provider(settings: &Settings) -> Result<Provider, SettingsError> {
    let clusters = Clusters::new(settings)?;
    let provider = declare("kafka").title("Apache Kafka").description(
        "Clusters, topics, consumer groups and messages, with what there is to know before a change.",
    );
    let provider = looks(provider, &clusters);
    Ok(on_groups(on_topics(provider, &clusters), &clusters))
}

fn looks(provider: Provider, clusters: &Clusters) -> Provider {
    provider
        .action("list-clusters", with(clusters, clusters::list))
        .read()
        .route("GET", CLUSTERS)
        .command("kafka clusters list")
        .title("List Kafka clusters")
        .resource("kafka")
        .view(table("/clusters").columns(["name", "title", "environment", "up", "brokers", "note"]))
        .action("name-clusters", with(clusters, clusters::names))
        .read()
        .route("GET", "/api/v1/cluster-names")
        .command("kafka clusters names")
        .title("Name the Kafka clusters, without asking whether they are up")
        .resource("kafka")
        .view(table("/clusters").columns(["name", "title", "environment"]))
        .action("describe-cluster", with(clusters, clusters::describe))
        .read()
        .route("GET", "/api/v1/clusters/{cluster}")
        .command("kafka clusters describe")
        .title("Show a Kafka cluster and its brokers")
        .resource("kafka/{cluster}")
        .options("cluster", clusters_of())
        .example("the cluster that is called default", json!({"cluster": "default"}))
        .action("list-topics", with(clusters, topics::list))
        .read()
        .route("GET", TOPICS)
        .command("kafka topics list")
        .title("List the topics of a cluster")
        .resource("kafka/{cluster}")
        .options("cluster", clusters_of())
        .view(
            table("/topics")
                .columns(["topic", "partitions", "replication", "unwell", "bytes"])
                .row_actions(["describe-topic", "delete-topic"]),
        )
        .example("topics about invoices", json!({"cluster": "default", "contains": "invoices"}))
        .action("describe-topic", with(clusters, topics::describe))
        .read()
        .route("GET", TOPIC)
        .command("kafka topics describe")
        .title("Show a topic: partitions, size, last write, settings, who reads it")
        .resource(A_TOPIC)
        .options("cluster", clusters_of())
        .options("topic", topics_of())
        .example("one topic", json!({"cluster": "default", "topic": "master.monthly_invoices"}))
        .action("read-messages", with(clusters, read_messages::read))
        .read()
        .route("GET", MESSAGES)
        .command("kafka topics read-messages")
        .title("Read the last messages of a topic")
        .description(
            "What the provider's settings mask is not shown. Clusters of production tell no messages unless their \
             settings say that they may.",
        )
        .resource(A_TOPIC)
        .options("cluster", clusters_of())
        .options("topic", topics_of())
        .view(table("/messages").columns(["partition", "offset", "written", "key", "value", "headers", "hidden"]))
        .example(
            "the last three",
            json!({"cluster": "default", "topic": "master.monthly_invoices", "last": 3}),
        )
        .action("list-consumer-groups", with(clusters, groups::list))
        .read()
        .route("GET", GROUPS)
        .command("kafka consumer-groups list")
        .title("List the consumer groups of a cluster")
        .resource("kafka/{cluster}")
        .options("cluster", clusters_of())
        .view(
            table("/consumer_groups")
                .columns(["consumer_group", "state", "kind", "lag"])
                .row_actions(["describe-consumer-group", "delete-consumer-group"]),
        )
        .example("all, with how far each is behind", json!({"cluster": "default", "lag": true}))
        .action("describe-consumer-group", with(clusters, groups::describe))
        .read()
        .route("GET", GROUP)
        .command("kafka consumer-groups describe")
        .title("Show a consumer group: members, and lag of each partition")
        .resource(A_GROUP)
        .options("cluster", clusters_of())
        .options("consumer_group", groups_of())
        .example("one group", json!({"cluster": "cluster1", "consumer_group": "hello.flowcon"}))
        .done()
}

fn on_topics(provider: Provider, clusters: &Clusters) -> Provider {
    provider
        .action("create-topic", with(clusters, create_topic::perform))
        .change()
        .plan(with(clusters, create_topic::plan))
        .route("POST", TOPICS)
        .command("kafka topics create")
        .title("Create a topic")
        .resource(A_TOPIC)
        .concurrency(A_TOPIC)
        .undo("delete-topic", [("cluster", "/input/cluster"), ("topic", "/input/topic")])
        .options("cluster", clusters_of())
        .example(
            "six partitions, a week",
            json!({"cluster": "default", "topic": "orders", "partitions": 6, "set": ["retention.ms=604800000"]}),
        )
        .action("alter-topic", with(clusters, alter_topic::perform))
        .change()
        .plan(with(clusters, alter_topic::plan))
        .route("PATCH", TOPIC)
        .command("kafka topics alter")
        .title("Change settings of a topic, or give it more partitions")
        .resource(A_TOPIC)
        .concurrency(A_TOPIC)
        .options("cluster", clusters_of())
        .options("topic", topics_of())
        .example(
            "keep messages for a day",
            json!({"cluster": "default", "topic": "orders", "set": ["retention.ms=86400000"]}),
        )
        .action("delete-topic", with(clusters, delete_topic::perform))
        .destroy()
        .approval(owner().because("deletes a topic and all its messages"))
        .plan(with(clusters, delete_topic::plan))
        .fact::<bool>(delete_topic::WRITTEN)
        .fact::<i64>(delete_topic::MEMBERS)
        .route("DELETE", TOPIC)
        .command("kafka topics delete")
        .title("Delete a topic")
        .description(
            "Deletes the topic that the plan shows, by its id: one that was made anew under its name since is kept.",
        )
        .resource(A_TOPIC)
        .concurrency(A_TOPIC)
        .options("cluster", clusters_of())
        .options("topic", topics_of())
        .example("one topic", json!({"cluster": "default", "topic": "master.monthly_invoices"}))
        .action("produce-message", with(clusters, produce_message::perform))
        .change()
        .plan(with(clusters, produce_message::plan))
        .route("POST", MESSAGES)
        .command("kafka topics produce-message")
        .title("Write one message, to try something out")
        .description("Clusters of production take none unless their settings say that they may.")
        .resource(A_TOPIC)
        .options("cluster", clusters_of())
        .options("topic", topics_of())
        .example(
            "one message with a key",
            json!({"cluster": "default", "topic": "orders", "key": "17", "value": "{\"id\": 17}"}),
        )
        .done()
}

fn on_groups(provider: Provider, clusters: &Clusters) -> Provider {
    provider
        .action("reset-offsets", with(clusters, reset_offsets::perform))
        .change()
        .approval(owner().because("has messages skipped, or read again"))
        .plan(with(clusters, reset_offsets::plan))
        .fact::<i64>(reset_offsets::SKIPPED)
        .route("POST", OFFSETS)
        .command("kafka consumer-groups reset-offsets")
        .title("Set where a consumer group goes on to read")
        .description(
            "Of a group without members. The plan shows old and new offsets; when the old ones are others by the time it \
             runs, nothing is changed.",
        )
        .resource(A_GROUP)
        .concurrency(A_GROUP)
        .options("cluster", clusters_of())
        .options("consumer_group", groups_of())
        .options("topic", topics_of())
        .example(
            "read everything again",
            json!({"cluster": "default", "consumer_group": "billing", "topic": "orders", "to": "earliest"}),
        )
        .example(
            "a hundred messages back",
            json!({"cluster": "default", "consumer_group": "billing", "topic": "orders", "to": "shift", "by": -100}),
        )
        .action("delete-consumer-group", with(clusters, delete_group::perform))
        .destroy()
        .approval(owner().because("deletes where a consumer group has come to"))
        .plan(with(clusters, delete_group::plan))
        .route("DELETE", GROUP)
        .command("kafka consumer-groups delete")
        .title("Delete a consumer group")
        .description("A group with members is refused, and its members are named.")
        .resource(A_GROUP)
        .concurrency(A_GROUP)
        .options("cluster", clusters_of())
        .options("consumer_group", groups_of())
        .example("one group", json!({"cluster": "cluster1", "consumer_group": "hello.flowcon"}))
        .done()
}

fn clusters_of() -> OptionsFrom {
    from("name-clusters").rows("/clusters").value("/name").label("/title").label("/environment")
}

fn topics_of() -> OptionsFrom {
    from("list-topics").with("cluster", "cluster").rows("/topics").value("/topic").label("/partitions")
}

fn groups_of() -> OptionsFrom {
    from("list-consumer-groups")
        .with("cluster", "cluster")
        .rows("/consumer_groups")
        .value("/consumer_group")
        .label("/state")
}
