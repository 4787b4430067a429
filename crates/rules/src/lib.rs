//! May they, who must approve, and why: Cedar policies and the registry of teams, services and owners.
//!
//! Pure: texts and values in, decisions out. It reads no file, knows no time, and asks nobody.
//!
//! Begin reading at [`Question`] and [`Decision`], then `decide.rs` (how an answer comes about), `policies.rs` (how
//! texts become policies in force) and [`Registry`].
//!
//! # What policies speak of
//! - Principals: `Person`, `ServiceAccount`, `CiJob`, each with `name: String`, `agent?: String`, in their `Team`s (and
//!   in the teams those are part of).
//! - `Resource::"postgres/shop/applications/checkout"` with `path: String` and `owner: Team`, in all its prefixes:
//!   `resource in Resource::"postgres/shop"`. What nobody owns has the owner `Team::"unowned"`, in which nobody is.
//! - Actions: each of the catalogue, `Action::"postgres.cancel-query"`, in its effect (`Action::"read"`,
//!   `Action::"change"`, `Action::"destroy"`) and in its provider (`Action::"provider:postgres"`); and the gateway's own
//!   verbs `Action::"approve"`, `Action::"break_glass"`, `Action::"view_run"`, `Action::"audit"`,
//!   `Action::"register_instance"`, `Action::"add_provider"`, `Action::"remove_provider"`, `Action::"read_deliveries"`,
//!   `Action::"replay_delivery"`, `Action::"ping_channel"`.
//! - `context` of an action: `environment`, `surface`, `reason?`, and `input` with the members of its schema that Cedar
//!   has types for. Of `approve`: `environment`, `action`, `effect`, `requester`, `because?`. Of the other verbs:
//!   `environment`.
//!
//! # Annotations
//! `@id("…")` on every policy, unique; `@description("…")`, the sentence a refusal tells; `@next("…")` on a `forbid`,
//! what to do then. A `forbid` that people can lift bears `@approval("why")` and `@by("owner")` or `@by("team:NAME")`,
//! and may bear `@count("2")` and `@expires("4h")`.
//!
//! A policy that does not hold to any of this is a [`Fault`] with its place, and nothing is in force then.

mod calendar;
mod checks;
mod concurrency;
mod decide;
mod explain;
mod fault;
mod kinds;
mod lift;
mod memory;
mod nearest;
mod outlook;
mod pattern;
mod policies;
mod question;
mod reach;
mod registry;
mod registry_text;
mod request;
mod resource;
mod rule;
mod schema;
mod shape;
mod source;

pub use calendar::Calendar;
pub use concurrency::concurrency_of;
pub use fault::Fault;
pub use lift::{LiftRefusal, Waiting};
pub use nearest::did_you_mean;
pub use outlook::{Foresight, Prospect};
pub use policies::{Defaults, Policies};
pub use question::{ApproveQuestion, BreakGlassQuestion, Condition, Decision, Question, Reason, Why};
pub use registry::{Person, Registry, Service, Team, UNOWNED};
pub use resource::{MAX_DEPTH, MAX_LENGTH, ResourceError, check_resource, lies_under, resource_of};
pub use rule::{Lifting, Rule, Writing};
pub use schema::schema_text;
