//! `kafka consumer-groups reset-offsets`: where a group that nobody uses goes on to read.

use std::collections::{BTreeMap, HashMap};

use guichet_provider_sdk::{ActionError, Context, Plan};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    cluster::{Cluster, Clusters},
    inactive::inactive,
    wire::{At, Fault, Found, Partition, Topic},
    words::{counted, hex},
};

/// The fact by which policies ask what is never read.
pub(crate) const SKIPPED: &str = "messages skipped";

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct ResetOffsets {
    /// The cluster, as `kafka clusters list` names it.
    cluster: String,
    /// The consumer group, without members.
    consumer_group: String,
    /// The topic.
    topic: String,
    /// Only these partitions; all of them when absent.
    #[serde(default)]
    #[schemars(length(max = 1000))]
    partitions: Vec<i32>,
    /// Where to: the first message that is kept, behind the last one, the first of a moment (`at`), or from where it is (`by`).
    to: To,
    /// The moment, with `timestamp`: `2026-11-21T08:00:00Z`.
    at: Option<Timestamp>,
    /// How many messages forward, or back when negative, with `shift`.
    by: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum To {
    Earliest,
    Latest,
    Timestamp,
    Shift,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Reset {
    cluster: String,
    consumer_group: String,
    topic: String,
    partitions: Vec<Moved>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// One partition.
#[derive(Debug, Serialize, JsonSchema)]
struct Moved {
    partition: i32,
    /// What was committed, if anything was.
    from: Option<i64>,
    to: i64,
}

/// What the approver saw. `earliest` and `latest` mean whatever they are when it runs, the others these very offsets.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Bound {
    cluster: String,
    cluster_id: String,
    consumer_group: String,
    topic: String,
    topic_id: String,
    /// By partition, what was committed.
    from: BTreeMap<i32, Option<i64>>,
    /// By partition, where to; empty for `earliest` and `latest`.
    to: BTreeMap<i32, i64>,
}

/// What would be done now.
struct Wanted {
    bound: Bound,
    to: BTreeMap<i32, i64>,
    ends: BTreeMap<i32, i64>,
}

impl Wanted {
    async fn of(cluster: &Cluster, reset: &ResetOffsets) -> Result<Self, ActionError> {
        reset.check()?;
        let topic = cluster.topic(&reset.topic).await?;
        drop(inactive(cluster, &reset.consumer_group).await?);
        let partitions = reset.partitions(&topic)?;
        let cluster_id = cluster.state().await?.id;
        let what = format!("consumer group `{}`", reset.consumer_group);
        let explain = |fault: Fault| cluster.explain(&what, fault);
        let committed =
            cluster.wire.committed(&reset.consumer_group, Some(&partitions)).await.map_err(explain)?;
        let first = reset.ask(cluster, &partitions, At::Earliest).await?;
        let end = reset.ask(cluster, &partitions, At::Latest).await?;
        let then = match (reset.to, reset.at) {
            (To::Timestamp, Some(at)) => reset.ask(cluster, &partitions, At::Moment(at)).await?,
            _ => HashMap::new(),
        };
        let offset = |of: &HashMap<Partition, Option<Found>>, partition: &Partition| {
            of.get(partition).copied().flatten().map(|found| found.offset)
        };
        let (mut from, mut to, mut ends) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for partition in &partitions {
            let (Some(low), Some(high)) = (offset(&first, partition), offset(&end, partition)) else {
                continue;
            };
            let is = committed.get(partition).copied();
            let wanted = match reset.to {
                To::Earliest => low,
                To::Latest => high,
                // Nothing was written since: behind the last.
                To::Timestamp => offset(&then, partition).unwrap_or(high),
                To::Shift => match is {
                    Some(is) => is.saturating_add(reset.by.unwrap_or(0)).clamp(low, high),
                    // What was never read cannot be shifted.
                    None => continue,
                },
            };
            let _ = from.insert(partition.number, is);
            let _ = to.insert(partition.number, wanted);
            let _ = ends.insert(partition.number, high);
        }
        if to.is_empty() {
            let why =
                format!("{what} has committed nothing of topic `{}` that could be shifted", reset.topic);
            return Err(ActionError::conflict(why).next("use --to earliest, latest or timestamp"));
        }
        let moves = matches!(reset.to, To::Earliest | To::Latest);
        let bound = Bound {
            cluster: reset.cluster.clone(),
            cluster_id,
            consumer_group: reset.consumer_group.clone(),
            topic: reset.topic.clone(),
            topic_id: hex(topic.id),
            from,
            to: if moves { BTreeMap::new() } else { to.clone() },
        };
        Ok(Self { bound, to, ends })
    }

    /// `0: 120 → 0`, and how far behind that is.
    fn sentences(&self) -> Vec<String> {
        let sentence = |(number, to): (&i32, &i64)| {
            let from = self.bound.from.get(number).copied().flatten();
            let from = from.map_or_else(|| "none".to_owned(), |from| from.to_string());
            let behind = self.ends.get(number).map_or(0, |end| (end - to).max(0));
            format!("{number}: {from} → {to} ({behind} behind)")
        };
        self.to.iter().map(sentence).collect()
    }
}

impl ResetOffsets {
    fn check(&self) -> Result<(), ActionError> {
        match (self.to, self.at, self.by) {
            (To::Timestamp, None, _) => Err(ActionError::invalid("/at", "`timestamp` needs the moment: at")),
            (To::Shift, _, None | Some(0)) => {
                Err(ActionError::invalid("/by", "`shift` needs how many messages, and not 0: by"))
            }
            (To::Timestamp, ..) if self.by.is_some() => {
                Err(ActionError::invalid("/by", "`by` belongs to `shift`"))
            }
            (To::Shift, Some(_), _) => Err(ActionError::invalid("/at", "`at` belongs to `timestamp`")),
            (To::Earliest | To::Latest, None, None) | (To::Timestamp | To::Shift, ..) => Ok(()),
            (To::Earliest | To::Latest, ..) => {
                Err(ActionError::invalid("/to", "`earliest` and `latest` need neither `at` nor `by`"))
            }
        }
    }

    fn partitions(&self, topic: &Topic) -> Result<Vec<Partition>, ActionError> {
        let mut all = topic.partitions();
        if self.partitions.is_empty() {
            return Ok(all);
        }
        if let Some(wrong) =
            self.partitions.iter().find(|number| !all.iter().any(|has| has.number == **number))
        {
            let why = format!("topic `{}` has no partition {wrong}: it has {}", self.topic, all.len());
            return Err(ActionError::invalid("/partitions", why));
        }
        all.retain(|partition| self.partitions.contains(&partition.number));
        Ok(all)
    }

    /// This offset of each partition.
    async fn ask(
        &self,
        cluster: &Cluster,
        partitions: &[Partition],
        at: At,
    ) -> Result<HashMap<Partition, Option<Found>>, ActionError> {
        let asked: Vec<(Partition, At)> =
            partitions.iter().map(|partition| (partition.clone(), at)).collect();
        let told = cluster.wire.offsets(&asked).await;
        let told = told.map_err(|fault| cluster.explain(&format!("topic `{}`", self.topic), fault))?;
        // Each partition begins and ends somewhere; only of a moment there may be nothing.
        let is_missing = |partition: &&Partition| match told.get(*partition) {
            None => true,
            Some(found) => found.is_none() && !matches!(at, At::Moment(_)),
        };
        if let Some(missing) = partitions.iter().find(is_missing) {
            let why = format!(
                "partition {} of topic `{}` does not tell its offsets: it has no leader, or one that is too new",
                missing.number, self.topic
            );
            return Err(ActionError::unavailable(why).next("try again when the topic is well"));
        }
        Ok(told)
    }

    fn where_to(&self) -> String {
        match self.to {
            To::Earliest => "to the first message that is kept".to_owned(),
            To::Latest => "behind the last message".to_owned(),
            To::Timestamp => format!("to the first message of {}", self.at.unwrap_or_default()),
            To::Shift => format!("by {:+} messages", self.by.unwrap_or_default()),
        }
    }
}

pub(crate) async fn plan(clusters: Clusters, _: Context, reset: ResetOffsets) -> Result<Plan, ActionError> {
    let cluster = clusters.find(&reset.cluster)?;
    let wanted = Wanted::of(cluster, &reset).await?;
    let sentence = format!(
        "Set consumer group `{}` on cluster `{}` {} in {} of topic `{}`",
        reset.consumer_group,
        reset.cluster,
        reset.where_to(),
        counted(wanted.to.len(), "partition"),
        reset.topic
    );
    let total = |offset: &dyn Fn(&i32, &i64) -> i64| -> i64 {
        wanted.to.iter().map(|(number, to)| offset(number, to)).sum()
    };
    let skipped = total(&|number, to| {
        wanted.bound.from.get(number).copied().flatten().map_or(0, |from| (to - from).max(0))
    });
    let again = total(&|number, to| {
        wanted.bound.from.get(number).copied().flatten().map_or(0, |from| (from - to).max(0))
    });
    let plan = Plan::new(sentence)
        .fact("members", 0)
        .moving_fact("partitions: old → new", wanted.sentences())
        .moving_fact(SKIPPED, skipped)
        .moving_fact("messages read again", again);
    Ok(plan.bound_to(json!(wanted.bound)))
}

pub(crate) async fn perform(
    clusters: Clusters,
    context: Context,
    reset: ResetOffsets,
) -> Result<Reset, ActionError> {
    let cluster = clusters.find(&reset.cluster)?;
    let wanted = Wanted::of(cluster, &reset).await?;
    let what = format!("consumer group `{}`", reset.consumer_group);
    let planned: Bound = match context.planned()? {
        Some(planned) => planned,
        None => Bound { to: wanted.to.clone(), ..wanted.bound.clone() },
    };
    let same = planned.cluster_id == wanted.bound.cluster_id && planned.topic_id == wanted.bound.topic_id;
    if !same || planned.from != wanted.bound.from {
        let why = format!("{what} or its topic is no longer as it was planned with; nothing was changed");
        return Err(ActionError::conflict(why).next("run the command again to plan anew"));
    }
    let to = if planned.to.is_empty() { &wanted.to } else { &planned.to };
    let offsets: BTreeMap<Partition, i64> =
        to.iter().map(|(number, offset)| (Partition::new(&reset.topic, *number), *offset)).collect();
    let note = match cluster.wire.commit(&reset.consumer_group, &offsets).await {
        Ok(()) => None,
        Err(Fault::HasMembers) => {
            drop(inactive(cluster, &reset.consumer_group).await?);
            return Err(cluster.explain(&what, Fault::HasMembers));
        }
        Err(Fault::Unanswered(why)) => {
            let partitions: Vec<Partition> = offsets.keys().cloned().collect();
            let now = cluster.wire.committed(&reset.consumer_group, Some(&partitions)).await;
            let done = now.is_ok_and(|now| offsets.iter().all(|(at, offset)| now.get(at) == Some(offset)));
            if !done {
                return Err(cluster.explain_change(&what, Fault::Unanswered(why)));
            }
            Some(format!("the broker did not answer ({why}), but the offsets are set"))
        }
        Err(fault) => return Err(cluster.explain_change(&what, fault)),
    };
    let moved = to.iter().map(|(number, to)| Moved {
        partition: *number,
        from: planned.from.get(number).copied().flatten(),
        to: *to,
    });
    tracing::info!(cluster = reset.cluster, group = reset.consumer_group, run = context.run(), "offsets set");
    Ok(Reset {
        partitions: moved.collect(),
        cluster: reset.cluster,
        consumer_group: reset.consumer_group,
        topic: reset.topic,
        note,
    })
}
