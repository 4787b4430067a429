//! What people are told outside of the gateway when something happens to a run: by mail, by webhook, on the log.

use std::{collections::BTreeSet, fmt, str::FromStr};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    action::{ActionId, Effect},
    approval::Verdict,
    id::RunId,
    plan::Fact,
    principal::Principal,
    run::{OutcomeStatus, RunState},
};

/// On what occasion somebody is told something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Occasion {
    /// To those who can lift a condition: a run waits for them.
    ApprovalRequested,
    /// To those who have not decided: it no longer waits for them.
    ApprovalClosed,
    /// To those who could have lifted a condition: the requester went on without them.
    GlassBroken,
    /// To the requester: somebody asks about it.
    RunAsked,
    /// To those who asked, and to those who can lift what it waits for: its requester answers.
    RunAnswered,
    /// To the requester: somebody said yes or no.
    RunDecided,
    /// To the requester: nobody decided in time.
    RunExpired,
    /// To the requester: what was approved is no longer what would run.
    RunVoided,
    /// To the requester: somebody else withdrew it.
    RunCancelled,
    /// To the requester: what came of it.
    RunEnded,
    /// To who made a schedule: it goes on no more, or one of its times made no run.
    ScheduleHalted,
    /// To the requester: it was submitted. Only where it is asked for, as the two that follow.
    RunSubmitted,
    /// To the requester: its provider is about to be called.
    RunStarted,
    /// To the requester: they withdrew it themselves.
    RunWithdrawn,
    /// To who asked for it: whether a channel works. No run is told of.
    Ping,
}

impl Occasion {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::ApprovalRequested,
        Self::ApprovalClosed,
        Self::GlassBroken,
        Self::RunAsked,
        Self::RunAnswered,
        Self::RunDecided,
        Self::RunExpired,
        Self::RunVoided,
        Self::RunCancelled,
        Self::RunEnded,
        Self::ScheduleHalted,
        Self::RunSubmitted,
        Self::RunStarted,
        Self::RunWithdrawn,
        Self::Ping,
    ];

    /// The word in the store, in the configuration and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ApprovalRequested => "approval_requested",
            Self::ApprovalClosed => "approval_closed",
            Self::GlassBroken => "glass_broken",
            Self::RunAsked => "run_asked",
            Self::RunAnswered => "run_answered",
            Self::RunDecided => "run_decided",
            Self::RunExpired => "run_expired",
            Self::RunVoided => "run_voided",
            Self::RunCancelled => "run_cancelled",
            Self::RunEnded => "run_ended",
            Self::ScheduleHalted => "schedule_halted",
            Self::RunSubmitted => "run_submitted",
            Self::RunStarted => "run_started",
            Self::RunWithdrawn => "run_withdrawn",
            Self::Ping => "ping",
        }
    }

    /// Whether only a channel hears of it that asks for it: it tells people what they know, and is there for machines that
    /// follow every run. So is a ping, which goes to the channel that is pinged, whatever it hears of.
    pub fn is_only_on_request(self) -> bool {
        matches!(self, Self::RunSubmitted | Self::RunStarted | Self::RunWithdrawn | Self::Ping)
    }

    /// Those that a channel hears of when it does not say which.
    pub fn usual() -> BTreeSet<Self> {
        Self::ALL.into_iter().filter(|occasion| !occasion.is_only_on_request()).collect()
    }

    /// Those that this word means: one of them, or several by a word with `*` at its end, as `run_*` or `*`.
    ///
    /// # Errors
    /// None is called so.
    pub fn all_of(word: &str) -> Result<BTreeSet<Self>, String> {
        let Some(begin) = word.strip_suffix('*') else { return Ok([word.parse()?].into()) };
        let found: BTreeSet<Self> =
            Self::ALL.into_iter().filter(|occasion| occasion.as_str().starts_with(begin)).collect();
        if found.is_empty() { Err(word.parse::<Self>().err().unwrap_or_default()) } else { Ok(found) }
    }

    /// Whether it is for those who can approve, or could have; else it is for the requester.
    pub fn is_for_approvers(self) -> bool {
        matches!(self, Self::ApprovalRequested | Self::ApprovalClosed | Self::GlassBroken | Self::RunAnswered)
    }
}

impl fmt::Display for Occasion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Occasion {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|occasion| occasion.as_str() == text).ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.iter().map(|occasion| occasion.as_str()).collect();
            format!("`{text}` is no occasion; there is {}", known.join(", "))
        })
    }
}

/// One thing to be told through one channel, as it waits in the store. Who is told is found out when it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// What happened: one id for all channels, so that a receiver can drop a repetition.
    pub event: Uuid,
    /// When it happened.
    pub at: Timestamp,
    /// On what occasion.
    pub occasion: Occasion,
    /// Name of the channel.
    pub channel: String,
    /// Who did it, when somebody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Yes or no, on [`Occasion::RunDecided`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// Why, in the words of whoever did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// Where the run went by this.
    pub state: RunState,
    /// Ids of the policies whose conditions waited before and wait no longer.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub closed: BTreeSet<String>,
    /// Ids of the policies whose conditions go on waiting.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub open: BTreeSet<String>,
    /// Names of those who asked about it, on [`Occasion::RunAnswered`].
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub asked: BTreeSet<String>,
}

/// Somebody who is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Addressee {
    /// Their name, as the gateway knows them.
    pub name: String,
    /// Their address of mail, when the registry has one. Never on the wire.
    #[serde(default, skip_serializing)]
    #[schemars(skip)]
    pub email: Option<String>,
}

/// A condition as a message shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Asked {
    /// Id of the policy that asks.
    pub policy: String,
    /// Why, in the policy's words.
    pub because: String,
    /// The teams whose people can lift it; none when the resource has no owner.
    #[serde(default)]
    pub teams: Vec<String>,
    /// How many people must say yes, at least 1.
    pub count: u8,
    /// How many have said yes when the message was made.
    pub given: usize,
}

/// What came of a run, as a message shows it: never its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ended {
    /// How it ended.
    pub status: OutcomeStatus,
    /// Stable code of the problem, when there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What went wrong, 500 characters at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Everything a card needs: one form for every channel and every occasion. `docs/events.md` tells it to receivers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Message {
    /// What happened; the same in every repetition.
    pub id: Uuid,
    /// On what occasion.
    pub occasion: Occasion,
    /// When it happened.
    pub at: Timestamp,
    /// One sentence for people.
    pub sentence: String,
    /// staging, production …
    pub environment: String,
    /// Which run; the delivery's own id on [`Occasion::Ping`].
    pub run: RunId,
    /// The last eight digits of it: what people type.
    pub short_id: String,
    /// Where the run stood when the message was made.
    pub state: RunState,
    /// What is to be done.
    pub action: ActionId,
    /// The same for people.
    pub title: String,
    /// What it does to the world.
    pub effect: Effect,
    /// On what.
    pub resource: String,
    /// Owned by which team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Who asked for it.
    pub requested_by: Principal,
    /// Why, in the requester's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The input; sensitive members are `[redacted]`.
    pub input: Value,
    /// What the provider says it would do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// What an approver should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<Fact>,
    /// What people must lift.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<Asked>,
    /// When the waiting ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The short form of the hash that an approval is bound to; empty on [`Occasion::Ping`].
    pub binding: String,
    /// Who did what this tells of, when somebody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Yes or no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// Why, in the words of whoever did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// What came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Ended>,
    /// Name of the schedule that made the run, or that is told of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// What to type next: the command that approves, or the one that shows the run.
    pub command: String,
    /// Who is told. Everybody this occasion is for, as far as the channel serves them.
    pub to: Vec<Addressee>,
}
