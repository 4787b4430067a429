//! Why a command did not do what was asked: always a problem with what happened, why, and what to do next.

use clap::error::ErrorKind;
use guichet_client::Error;
use guichet_contract::Problem;

use crate::{arguments::nearest::Near, exit::Exit};

/// What went wrong and how the process ends.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A problem of the gateway's or of ours, to be told.
    Problem(Exit, Box<Problem>),
    /// What clap says, ready to be shown; help and version are among it.
    Clap(Box<clap::Error>),
}

impl Failure {
    /// A problem of our own: it has no page among the gateway's codes.
    pub(crate) fn new(exit: Exit, title: &str, detail: impl Into<String>) -> Self {
        Self::Problem(
            exit,
            Box::new(Problem {
                kind: "about:blank".to_owned(),
                title: title.to_owned(),
                status: 400,
                code: title.to_lowercase().replace(' ', "-"),
                detail: detail.into(),
                next: None,
                errors: Vec::new(),
                policies: Vec::new(),
                allow: Vec::new(),
                trace_id: None,
            }),
        )
    }

    /// What was typed cannot be meant.
    pub(crate) fn usage(detail: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "Invalid command line", detail)
    }

    /// A file of ours that cannot be read or written.
    pub(crate) fn file(path: &std::path::Path, error: impl std::fmt::Display) -> Self {
        Self::new(Exit::Failed, "File", format!("{}: {error}", path.display()))
    }

    /// Says what to do next.
    pub(crate) fn next(mut self, next: impl Into<String>) -> Self {
        if let Self::Problem(_, problem) = &mut self {
            problem.next = Some(next.into());
        }
        self
    }

    /// Words of clap; what is unknown is told in our own, with what is `near` to it.
    pub(crate) fn from_clap(error: clap::Error, near: Option<Near>, no_catalogue: bool) -> Self {
        let Some(Near { typed, nearest }) = near else {
            return Self::Clap(Box::new(error));
        };
        let failure = if error.kind() == ErrorKind::InvalidSubcommand {
            Self::new(Exit::Usage, "Unknown command", format!("there is no command `{typed}` here"))
        } else {
            Self::new(Exit::Usage, "Unknown flag", format!("this command has no `{typed}`"))
        };
        match nearest {
            Some(nearest) => failure.next(format!("did you mean `{nearest}`?")),
            None if error.kind() != ErrorKind::InvalidSubcommand => failure.next("--help shows all flags"),
            None if no_catalogue => failure
                .next("only built-in commands are known so far: `guichet login` brings those of the gateway"),
            None => failure.next(format!("guichet actions search {typed}")),
        }
    }

    /// In one line.
    pub(crate) fn summary(&self) -> String {
        match self {
            Self::Problem(_, problem) => problem.to_string(),
            Self::Clap(error) => error.to_string(),
        }
    }
}

impl From<Problem> for Failure {
    fn from(mut problem: Problem) -> Self {
        let exit = Exit::of_problem(&problem);
        if exit == Exit::NotSignedIn && problem.next.is_none() {
            problem.next = Some("guichet login".to_owned());
        }
        Self::Problem(exit, Box::new(problem))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Problem(problem) => (*problem).into(),
            Error::Unreachable { url, why } => {
                Self::new(Exit::Unreachable, "Gateway unreachable", format!("{url}: {why}"))
                    .next("check the address with `guichet context show`, then your network or VPN")
            }
            Error::Protocol { url, what, .. } => {
                Self::new(Exit::Unreachable, "Not a gateway", format!("{url}: {what}"))
                    .next("check the address with `guichet context show`")
            }
            Error::Address { url, why } => {
                Self::new(Exit::Usage, "Not an address", format!("`{url}`: {why}"))
            }
        }
    }
}
