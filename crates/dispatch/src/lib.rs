//! Speaks to providers: builds the request from the validated input, signs it, keeps its deadline, reads the answer
//! within limits, and rests a provider that keeps failing. Over HTTP, at an address that is configured or at whichever instance is there, or in process through the same
//! router.
//!
//! Decides nothing about who may, and keeps nothing durable. What it cannot tell for sure it calls `Silent`: the
//! difference between "surely not done" and "nobody can say" is made here and nowhere else.
//!
//! Begin reading at [`dispatch`], then [`request`] (out) and [`answer`] (in).

pub mod answer;
pub mod breaker;
pub mod client_credentials;
pub mod credentials;
pub mod dispatch;
pub mod document;
mod foreign;
pub mod instances;
mod names;
pub mod provider;
pub mod request;
pub mod story;
pub mod token;
pub mod transport;
mod written;

pub use client_credentials::{ClientCredentials, TokenRequest};
pub use credentials::Credentials;
pub use dispatch::Dispatch;
pub use document::{Document, DocumentError, parse_text};
pub use instances::Instances;
pub use provider::{DocumentPlace, Foreign, Limits, Provider};
pub use token::{Claims, SignTokens};
pub use transport::{AnswerBody, Carry, NoAnswer, Transport};
