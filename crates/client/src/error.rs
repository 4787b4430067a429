//! What a call can come to besides an answer.

use guichet_contract::Problem;

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The gateway (or a provider behind it) said no, and why.
    #[error("{0}")]
    Problem(Box<Problem>),
    /// Nobody answered, or the answer was cut off. A change may or may not have been received.
    #[error("the gateway at {url} cannot be reached: {why}")]
    Unreachable {
        /// The gateway's address.
        url: String,
        /// What the network said.
        why: String,
    },
    /// Something answered that does not speak as a gateway does.
    #[error("what answers at {url} does not speak as a gateway: {what}")]
    Protocol {
        /// The gateway's address.
        url: String,
        /// What was wrong with the answer.
        what: String,
        /// HTTP status, when there was one.
        status: Option<u16>,
    },
    /// The gateway's address cannot be used.
    #[error("`{url}` is no address of a gateway: {why}")]
    Address {
        /// As it was given.
        url: String,
        /// What is wrong with it.
        why: String,
    },
}

impl Error {
    /// Whether the same call, with the same `Idempotency-Key`, is worth a second try: nobody answered, a
    /// proxy before the gateway answered in its place, or the gateway said that it cannot work right now or has too much of it.
    pub fn is_passing(&self) -> bool {
        use guichet_contract::code;
        match self {
            Self::Unreachable { .. } => true,
            Self::Protocol { status, .. } => matches!(status, Some(502..=504)),
            Self::Problem(problem) => [code::STORE_UNAVAILABLE, code::SHUTTING_DOWN, code::TOO_MANY_REQUESTS]
                .contains(&problem.code.as_str()),
            Self::Address { .. } => false,
        }
    }
}
