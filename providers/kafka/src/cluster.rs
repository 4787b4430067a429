//! The clusters by name, and what Kafka says in words that a person who asked can use.

use std::{sync::Arc, time::Duration};

use guichet_provider_sdk::{ActionError, Context};

use crate::{
    krafka_wire::KrafkaWire,
    masking::Masks,
    settings::{PRODUCTION, Settings, SettingsError},
    wire::{ClusterState, Fault, Group, Topic, Wire},
};

/// How long one question to a cluster may take.
pub(crate) const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// One cluster.
pub(crate) struct Cluster {
    pub(crate) name: String,
    pub(crate) title: Option<String>,
    pub(crate) environment: Option<String>,
    pub(crate) masks: Masks,
    pub(crate) max_message_bytes: usize,
    reads: Option<bool>,
    produces: Option<bool>,
    pub(crate) wire: Box<dyn Wire>,
}

/// All clusters. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Clusters(Arc<Vec<Cluster>>);

impl Clusters {
    /// Connects to nothing yet.
    pub(crate) fn new(settings: &Settings) -> Result<Self, SettingsError> {
        settings.check()?;
        let cluster = |settings: &crate::settings::ClusterSettings| {
            Ok(Cluster {
                name: settings.name.clone(),
                title: settings.title.clone(),
                environment: settings.environment.clone(),
                masks: settings.masks()?,
                max_message_bytes: settings.max_message_bytes,
                reads: settings.read_messages,
                produces: settings.produce_messages,
                wire: Box::new(KrafkaWire::new(settings.reached()?)),
            })
        };
        settings.clusters.iter().map(cluster).collect::<Result<_, _>>().map(|all| Self(Arc::new(all)))
    }

    pub(crate) fn all(&self) -> &[Cluster] {
        &self.0
    }

    /// The cluster of this name.
    pub(crate) fn find(&self, name: &str) -> Result<&Cluster, ActionError> {
        self.0.iter().find(|cluster| cluster.name == name).ok_or_else(|| {
            let known: Vec<&str> = self.0.iter().take(20).map(|cluster| cluster.name.as_str()).collect();
            let known = if known.is_empty() { "none is configured".to_owned() } else { known.join(", ") };
            ActionError::not_found(format!("there is no cluster `{name}`")).next(format!("clusters: {known}"))
        })
    }
}

impl Cluster {
    /// An error for whoever asked about this.
    pub(crate) fn explain(&self, what: &str, fault: Fault) -> ActionError {
        let name = &self.name;
        match fault {
            Fault::Unreachable(why) => ActionError::unavailable(format!(
                "cluster `{name}` cannot be reached: {why}"
            ))
            .next("look whether its brokers are up, and whether its settings in the provider are right"),
            Fault::Unanswered(why) => {
                ActionError::unavailable(format!("cluster `{name}` did not answer: {why}"))
                    .next("look whether its brokers are up, and try again in a moment")
            }
            Fault::NotLetIn(why) => {
                ActionError::unavailable(format!("cluster `{name}` does not let Guichet in: {why}"))
                    .next("correct user, password or certificates in the settings of the provider")
            }
            Fault::NotThere => ActionError::not_found(format!("cluster `{name}` has no {what}"))
                .next(format!("`guichet kafka {} list --cluster {name}` shows those there are", kind(what))),
            Fault::Exists => ActionError::conflict(format!("cluster `{name}` has {what} already")),
            Fault::HasMembers => {
                ActionError::conflict(format!("{what} on cluster `{name}` has members, so Kafka refuses it"))
                    .next("stop its consumers first")
            }
            Fault::Refused(why) => ActionError::failed(format!("cluster `{name}` refuses: {why}")),
        }
    }

    /// The same for a change that was sent: where no answer came, nobody says «not done».
    pub(crate) fn explain_change(&self, what: &str, fault: Fault) -> ActionError {
        match fault {
            Fault::Unanswered(why) => ActionError::unknown(format!(
                "cluster `{}` did not answer, and {what} may or may not have been changed: {why}",
                self.name
            )),
            other => self.explain(what, other),
        }
    }

    /// The same for what is either done or, with `only_check`, asked for as if it were to be done, which changes nothing.
    pub(crate) fn explain_asked(&self, what: &str, fault: Fault, only_check: bool) -> ActionError {
        if only_check { self.explain(what, fault) } else { self.explain_change(what, fault) }
    }

    pub(crate) async fn state(&self) -> Result<ClusterState, ActionError> {
        self.wire.cluster().await.map_err(|fault| self.explain("brokers", fault))
    }

    pub(crate) async fn topic(&self, name: &str) -> Result<Topic, ActionError> {
        check_topic_name(name)?;
        self.wire.topic(name).await.map_err(|fault| self.explain(&format!("topic `{name}`"), fault))
    }

    pub(crate) async fn group(&self, name: &str) -> Result<Group, ActionError> {
        let what = format!("consumer group `{name}`");
        let groups = self.wire.describe_groups(&[name.to_owned()]).await;
        let group = groups.map_err(|fault| self.explain(&what, fault))?.into_iter().next();
        group.ok_or_else(|| self.explain(&what, Fault::NotThere))
    }

    /// Whether messages may be read here.
    pub(crate) fn may_read(&self, context: &Context) -> Result<(), ActionError> {
        self.allows(context, self.reads, "are not read", "read_messages")
    }

    /// Whether messages may be written here.
    pub(crate) fn may_produce(&self, context: &Context) -> Result<(), ActionError> {
        self.allows(context, self.produces, "are not written", "produce_messages")
    }

    /// Neither the gateway nor the cluster is one of production, unless the settings say that it may be.
    fn allows(
        &self,
        context: &Context,
        said: Option<bool>,
        not: &str,
        setting: &str,
    ) -> Result<(), ActionError> {
        let production =
            context.environment() == PRODUCTION || self.environment.as_deref() == Some(PRODUCTION);
        if said.unwrap_or(!production) {
            return Ok(());
        }
        let why = if said.is_some() { "its settings say so" } else { "it is one of production" };
        Err(ActionError::refused(format!("messages of cluster `{}` {not} here: {why}", self.name))
            .next(format!("whoever keeps the provider can allow it: `{setting} = true` at the cluster")))
    }
}

/// What Kafka takes as a topic's name; the client would say so in words of its own.
pub(crate) fn check_topic_name(name: &str) -> Result<(), ActionError> {
    let fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.len() > 249 || !name.chars().all(fine) || name == "." || name == ".." {
        let why = "a topic's name has 1 to 249 letters, digits, `-`, `_` and `.`";
        return Err(ActionError::invalid("/topic", why));
    }
    Ok(())
}

fn kind(what: &str) -> &'static str {
    if what.starts_with("consumer group") { "consumer-groups" } else { "topics" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_that_nobody_answered_has_changed_nothing() {
        let toml = "[[cluster]]\nname = 'default'\nbootstrap = ['127.0.0.1:1']\n";
        let clusters = Clusters::new(&Settings::from_toml(toml).unwrap()).unwrap();
        let cluster = clusters.find("default").unwrap();
        let told =
            |only_check| cluster.explain_asked("topic `t`", Fault::Unanswered("x".to_owned()), only_check);
        let (checked, changed) = (told(true), told(false));
        assert!(!checked.is_unknown() && !checked.problem().detail.contains("may or may not"), "{checked:?}");
        assert!(changed.is_unknown() && changed.problem().detail.contains("may or may not"), "{changed:?}");
    }
}
