//! The door: identify → resolve → validate → authorize → [`Admitted`], or a [`Refusal`] with a reason.
//!
//! Every call, from any surface, passes here; nothing acts without an [`Admitted`], which can be made nowhere else.
//! The door records what it refuses, so that no caller can forget to. It knows no HTTP framework and no provider:
//! what a plan says is handed in ([`Door::require`]).
//!
//! Begin reading at [`door`], which is the itinerary; [`world`] is what a decision is taken against.

pub mod admitted;
mod advise;
pub mod ask;
pub mod caller;
mod deliveries;
pub mod door;
pub mod readmit;
pub mod refusal;
pub mod registrations;
pub mod resolve;
mod resume;
mod runs;
pub mod schedules;
mod unfit;
pub mod validate;
pub mod world;

pub use admitted::{ActionCall, Admitted, Deciding, GatewayCall};
pub use ask::{Asked, Thought};
pub use caller::{Call, Caller};
pub use door::{Attempt, Door, GatewayVerb, Purpose};
pub use refusal::Refusal;
pub use resolve::{RestCall, RestMatch};
pub use schedules::describe_schedule;
pub use unfit::Unfit;
pub use world::{CompiledAction, CompiledCatalogue, World, check_pattern, check_schema};
