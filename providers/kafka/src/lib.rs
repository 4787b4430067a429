//! Kafka: which clusters, topics and consumer groups there are, and how to change them with what people need to know.
//!
//! Plans show what used to be looked up by hand: how much is in a topic, when it was last written, who reads it and how far
//! behind; who is in a group. What is changed is what was planned: a topic is deleted by its id, offsets are set when they
//! are as they were shown.
//!
//! It does not decide who may: that is the gateway's. It keeps nothing: Kafka is asked each time.
//!
//! Begin reading at [`provider`], then `wire.rs` (what is asked of Kafka) and `delete_topic.rs` (a plan and its end).

mod actions;
mod alter_topic;
mod bound;
mod by_id;
mod cluster;
mod clusters;
mod create_topic;
mod delete_group;
mod delete_topic;
#[cfg(test)]
mod fake_broker;
mod groups;
mod inactive;
mod krafka_fault;
mod krafka_wire;
mod lag;
mod last_commit;
mod masking;
mod produce_message;
mod read_messages;
mod reset_offsets;
pub mod settings;
mod topics;
mod traffic;
mod wire;
mod words;

pub use actions::provider;
pub use masking::Mask;
pub use settings::{Settings, SettingsError};
