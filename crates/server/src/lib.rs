//! The binary `guichetd`: configuration and all wiring. It decides nothing.
//!
//! Begin reading at [`assemble`]: which room is handed what.

pub mod added;
pub mod archive;
pub mod assemble;
pub mod commands;
pub mod config;
mod config_credential;
pub mod config_notify;
mod config_provider;
mod config_registration;
mod config_store;
pub mod documents;
pub mod embedded;
mod kept_offer;
pub mod keys;
mod log_writer;
mod memory;
pub mod policy_cases;
mod provider_folder;
mod provider_text;
pub mod providers;
pub mod record_export;
mod registered;
pub mod reload;
pub mod sources;
pub mod store;
pub mod telemetry;
mod whole_file;
pub mod witness;

pub use assemble::{Assembled, Role, assemble};
pub use config::Config;
