//! Stories that walk through several rooms, over real HTTP on a real store.

mod approvals;
mod crashes;
mod credentials;
mod ledger;
mod recorded;
mod rest;
mod rude_providers;
mod submissions;
mod world;
