//! A refusal: what a person meets when the door stays shut. The door records it when it makes it.

use guichet_contract::Problem;

/// Why a call was not let through.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{problem}")]
pub struct Refusal {
    /// For the caller.
    pub problem: Box<Problem>,
    /// Whether the audit trail holds it, or what came before it, already. If not, whoever answers the call records it.
    pub recorded: bool,
}

impl Refusal {
    /// Of which a record was made.
    pub fn recorded(problem: Problem) -> Self {
        Self { problem: Box::new(problem), recorded: true }
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self { problem: Box::new(problem), recorded: false }
    }
}
