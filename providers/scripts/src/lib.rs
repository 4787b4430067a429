//! Scripts as actions: every executable file of a folder that says in a header what it does becomes an action.
//!
//! What is declared, what was approved and what runs are the same bytes: a script is read once, its header and its digest
//! come from that reading, and what is executed is a private copy of it. Input reaches it as environment, standard input
//! and arguments, never through a shell string. It runs as an unprivileged user, within limits, in a process namespace of
//! its own where the kernel gives one, and nothing that it started outlives it.
//!
//! It does not decide who may: that is the gateway's. It keeps nothing between two runs.
//!
//! Begin reading at [`Scripts`], then `perform.rs` (one run) and `local.rs` (how a process is started and ended).

mod declare;
mod findings;
mod folder;
mod handed;
mod header;
mod local;
pub mod output;
mod perform;
mod run_folder;
mod runner;
mod sandbox;
mod script;
mod scripts;
pub mod settings;

pub use findings::Finding;
pub use runner::{Ended, Following, Hidden, HowEnded, Job, Lasting, Memory, NotRun, Program, Runner, Tell};
pub use scripts::Scripts;
pub use settings::{Settings, SettingsError};
