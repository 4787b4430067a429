//! The Kafka provider through a whole platform, against real brokers. A machine that cannot run one skips all of these.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod clusters;
mod deletions;
mod failures;
mod messages;
mod offsets;
mod policy;
mod proxy;
mod topics;
mod world;
