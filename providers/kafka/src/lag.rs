//! What a group has committed, where its partitions end, and how far it is behind.

use std::collections::HashMap;

use futures_util::{StreamExt as _, stream};
use guichet_provider_sdk::ActionError;

use crate::{
    cluster::Cluster,
    wire::{Answer, At, Partition},
};

/// Groups that are asked at the same time: a broker answers one after the other of a connection anyway.
const AT_ONCE: usize = 64;

/// One partition of a group.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    pub(crate) partition: Partition,
    pub(crate) committed: i64,
    /// Absent where the partition cannot be asked: its topic is gone, or has no leader.
    pub(crate) end: Option<i64>,
}

impl Progress {
    /// Messages that are not read yet.
    pub(crate) fn lag(&self) -> Option<i64> {
        self.end.map(|end| (end - self.committed).max(0))
    }
}

/// Of one group: sorted by topic and partition.
pub(crate) async fn of_group(cluster: &Cluster, group: &str) -> Result<Vec<Progress>, ActionError> {
    let explain = |fault| cluster.explain(&format!("consumer group `{group}`"), fault);
    let committed = cluster.wire.committed(group, None).await.map_err(explain)?;
    let ends = ends(cluster, committed.keys()).await.map_err(explain)?;
    Ok(progress(committed, &ends))
}

/// Of all these groups, in the order in which they are named: all committed offsets at once, each end once.
pub(crate) async fn of_groups(
    cluster: &Cluster,
    groups: &[String],
) -> Result<Vec<Vec<Progress>>, ActionError> {
    let explain = |fault| cluster.explain("consumer groups", fault);
    let all = committed(cluster, groups, None).await.map_err(explain)?;
    let ends = ends(cluster, all.iter().flat_map(HashMap::keys)).await.map_err(explain)?;
    Ok(all.into_iter().map(|committed| progress(committed, &ends)).collect())
}

/// What each of these groups has committed, of all partitions or of these.
pub(crate) async fn committed(
    cluster: &Cluster,
    groups: &[String],
    of: Option<&[Partition]>,
) -> Answer<Vec<HashMap<Partition, i64>>> {
    let asked: Vec<_> = groups.iter().map(|group| cluster.wire.committed(group, of)).collect();
    let told: Vec<Answer<HashMap<Partition, i64>>> = stream::iter(asked).buffered(AT_ONCE).collect().await;
    told.into_iter().collect()
}

async fn ends<'a>(
    cluster: &Cluster,
    partitions: impl Iterator<Item = &'a Partition>,
) -> Answer<HashMap<Partition, i64>> {
    let mut asked: Vec<(Partition, At)> =
        partitions.map(|partition| (partition.clone(), At::Latest)).collect();
    asked.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    asked.dedup_by(|(a, _), (b, _)| a == b);
    let told = cluster.wire.offsets(&asked).await?;
    Ok(told.into_iter().filter_map(|(partition, found)| Some((partition, found?.offset))).collect())
}

fn progress(committed: HashMap<Partition, i64>, ends: &HashMap<Partition, i64>) -> Vec<Progress> {
    let mut progress: Vec<Progress> = committed
        .into_iter()
        .map(|(partition, committed)| Progress { end: ends.get(&partition).copied(), partition, committed })
        .collect();
    progress.sort_unstable_by(|a, b| a.partition.cmp(&b.partition));
    progress
}

/// All of it together; absent when no partition could be asked.
pub(crate) fn total(progress: &[Progress]) -> Option<i64> {
    progress.iter().filter_map(Progress::lag).reduce(|a, b| a + b)
}
