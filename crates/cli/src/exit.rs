//! How the process ends: `docs/exit-codes.md` is the table for people, this enum is the table for the code.

use std::process::ExitCode;

use guichet_contract::{Problem, RunState, code};

/// One exit code each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    NotSignedIn = 3,
    Refused = 4,
    NotFound = 5,
    Rejected = 6,
    Cancelled = 7,
    Unknown = 8,
    Unreachable = 9,
    Waiting = 10,
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

impl Exit {
    /// For a refusal of the gateway.
    pub(crate) fn of_problem(problem: &Problem) -> Self {
        match problem.code.as_str() {
            code::BAD_REQUEST
            | code::INVALID_INPUT
            | code::NOT_OFFERED
            | code::BODY_TOO_LARGE
            | code::AMBIGUOUS_ID => Self::Usage,
            code::APPROVAL_EXPIRED | code::PLAN_DRIFTED | code::BINDING_CHANGED => Self::Rejected,
            code::STORE_UNAVAILABLE | code::SHUTTING_DOWN => Self::Unreachable,
            _ => match problem.status {
                401 => Self::NotSignedIn,
                403 => Self::Refused,
                404 => Self::NotFound,
                _ => Self::Failed,
            },
        }
    }

    /// For a run as it stands.
    pub(crate) fn of_state(state: RunState) -> Self {
        match state {
            RunState::Succeeded => Self::Done,
            RunState::Failed => Self::Failed,
            RunState::Cancelled => Self::Cancelled,
            RunState::Unknown => Self::Unknown,
            RunState::Rejected | RunState::Expired | RunState::Voided => Self::Rejected,
            RunState::Planned | RunState::AwaitingApproval | RunState::Queued | RunState::Running => {
                Self::Waiting
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_the_documentation_holds() {
        for (problem, exit) in [
            (code::INVALID_INPUT, Exit::Usage),
            (code::NOT_SIGNED_IN, Exit::NotSignedIn),
            (code::INVALID_CREDENTIALS, Exit::NotSignedIn),
            (code::REFUSED, Exit::Refused),
            (code::OWN_RUN, Exit::Refused),
            (code::UNKNOWN_RUN, Exit::NotFound),
            (code::PLAN_DRIFTED, Exit::Rejected),
            (code::PROVIDER_FAILED, Exit::Failed),
            (code::STORE_UNAVAILABLE, Exit::Unreachable),
        ] {
            assert_eq!(Exit::of_problem(&Problem::new(problem, "")), exit, "{problem}");
        }
    }
}
