//! For whoever owns an action: declare it, write the function that performs it, serve it.
//!
//! ```no_run
//! use guichet_provider_sdk::{ActionError, Context, Settings, provider, team};
//! use schemars::JsonSchema;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Deserialize, JsonSchema)]
//! struct Hello {
//!     /// Whom to greet.
//!     name: String,
//! }
//! #[derive(Serialize, JsonSchema)]
//! struct Greeting {
//!     text: String,
//! }
//! async fn say_hello(_: Context, hello: Hello) -> Result<Greeting, ActionError> {
//!     Ok(Greeting { text: format!("Hello, {}", hello.name) })
//! }
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! provider("greeter")
//!     .action("say-hello", say_hello).approval(team("dba"))
//!     .serve(Settings::from_env()?).await?;
//! # Ok(()) }
//! ```
//!
//! The types become the OpenAPI document; the gateway makes a command, a form and a tool of it. The SDK proves
//! that a call comes from the gateway ([`Keys`]), checks the input against the type's JSON Schema, answers a
//! repeated call with the first answer (`Idempotency-Key`), and finishes a change whose caller went away.
//! With a token of a service account it registers itself with the gateway, says again and again that it is there, and takes
//! leave before it ends ([`Registration`]); beside routes that a program has already, it is [`Mounted`].
//!
//! It decides nothing: whether a person may do this, and who must approve, is settled before the call arrives.
//! It knows nothing of the gateway's insides; `docs/provider-protocol.md` is the whole of what both share.
//!
//! Begin reading at [`provider`](fn@provider), then `call.rs`: the way of one call, top to bottom.

mod answer;
mod approval;
pub mod bench;
mod call;
mod context;
mod declare;
mod document;
mod error;
mod input;
mod journal;
mod keys;
mod mounted;
mod prepared;
mod provider;
mod recall;
mod registration;
mod replay;
mod routes;
mod schema;
mod serve;
mod settings;
mod steps;
mod story;
mod timeout;
mod token;
mod view;

pub use approval::{ApprovalBy, approvers, owner, team};
pub use context::Context;
pub use declare::{Declaring, NoInput, with};
pub use error::ActionError;
pub use guichet_contract::{Effect, Plan, Principal, Problem, Within};
pub use keys::{KeyError, KeyRing, Keys};
pub use mounted::Mounted;
pub use prepared::Prepared;
pub use provider::{Mistakes, Provider, provider};
pub use recall::Recalled;
pub use registration::{Registration, RegistrationError};
pub use serve::ServeError;
pub use settings::{Settings, SettingsError};
pub use timeout::Timeout;
pub use view::{OptionsFrom, Table, from, table};
