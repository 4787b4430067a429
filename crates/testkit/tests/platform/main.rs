//! Stories that walk through several rooms, over real HTTP on a real store.

mod adding;
mod approvals;
mod bulkheads;
mod conditions;
mod crashes;
mod credentials;
mod deliveries;
mod emergencies;
mod interleavings;
mod ledger;
mod lines;
mod long_runs;
mod mails;
mod notices;
mod odd_streams;
mod policy;
mod recorded;
mod registering;
mod rest;
mod rude_providers;
mod schedules;
mod scripts;
mod submissions;
mod unsent;
mod waiting;
mod world;
