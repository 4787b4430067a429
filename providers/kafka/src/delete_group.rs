//! `kafka consumer-groups delete`: a group that nobody uses, with what it has committed.

use guichet_contract::Digest;
use guichet_provider_sdk::{ActionError, Context, Plan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    bound,
    cluster::{Cluster, Clusters},
    inactive::inactive,
    lag::{self, Progress},
    last_commit,
    wire::{Fault, Partition},
    words::moment,
};

/// Topics that a plan names.
const MOST_TOPICS: usize = 50;

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct DeleteGroup {
    /// The cluster, as `kafka clusters list` names it.
    cluster: String,
    /// The consumer group.
    consumer_group: String,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct GroupGone {
    cluster: String,
    consumer_group: String,
    deleted: bool,
    /// Partitions whose committed offsets went with it.
    partitions: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// A group has no id: what it has committed tells whether somebody used it since.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Bound {
    cluster: String,
    cluster_id: String,
    consumer_group: String,
    partitions: usize,
    /// A digest of what it has committed, each partition with its offset: a list of it would be too long for some groups.
    committed: String,
}

/// `progress` is sorted.
fn digest(progress: &[Progress]) -> String {
    let commits = progress.iter().map(|progress| {
        let Partition { topic, number } = &progress.partition;
        format!("{topic} {number} {}", progress.committed).into_bytes()
    });
    Digest::of_lines(commits).as_str().to_owned()
}

async fn look(cluster: &Cluster, name: &str) -> Result<(Bound, Vec<Progress>, String), ActionError> {
    let group = inactive(cluster, name).await?;
    let progress = lag::of_group(cluster, name).await?;
    let bound = Bound {
        cluster: cluster.name.clone(),
        cluster_id: cluster.state().await?.id,
        consumer_group: name.to_owned(),
        partitions: progress.len(),
        committed: digest(&progress),
    };
    Ok((bound, progress, group.state))
}

pub(crate) async fn plan(
    clusters: Clusters,
    context: Context,
    delete: DeleteGroup,
) -> Result<Plan, ActionError> {
    let cluster = clusters.find(&delete.cluster)?;
    let (bound, progress, state) = look(cluster, &delete.consumer_group).await?;
    let mut topics: Vec<String> = Vec::new();
    for of_topic in progress.chunk_by(|a, b| a.partition.topic == b.partition.topic) {
        let Some(first) = of_topic.first() else { continue };
        let lag =
            lag::total(of_topic).map_or_else(|| "lag not known".to_owned(), |lag| format!("{lag} behind"));
        topics.push(format!("{} ({lag})", first.partition.topic));
    }
    let count = topics.len();
    if count > MOST_TOPICS {
        topics.truncate(MOST_TOPICS);
        topics.push(format!("and {} more", count - MOST_TOPICS));
    }
    let last = match last_commit::of_group(cluster, &delete.consumer_group).await {
        last_commit::Seen::At(last) => moment(last, context.now()),
        last_commit::Seen::Not(why) => why,
    };
    let sentence = format!(
        "Delete consumer group `{}` on cluster `{}` with what it has committed",
        delete.consumer_group, delete.cluster
    );
    let plan = Plan::new(sentence)
        .fact("state", state)
        .fact("members", 0)
        .fact("partitions committed", bound.partitions)
        .moving_fact("topics", topics)
        .moving_fact("lag", json!(lag::total(&progress)))
        .moving_fact("last commit", last);
    Ok(plan.bound_to(json!(bound)))
}

pub(crate) async fn perform(
    clusters: Clusters,
    context: Context,
    delete: DeleteGroup,
) -> Result<GroupGone, ActionError> {
    let cluster = clusters.find(&delete.cluster)?;
    let name = &delete.consumer_group;
    let what = format!("consumer group `{name}`");
    let (bound, ..) = look(cluster, name).await?;
    bound::hold(&context, &bound, &what)?;
    let note = match cluster.wire.delete_group(name).await {
        Ok(()) => None,
        // Whoever joined in this moment is named.
        Err(Fault::HasMembers) => {
            drop(inactive(cluster, name).await?);
            return Err(cluster.explain(&what, Fault::HasMembers));
        }
        Err(Fault::Unanswered(why)) => {
            let gone = cluster.wire.describe_groups(std::slice::from_ref(name)).await;
            if !gone.is_ok_and(|groups| groups.is_empty()) {
                return Err(cluster.explain_change(&what, Fault::Unanswered(why)));
            }
            Some(format!("the broker did not answer ({why}), but the group is gone"))
        }
        Err(fault) => return Err(cluster.explain_change(&what, fault)),
    };
    tracing::info!(cluster = delete.cluster, group = name, run = context.run(), "consumer group deleted");
    Ok(GroupGone {
        cluster: delete.cluster,
        consumer_group: delete.consumer_group,
        deleted: true,
        partitions: bound.partitions,
        note,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_commits_elsewhere_as_much_as_was_taken_back_is_noticed() {
        let of = |offsets: [i64; 2]| {
            let progress = (0..).zip(offsets).map(|(number, committed)| Progress {
                partition: Partition::new("orders", number),
                committed,
                end: None,
            });
            digest(&progress.collect::<Vec<_>>())
        };
        assert_eq!(of([10, 20]), of([10, 20]));
        assert_ne!(of([10, 20]), of([20, 10]));
    }
}
