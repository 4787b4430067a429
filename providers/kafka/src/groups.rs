//! `kafka consumer-groups list` and `kafka consumer-groups describe`.

use guichet_provider_sdk::{ActionError, Context};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    cluster::Clusters,
    lag::{self, Progress},
    wire::Member,
};

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct OfGroups {
    /// The cluster, as `kafka clusters list` names it.
    cluster: String,
    /// Only groups whose names contain this.
    #[serde(default)]
    contains: String,
    /// Also how far each is behind, which asks for the offsets of all of them.
    #[serde(default)]
    lag: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct List {
    consumer_groups: Vec<Listed>,
}

/// One group.
#[derive(Debug, Serialize, JsonSchema)]
struct Listed {
    cluster: String,
    consumer_group: String,
    /// `Stable`, `Empty`, `PreparingRebalance` …
    state: String,
    /// `classic` or `consumer`, the two protocols; or another.
    kind: String,
    /// Messages that are not read yet, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    lag: Option<i64>,
}

pub(crate) async fn list(clusters: Clusters, _: Context, of: OfGroups) -> Result<List, ActionError> {
    let cluster = clusters.find(&of.cluster)?;
    let groups = cluster.wire.groups().await;
    let mut groups = groups.map_err(|fault| cluster.explain("consumer groups", fault))?;
    groups.retain(|group| group.name.contains(&of.contains));
    let mut lags = Vec::new();
    if of.lag {
        let names: Vec<String> = groups.iter().map(|group| group.name.clone()).collect();
        lags = lag::of_groups(cluster, &names).await?.iter().map(|progress| lag::total(progress)).collect();
    }
    let listed = groups.into_iter().enumerate().map(|(at, group)| Listed {
        cluster: of.cluster.clone(),
        consumer_group: group.name,
        state: group.state,
        kind: group.kind,
        lag: lags.get(at).copied().flatten(),
    });
    Ok(List { consumer_groups: listed.collect() })
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct OfGroup {
    /// The cluster, as `kafka clusters list` names it.
    cluster: String,
    /// The consumer group.
    consumer_group: String,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Described {
    cluster: String,
    consumer_group: String,
    state: String,
    kind: String,
    /// All partitions together.
    lag: Option<i64>,
    members: Vec<OneMember>,
    partitions: Vec<OfPartition>,
}

/// Who consumes.
#[derive(Debug, Serialize, JsonSchema)]
struct OneMember {
    client_id: String,
    host: String,
    member: String,
    /// `orders: 0, 1`.
    reads: Vec<String>,
}

/// One partition that the group has committed.
#[derive(Debug, Serialize, JsonSchema)]
struct OfPartition {
    topic: String,
    partition: i32,
    committed: i64,
    /// The offset after the last message; absent where the partition cannot be asked.
    end: Option<i64>,
    lag: Option<i64>,
    /// The member that reads it.
    client_id: Option<String>,
    host: Option<String>,
}

pub(crate) async fn describe(clusters: Clusters, _: Context, of: OfGroup) -> Result<Described, ActionError> {
    let cluster = clusters.find(&of.cluster)?;
    let group = cluster.group(&of.consumer_group).await?;
    let progress = lag::of_group(cluster, &of.consumer_group).await?;
    let row = |progress: &Progress| {
        let partition = &progress.partition;
        let reads = |member: &&Member| {
            member.reads.get(&partition.topic).is_some_and(|has| has.contains(&partition.number))
        };
        let member = group.members.iter().find(reads);
        OfPartition {
            topic: partition.topic.clone(),
            partition: partition.number,
            committed: progress.committed,
            end: progress.end,
            lag: progress.lag(),
            client_id: member.map(|member| member.client_id.clone()),
            host: member.map(|member| member.host.clone()),
        }
    };
    let partitions = progress.iter().map(row).collect();
    let members = group.members.iter().map(|member| OneMember {
        client_id: member.client_id.clone(),
        host: member.host.clone(),
        member: member.id.clone(),
        reads: member.reads.iter().map(|(topic, has)| reads(topic, has)).collect(),
    });
    Ok(Described {
        cluster: of.cluster,
        members: members.collect(),
        lag: lag::total(&progress),
        partitions,
        state: group.state,
        kind: group.kind,
        consumer_group: of.consumer_group,
    })
}

/// `orders: 0, 1`.
pub(crate) fn reads(topic: &str, has: &[i32]) -> String {
    let has: Vec<String> = has.iter().map(i32::to_string).collect();
    if has.is_empty() { format!("{topic}: nothing") } else { format!("{topic}: {}", has.join(", ")) }
}
