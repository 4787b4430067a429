//! What became of a change that this process does not remember, but something else does: a queue, a cluster, a row.

use guichet_contract::code;
use serde_json::Value;

use crate::{answer::Answer, error::ActionError};

/// What somebody else remembers of a change.
#[derive(Debug, Clone, PartialEq)]
pub enum Recalled {
    /// It is under way.
    UnderWay,
    /// It ended so: with this result, or with this error.
    Ended(Result<Value, ActionError>),
    /// Nothing. It may have been done all the same.
    Nothing,
}

impl Recalled {
    /// As an answer, when it is an end that is sure.
    pub(crate) fn into_answer(self) -> Option<Answer> {
        match self {
            Self::Ended(Ok(result)) => Some(Answer::Done(result)),
            Self::Ended(Err(error)) if error.is_unknown() => None,
            Self::Ended(Err(error)) if error.problem().code == code::RUN_CANCELLED => {
                Some(Answer::Cancelled(None))
            }
            Self::Ended(Err(error)) => Some(Answer::problem(error.into_problem())),
            Self::UnderWay | Self::Nothing => None,
        }
    }
}
