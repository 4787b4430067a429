//! `kafka clusters names`, `kafka clusters list` and `kafka clusters describe`: which clusters there are, and how they are.

use futures_util::future::join_all;
use guichet_provider_sdk::{ActionError, Context, NoInput};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cluster::{Cluster, Clusters};

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct List {
    clusters: Vec<Listed>,
}

/// One cluster.
#[derive(Debug, Serialize, JsonSchema)]
struct Listed {
    name: String,
    title: Option<String>,
    environment: Option<String>,
    /// Whether it answers.
    up: bool,
    brokers: Option<usize>,
    /// Kafka's own id of it.
    id: Option<String>,
    /// Why it does not answer.
    note: Option<String>,
}

/// The clusters of the settings.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Names {
    clusters: Vec<Named>,
}

/// One cluster.
#[derive(Debug, Serialize, JsonSchema)]
struct Named {
    name: String,
    title: Option<String>,
    environment: Option<String>,
}

/// What people choose from: no cluster is asked, so none that is down keeps them waiting.
pub(crate) async fn names(clusters: Clusters, _: Context, _: NoInput) -> Result<Names, ActionError> {
    let named = |cluster: &Cluster| Named {
        name: cluster.name.clone(),
        title: cluster.title.clone(),
        environment: cluster.environment.clone(),
    };
    Ok(Names { clusters: clusters.all().iter().map(named).collect() })
}

pub(crate) async fn list(clusters: Clusters, _: Context, _: NoInput) -> Result<List, ActionError> {
    // All at once: one that does not answer costs its time only once.
    Ok(List { clusters: join_all(clusters.all().iter().map(look)).await })
}

async fn look(cluster: &Cluster) -> Listed {
    let state = cluster.state().await;
    let told = state.as_ref().ok();
    Listed {
        name: cluster.name.clone(),
        title: cluster.title.clone(),
        environment: cluster.environment.clone(),
        up: told.is_some(),
        brokers: told.map(|state| state.brokers.len()),
        id: told.map(|state| state.id.clone()),
        note: state.as_ref().err().map(|error| error.problem().detail.clone()),
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct OfCluster {
    /// The cluster, as `kafka clusters list` names it.
    pub(crate) cluster: String,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Described {
    cluster: String,
    id: String,
    /// The broker that decides.
    controller: i32,
    topics: usize,
    partitions: usize,
    /// Partitions with fewer copies in step than they should have, or no leader.
    partitions_unwell: usize,
    consumer_groups: usize,
    brokers: Vec<Node>,
}

/// One broker.
#[derive(Debug, Serialize, JsonSchema)]
struct Node {
    broker: i32,
    host: String,
    port: i32,
    rack: Option<String>,
    /// Partitions that it leads.
    leads: usize,
}

pub(crate) async fn describe(
    clusters: Clusters,
    _: Context,
    of: OfCluster,
) -> Result<Described, ActionError> {
    let cluster = clusters.find(&of.cluster)?;
    let state = cluster.state().await?;
    let explain = |fault| cluster.explain("topics", fault);
    let (topics, groups) =
        futures_util::try_join!(cluster.wire.topics(), cluster.wire.groups()).map_err(explain)?;
    let leads = |id: i32| {
        let partitions = topics.iter().flat_map(|topic| &topic.partitions);
        partitions.filter(|partition| partition.leader == Some(id)).count()
    };
    let brokers = state.brokers.into_iter().map(|node| Node {
        leads: leads(node.id),
        broker: node.id,
        host: node.host,
        port: node.port,
        rack: node.rack,
    });
    Ok(Described {
        cluster: of.cluster,
        id: state.id,
        controller: state.controller,
        brokers: brokers.collect(),
        topics: topics.len(),
        partitions: topics.iter().map(|topic| topic.partitions.len()).sum(),
        partitions_unwell: topics.iter().map(crate::wire::Topic::unwell).sum(),
        consumer_groups: groups.len(),
    })
}
