//! Typed calls to the gateway: one method per route, named by the verb the whole house uses.
//!
//! For the surfaces: command line, portal, agents. It knows the words of `contract` and HTTP, and decides
//! nothing: what may happen is the gateway's affair. It prints nothing, reads no settings and keeps no
//! token anywhere; a lost connection to an event stream is taken up again by itself ([`Client::follow_run`]).
//!
//! Begin reading at [`Client`], then `follow.rs`.

mod address;
mod catalogue;
mod client;
mod deliveries;
mod error;
mod follow;
mod ledger;
mod lines;
mod policy;
mod runs;
mod schedules;
mod secret;
mod session;

pub use catalogue::{CatalogueAnswer, NewService};
pub use client::{Client, Page, Timeouts};
pub use deliveries::DeliveryFilter;
pub use error::Error;
pub use ledger::{Export, RecordFilter};
pub use policy::Subject;
pub use runs::{Planned, PlannedDecision, Reviewed, RunFilter, Submission, Submitted};
pub use schedules::NewSchedule;
pub use secret::Secret;
pub use session::{Identity, NewSession, NewToken, TokenInfo};
