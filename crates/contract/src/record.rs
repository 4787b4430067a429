//! An entry of the audit trail.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    action::{ActionId, Effect},
    digest::Digest,
    id::RunId,
    principal::{Principal, Surface},
};

/// What was attempted or what happened. One verb has one name everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// A read action was performed.
    PerformRead,
    /// A plan was asked for.
    PlanRun,
    /// A run was submitted.
    SubmitRun,
    /// Someone said yes.
    ApproveRun,
    /// Someone said no.
    RejectRun,
    /// Someone asked about a run, or answered.
    CommentRun,
    /// A requester went on without approvals.
    BreakGlass,
    /// Someone else looked at a run that broke the glass, and closed its review.
    CloseReview,
    /// The requester withdrew, or an approver stopped it.
    CancelRun,
    /// Nobody decided in time.
    ExpireRun,
    /// What was approved is no longer what would run.
    VoidRun,
    /// The provider is about to be called: the intent, durable before the effect.
    ExecuteRun,
    /// What came of it.
    RecordOutcome,
    /// A provider was asked what became of a run whose answer never came, and said so.
    ReconcileRun,
    /// Somebody was to be told what happened to a run, and could not be reached.
    DeliverNotice,
    /// Deliveries of notices were read.
    ReadDeliveries,
    /// A notice was sent once more.
    ReplayDelivery,
    /// A channel was sent something, to see whether it works.
    PingChannel,
    /// Signed in.
    SignIn,
    /// Signed out.
    SignOut,
    /// A personal token was made.
    CreateToken,
    /// A token was revoked.
    RevokeToken,
    /// A session or token was presented that is not valid.
    Identify,
    /// Options of a parameter were read.
    ListOptions,
    /// Someone asked who the gateway takes them for.
    WhoAmI,
    /// One's own tokens were listed.
    ListTokens,
    /// The catalogue, an action or the state of the providers was read.
    ReadCatalogue,
    /// Runs were read.
    ReadRuns,
    /// The ledger was read.
    ReadRecords,
    /// The gateway started.
    StartGateway,
    /// Policies, registry or settings were reloaded.
    ReloadSettings,
    /// A provider's document was read (again).
    RegisterProvider,
    /// An instance of a provider registered itself: it is new, or was gone, or is not what it was.
    RegisterInstance,
    /// An instance of a provider left.
    DrainInstance,
    /// A service was added as a provider, or it was only looked what that would give.
    AddProvider,
    /// The name of a provider that registered itself, or was added, was taken back.
    RemoveProvider,
    /// Somebody asked why the policies answer another person as they do.
    ExplainPolicy,
    /// Somebody asked who can do something.
    WhoCan,
    /// Somebody asked who can approve something.
    WhoCanApprove,
    /// Other policies were tried on what was recorded.
    SimulatePolicy,
    /// A request came to no verb: its body, its query or its path was not what any route takes.
    RefuseRequest,
    /// Old records were archived and their texts deleted; their hashes stay.
    PruneRecords,
    /// A schedule was made.
    CreateSchedule,
    /// Schedules were read.
    ReadSchedules,
    /// Someone said yes to a schedule.
    ApproveSchedule,
    /// Someone said no to a schedule.
    RejectSchedule,
    /// A schedule was halted.
    PauseSchedule,
    /// A schedule that was halted goes on.
    ResumeSchedule,
    /// A schedule was removed.
    DeleteSchedule,
    /// A schedule's time came, or passed; it ended, or could not go on.
    FireSchedule,
}

impl Verb {
    /// All of them, in the order of their story.
    pub const ALL: [Self; 50] = [
        Self::PerformRead,
        Self::PlanRun,
        Self::SubmitRun,
        Self::ApproveRun,
        Self::RejectRun,
        Self::CancelRun,
        Self::ExpireRun,
        Self::VoidRun,
        Self::ExecuteRun,
        Self::RecordOutcome,
        Self::ReconcileRun,
        Self::SignIn,
        Self::SignOut,
        Self::CreateToken,
        Self::RevokeToken,
        Self::Identify,
        Self::ListOptions,
        Self::WhoAmI,
        Self::ListTokens,
        Self::ReadCatalogue,
        Self::ReadRuns,
        Self::ReadRecords,
        Self::StartGateway,
        Self::ReloadSettings,
        Self::RegisterProvider,
        Self::RegisterInstance,
        Self::DrainInstance,
        Self::AddProvider,
        Self::RemoveProvider,
        Self::RefuseRequest,
        Self::PruneRecords,
        Self::CommentRun,
        Self::BreakGlass,
        Self::CloseReview,
        Self::DeliverNotice,
        Self::ReadDeliveries,
        Self::ReplayDelivery,
        Self::PingChannel,
        Self::ExplainPolicy,
        Self::WhoCan,
        Self::WhoCanApprove,
        Self::SimulatePolicy,
        Self::CreateSchedule,
        Self::ReadSchedules,
        Self::ApproveSchedule,
        Self::RejectSchedule,
        Self::PauseSchedule,
        Self::ResumeSchedule,
        Self::DeleteSchedule,
        Self::FireSchedule,
    ];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PerformRead => "perform_read",
            Self::PlanRun => "plan_run",
            Self::SubmitRun => "submit_run",
            Self::ApproveRun => "approve_run",
            Self::RejectRun => "reject_run",
            Self::CommentRun => "comment_run",
            Self::BreakGlass => "break_glass",
            Self::CloseReview => "close_review",
            Self::CancelRun => "cancel_run",
            Self::ExpireRun => "expire_run",
            Self::VoidRun => "void_run",
            Self::ExecuteRun => "execute_run",
            Self::RecordOutcome => "record_outcome",
            Self::ReconcileRun => "reconcile_run",
            Self::DeliverNotice => "deliver_notice",
            Self::ReadDeliveries => "read_deliveries",
            Self::ReplayDelivery => "replay_delivery",
            Self::PingChannel => "ping_channel",
            Self::SignIn => "sign_in",
            Self::SignOut => "sign_out",
            Self::CreateToken => "create_token",
            Self::RevokeToken => "revoke_token",
            Self::Identify => "identify",
            Self::ListOptions => "list_options",
            Self::WhoAmI => "who_am_i",
            Self::ListTokens => "list_tokens",
            Self::ReadCatalogue => "read_catalogue",
            Self::ReadRuns => "read_runs",
            Self::ReadRecords => "read_records",
            Self::StartGateway => "start_gateway",
            Self::ReloadSettings => "reload_settings",
            Self::RegisterProvider => "register_provider",
            Self::RegisterInstance => "register_instance",
            Self::DrainInstance => "drain_instance",
            Self::AddProvider => "add_provider",
            Self::RemoveProvider => "remove_provider",
            Self::ExplainPolicy => "explain_policy",
            Self::WhoCan => "who_can",
            Self::WhoCanApprove => "who_can_approve",
            Self::SimulatePolicy => "simulate_policy",
            Self::RefuseRequest => "refuse_request",
            Self::PruneRecords => "prune_records",
            Self::CreateSchedule => "create_schedule",
            Self::ReadSchedules => "read_schedules",
            Self::ApproveSchedule => "approve_schedule",
            Self::RejectSchedule => "reject_schedule",
            Self::PauseSchedule => "pause_schedule",
            Self::ResumeSchedule => "resume_schedule",
            Self::DeleteSchedule => "delete_schedule",
            Self::FireSchedule => "fire_schedule",
        }
    }
}

/// Whether the attempt was let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Let through.
    Allowed,
    /// Not let through.
    Refused,
    /// Let through, and it went wrong.
    Failed,
    /// Let through, and nobody can say how it ended.
    Unknown,
}

impl Verdict {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// One entry of the audit trail, before the ledger gives it its index. Its JSON text, exactly as first
/// written, is the leaf of the Merkle log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    /// When.
    pub at: Timestamp,
    /// What.
    pub verb: Verb,
    /// Let through or not.
    pub verdict: Verdict,
    /// Where.
    pub environment: String,
    /// Who; absent when nobody was identified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<Principal>,
    /// Through what.
    pub surface: Surface,
    /// Which action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<ActionId>,
    /// Its declaration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action_version: Option<Digest>,
    /// What it does to the world.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
    /// On what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// Owned by which team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Which run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// With which input, sensitive members redacted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
    /// Why, in the words of the person who acted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Ids of the policies that decided.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
    /// Version of the policies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_version: Option<Digest>,
    /// The hash an approval is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<Digest>,
    /// Who approved, on the intent and on the outcome.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approved_by: Vec<String>,
    /// Stable code of the problem, when refused or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Whatever else belongs to this verb, in few words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// How long it took, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// W3C trace id, 32 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

impl Record {
    /// The least a record says.
    pub fn new(at: Timestamp, verb: Verb, verdict: Verdict, environment: &str, surface: Surface) -> Self {
        Self {
            at,
            verb,
            verdict,
            environment: environment.to_owned(),
            principal: None,
            surface,
            action: None,
            action_version: None,
            effect: None,
            resource: None,
            owner: None,
            run: None,
            input: None,
            reason: None,
            policies: Vec::new(),
            policy_version: None,
            binding: None,
            approved_by: Vec::new(),
            problem: None,
            detail: None,
            duration_ms: None,
            trace_id: None,
        }
    }
}

/// A record with its place in the ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LedgerRecord {
    /// Index of the leaf in the Merkle log, from 0.
    pub index: u64,
    /// The record.
    #[serde(flatten)]
    pub record: Record,
}
