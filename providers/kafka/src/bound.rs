//! What a plan is bound to: this cluster, this very topic. The same names may mean others by the time somebody agreed.

use guichet_provider_sdk::{ActionError, Context};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    wire::{ClusterState, Topic},
    words::hex,
};

/// A topic that was planned with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bound {
    pub(crate) cluster: String,
    /// Kafka's own id of the cluster: a name in the settings may lead to another one tomorrow.
    pub(crate) cluster_id: String,
    pub(crate) topic: String,
    pub(crate) topic_id: String,
}

impl Bound {
    pub(crate) fn topic(cluster: &str, state: &ClusterState, topic: &Topic) -> Self {
        Self {
            cluster: cluster.to_owned(),
            cluster_id: state.id.clone(),
            topic: topic.name.clone(),
            topic_id: hex(topic.id),
        }
    }

    /// What the plan was about is what is there now. Called without a plan, what is there is what is meant.
    pub(crate) fn hold(context: &Context, now: &Self) -> Result<(), ActionError> {
        let Some(planned) = context.planned::<Self>()? else { return Ok(()) };
        if planned == *now {
            return Ok(());
        }
        let what = if planned.cluster_id == now.cluster_id {
            format!("topic `{}` was deleted and made anew since it was planned", now.topic)
        } else {
            format!("`{}` is another cluster than the one that was planned with", now.cluster)
        };
        Err(changed(&what))
    }
}

/// Whether what was planned with is what is there, for bounds of any kind.
pub(crate) fn hold<T: DeserializeOwned + PartialEq>(
    context: &Context,
    now: &T,
    what: &str,
) -> Result<(), ActionError> {
    match context.planned::<T>()? {
        Some(planned) if planned != *now => {
            Err(changed(&format!("{what} is no longer as it was planned with")))
        }
        _ => Ok(()),
    }
}

fn changed(what: &str) -> ActionError {
    ActionError::conflict(format!("{what}; nothing was changed")).next("run the command again to plan anew")
}
