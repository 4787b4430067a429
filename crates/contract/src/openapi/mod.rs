//! How an OpenAPI document (2.0, 3.0, 3.1) becomes actions.
//!
//! [`read`] takes a provider's document and gives one [`Action`] per operation, or everything that is wrong with
//! the document at once, each fault with a JSON pointer to its place. It works on documents that never heard of
//! Guichet; `x-guichet` refines them. [`check_catalogue`] then looks across providers.
//!
//! It resolves references inside the document only: nothing is ever fetched. It does not judge whether an effect
//! is told truthfully, and it does not compile schemas; the door does that once, when it takes in a catalogue.
//!
//! Begin reading at `document` (the way through a document), then `operation` (how one action is put together).

mod body;
mod clashes;
mod command;
mod cut;
mod dialect;
mod discriminator;
mod document;
mod extension;
mod fields;
mod finding;
mod keyword;
mod links;
mod media;
mod member;
mod merge;
mod operation;
mod parameters;
mod paths;
mod place;
mod reference;
mod schema;
mod servers;
mod sheet;
mod swagger;
mod template;
mod version;

use crate::action::{Action, Effect};

pub use clashes::check_catalogue;
pub use document::read;
pub use finding::Finding;

/// Operations a document may have: several times as many as the largest that is known (Microsoft Graph).
pub const MOST_OPERATIONS: usize = 50_000;
/// Objects and arrays inside one another a document may have.
pub const DEEPEST_NESTING: usize = 64;

/// First words of commands that belong to the command line itself.
pub const RESERVED: [&str; 20] = [
    "login",
    "logout",
    "whoami",
    "actions",
    "runs",
    "approvals",
    "audit",
    "context",
    "contexts",
    "policy",
    "provider",
    "providers",
    "tokens",
    "completion",
    "help",
    "version",
    "troubleshoot",
    "internal-action",
    "schedules",
    "deliveries",
];

/// Flags that belong to the command line itself; a member of that name is called by its place and name.
pub const OWN_FLAGS: [&str; 13] = [
    "output",
    "plan",
    "wait",
    "no-wait",
    "yes",
    "context",
    "reason",
    "approval-description",
    "help",
    "timeout",
    "color",
    "verbose",
    "quiet",
];

/// How to take what a document says that cannot be fully understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// Our own documents: an unknown `x-guichet` field is a fault, and one fault refuses the document.
    Strict,
    /// Others' documents: an unknown `x-guichet` field is a warning, and an operation that cannot be read is
    /// left out.
    Lenient,
}

/// What a document says.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The document's title.
    pub title: String,
    /// Where the document says that its service answers: `https://api.example.org/v1`, or a path on the machine that the
    /// document came from, `/v1`. The first of several; nothing decides by it but whoever adds a provider.
    pub server: Option<String>,
    /// One per operation, in the order of the document.
    pub actions: Vec<Action>,
    /// What was understood but deserves a look.
    pub warnings: Vec<Finding>,
    /// Operations that were left out, each with the reason; only when [`Strictness::Lenient`]. And what its provider says
    /// itself that it left out.
    pub refused: Vec<Finding>,
}

/// What a method does to the world when nothing else is said: `GET`, `HEAD` and `OPTIONS` read, `DELETE` destroys, the others
/// change (RFC 9110 §9.2.1 calls the first three safe).
pub fn effect_of_method(method: &str) -> Effect {
    if ["GET", "HEAD", "OPTIONS"].iter().any(|safe| method.eq_ignore_ascii_case(safe)) {
        Effect::Read
    } else if method.eq_ignore_ascii_case("DELETE") {
        Effect::Destroy
    } else {
        Effect::Change
    }
}
