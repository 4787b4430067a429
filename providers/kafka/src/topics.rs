//! `kafka topics list` and `kafka topics describe`.

use guichet_provider_sdk::{ActionError, Context};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    cluster::Clusters,
    traffic::{self, Writes},
    words::{hex, tenths},
};

/// Rows that are told at most.
const MOST_ROWS: usize = 50_000;

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct OfTopics {
    /// The cluster, as `kafka clusters list` names it.
    cluster: String,
    /// Only topics whose names contain this.
    #[serde(default)]
    contains: String,
    /// Also what belongs to Kafka itself.
    #[serde(default)]
    internal: bool,
    /// Also how large they are, which asks every broker.
    #[serde(default)]
    sizes: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct List {
    topics: Vec<Listed>,
    /// What to know about this list.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// One topic.
#[derive(Debug, Serialize, JsonSchema)]
struct Listed {
    cluster: String,
    topic: String,
    partitions: usize,
    /// Copies of each partition.
    replication: usize,
    /// Partitions with fewer copies in step than they should have, or no leader.
    unwell: usize,
    /// Bytes at the leaders, where they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<i64>,
}

pub(crate) async fn list(clusters: Clusters, _: Context, of: OfTopics) -> Result<List, ActionError> {
    let cluster = clusters.find(&of.cluster)?;
    let explain = |fault| cluster.explain("topics", fault);
    let mut topics = cluster.wire.topics().await.map_err(explain)?;
    topics.retain(|topic| (of.internal || !topic.internal) && topic.name.contains(&of.contains));
    let all = topics.len();
    topics.truncate(MOST_ROWS);
    let sizes = if of.sizes { Some(cluster.wire.sizes(None).await.map_err(explain)?) } else { None };
    let listed = topics.iter().map(|topic| Listed {
        cluster: of.cluster.clone(),
        topic: topic.name.clone(),
        partitions: topic.partitions.len(),
        replication: topic.replication(),
        unwell: topic.unwell(),
        bytes: sizes.as_ref().map(|sizes| {
            topic.partitions().iter().map(|partition| sizes.get(partition).copied().unwrap_or(0)).sum()
        }),
    });
    let listed = listed.collect();
    let note = (all > MOST_ROWS).then(|| format!("the first {MOST_ROWS} of {all} topics"));
    Ok(List { topics: listed, note })
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct OfTopic {
    /// The cluster, as `kafka clusters list` names it.
    cluster: String,
    /// The topic.
    topic: String,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Described {
    cluster: String,
    topic: String,
    /// Another topic of the same name has another.
    id: String,
    replication: usize,
    bytes: i64,
    /// Messages between the first that is kept and the end.
    messages: i64,
    last_write: Option<String>,
    /// Of the last hour.
    messages_per_second: f64,
    settings: Vec<Setting>,
    partitions: Vec<OfPartition>,
    consumer_groups: Vec<ReadBy>,
}

/// What is set for this topic and no default.
#[derive(Debug, Serialize, JsonSchema)]
struct Setting {
    name: String,
    value: Option<String>,
}

/// One partition.
#[derive(Debug, Serialize, JsonSchema)]
struct OfPartition {
    partition: i32,
    leader: Option<i32>,
    replicas: Vec<i32>,
    in_sync: Vec<i32>,
    /// The first offset that is kept.
    first: Option<i64>,
    /// The one after the last.
    end: Option<i64>,
    bytes: Option<i64>,
}

/// A group that reads it, or did.
#[derive(Debug, Serialize, JsonSchema)]
struct ReadBy {
    consumer_group: String,
    state: String,
    members: usize,
    lag: Option<i64>,
}

pub(crate) async fn describe(
    clusters: Clusters,
    context: Context,
    of: OfTopic,
) -> Result<Described, ActionError> {
    let cluster = clusters.find(&of.cluster)?;
    let topic = cluster.topic(&of.topic).await?;
    let explain = |fault| cluster.explain(&format!("topic `{}`", of.topic), fault);
    let writes = Writes::of(cluster, &topic, context.now()).await?;
    let partitions = topic.partitions();
    let (sizes, settings) = futures_util::try_join!(
        cluster.wire.sizes(Some(&partitions)),
        cluster.wire.topic_settings(&of.topic)
    )
    .map_err(explain)?;
    let readers = traffic::readers(cluster, &topic, &writes.spans).await?;
    let rows = topic.partitions.iter().zip(&partitions).map(|(told, partition)| OfPartition {
        partition: told.number,
        leader: told.leader,
        replicas: told.replicas.clone(),
        in_sync: told.in_sync.clone(),
        first: writes.spans.get(&told.number).map(|(first, _)| *first),
        end: writes.spans.get(&told.number).map(|(_, end)| *end),
        bytes: sizes.get(partition).copied(),
    });
    let own = settings.into_iter().filter(|setting| setting.own);
    let groups = readers.into_iter().map(|reader| ReadBy {
        consumer_group: reader.group,
        state: reader.state,
        members: reader.members,
        lag: reader.lag,
    });
    Ok(Described {
        cluster: of.cluster,
        id: hex(topic.id),
        replication: topic.replication(),
        bytes: sizes.values().sum(),
        messages: writes.messages,
        last_write: writes.last.map(|last| last.to_string()),
        messages_per_second: tenths(writes.per_second()),
        settings: own.map(|setting| Setting { name: setting.name, value: setting.value }).collect(),
        partitions: rows.collect(),
        consumer_groups: groups.collect(),
        topic: of.topic,
    })
}
