//! `kafka topics delete`: the topic that was planned, by its id, and no other of its name.

use guichet_provider_sdk::{ActionError, Context, Plan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    bound::Bound,
    cluster::{Cluster, Clusters},
    traffic::{self, Writes},
    wire::{Fault, Topic},
    words::{counted, hex, moment, size, tenths},
};

/// The fact by which policies ask whether somebody writes to it.
pub(crate) const WRITTEN: &str = "written in the last hour";
/// The fact by which they ask whether somebody reads it.
pub(crate) const MEMBERS: &str = "members that read it now";
/// Groups that a plan names.
const MOST_GROUPS: usize = 50;

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct DeleteTopic {
    /// The cluster, as `kafka clusters list` names it.
    cluster: String,
    /// The topic.
    topic: String,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TopicGone {
    cluster: String,
    topic: String,
    /// The id of what was deleted.
    id: String,
    deleted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

async fn deletable(cluster: &Cluster, name: &str) -> Result<Topic, ActionError> {
    let topic = cluster.topic(name).await?;
    if topic.internal {
        return Err(ActionError::refused(format!("topic `{name}` belongs to Kafka itself")));
    }
    Ok(topic)
}

pub(crate) async fn plan(
    clusters: Clusters,
    context: Context,
    delete: DeleteTopic,
) -> Result<Plan, ActionError> {
    let cluster = clusters.find(&delete.cluster)?;
    let topic = deletable(cluster, &delete.topic).await?;
    let now = context.now();
    let explain = |fault| cluster.explain(&format!("topic `{}`", delete.topic), fault);
    let state = cluster.state().await?;
    let writes = Writes::of(cluster, &topic, now).await?;
    let sizes = cluster.wire.sizes(Some(&topic.partitions())).await.map_err(explain)?;
    let readers = traffic::readers(cluster, &topic, &writes.spans).await?;
    let last = match writes.last {
        Some(last) => moment(last, now),
        None if writes.are_none() => "nothing is in it".to_owned(),
        None => "not known".to_owned(),
    };
    let mut groups: Vec<String> = readers.iter().take(MOST_GROUPS).map(traffic::Reader::sentence).collect();
    if readers.len() > MOST_GROUPS {
        groups.push(format!("and {} more", readers.len() - MOST_GROUPS));
    }
    let members: usize = readers.iter().map(|reader| reader.members).sum();
    let sentence = format!(
        "Delete topic `{}` on cluster `{}`: {} and all its messages",
        delete.topic,
        delete.cluster,
        counted(topic.partitions.len(), "partition")
    );
    let plan = Plan::new(sentence)
        .fact("id", hex(topic.id))
        .fact("partitions", topic.partitions.len())
        .fact("replication", topic.replication())
        .moving_fact("size", size(sizes.values().sum()))
        .moving_fact("messages", writes.messages)
        .moving_fact("last write", last)
        .moving_fact(WRITTEN, writes.recent())
        .moving_fact("messages per second, last hour", tenths(writes.per_second()))
        .moving_fact("consumer groups", groups)
        .moving_fact(MEMBERS, members);
    Ok(plan.bound_to(json!(Bound::topic(&delete.cluster, &state, &topic))))
}

pub(crate) async fn perform(
    clusters: Clusters,
    context: Context,
    delete: DeleteTopic,
) -> Result<TopicGone, ActionError> {
    let cluster = clusters.find(&delete.cluster)?;
    let what = format!("topic `{}`", delete.topic);
    let topic = deletable(cluster, &delete.topic).await?;
    let now = Bound::topic(&delete.cluster, &cluster.state().await?, &topic);
    Bound::hold(&context, &now)?;
    let note = match cluster.wire.delete_topic(topic.id).await {
        Ok(()) => None,
        Err(Fault::Unanswered(why)) => Some(looked_again(cluster, &delete.topic, &topic, why).await?),
        // Between this look and that request somebody else deleted it.
        Err(Fault::NotThere) => {
            return Err(ActionError::conflict(format!("{what} was deleted by somebody else meanwhile")));
        }
        Err(fault) => return Err(cluster.explain_change(&what, fault)),
    };
    tracing::info!(cluster = delete.cluster, topic = delete.topic, run = context.run(), "topic deleted");
    Ok(TopicGone { cluster: delete.cluster, id: hex(topic.id), topic: delete.topic, deleted: true, note })
}

/// The broker did not say; whether this topic is still there is a question of its own.
async fn looked_again(
    cluster: &Cluster,
    name: &str,
    topic: &Topic,
    why: String,
) -> Result<String, ActionError> {
    let gone = match cluster.wire.topic(name).await {
        Err(Fault::NotThere) => true,
        Ok(now) => now.id != topic.id,
        Err(_) => false,
    };
    if gone {
        return Ok(format!("the broker did not answer ({why}), but the topic is gone"));
    }
    Err(cluster.explain_change(&format!("topic `{name}`"), Fault::Unanswered(why)))
}
