//! A refusal: what a person meets when the door stays shut. It was recorded when it was made.

use guichet_contract::Problem;

/// Why a call was not let through.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{problem}")]
pub struct Refusal {
    /// For the caller.
    pub problem: Box<Problem>,
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self { problem: Box::new(problem) }
    }
}
