//! How the verbs reach whoever performs an action. The room `dispatch` implements it.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use guichet_contract::{Action, Plan, Principal, Problem, ProviderStatus, RunId, StepState, code};
use jiff::Timestamp;
use serde_json::{Map, Value};

/// One call to a provider.
#[derive(Debug, Clone)]
pub struct ProviderCall<'a> {
    /// Which operation.
    pub action: &'a Action,
    /// The validated flat input.
    pub input: &'a Value,
    /// Who calls.
    pub principal: &'a Principal,
    /// Where.
    pub environment: &'a str,
    /// The run it belongs to; `None` for reads and plans.
    pub run: Option<RunId>,
    /// The plan that is being performed.
    pub plan: Option<&'a Plan>,
    /// Who approved it.
    pub approved_by: &'a [String],
    /// W3C `traceparent` of the caller's span.
    pub traceparent: Option<&'a str>,
    /// How long it may take.
    pub timeout: Duration,
    /// The steps that are done, of a resumable action.
    pub journal: Option<&'a Map<String, Value>>,
    /// Somebody asked that it be stopped.
    pub cancelled: bool,
}

impl<'a> ProviderCall<'a> {
    /// A call without run or plan.
    pub fn of(action: &'a Action, input: &'a Value, principal: &'a Principal, environment: &'a str) -> Self {
        Self {
            action,
            input,
            principal,
            environment,
            run: None,
            plan: None,
            approved_by: &[],
            traceparent: None,
            timeout: Duration::from_secs(u64::from(action.timeout_seconds)),
            journal: None,
            cancelled: false,
        }
    }
}

/// A provider's answer, passed on as it comes.
pub struct Forwarded {
    /// HTTP status.
    pub status: u16,
    /// Headers that may be passed on.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body, limited in size.
    pub body: BoxStream<'static, Result<Bytes, std::io::Error>>,
}

/// How far a call brought a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Advanced {
    /// It is done.
    Done(Value),
    /// The provider says, in the words of a long action, that it failed.
    Failed(Problem),
    /// It was stopped on request, with what is left to say.
    Cancelled(Option<Problem>),
    /// A step is done and waits to be handed back: call again.
    Noted,
    /// It only waits: call again then.
    Waiting {
        /// Name of the pause.
        name: String,
        /// Until when.
        until: Timestamp,
    },
}

/// What a provider knows of a run that it was called for.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "one for each question that is asked, gone at once")]
pub enum Remembered {
    /// It ended so.
    Ended(Advanced),
    /// It is under way.
    UnderWay,
    /// Nothing; a call made after this moment would be known.
    Nothing {
        /// The moment; none, when nobody can say.
        since: Option<Timestamp>,
    },
}

/// Why a provider's answer is missing or is not a success.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ProviderError {
    /// The call never left, never arrived, or was not taken: surely nothing was done.
    #[error("{0}")]
    NotSent(Problem),
    /// The call went out and its answer never came: nobody can say.
    #[error("{0}")]
    Silent(Problem),
    /// The provider says no, or says that it failed.
    #[error("{0}")]
    Failed(Problem),
}

impl ProviderError {
    /// What a caller is told.
    pub fn problem(&self) -> &Problem {
        match self {
            Self::NotSent(problem) | Self::Silent(problem) | Self::Failed(problem) => problem,
        }
    }
    /// Owned.
    pub fn into_problem(self) -> Problem {
        match self {
            Self::NotSent(problem) | Self::Silent(problem) | Self::Failed(problem) => problem,
        }
    }
    /// Not reached, for this reason.
    pub fn unreachable(provider: &str, why: impl std::fmt::Display) -> Self {
        Self::NotSent(
            Problem::new(code::PROVIDER_UNREACHABLE, format!("provider {provider} cannot be reached: {why}"))
                .next("nothing was done; try again, or ask the provider's owners"),
        )
    }
}

/// What a provider tells while it works.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// A line of its log.
    Log(String),
    /// How far it is.
    Progress {
        /// 0–100.
        percent: Option<f64>,
        /// What it does.
        message: Option<String>,
    },
    /// A named step began, or ended with a result.
    Step {
        /// Its name.
        name: String,
        /// How it stands.
        state: StepState,
        /// Its result.
        result: Option<Value>,
    },
}

/// Where it is told.
#[async_trait]
pub trait Reporter: Send + Sync {
    /// Takes it; waits when the listener is slow.
    async fn tell(&self, told: Told);
}

/// Whoever performs actions.
#[async_trait]
pub trait Providers: Send + Sync + 'static {
    /// Asks what it would do. Changes nothing.
    async fn plan(&self, call: &ProviderCall<'_>) -> Result<Plan, ProviderError>;
    /// Has it done, and waits for the result.
    async fn perform(&self, call: &ProviderCall<'_>, reporter: &dyn Reporter)
    -> Result<Value, ProviderError>;
    /// Brings a run on: has it done, or as far as it goes without being handed its journal.
    async fn advance(
        &self,
        call: &ProviderCall<'_>,
        reporter: &dyn Reporter,
    ) -> Result<Advanced, ProviderError>;
    /// Asks what became of a run, or has one that is under way stopped. Begins nothing. Only for actions that say they
    /// remember.
    async fn recall(&self, call: &ProviderCall<'_>, cancel: bool) -> Result<Remembered, ProviderError>;
    /// Has a read done and passes the answer on as it comes.
    async fn forward(&self, call: &ProviderCall<'_>) -> Result<Forwarded, ProviderError>;
    /// How each of them stands.
    fn status(&self) -> Vec<ProviderStatus>;
}
