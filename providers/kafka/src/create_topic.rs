//! `kafka topics create`.

use std::collections::BTreeMap;

use guichet_provider_sdk::{ActionError, Context, Plan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    cluster::{Cluster, Clusters, check_topic_name},
    wire::NewTopic,
    words::{counted, hex, pair},
};

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct CreateTopic {
    /// The cluster, as `kafka clusters list` names it.
    cluster: String,
    /// Its name.
    topic: String,
    /// How many partitions; the broker's default when absent.
    #[schemars(range(min = 1, max = 1000))]
    partitions: Option<i32>,
    /// Copies of each partition; the broker's default when absent.
    #[schemars(range(min = 1, max = 10))]
    replication: Option<i16>,
    /// Settings of the topic, each as NAME=VALUE: `retention.ms=604800000`.
    #[serde(default)]
    #[schemars(length(max = 50))]
    set: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Created {
    cluster: String,
    topic: String,
    id: String,
    partitions: usize,
    replication: usize,
}

impl CreateTopic {
    fn wanted(&self) -> Result<NewTopic, ActionError> {
        check_topic_name(&self.topic)?;
        let settings: Result<BTreeMap<String, String>, ActionError> =
            self.set.iter().map(|text| pair(text, "/set")).collect();
        Ok(NewTopic {
            name: self.topic.clone(),
            partitions: self.partitions,
            replication: self.replication,
            settings: settings?,
        })
    }

    fn what(&self) -> String {
        format!("topic `{}`", self.topic)
    }
}

pub(crate) async fn plan(clusters: Clusters, _: Context, create: CreateTopic) -> Result<Plan, ActionError> {
    let cluster = clusters.find(&create.cluster)?;
    let state = cluster.state().await?;
    // Kafka looks at it as if it were to be made.
    let wanted = create.wanted()?;
    let fits = cluster.wire.create_topic(&wanted, true).await;
    fits.map_err(|fault| cluster.explain_asked(&create.what(), fault, true))?;
    let partitions = create.partitions.map_or_else(
        || "as many partitions as the broker makes".to_owned(),
        |count| counted(usize::try_from(count).unwrap_or(0), "partition"),
    );
    let settings: Vec<String> =
        wanted.settings.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    let replication =
        create.replication.map_or_else(|| json!("the broker's default"), |copies| json!(copies));
    let sentence =
        format!("Create topic `{}` on cluster `{}` with {partitions}", create.topic, create.cluster);
    let plan = Plan::new(sentence).fact("replication", replication).fact("settings", settings);
    Ok(plan.bound_to(json!({"cluster": create.cluster, "cluster_id": state.id, "topic": create.topic})))
}

pub(crate) async fn perform(
    clusters: Clusters,
    context: Context,
    create: CreateTopic,
) -> Result<Created, ActionError> {
    let cluster = clusters.find(&create.cluster)?;
    let state = cluster.state().await?;
    let now = json!({"cluster": create.cluster, "cluster_id": state.id, "topic": create.topic});
    crate::bound::hold(&context, &now, &format!("cluster `{}`", create.cluster))?;
    let made = cluster.wire.create_topic(&create.wanted()?, false).await;
    made.map_err(|fault| cluster.explain_change(&create.what(), fault))?;
    let topic = until_told(cluster, &create.topic).await;
    let partitions = topic.as_ref().map_or(0, |topic| topic.partitions.len());
    Ok(Created {
        cluster: create.cluster,
        id: topic.as_ref().map(|topic| hex(topic.id)).unwrap_or_default(),
        partitions,
        replication: topic.as_ref().map_or(0, crate::wire::Topic::replication),
        topic: create.topic,
    })
}

/// It is made; brokers learn of it a moment later.
async fn until_told(cluster: &Cluster, name: &str) -> Option<crate::wire::Topic> {
    for _ in 0..20 {
        if let Ok(topic) = cluster.wire.topic(name).await
            && !topic.partitions.is_empty()
        {
            return Some(topic);
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    None
}
