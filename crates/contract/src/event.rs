//! What a follower of a run is told, in order.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    approval::Decision,
    id::RunId,
    run::{Outcome, RunState},
};

/// One entry of a run's event stream. `seq` is the SSE event id, counted from 1 within the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunEvent {
    /// Which run.
    pub run: RunId,
    /// Position within the run, from 1, without gaps.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened to a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EventKind {
    /// It moved to this state.
    State {
        /// The new state.
        state: RunState,
        /// Why, for people.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        because: Option<String>,
    },
    /// Someone decided.
    Decision {
        /// Who, what, why.
        decision: Decision,
    },
    /// Somebody asked about it, or answered.
    Comment {
        /// Who.
        by: String,
        /// Whether it is a question, which its requester should answer.
        asks: bool,
        /// What.
        text: String,
    },
    /// A line of the provider's log.
    Log {
        /// The line, without its end.
        line: String,
    },
    /// How far it is.
    Progress {
        /// 0–100, absent when it cannot be told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        percent: Option<f64>,
        /// What it is doing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
    /// A named step began or ended.
    Step {
        /// Its name.
        name: String,
        /// How it stands.
        #[serde(default)]
        state: StepState,
        /// Its result when it ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        result: Option<Value>,
    },
    /// It waits, and holds neither a connection nor a worker meanwhile.
    Waiting {
        /// The name of the pause.
        name: String,
        /// Until when.
        until: Timestamp,
    },
    /// Somebody asked that it be stopped; the provider has not confirmed it yet.
    CancelAsked {
        /// Who.
        by: String,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        because: Option<String>,
    },
    /// It ended.
    Outcome {
        /// How.
        outcome: Outcome,
    },
}

/// How a named step stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// It was told, and nothing rests on it.
    #[default]
    Noted,
    /// It began.
    Began,
    /// It is done: of a resumable action, never done again in this run.
    Done,
    /// It was not done.
    Failed,
}

/// The step of a long run that says that what was done is being undone; its result is the problem that led to it.
pub const UNDOING: &str = "guichet: undoing";

/// The most steps and pauses that the journal of one run takes.
pub const STEPS_MAX: usize = 1_000;

impl StepState {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Noted => "noted",
            Self::Began => "began",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

impl std::str::FromStr for StepState {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Noted, Self::Began, Self::Done, Self::Failed]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| format!("`{text}` is no state of a step"))
    }
}

impl EventKind {
    /// The SSE event name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::State { .. } => "state",
            Self::Decision { .. } => "decision",
            Self::Comment { .. } => "comment",
            Self::Log { .. } => "log",
            Self::Progress { .. } => "progress",
            Self::Step { .. } => "step",
            Self::Waiting { .. } => "waiting",
            Self::CancelAsked { .. } => "cancel_asked",
            Self::Outcome { .. } => "outcome",
        }
    }
}
