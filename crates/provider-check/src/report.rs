//! What became of each case, in words for whoever writes the provider.

use serde::Serialize;

use crate::answer::Not;

/// How a case ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The provider does as the page says.
    Passed,
    /// It does not.
    Failed,
    /// It could not be tried here.
    Skipped,
}

impl Status {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// What was done, what should have come, and what came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The call, without its token.
    pub sent: String,
    /// What the page asks for.
    pub expected: String,
    /// What came.
    pub came: String,
    /// Why the page asks for it.
    pub why: &'static str,
}

/// One case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Case {
    /// Its name, such as `token-expired`.
    pub name: &'static str,
    /// What it checks.
    pub checks: &'static str,
    /// The heading of `docs/provider-protocol.md` that asks for it.
    pub section: &'static str,
    /// How it ended.
    pub status: Status,
    /// Why it was not tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

impl Case {
    pub(crate) fn new(
        name: &'static str,
        checks: &'static str,
        section: &'static str,
        why: &'static str,
        ended: Result<(), Not>,
    ) -> Self {
        let mut case = Self { name, checks, section, status: Status::Passed, skipped: None, failure: None };
        match ended {
            Ok(()) => {}
            Err(Not::Skipped(reason)) => {
                case.status = Status::Skipped;
                case.skipped = Some(reason);
            }
            Err(Not::Held { sent, expected, came }) => {
                case.status = Status::Failed;
                case.failure = Some(Failure { sent, expected, came, why });
            }
        }
        case
    }
}

/// All cases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Where the provider is.
    pub url: String,
    /// What it is called.
    pub provider: String,
    /// In the order in which they were tried.
    pub cases: Vec<Case>,
}

impl Report {
    pub(crate) fn new(url: &str, provider: &str) -> Self {
        Self { url: url.to_owned(), provider: provider.to_owned(), cases: Vec::new() }
    }

    /// How many ended so.
    pub fn count(&self, status: Status) -> usize {
        self.cases.iter().filter(|case| case.status == status).count()
    }

    /// Whether none failed.
    pub fn holds(&self) -> bool {
        self.count(Status::Failed) == 0
    }
}
