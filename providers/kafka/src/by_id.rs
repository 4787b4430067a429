//! Deleting a topic by its id, which the client's admin API does not offer: it deletes by name, and so would delete what
//! somebody made anew under that name since it was approved.
//!
//! Through the client's own connections and encoders, which it shows to its tools only (feature `internal`): a reason more
//! for naming its version exactly.

use std::time::Duration;

use krafka::{
    __private::{
        kafka_metadata, kafka_pool,
        protocol::{
            ApiKey, DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse, VersionedDecode as _,
            VersionedEncode as _,
        },
    },
    Kafka, KrafkaError,
};
use tokio::time::timeout;

use crate::{
    krafka_fault::fault,
    wire::{Answer, Fault, TopicId},
};

/// The first version of the request that names topics by their ids (Kafka 2.8).
const BY_ID: i16 = 6;

/// Deletes the topic of this id. Never sent twice.
pub(crate) async fn delete_topic(kafka: &Kafka, id: TopicId, within: Duration) -> Answer<()> {
    let unreachable = |error: KrafkaError| match fault(error) {
        Fault::Unanswered(why) => Fault::Unreachable(why),
        other => other,
    };
    let metadata = kafka_metadata(kafka);
    if metadata.controller().is_none() {
        metadata.refresh().await.map_err(unreachable)?;
    }
    let no_controller = || Fault::Unreachable("the cluster has no controller at the moment".to_owned());
    let controller = metadata.controller().ok_or_else(no_controller)?;
    let opened =
        timeout(within, kafka_pool(kafka).get_connection_by_id(controller.id(), controller.address())).await;
    let connection = opened
        .map_err(|_| Fault::Unreachable("the controller does not answer".to_owned()))?
        .map_err(unreachable)?;
    if connection.negotiate_api_version(ApiKey::DeleteTopics, BY_ID, BY_ID).is_none() {
        return Err(Fault::Refused(
            "this Kafka deletes no topics by their ids; 2.8 or later does".to_owned(),
        ));
    }
    let request = DeleteTopicsRequest {
        topic_names: Vec::new(),
        topics: vec![DeleteTopicState { name: None, topic_id: id }],
        timeout_ms: i32::try_from(within.as_millis()).unwrap_or(i32::MAX),
    };
    let sent = connection
        .send_request(ApiKey::DeleteTopics, BY_ID, |buffer| request.encode_versioned(BY_ID, buffer));
    let mut answer = timeout(within, sent)
        .await
        .map_err(|_| Fault::Unanswered("no answer in time".to_owned()))?
        .map_err(|error| match fault(error) {
            // From here on it may have arrived.
            Fault::Unreachable(why) => Fault::Unanswered(why),
            other => other,
        })?;
    let unreadable = |error: KrafkaError| Fault::Unanswered(format!("the answer cannot be read: {error}"));
    let answer = DeleteTopicsResponse::decode_versioned(BY_ID, &mut answer).map_err(unreadable)?;
    let Some(told) = answer.responses.into_iter().next() else {
        return Err(Fault::Unanswered("the answer names no topic".to_owned()));
    };
    if told.error_code.is_ok() {
        return Ok(());
    }
    let message = told.error_message.unwrap_or_else(|| format!("{:?}", told.error_code));
    Err(fault(KrafkaError::broker(told.error_code, message)))
}
