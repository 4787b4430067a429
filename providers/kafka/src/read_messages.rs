//! `kafka topics read-messages`: the last few, within limits, without what is masked; not in production unless its settings
//! say so.

use guichet_provider_sdk::{ActionError, Context};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    cluster::{ANSWERS_WITHIN, Cluster, Clusters},
    masking::MASKED,
    wire::{At, Message, Partition, Stretch},
};

/// Read of a topic at most, bytes, whatever is shown of it.
const MOST_BYTES: usize = 8 * 1024 * 1024;

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct ReadMessages {
    /// The cluster, as `kafka clusters list` names it.
    cluster: String,
    /// The topic.
    topic: String,
    /// How many.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 100))]
    last: u16,
    /// Only of this partition.
    partition: Option<i32>,
    /// Bytes of each key and value that are shown.
    #[serde(default = "four_thousand")]
    #[schemars(range(min = 1, max = 65536))]
    max_bytes: usize,
}

fn ten() -> u16 {
    10
}

fn four_thousand() -> usize {
    4_000
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Read {
    cluster: String,
    topic: String,
    /// The latest first.
    messages: Vec<Shown>,
    /// What to know about this list.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// One message.
#[derive(Debug, Serialize, JsonSchema)]
struct Shown {
    partition: i32,
    offset: i64,
    written: Option<String>,
    key: Option<String>,
    /// JSON as it is, any other text as a text; absent for a message that deletes its key.
    value: Option<Value>,
    headers: Vec<String>,
    /// Bytes of the whole value.
    bytes: usize,
    /// What is not shown, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    hidden: Option<String>,
}

pub(crate) async fn read(
    clusters: Clusters,
    context: Context,
    of: ReadMessages,
) -> Result<Read, ActionError> {
    let cluster = clusters.find(&of.cluster)?;
    cluster.may_read(&context)?;
    let topic = cluster.topic(&of.topic).await?;
    if topic.internal {
        return Err(ActionError::refused(format!("topic `{}` belongs to Kafka itself", of.topic)));
    }
    let explain = |fault| cluster.explain(&format!("topic `{}`", of.topic), fault);
    let mut partitions = topic.partitions();
    if let Some(number) = of.partition {
        partitions.retain(|partition| partition.number == number);
        if partitions.is_empty() {
            let why = format!("topic `{}` has no partition {number}", of.topic);
            return Err(ActionError::invalid("/partition", why));
        }
    }
    let ask = |at: At| -> Vec<(Partition, At)> {
        partitions.iter().map(|partition| (partition.clone(), at)).collect()
    };
    // Behind that, a transaction is still open, and its end would be waited for.
    let (first, end) = (ask(At::Earliest), ask(At::Committed));
    let (first, end) =
        futures_util::try_join!(cluster.wire.offsets(&first), cluster.wire.offsets(&end)).map_err(explain)?;
    let span = |partition: &Partition| {
        let first = first.get(partition).copied().flatten()?.offset;
        let until = end.get(partition).copied().flatten()?.offset;
        Some((partition.number, first, until))
    };
    let spans: Vec<(i32, i64, i64)> = partitions.iter().filter_map(span).collect();
    let stretch = |(partition, first, until): &(i32, i64, i64)| {
        let from = (*first).max(until - i64::from(of.last));
        (from < *until).then_some(Stretch { partition: *partition, from, until: *until })
    };
    let stretches: Vec<Stretch> = spans.iter().filter_map(stretch).collect();
    let mut notes = Vec::new();
    if spans.len() < partitions.len() {
        notes.push("some partitions have no leader, or one that is too new, and were left out".to_owned());
    }
    let mut messages = Vec::new();
    if !stretches.is_empty() {
        let read = cluster.wire.read(&of.topic, &stretches, MOST_BYTES).await.map_err(explain)?;
        if !read.whole {
            notes.push(format!(
                "not all of it could be read within {} MiB and {} s, so the latest may be missing: ask for fewer, or for one \
                 partition",
                MOST_BYTES / 1024 / 1024,
                ANSWERS_WITHIN.as_secs()
            ));
        }
        messages = read.messages;
    }
    messages.sort_by_key(|message| std::cmp::Reverse((message.written, message.offset)));
    messages.truncate(usize::from(of.last));
    let shown = messages.into_iter().map(|message| show(cluster, &of, message)).collect();
    let note = (!notes.is_empty()).then(|| notes.join("; "));
    Ok(Read { cluster: of.cluster.clone(), topic: of.topic.clone(), messages: shown, note })
}

fn show(cluster: &Cluster, of: &ReadMessages, message: Message) -> Shown {
    let masks = &cluster.masks;
    let mut hidden = Vec::new();
    let bytes = message.value.as_ref().map_or(0, Vec::len);
    let value = message.value.map(|value| shown_value(cluster, of, &value, &mut hidden));
    let key = message.key.map(|key| {
        if masks.hides_key(&of.topic) {
            hidden.push("the key".to_owned());
            return MASKED.to_owned();
        }
        text(&key, of.max_bytes)
    });
    let headers = message.headers.into_iter().map(|(name, value)| {
        if masks.hides_header(&of.topic, &name) {
            hidden.push(format!("header {name}"));
            return format!("{name}={MASKED}");
        }
        format!("{name}={}", value.map(|value| text(&value, of.max_bytes)).unwrap_or_default())
    });
    Shown {
        partition: message.partition,
        offset: message.offset,
        written: message.written.map(|written| written.to_string()),
        key,
        value,
        headers: headers.collect(),
        bytes,
        hidden: (!hidden.is_empty()).then(|| hidden.join(", ")),
    }
}

fn shown_value(cluster: &Cluster, of: &ReadMessages, value: &[u8], hidden: &mut Vec<String>) -> Value {
    let json: Option<Value> = serde_json::from_slice(value).ok();
    let Some(mut json) = json else {
        if cluster.masks.hides_members(&of.topic) {
            hidden.push("all of it: it is no JSON, and something of this topic is masked".to_owned());
            return Value::from(MASKED);
        }
        return Value::from(text(value, of.max_bytes));
    };
    // Before it is cut: half of it is no JSON.
    let places = cluster.masks.hide(&of.topic, &mut json);
    if places > 0 {
        hidden.push(crate::words::counted(places, "member"));
    }
    let whole = json.to_string();
    if whole.len() <= of.max_bytes {
        return json;
    }
    Value::from(text(whole.as_bytes(), of.max_bytes))
}

/// As text, cut where it is too long.
fn text(bytes: &[u8], most: usize) -> String {
    let cut = bytes.get(..most.min(bytes.len())).unwrap_or_default();
    let text = String::from_utf8_lossy(cut);
    if cut.len() < bytes.len() {
        return format!(
            "{} … (the first {} of {} bytes)",
            text.trim_end_matches('\u{fffd}'),
            cut.len(),
            bytes.len()
        );
    }
    text.into_owned()
}
