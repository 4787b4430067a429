//! Scripts of a folder as actions, each run as a Kubernetes Job.
//!
//! What a script says, how it is declared and what an approval is bound to is the room `providers/scripts`; this one is the
//! runner. A run is a Job whose name comes from the run, so that there is never a second one: whoever is called for the run
//! finds it, follows its log, and tells how it ended. The Job is the memory; this process keeps nothing.
//!
//! It decides nothing about who may, and it needs few rights: `walks/run-scripts-on-kubernetes.md` has them.
//!
//! Begin reading at [`KubernetesRunner`], then `manifest.rs` (what is laid down) and `standing.rs` (what the cluster says of it).

mod cluster;
mod follow;
mod laid;
mod log;
mod manifest;
mod rights;
mod runner;
#[cfg(test)]
mod scripted;
mod seal;
pub mod settings;
mod sight;
mod standing;
mod start_line;

pub use cluster::Cluster;
pub use laid::{keep_swept, sweep};
pub use rights::findings;
pub use runner::KubernetesRunner;
pub use settings::Kubernetes;
