//! `kafka topics produce-message`: one message, to try something out; not in production unless its settings say so.

use guichet_provider_sdk::{ActionError, Context, Plan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    bound::Bound,
    cluster::{Cluster, Clusters},
    traffic::{self, Writes},
    wire::{Draft, Topic},
    words::{counted, pair},
};

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct ProduceMessage {
    /// The cluster, as `kafka clusters list` names it.
    cluster: String,
    /// The topic.
    topic: String,
    /// What it says.
    value: String,
    /// Its key.
    key: Option<String>,
    /// Headers, each as NAME=VALUE.
    #[serde(default)]
    #[schemars(length(max = 50))]
    headers: Vec<String>,
    /// The partition; chosen by the key when absent.
    partition: Option<i32>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Produced {
    cluster: String,
    topic: String,
    partition: i32,
    offset: i64,
}

impl ProduceMessage {
    fn draft(&self, cluster: &Cluster, topic: &Topic) -> Result<Draft, ActionError> {
        let headers: Result<Vec<(String, String)>, ActionError> =
            self.headers.iter().map(|text| pair(text, "/headers")).collect();
        if topic.internal {
            return Err(ActionError::refused(format!("topic `{}` belongs to Kafka itself", self.topic)));
        }
        if let Some(number) = self.partition
            && !topic.partitions.iter().any(|partition| partition.number == number)
        {
            let why = format!("topic `{}` has no partition {number}", self.topic);
            return Err(ActionError::invalid("/partition", why));
        }
        let bytes = self.bytes();
        if bytes > cluster.max_message_bytes {
            let most = cluster.max_message_bytes;
            let why =
                format!("the message has {bytes} bytes, and at most {most} are written to this cluster");
            return Err(ActionError::invalid("/value", why));
        }
        Ok(Draft {
            topic: self.topic.clone(),
            partition: self.partition,
            key: self.key.clone(),
            value: self.value.clone(),
            headers: headers?,
        })
    }

    fn bytes(&self) -> usize {
        let headers: usize = self.headers.iter().map(String::len).sum();
        self.value.len() + self.key.as_ref().map_or(0, String::len) + headers
    }
}

pub(crate) async fn plan(
    clusters: Clusters,
    context: Context,
    produce: ProduceMessage,
) -> Result<Plan, ActionError> {
    let cluster = clusters.find(&produce.cluster)?;
    cluster.may_produce(&context)?;
    let topic = cluster.topic(&produce.topic).await?;
    drop(produce.draft(cluster, &topic)?);
    let state = cluster.state().await?;
    let writes = Writes::of(cluster, &topic, context.now()).await?;
    let readers = traffic::readers(cluster, &topic, &writes.spans).await?;
    let reading = readers.iter().filter(|reader| reader.members > 0);
    let reading: Vec<String> = reading.take(50).map(traffic::Reader::sentence).collect();
    let sentence = format!(
        "Write one message of {} to topic `{}` on cluster `{}`",
        counted(produce.bytes(), "byte"),
        produce.topic,
        produce.cluster
    );
    let plan = Plan::new(sentence)
        .fact("key", produce.key.clone().unwrap_or_else(|| "none".to_owned()))
        .moving_fact("consumer groups that will read it", reading);
    Ok(plan.bound_to(json!(Bound::topic(&produce.cluster, &state, &topic))))
}

pub(crate) async fn perform(
    clusters: Clusters,
    context: Context,
    produce: ProduceMessage,
) -> Result<Produced, ActionError> {
    let cluster = clusters.find(&produce.cluster)?;
    cluster.may_produce(&context)?;
    let topic = cluster.topic(&produce.topic).await?;
    let draft = produce.draft(cluster, &topic)?;
    Bound::hold(&context, &Bound::topic(&produce.cluster, &cluster.state().await?, &topic))?;
    let written = cluster.wire.produce(&draft).await;
    let what = format!("topic `{}`", produce.topic);
    let (partition, offset) = written.map_err(|fault| cluster.explain_change(&what, fault))?;
    Ok(Produced { cluster: produce.cluster, topic: produce.topic, partition, offset })
}
