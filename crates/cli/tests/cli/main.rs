//! The program as people and scripts meet it: whole command lines against a small gateway that speaks the
//! HTTP interface and plays what a test tells it to.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests stand outside the functions that clippy knows as tests"
)]

mod actions;
mod approvals;
mod audit;
mod changes;
mod check_provider;
mod completion;
mod contexts;
mod deliveries;
mod errors;
mod fake;
mod help;
mod internal_action;
mod offered;
mod policy;
mod providers;
mod reads;
mod schedules;
mod signing;
mod terminal;
