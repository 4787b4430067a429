//! The client: `krafka`, behind [`Wire`].
//!
//! Its admin client deletes topics by name only, so [`crate::by_id`] speaks that one request itself. What its errors mean is
//! told in [`crate::krafka_fault`].

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use krafka::{
    Kafka, KrafkaError, Record,
    admin::{
        AdminClient, AlterConsumerGroupOffsetsOptions, ConfigOp, ConfigResource, CreatePartitionsOptions,
        CreateTopicsOptions, DeleteConsumerGroupsOptions, DescribeClusterOptions, DescribeConfigsOptions,
        DescribeConsumerGroupsOptions, DescribeLogDirsOptions, DescribeTopicsOptions,
        IncrementalAlterConfigsOptions, ListConsumerGroupOffsetsOptions, ListConsumerGroupsOptions,
        ListOffsetsOptions, ListTopicsOptions, OffsetSpec, TopicDescription,
    },
    consumer::{IsolationLevel, TopicPartition as Place},
    error::ErrorCode,
};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use crate::{
    by_id,
    cluster::ANSWERS_WITHIN,
    krafka_fault::{fault, is_no_such_offset},
    settings::Reached,
    wire::{
        Answer, At, ClusterState, Draft, Fault, Found, Group, GroupOutline, Member, Message, NewTopic, Node,
        Partition, Read, Stretch, Topic, TopicId, TopicPartition, TopicSetting, Wire,
    },
};

/// How long finding and opening a connection may take.
const CONNECTS_WITHIN: Duration = Duration::from_secs(5);
/// How long the last write is searched for.
const SEARCHES_WITHIN: Duration = Duration::from_secs(3);
/// The source of a setting that is a topic's own, in `DescribeConfigs`.
const OF_THE_TOPIC: i8 = 1;
/// Partitions whose offsets are asked for in one call.
const AT_ONCE: usize = 5_000;

/// One cluster, connected when it is first asked.
pub(crate) struct KrafkaWire {
    reached: Reached,
    made: Mutex<Made>,
}

/// The client, made once, and again as long as it cannot be made.
#[derive(Default)]
struct Made {
    kafka: Option<Kafka>,
    /// When it could not be made, and why.
    failed: Option<(Instant, Fault)>,
}

impl KrafkaWire {
    pub(crate) fn new(reached: Reached) -> Self {
        Self { reached, made: Mutex::default() }
    }

    async fn kafka(&self) -> Answer<Kafka> {
        let begun = Instant::now();
        let mut made = self.made.lock().await;
        if let Some(kafka) = &made.kafka {
            return Ok(kafka.clone());
        }
        // Whoever waited while it could not be reached need not wait once more for the same.
        if let Some((_, fault)) = made.failed.as_ref().filter(|(at, _)| *at >= begun) {
            return Err(fault.clone());
        }
        match self.connect().await {
            Ok(kafka) => Ok(made.kafka.insert(kafka).clone()),
            Err(fault) => {
                made.failed = Some((Instant::now(), fault.clone()));
                Err(fault)
            }
        }
    }

    async fn connect(&self) -> Answer<Kafka> {
        let builder = Kafka::builder(self.reached.bootstrap.join(","))
            .client_id("guichet")
            .security(self.reached.security.clone())
            .connect_timeout(CONNECTS_WITHIN)
            .request_timeout(ANSWERS_WITHIN)
            .metadata_max_age(Duration::from_secs(30))
            .max_response_size(64 * 1024 * 1024);
        let made = timeout(ANSWERS_WITHIN, builder.connect()).await;
        let made = made.map_err(|_| Fault::Unreachable("it does not answer".to_owned()))?;
        made.map_err(|error| match fault(error) {
            Fault::Unanswered(why) => Fault::Unreachable(why),
            other => other,
        })
    }

    async fn admin(&self) -> Answer<AdminClient> {
        Ok(self.kafka().await?.admin().default_api_timeout(ANSWERS_WITHIN))
    }

    /// These very offsets.
    async fn list_offsets(&self, of: &[(Partition, At)]) -> Answer<HashMap<Partition, Option<Found>>> {
        let admin = self.admin().await?;
        let mut found = HashMap::with_capacity(of.len());
        for some in of.chunks(AT_ONCE) {
            let asked = some.iter().map(|(partition, at)| (place(partition), spec(*at)));
            let options = ListOffsetsOptions::default();
            let options = match some.first() {
                // Of a partition that holds nothing but ends of transactions there is no last write.
                Some((_, At::LastWritten)) => options.timeout(SEARCHES_WITHIN),
                Some((_, At::Committed)) => options.read_committed(true),
                _ => options,
            };
            for (place, told) in admin.list_offsets(asked, options).await.map_err(fault)? {
                let partition = Partition::new(&place.topic, place.partition);
                match told {
                    Ok(told) => {
                        let written = told.timestamp.and_then(|at| Timestamp::from_millisecond(at).ok());
                        let _ = found.insert(partition, Some(Found { offset: told.offset, written }));
                    }
                    Err(error) if is_no_such_offset(&error) => {
                        let _ = found.insert(partition, None);
                    }
                    // Also a leader that is too new to tell, which is no end and no beginning.
                    Err(error @ KrafkaError::Broker { .. }) => {
                        tracing::info!(topic = place.topic, partition = place.partition, %error, "no offset");
                    }
                    Err(error) => return Err(fault(error)),
                }
            }
        }
        Ok(found)
    }
}

#[async_trait]
impl Wire for KrafkaWire {
    async fn cluster(&self) -> Answer<ClusterState> {
        let admin = self.admin().await?;
        let told = admin.describe_cluster(DescribeClusterOptions::default()).await.map_err(fault)?;
        let brokers = told.brokers.into_iter();
        let brokers = brokers.map(|broker| Node {
            id: broker.id,
            host: broker.host,
            port: broker.port,
            rack: broker.rack,
        });
        Ok(ClusterState { id: told.cluster_id, controller: told.controller_id, brokers: brokers.collect() })
    }

    async fn topics(&self) -> Answer<Vec<Topic>> {
        let kafka = self.kafka().await?;
        let admin = kafka.admin().default_api_timeout(ANSWERS_WITHIN);
        let names =
            admin.list_topics(ListTopicsOptions::default().include_internal(true)).await.map_err(fault)?;
        let metadata = krafka::__private::kafka_metadata(&kafka);
        // Without a copy of ten thousand partition maps.
        let topics = names.iter().filter_map(|name| {
            let info = metadata.topic_arc(name)?;
            let mut partitions: Vec<TopicPartition> = info
                .partitions_iter()
                .map(|partition| TopicPartition {
                    number: partition.partition,
                    leader: (partition.leader >= 0).then_some(partition.leader),
                    replicas: partition.replicas.clone(),
                    in_sync: partition.isr.clone(),
                })
                .collect();
            partitions.sort_unstable_by_key(|partition| partition.number);
            Some(Topic { name: name.clone(), id: info.topic_id, internal: info.is_internal, partitions })
        });
        Ok(topics.collect())
    }

    async fn topic(&self, name: &str) -> Answer<Topic> {
        let admin = self.admin().await?;
        let mut told =
            admin.describe_topics([name], DescribeTopicsOptions::default()).await.map_err(fault)?;
        told.remove(name).ok_or(Fault::NotThere)?.map(topic).map_err(fault)
    }

    async fn topic_settings(&self, name: &str) -> Answer<Vec<TopicSetting>> {
        let admin = self.admin().await?;
        let resource = ConfigResource::topic(name);
        let mut told = admin
            .describe_configs([resource.clone()], DescribeConfigsOptions::default())
            .await
            .map_err(fault)?;
        let entries = told.remove(&resource).ok_or(Fault::NotThere)?.map_err(fault)?;
        let setting = |entry: krafka::admin::ConfigEntry| TopicSetting {
            own: entry.config_source == OF_THE_TOPIC,
            value: entry.value.filter(|_| !entry.is_sensitive),
            name: entry.name,
        };
        let mut settings: Vec<TopicSetting> = entries.into_iter().map(setting).collect();
        settings.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(settings)
    }

    async fn sizes(&self, of: Option<&[Partition]>) -> Answer<HashMap<Partition, i64>> {
        let admin = self.admin().await?;
        let brokers = admin.describe_cluster(DescribeClusterOptions::default()).await.map_err(fault)?.brokers;
        let mut options = DescribeLogDirsOptions::default();
        if let Some(of) = of {
            options = options.partitions(of.iter().map(place).collect());
        }
        let told = admin.describe_log_dirs(brokers.iter().map(|broker| broker.id), options).await;
        let folders = told.map_err(fault)?.into_values().flatten().flat_map(HashMap::into_values).flatten();
        let mut sizes: HashMap<Partition, i64> = HashMap::new();
        for (place, replica) in folders.flat_map(|folder| folder.replicas) {
            // The copies are of one size, but for what they are behind.
            let size = sizes.entry(Partition::new(&place.topic, place.partition)).or_default();
            *size = (*size).max(replica.size);
        }
        Ok(sizes)
    }

    async fn offsets(&self, of: &[(Partition, At)]) -> Answer<HashMap<Partition, Option<Found>>> {
        let (committed, others): (Vec<_>, Vec<_>) =
            of.iter().cloned().partition(|(_, at)| *at == At::Committed);
        let (plain, searched): (Vec<_>, Vec<_>) =
            others.into_iter().partition(|(_, at)| matches!(at, At::Earliest | At::Latest));
        let mut found = self.list_offsets(&plain).await?;
        found.extend(self.list_offsets(&committed).await?);
        if searched.is_empty() {
            return Ok(found);
        }
        // The client takes «there is none» for «not yet», and asks again until its time is over. So only what is there is
        // asked for: the last write of what is not empty, a moment of what was written since.
        let at = |at: At| -> Vec<(Partition, At)> {
            searched.iter().map(|(partition, _)| (partition.clone(), at)).collect()
        };
        let (first, end) = (at(At::Earliest), at(At::Latest));
        let (first, end) = futures_util::try_join!(self.list_offsets(&first), self.list_offsets(&end))?;
        let offset = |of: &HashMap<Partition, Option<Found>>, partition: &Partition| {
            of.get(partition).copied().flatten().map(|found| found.offset)
        };
        let mut full = Vec::new();
        for (partition, _) in &searched {
            match (offset(&first, partition), offset(&end, partition)) {
                (Some(first), Some(end)) if first < end => full.push((partition.clone(), At::LastWritten)),
                (Some(_), Some(_)) => {
                    let _ = found.insert(partition.clone(), None);
                }
                // It cannot be asked.
                _ => {}
            }
        }
        let last = self.list_offsets(&full).await?;
        let mut moments = Vec::new();
        for (partition, at) in searched {
            let Some(last) = last.get(&partition).copied() else { continue };
            match (at, last.and_then(|last| last.written)) {
                (At::Moment(moment), Some(written)) if written >= moment => moments.push((partition, at)),
                (At::Moment(_), _) => {
                    let _ = found.insert(partition, None);
                }
                _ => {
                    let _ = found.insert(partition, last);
                }
            }
        }
        found.extend(self.list_offsets(&moments).await?);
        Ok(found)
    }

    async fn create_topic(&self, topic: &NewTopic, only_check: bool) -> Answer<()> {
        let mut new = krafka::admin::NewTopic::new(
            &topic.name,
            topic.partitions.unwrap_or(-1),
            topic.replication.unwrap_or(-1),
        )
        .map_err(fault)?;
        for (name, value) in &topic.settings {
            new = new.with_config(name, value);
        }
        let options = CreateTopicsOptions::default().validate_only(only_check);
        let told = self.admin().await?.create_topics([new], options).await.map_err(fault)?;
        first(told)
    }

    async fn add_partitions(&self, topic: &str, total: i32, only_check: bool) -> Answer<()> {
        let options = CreatePartitionsOptions::default().validate_only(only_check);
        let told = self.admin().await?.create_partitions([(topic, total)], options).await.map_err(fault)?;
        first(told)
    }

    async fn set_topic(
        &self,
        topic: &str,
        settings: &[(String, Option<String>)],
        only_check: bool,
    ) -> Answer<()> {
        let operation = |(name, value): &(String, Option<String>)| match value {
            Some(value) => ConfigOp::set(name, value),
            None => ConfigOp::delete(name),
        };
        let changes = settings.iter().map(operation).collect();
        let options = IncrementalAlterConfigsOptions::default().validate_only(only_check);
        let admin = self.admin().await?;
        let told = admin.incremental_alter_configs([(ConfigResource::topic(topic), changes)], options).await;
        first(told.map_err(fault)?)
    }

    async fn delete_topic(&self, id: TopicId) -> Answer<()> {
        let kafka = self.kafka().await?;
        by_id::delete_topic(&kafka, id, ANSWERS_WITHIN).await
    }

    async fn groups(&self) -> Answer<Vec<GroupOutline>> {
        let admin = self.admin().await?;
        let told = admin.list_consumer_groups(ListConsumerGroupsOptions::default()).await.map_err(fault)?;
        let mut groups = Vec::new();
        for listing in told.into_values() {
            // A broker that does not tell its groups is no reason to say that there are none.
            for group in listing.map_err(fault)? {
                groups.push(GroupOutline {
                    name: group.group_id,
                    state: group.state.unwrap_or_else(|| "unknown".to_owned()),
                    kind: group.group_type.map_or(group.protocol_type, |kind| kind.to_string()),
                });
            }
        }
        groups.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(groups)
    }

    async fn describe_groups(&self, names: &[String]) -> Answer<Vec<Group>> {
        let admin = self.admin().await?;
        let told = admin
            .describe_consumer_groups(names, DescribeConsumerGroupsOptions::default())
            .await
            .map_err(fault)?;
        let mut groups = Vec::with_capacity(told.len());
        for (name, told) in told {
            match told {
                // What a coordinator says of a group that it does not know.
                Ok(group) if group.state.eq_ignore_ascii_case("dead") => {}
                Err(KrafkaError::Broker { code: ErrorCode::GroupIdNotFound, .. }) => {}
                Ok(told) => groups.push(Group {
                    name,
                    state: told.state,
                    kind: told.group_type.to_string(),
                    members: told.members.into_iter().map(member).collect(),
                }),
                Err(error) => return Err(fault(error)),
            }
        }
        groups.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(groups)
    }

    async fn committed(&self, group: &str, of: Option<&[Partition]>) -> Answer<HashMap<Partition, i64>> {
        let admin = self.admin().await?;
        let mut options = ListConsumerGroupOffsetsOptions::default();
        if let Some(of) = of {
            options = options.partitions(of.iter().map(place).collect());
        }
        let told = admin.list_consumer_group_offsets(group, options).await.map_err(fault)?;
        let mut committed = HashMap::with_capacity(told.len());
        for (place, told) in told {
            if let Some(offset) = told.map_err(fault)?.offset {
                let _ = committed.insert(Partition::new(&place.topic, place.partition), offset);
            }
        }
        Ok(committed)
    }

    async fn commit(&self, group: &str, offsets: &BTreeMap<Partition, i64>) -> Answer<()> {
        let offsets = offsets.iter().map(|(partition, offset)| (place(partition), *offset));
        let admin = self.admin().await?;
        let told = admin
            .alter_consumer_group_offsets(group, offsets, AlterConsumerGroupOffsetsOptions::default())
            .await;
        for told in told.map_err(fault)?.into_values() {
            told.map_err(fault)?;
        }
        Ok(())
    }

    async fn delete_group(&self, group: &str) -> Answer<()> {
        let admin = self.admin().await?;
        let told = admin.delete_consumer_groups([group], DeleteConsumerGroupsOptions::default()).await;
        first(told.map_err(fault)?)
    }

    async fn read(&self, topic: &str, stretches: &[Stretch], most_bytes: usize) -> Answer<Read> {
        let most = i32::try_from(most_bytes).unwrap_or(i32::MAX);
        let consumer = self.kafka().await?.consumer_without_group();
        let consumer = consumer
            .enable_auto_commit(false)
            .isolation_level(IsolationLevel::ReadCommitted)
            .fetch_max_bytes(most)
            .max_partition_fetch_bytes(most)
            .max_decompressed_size(most_bytes.saturating_mul(4))
            .fetch_max_wait(Duration::from_millis(200))
            .metrics_push(false)
            .build()
            .await
            .map_err(fault)?;
        consumer
            .assign(topic, stretches.iter().map(|stretch| stretch.partition).collect())
            .await
            .map_err(fault)?;
        for stretch in stretches {
            consumer.seek(topic, stretch.partition, stretch.from).await.map_err(fault)?;
        }
        let deadline = Instant::now() + ANSWERS_WITHIN;
        let (mut messages, mut bytes, mut left_out) = (Vec::new(), 0, false);
        let mut open: HashMap<i32, i64> =
            stretches.iter().map(|stretch| (stretch.partition, stretch.until)).collect();
        while !open.is_empty() && bytes < most_bytes && Instant::now() < deadline {
            for record in consumer.poll(Duration::from_millis(500)).await.map_err(fault)? {
                let Some(until) = open.get(&record.partition) else { continue };
                if record.offset >= *until {
                    continue;
                }
                if bytes >= most_bytes {
                    left_out = true;
                    continue;
                }
                bytes += record.key.as_deref().map_or(0, <[u8]>::len)
                    + record.value.as_deref().map_or(0, <[u8]>::len);
                messages.push(message(record));
            }
            // A stretch may end in what is no message: the end of a transaction, a hole that compaction left.
            let mut still = HashMap::new();
            for (partition, until) in open {
                if consumer.position(topic, partition).await.is_none_or(|position| position < until) {
                    let _ = still.insert(partition, until);
                }
            }
            open = still;
        }
        drop(consumer.close().await);
        Ok(Read { messages, whole: open.is_empty() && !left_out })
    }

    async fn produce(&self, draft: &Draft) -> Answer<(i32, i64)> {
        let producer = self.kafka().await?.producer();
        // Written once, or nobody knows: the broker sorts out what is sent twice.
        let producer = producer
            .idempotent(true)
            .linger(Duration::ZERO)
            .delivery_timeout(ANSWERS_WITHIN + Duration::from_secs(1))
            .max_block(ANSWERS_WITHIN)
            .metrics_push(false)
            .build()
            .await
            .map_err(|error| match fault(error) {
                Fault::Unanswered(why) => Fault::Unreachable(why),
                other => other,
            })?;
        let mut record = Record::new(&draft.topic, draft.value.clone());
        if let Some(key) = &draft.key {
            record = record.key(key.clone());
        }
        if let Some(partition) = draft.partition {
            record = record.partition(partition);
        }
        for (name, value) in &draft.headers {
            record = record.header(name, value.clone());
        }
        let sent = producer.send(record).await;
        drop(timeout(Duration::from_secs(1), producer.close()).await);
        let sent = sent.map_err(fault)?;
        Ok((sent.partition, sent.offset))
    }
}

fn topic(told: TopicDescription) -> Topic {
    let partitions = told.partitions.into_iter().map(|partition| TopicPartition {
        number: partition.partition,
        leader: partition.leader,
        replicas: partition.replicas,
        in_sync: partition.isr,
    });
    Topic { name: told.name, id: told.topic_id, internal: told.is_internal, partitions: partitions.collect() }
}

fn member(told: krafka::admin::ConsumerGroupMember) -> Member {
    let mut reads: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for topic in told.subscribed_topic_names.into_iter().flatten() {
        let _ = reads.entry(topic).or_default();
    }
    for assigned in told.assignment.into_iter().flatten() {
        reads.entry(assigned.topic_name).or_default().extend(assigned.partitions);
    }
    Member { id: told.member_id, client_id: told.client_id, host: told.client_host, reads }
}

fn message(record: krafka::ConsumerRecord) -> Message {
    let bytes = |bytes: &[u8]| bytes.to_vec();
    Message {
        partition: record.partition,
        offset: record.offset,
        written: Timestamp::from_millisecond(record.timestamp).ok(),
        key: record.key.as_deref().map(bytes),
        value: record.value.as_deref().map(bytes),
        headers: record
            .headers
            .into_iter()
            .map(|(name, value)| (name, value.as_deref().map(bytes)))
            .collect(),
    }
}

fn place(partition: &Partition) -> Place {
    Place::new(&partition.topic, partition.number)
}

fn spec(at: At) -> OffsetSpec {
    match at {
        At::Earliest => OffsetSpec::Earliest,
        At::Latest | At::Committed => OffsetSpec::Latest,
        At::Moment(moment) => OffsetSpec::Timestamp(moment.as_millisecond()),
        At::LastWritten => OffsetSpec::MaxTimestamp,
    }
}

/// The answer to the one thing that was asked for.
fn first<K>(told: HashMap<K, krafka::Result<()>>) -> Answer<()> {
    let nothing =
        || Err(Fault::Unanswered("the broker's answer does not name what was asked for".to_owned()));
    told.into_values().next().map_or_else(nothing, |told| told.map_err(fault))
}
