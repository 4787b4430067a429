//! Scripts on a real Kubernetes: real API server, controllers and scheduler, a real provider; only the node is a stand-in.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a story that cannot go on has failed")]

mod deaths;
mod meanwhile;
mod refusals;
mod runs;
mod stage;
mod stand_in_kubelet;
