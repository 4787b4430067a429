//! A consumer group that nobody uses: only such a one is deleted, or has its offsets set.

use guichet_provider_sdk::ActionError;

use crate::{
    cluster::Cluster,
    wire::{Group, Member},
};

/// Members that an error names.
const MOST_NAMED: usize = 10;

/// The group, when it has no members.
pub(crate) async fn inactive(cluster: &Cluster, name: &str) -> Result<Group, ActionError> {
    let group = cluster.group(name).await?;
    if group.members.is_empty() {
        return Ok(group);
    }
    Err(refusal(&group, &cluster.name))
}

fn refusal(group: &Group, cluster: &str) -> ActionError {
    let named = |member: &Member| format!("client `{}` on host {}", member.client_id, host(&member.host));
    let mut named: Vec<String> = group.members.iter().take(MOST_NAMED).map(named).collect();
    if group.members.len() > MOST_NAMED {
        named.push(format!("{} more", group.members.len() - MOST_NAMED));
    }
    let count = crate::words::counted(group.members.len(), "member");
    let detail = format!(
        "consumer group `{}` on cluster `{cluster}` is in use ({}, {count}): {}",
        group.name,
        group.state,
        named.join("; ")
    );
    ActionError::conflict(detail).next("stop these consumers first; then run the command again")
}

/// Kafka writes `/10.0.0.1`.
fn host(host: &str) -> &str {
    host.trim_start_matches('/')
}
