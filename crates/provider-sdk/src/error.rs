//! What a handler answers when it does not do what was asked.

use std::error::Error;

use guichet_contract::{FieldError, Problem, code};

/// Why an action was not done, in words for the person who asked. It becomes an RFC 9457 problem.
///
/// Any error turns into one with `?` and counts as [`ActionError::failed`]; so does a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionError {
    problem: Box<Problem>,
    unknown: bool,
}

impl ActionError {
    /// What was named does not exist (404).
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(404, "There is no such thing", detail)
    }

    /// The provider will not do this, whoever asks and however often (403).
    pub fn refused(detail: impl Into<String>) -> Self {
        Self::new(403, "The provider refuses this", detail)
    }

    /// The world is not as the call supposes: it changed since it was planned, or someone else was first (409).
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(409, "Things are not as they were", detail)
    }

    /// What the action needs cannot be reached now; nothing was done (503).
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(503, "What the action needs is not available", detail)
    }

    /// It went wrong (500).
    pub fn failed(detail: impl Into<String>) -> Self {
        Self::new(500, "The action has failed", detail)
    }

    /// A member of the input is wrong in a way its schema cannot tell (422). `pointer` is a JSON pointer
    /// into the input: `/pid`.
    pub fn invalid(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        let message = message.into();
        let mut problem = Problem::new(code::INVALID_INPUT, message.clone());
        problem.errors = vec![FieldError { pointer: pointer.into(), flag: None, message }];
        Self { problem: Box::new(problem), unknown: false }
    }

    /// It was asked for, and nobody can say whether it was done: what the action needs did not answer. The run becomes
    /// `unknown`, nothing is claimed and nothing undone; the words stay in the provider's log. Of a read or a plan it is
    /// the same as [`ActionError::unavailable`].
    pub fn unknown(detail: impl Into<String>) -> Self {
        Self { unknown: true, ..Self::unavailable(detail) }
    }

    /// It was stopped, since somebody asked for that.
    pub fn cancelled() -> Self {
        Self {
            problem: Box::new(Problem::new(code::RUN_CANCELLED, "it was stopped on request")),
            unknown: false,
        }
    }

    pub(crate) fn of_problem(problem: Box<Problem>) -> Self {
        Self { problem, unknown: false }
    }

    /// Whether nobody can say if it was done.
    pub fn is_unknown(&self) -> bool {
        self.unknown
    }

    /// Says what to do next.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.problem.next = Some(next.into());
        self
    }

    /// As it goes on the wire.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    pub(crate) fn into_problem(self) -> Box<Problem> {
        self.problem
    }

    fn new(status: u16, title: &str, detail: impl Into<String>) -> Self {
        let mut problem = Problem::new(code::PROVIDER_FAILED, detail);
        problem.status = status;
        title.clone_into(&mut problem.title);
        Self { problem: Box::new(problem), unknown: false }
    }
}

/// `ActionError` is deliberately no `std::error::Error`: that leaves room for this conversion.
impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for ActionError {
    fn from(error: E) -> Self {
        let error = error.into();
        let mut detail = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            detail.push_str(": ");
            detail.push_str(&cause.to_string());
            source = cause.source();
        }
        Self::failed(detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_error_and_any_text_become_one() {
        fn number(text: &str) -> Result<i32, ActionError> {
            Ok(text.parse::<i32>()?)
        }
        let error = number("x").unwrap_err();
        assert_eq!(error.problem().status, 500);
        assert_eq!(error.problem().detail, "invalid digit found in string");
        assert_eq!(ActionError::from("no disk").problem().detail, "no disk");
    }

    #[test]
    fn each_kind_has_its_status() {
        for (error, status) in [
            (ActionError::not_found("x"), 404),
            (ActionError::refused("x").next("y"), 403),
            (ActionError::conflict("x"), 409),
            (ActionError::unavailable("x"), 503),
            (ActionError::invalid("/pid", "x"), 422),
        ] {
            assert_eq!(error.problem().status, status);
        }
    }
}
