//! When a group last committed: Kafka's protocol does not tell, but its own topic of commits does.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::{
    cluster::Cluster,
    wire::{Answer, At, Found, Partition, Stretch},
};

const COMMITS: &str = "__consumer_offsets";
/// How far back is looked, in entries of all groups that share a partition.
const LOOK_BACK: i64 = 5_000;
/// How much is read for it at most, bytes.
const MOST_BYTES: usize = 2 * 1024 * 1024;

/// What was found.
pub(crate) enum Seen {
    /// The last commit.
    At(Timestamp),
    /// None, and why.
    Not(String),
}

/// Looks through the latest entries of the partition that keeps this group.
pub(crate) async fn of_group(cluster: &Cluster, group: &str) -> Seen {
    match look(cluster, group).await {
        Ok(Looked { partly: Some(why), .. }) => Seen::Not(format!("not known: {why}")),
        Ok(Looked { last: Some(at), .. }) => Seen::At(at),
        Ok(Looked { from_the_first: true, .. }) => Seen::Not("none that is kept".to_owned()),
        Ok(_) => Seen::Not(format!("before the last {LOOK_BACK} entries of Kafka's own log")),
        Err(_) => Seen::Not(format!("not known: {COMMITS} cannot be read")),
    }
}

/// What the latest entries say.
#[derive(Debug, Default)]
struct Looked {
    last: Option<Timestamp>,
    /// All there is was looked through.
    from_the_first: bool,
    /// Why the very latest were not: then there may be a later commit than the one that was found.
    partly: Option<&'static str>,
}

async fn look(cluster: &Cluster, group: &str) -> Answer<Looked> {
    let nothing = Looked { from_the_first: true, ..Looked::default() };
    let partly = |why| Ok(Looked { partly: Some(why), ..Looked::default() });
    let topic = cluster.wire.topic(COMMITS).await?;
    let all = topic.partitions();
    let Some(partition) = all.get(keeper(group, all.len())).cloned() else { return Ok(nothing) };
    let ask = |at: At| [(partition.clone(), at)];
    let (first, end, readable) = (ask(At::Earliest), ask(At::Latest), ask(At::Committed));
    let (first, end) = futures_util::try_join!(cluster.wire.offsets(&first), cluster.wire.offsets(&end))?;
    // After them: what is committed meanwhile is no open transaction.
    let readable = cluster.wire.offsets(&readable).await?;
    let offset = |of: &HashMap<Partition, Option<Found>>| Some(of.get(&partition).copied().flatten()?.offset);
    let (Some(first), Some(end), Some(readable)) = (offset(&first), offset(&end), offset(&readable)) else {
        return partly("the partition that keeps it has no leader, or one that is too new");
    };
    if first >= end {
        return Ok(nothing);
    }
    if readable < end {
        return partly("a transaction that commits offsets is open");
    }
    let from = first.max(end - LOOK_BACK);
    let stretch = Stretch { partition: partition.number, from, until: end };
    let read = cluster.wire.read(COMMITS, &[stretch], MOST_BYTES).await?;
    if !read.whole {
        return partly("there was too much to read");
    }
    let of_this = read.messages.iter().filter(|entry| {
        entry.value.is_some() && entry.key.as_deref().and_then(group_of) == Some(group.as_bytes())
    });
    let last = of_this.filter_map(|entry| entry.written).max();
    Ok(Looked { last, from_the_first: from == first, partly: None })
}

/// The partition that keeps a group, as brokers compute it.
fn keeper(group: &str, partitions: usize) -> usize {
    let hash =
        group.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    let hash = usize::try_from(hash.checked_abs().unwrap_or(0)).unwrap_or(0);
    hash.checked_rem(partitions).unwrap_or(0)
}

/// The group of a commit's key: a version (0 or 1), a length and the name; then topic and partition.
fn group_of(key: &[u8]) -> Option<&[u8]> {
    let (version, rest) = key.split_first_chunk::<2>()?;
    if !matches!(i16::from_be_bytes(*version), 0 | 1) {
        return None;
    }
    let (length, rest) = rest.split_first_chunk::<2>()?;
    rest.get(..usize::try_from(i16::from_be_bytes(*length)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keeper_is_the_one_that_java_computes() {
        // The hash of the first is the smallest number there is, which has no counterpart.
        assert_eq!(keeper("polygenelubricants", 50), 0);
        assert_eq!(keeper("a", 50), 97 % 50);
        assert_eq!(keeper("x", 0), 0);
    }

    #[test]
    fn a_key_names_its_group() {
        assert_eq!(group_of(&[0, 1, 0, 2, b'a', b'b', 0, 1, b't', 0, 0, 0, 0]), Some(&b"ab"[..]));
        assert_eq!(group_of(&[0, 2, 0, 2, b'a', b'b']), None, "the state of a group is no commit");
        assert_eq!(group_of(&[0, 1, 0, 9, b'a']), None);
    }
}
