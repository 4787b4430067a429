//! Databases: which there are, who blocks whom, and how to stop one query without a hand-off.
//!
//! Looks with `pg_monitor` and signals with `pg_signal_backend`; it never needs a superuser, and it refuses to
//! touch a superuser's session. What it stops is what was planned: the same backend, running the same query,
//! compared in the statement that sends the signal.
//!
//! It does not decide who may: that is the gateway's. It keeps nothing: PostgreSQL is asked each time.
//!
//! Begin reading at [`provider`], then `target.rs` (which session is meant) and `stop.rs` (how it is stopped).

mod actions;
mod activity;
mod connect;
mod endpoint;
mod instances;
mod list;
mod locks;
mod long_transactions;
mod plan;
mod replication_lag;
mod session;
pub mod settings;
mod slow_queries;
mod stop;
mod target;
mod tree;

pub use actions::provider;
pub use settings::{Settings, SettingsError};
