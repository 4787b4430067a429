//! What this provider needs of a Kafka client, in words of its own: one small trait, so that the client beneath can be
//! another one day, and no other file knows it.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use jiff::Timestamp;

/// Identity of a topic: one that is deleted and made anew under the same name has another.
pub(crate) type TopicId = [u8; 16];

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Partition {
    pub(crate) topic: String,
    pub(crate) number: i32,
}

impl Partition {
    pub(crate) fn new(topic: &str, number: i32) -> Self {
        Self { topic: topic.to_owned(), number }
    }
}

/// A cluster as one of its brokers tells it.
#[derive(Debug, Clone)]
pub(crate) struct ClusterState {
    pub(crate) id: String,
    pub(crate) controller: i32,
    pub(crate) brokers: Vec<Node>,
}

/// One broker.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) id: i32,
    pub(crate) host: String,
    pub(crate) port: i32,
    pub(crate) rack: Option<String>,
}

/// One topic.
#[derive(Debug, Clone)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) id: TopicId,
    pub(crate) internal: bool,
    pub(crate) partitions: Vec<TopicPartition>,
}

/// One partition of a topic: who leads it and who copies it.
#[derive(Debug, Clone)]
pub(crate) struct TopicPartition {
    pub(crate) number: i32,
    pub(crate) leader: Option<i32>,
    pub(crate) replicas: Vec<i32>,
    pub(crate) in_sync: Vec<i32>,
}

impl Topic {
    pub(crate) fn partitions(&self) -> Vec<Partition> {
        self.partitions.iter().map(|partition| Partition::new(&self.name, partition.number)).collect()
    }

    /// Copies of each partition, as many as the first has.
    pub(crate) fn replication(&self) -> usize {
        self.partitions.first().map_or(0, |partition| partition.replicas.len())
    }

    /// Partitions that have fewer copies in step than they should, or no leader.
    pub(crate) fn unwell(&self) -> usize {
        let unwell = |partition: &&TopicPartition| {
            partition.leader.is_none() || partition.in_sync.len() < partition.replicas.len()
        };
        self.partitions.iter().filter(unwell).count()
    }
}

/// A setting of a topic.
#[derive(Debug, Clone)]
pub(crate) struct TopicSetting {
    pub(crate) name: String,
    /// Absent where it is hidden.
    pub(crate) value: Option<String>,
    /// It is set for this topic, and no default.
    pub(crate) own: bool,
}

/// Which offset of a partition is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    /// The first that is kept.
    Earliest,
    /// The one after the last.
    Latest,
    /// The one after the last that can be read: before the first message of a transaction that is still open.
    Committed,
    /// The first that was written at this moment or later.
    Moment(Timestamp),
    /// The one that was written last.
    LastWritten,
}

/// An offset, and when its message was written, where that was asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    pub(crate) offset: i64,
    pub(crate) written: Option<Timestamp>,
}

/// A topic to be made.
#[derive(Debug, Clone)]
pub(crate) struct NewTopic {
    pub(crate) name: String,
    /// Absent: the broker's default.
    pub(crate) partitions: Option<i32>,
    /// Absent: the broker's default.
    pub(crate) replication: Option<i16>,
    pub(crate) settings: BTreeMap<String, String>,
}

/// A consumer group in a list.
#[derive(Debug, Clone)]
pub(crate) struct GroupOutline {
    pub(crate) name: String,
    pub(crate) state: String,
    pub(crate) kind: String,
}

/// A consumer group with its members.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) state: String,
    pub(crate) kind: String,
    pub(crate) members: Vec<Member>,
}

/// Who consumes.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) id: String,
    pub(crate) client_id: String,
    pub(crate) host: String,
    /// What it reads: topics it was assigned or asked for, each with the partitions it has.
    pub(crate) reads: BTreeMap<String, Vec<i32>>,
}

/// What is to be read of one partition.
#[derive(Debug, Clone)]
pub(crate) struct Stretch {
    pub(crate) partition: i32,
    /// The first offset.
    pub(crate) from: i64,
    /// The first that is not wanted any more.
    pub(crate) until: i64,
}

/// A message as it lies in the topic.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) written: Option<Timestamp>,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
}

/// What was read.
#[derive(Debug, Clone)]
pub(crate) struct Read {
    /// Of each partition in order, from the first that was asked for.
    pub(crate) messages: Vec<Message>,
    /// All that was asked for; else time or bytes were used up, and the latest are missing.
    pub(crate) whole: bool,
}

/// A message to be written.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) topic: String,
    pub(crate) partition: Option<i32>,
    pub(crate) key: Option<String>,
    pub(crate) value: String,
    pub(crate) headers: Vec<(String, String)>,
}

/// Why Kafka did not do it.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// Nobody was reached: nothing was done.
    Unreachable(String),
    /// It was sent, and no answer came: of a change nobody can say whether it was done.
    Unanswered(String),
    /// Whom the settings name was not let in.
    NotLetIn(String),
    /// There is no such topic or group.
    NotThere,
    /// There is one of that name already.
    Exists,
    /// The group has members.
    HasMembers,
    /// Kafka says no, and why.
    Refused(String),
}

/// What came of it.
pub(crate) type Answer<T> = Result<T, Fault>;

/// One cluster, reached by some client. Each call ends within [`crate::cluster::ANSWERS_WITHIN`].
#[async_trait]
pub(crate) trait Wire: Send + Sync + 'static {
    async fn cluster(&self) -> Answer<ClusterState>;
    /// All topics, sorted by name.
    async fn topics(&self) -> Answer<Vec<Topic>>;
    async fn topic(&self, name: &str) -> Answer<Topic>;
    async fn topic_settings(&self, name: &str) -> Answer<Vec<TopicSetting>>;
    /// Bytes of each partition at its leader; of all topics, or of these.
    async fn sizes(&self, of: Option<&[Partition]>) -> Answer<HashMap<Partition, i64>>;
    /// A partition where there is no such offset has none; one that cannot be asked is left out.
    async fn offsets(&self, of: &[(Partition, At)]) -> Answer<HashMap<Partition, Option<Found>>>;
    async fn create_topic(&self, topic: &NewTopic, only_check: bool) -> Answer<()>;
    async fn add_partitions(&self, topic: &str, total: i32, only_check: bool) -> Answer<()>;
    /// Sets these; one without a value gets its default again.
    async fn set_topic(
        &self,
        topic: &str,
        settings: &[(String, Option<String>)],
        only_check: bool,
    ) -> Answer<()>;
    async fn delete_topic(&self, id: TopicId) -> Answer<()>;
    /// All consumer groups, sorted by name.
    async fn groups(&self) -> Answer<Vec<GroupOutline>>;
    /// Those of them that are there.
    async fn describe_groups(&self, names: &[String]) -> Answer<Vec<Group>>;
    /// What a group has committed; of these partitions, or of all.
    async fn committed(&self, group: &str, of: Option<&[Partition]>) -> Answer<HashMap<Partition, i64>>;
    async fn commit(&self, group: &str, offsets: &BTreeMap<Partition, i64>) -> Answer<()>;
    async fn delete_group(&self, group: &str) -> Answer<()>;
    /// At most so many bytes, roughly; what is beyond is left out, and so is what belongs to no transaction that was
    /// committed: a stretch that ends behind [`At::Committed`] takes all the time there is.
    async fn read(&self, topic: &str, stretches: &[Stretch], most_bytes: usize) -> Answer<Read>;
    /// Partition and offset of what was written.
    async fn produce(&self, draft: &Draft) -> Answer<(i32, i64)>;
}
