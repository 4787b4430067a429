//! Durable work: claim, lease, retry. A job was committed together with the state change that asked for it; here it is
//! taken up, at least once, by someone who must make sure that its effect happens at most once.
//!
//! Knows no verb: whoever performs is handed in as [`Perform`]. Asks the store only when it was woken, when a job falls
//! due or when a lease runs out: an idle system does no queries.
//!
//! Begin reading at [`worker`].

mod bulkheads;
pub mod worker;

pub use bulkheads::KnownBulkheads;
pub use worker::{Perform, Worker, WorkerSettings};
