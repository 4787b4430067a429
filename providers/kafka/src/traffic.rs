//! What is going on at a topic: its size, its last write, how much is written, and who reads it.

use std::collections::HashMap;

use guichet_provider_sdk::ActionError;
use jiff::{SignedDuration, Timestamp};

use crate::{
    cluster::Cluster,
    lag,
    wire::{At, Group, Partition, Topic},
    words::counted,
};

/// The time over which a rate is told.
pub(crate) const RATE_OVER: SignedDuration = SignedDuration::from_hours(1);

/// What is written.
pub(crate) struct Writes {
    /// Messages between the first that is kept and the end; with compaction, some of them are gone.
    pub(crate) messages: i64,
    /// Absent where nothing was ever written, or its broker cannot tell.
    pub(crate) last: Option<Timestamp>,
    /// Messages of the last hour.
    pub(crate) in_the_last_hour: i64,
    /// Somebody may have written and it cannot be told: a partition has no leader, or does not say how much or when.
    unsure: bool,
    /// Begin and end of each partition.
    pub(crate) spans: HashMap<i32, (i64, i64)>,
}

impl Writes {
    pub(crate) async fn of(cluster: &Cluster, topic: &Topic, now: Timestamp) -> Result<Self, ActionError> {
        let explain = |fault| cluster.explain(&format!("topic `{}`", topic.name), fault);
        let hour_ago = now.checked_sub(RATE_OVER).unwrap_or(Timestamp::UNIX_EPOCH);
        let asked = |at: At| -> Vec<(Partition, At)> {
            topic.partitions().into_iter().map(|partition| (partition, at)).collect()
        };
        let [first, end, then, last] =
            [At::Earliest, At::Latest, At::Moment(hour_ago), At::LastWritten].map(asked);
        let wire = &cluster.wire;
        let (first, end, then, last) = futures_util::try_join!(
            wire.offsets(&first),
            wire.offsets(&end),
            wire.offsets(&then),
            wire.offsets(&last)
        )
        .map_err(explain)?;
        let mut writes =
            Self { messages: 0, last: None, in_the_last_hour: 0, unsure: false, spans: HashMap::new() };
        writes.unsure = end.len() < topic.partitions.len();
        for (partition, end) in end {
            let first = first.get(&partition).copied().flatten();
            let (Some(first), Some(end)) = (first, end) else {
                writes.unsure = true;
                continue;
            };
            let first = first.offset;
            writes.messages += end.offset - first;
            let _ = writes.spans.insert(partition.number, (first, end.offset));
            // None was written since where there is no offset; where nothing was told, nobody knows.
            let then = then.get(&partition).copied();
            writes.unsure |= then.is_none();
            writes.in_the_last_hour += then.flatten().map_or(0, |then| end.offset - then.offset);
            let last = last.get(&partition).copied().flatten().and_then(|found| found.written);
            writes.unsure |= last.is_none() && end.offset > first;
            writes.last = writes.last.max(last);
        }
        Ok(writes)
    }

    /// Whether nothing is in it, for sure.
    pub(crate) fn are_none(&self) -> bool {
        self.messages == 0 && !self.unsure
    }

    /// Whether somebody wrote in the last hour; what cannot be told counts as written.
    pub(crate) fn recent(&self) -> bool {
        self.in_the_last_hour > 0 || self.unsure
    }

    pub(crate) fn per_second(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a rate is rounded anyway")]
        let messages = self.in_the_last_hour as f64;
        messages / RATE_OVER.as_secs_f64()
    }
}

/// A group that reads a topic, or did.
pub(crate) struct Reader {
    pub(crate) group: String,
    pub(crate) state: String,
    /// Of its members, those who read this topic.
    pub(crate) members: usize,
    pub(crate) lag: Option<i64>,
}

impl Reader {
    /// `billing (Stable, 2 members, 14 behind)`.
    pub(crate) fn sentence(&self) -> String {
        let lag = self.lag.map_or_else(|| "nothing committed".to_owned(), |lag| format!("{lag} behind"));
        format!("{} ({}, {}, {lag})", self.group, self.state, counted(self.members, "member"))
    }
}

/// All groups that have committed offsets of this topic or members that read it; those who read now first.
pub(crate) async fn readers(
    cluster: &Cluster,
    topic: &Topic,
    spans: &HashMap<i32, (i64, i64)>,
) -> Result<Vec<Reader>, ActionError> {
    let explain = |fault| cluster.explain("consumer groups", fault);
    let groups = cluster.wire.groups().await.map_err(explain)?;
    let names: Vec<String> = groups.iter().map(|group| group.name.clone()).collect();
    let partitions = topic.partitions();
    let (committed, described) = futures_util::try_join!(
        lag::committed(cluster, &names, Some(&partitions)),
        cluster.wire.describe_groups(&names)
    )
    .map_err(explain)?;
    let described: HashMap<&str, &Group> =
        described.iter().map(|group| (group.name.as_str(), group)).collect();
    let mut readers: Vec<Reader> = Vec::new();
    for (outline, committed) in groups.iter().zip(committed) {
        let members = described.get(outline.name.as_str()).map_or(0, |group| {
            group.members.iter().filter(|member| member.reads.contains_key(&topic.name)).count()
        });
        if members == 0 && committed.is_empty() {
            continue;
        }
        let behind = |(partition, offset): (&Partition, &i64)| {
            spans.get(&partition.number).map(|(_, end)| (end - offset).max(0))
        };
        readers.push(Reader {
            group: outline.name.clone(),
            state: outline.state.clone(),
            members,
            lag: committed.iter().filter_map(behind).reduce(|a, b| a + b),
        });
    }
    readers.sort_by(|a, b| b.members.cmp(&a.members).then_with(|| a.group.cmp(&b.group)));
    Ok(readers)
}
