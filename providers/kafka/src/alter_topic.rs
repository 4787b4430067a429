//! `kafka topics alter`: settings of a topic, and more partitions.

use std::collections::{BTreeMap, BTreeSet};

use guichet_provider_sdk::{ActionError, Context, Plan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    bound::{self, Bound},
    cluster::{Cluster, Clusters},
    words::pair,
};

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct AlterTopic {
    /// The cluster, as `kafka clusters list` names it.
    cluster: String,
    /// The topic.
    topic: String,
    /// Settings, each as NAME=VALUE: `retention.ms=604800000`.
    #[serde(default)]
    #[schemars(length(max = 50))]
    set: Vec<String>,
    /// Names of settings that get their defaults again.
    #[serde(default)]
    #[schemars(length(max = 50))]
    unset: Vec<String>,
    /// How many partitions it has then; never fewer than now.
    #[schemars(range(min = 2, max = 1000))]
    partitions: Option<i32>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Altered {
    cluster: String,
    topic: String,
    /// What was changed: `retention.ms: 604800000 → 3600000`.
    changed: Vec<String>,
}

/// What is bound: the topic, and what each setting was.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Wanted {
    topic: Bound,
    /// By name: what it was and what it is to be; none is the default.
    settings: BTreeMap<String, (Option<String>, Option<String>)>,
    /// How many it had, and is to have.
    partitions: Option<(usize, i32)>,
}

impl Wanted {
    async fn of(cluster: &Cluster, alter: &AlterTopic) -> Result<Self, ActionError> {
        let topic = cluster.topic(&alter.topic).await?;
        if topic.internal {
            return Err(ActionError::refused(format!("topic `{}` belongs to Kafka itself", alter.topic)));
        }
        let state = cluster.state().await?;
        let explain = |fault| cluster.explain(&format!("topic `{}`", alter.topic), fault);
        let now = cluster.wire.topic_settings(&alter.topic).await.map_err(explain)?;
        let mut given: Vec<(String, Option<String>)> = Vec::new();
        for text in &alter.set {
            let (name, value) = pair(text, "/set")?;
            given.push((name, Some(value)));
        }
        given.extend(alter.unset.iter().map(|name| (name.trim().to_owned(), None)));
        let names: BTreeSet<&String> = given.iter().map(|(name, _)| name).collect();
        if names.len() < given.len() {
            return Err(ActionError::invalid("/set", "a setting is named twice"));
        }
        let mut settings = BTreeMap::new();
        for (name, wanted) in given {
            let Some(is) = now.iter().find(|setting| setting.name == name) else {
                return Err(ActionError::invalid("/set", format!("topics have no setting `{name}`")));
            };
            let own = is.own.then(|| is.value.clone().unwrap_or_else(|| "hidden".to_owned()));
            if own != wanted {
                let _ = settings.insert(name, (own, wanted));
            }
        }
        let has = topic.partitions.len();
        let partitions = match alter.partitions {
            Some(total) if usize::try_from(total).is_ok_and(|total| total < has) => {
                let why = format!("topic `{}` has {has} partitions, and Kafka takes none away", alter.topic);
                return Err(ActionError::invalid("/partitions", why));
            }
            Some(total) if usize::try_from(total).is_ok_and(|total| total > has) => Some((has, total)),
            _ => None,
        };
        if settings.is_empty() && partitions.is_none() {
            let why = format!("topic `{}` is so already: nothing would change", alter.topic);
            return Err(ActionError::conflict(why).next("`guichet kafka topics describe` shows what it has"));
        }
        Ok(Self { topic: Bound::topic(&alter.cluster, &state, &topic), settings, partitions })
    }

    fn sentences(&self) -> Vec<String> {
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "default".to_owned());
        let settings =
            self.settings.iter().map(|(name, (is, to))| format!("{name}: {} → {}", text(is), text(to)));
        let partitions = self.partitions.map(|(is, to)| format!("partitions: {is} → {to}"));
        settings.chain(partitions).collect()
    }

    /// Asks Kafka for it, or only whether it would do it.
    async fn ask(&self, cluster: &Cluster, only_check: bool) -> Result<(), ActionError> {
        let what = format!("topic `{}`", self.topic.topic);
        let explain = |fault| cluster.explain_asked(&what, fault, only_check);
        let settings: Vec<(String, Option<String>)> =
            self.settings.iter().map(|(name, (_, to))| (name.clone(), to.clone())).collect();
        if !settings.is_empty() {
            cluster.wire.set_topic(&self.topic.topic, &settings, only_check).await.map_err(explain)?;
        }
        if let Some((_, total)) = self.partitions {
            let added = cluster.wire.add_partitions(&self.topic.topic, total, only_check).await;
            added.map_err(explain).map_err(|error| {
                // «Not done» would be half a truth.
                if only_check || settings.is_empty() || error.is_unknown() {
                    return error;
                }
                let detail =
                    format!("the settings are changed; no partition was added: {}", error.problem().detail);
                ActionError::failed(detail)
            })?;
        }
        Ok(())
    }
}

pub(crate) async fn plan(clusters: Clusters, _: Context, alter: AlterTopic) -> Result<Plan, ActionError> {
    let cluster = clusters.find(&alter.cluster)?;
    let wanted = Wanted::of(cluster, &alter).await?;
    wanted.ask(cluster, true).await?;
    let sentence = format!("Change topic `{}` on cluster `{}`", alter.topic, alter.cluster);
    Ok(Plan::new(sentence).fact("changes", wanted.sentences()).bound_to(json!(wanted)))
}

pub(crate) async fn perform(
    clusters: Clusters,
    context: Context,
    alter: AlterTopic,
) -> Result<Altered, ActionError> {
    let cluster = clusters.find(&alter.cluster)?;
    let wanted = Wanted::of(cluster, &alter).await?;
    bound::hold(&context, &wanted, &format!("topic `{}`", alter.topic))?;
    wanted.ask(cluster, false).await?;
    Ok(Altered { changed: wanted.sentences(), cluster: alter.cluster, topic: alter.topic })
}
