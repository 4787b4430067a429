//! The words both sides share: what an action, a run, a plan, a principal, an outcome and a problem are,
//! and how an OpenAPI document with `x-guichet` is read into actions.
//!
//! Values only: no async, no HTTP client or server, no SQL. Time and chance come in through [`Clock`].
//!
//! Begin reading at [`action`] (what a provider offers), then [`run`] (what becomes of one attempt),
//! then [`openapi`] (how a document becomes a catalogue).

pub mod action;
pub mod addition;
pub mod address;
pub mod approval;
pub mod catalogue;
pub mod clock;
pub mod coerce;
pub mod delivery;
pub mod depth;
pub mod digest;
pub mod event;
pub mod event_schema;
pub mod explanation;
pub mod id;
pub mod notice;
pub mod openapi;
pub mod plan;
pub mod principal;
pub mod problem;
pub mod provider_status;
pub mod record;
pub mod redact;
pub mod registration;
pub mod run;
pub mod schedule;
pub mod simulation;
pub mod sse;

pub use action::{Action, ActionId, Choice, Effect};
pub use addition::{Addition, Became, Usable};
pub use address::{Address, Reach};
pub use approval::{Approval, Approvals, Approvers, Decision, Verdict};
pub use catalogue::Catalogue;
pub use clock::{Clock, SystemClock};
pub use delivery::{Attempt, AttemptResult, Delivery, DeliveryState};
pub use digest::Digest;
pub use event::{EventKind, RunEvent, STEPS_MAX, StepState, UNDOING};
pub use explanation::{
    Able, AbleToApprove, Answer, ApprovalTold, Explanation, OfferedAction, Outlook, PolicyTold, Says, WhoCan,
    WhoCanApprove,
};
pub use id::{DeliveryId, JobId, RunId, ScheduleId, TokenId};
pub use notice::{Addressee, Message, Notice, Occasion};
pub use plan::{Fact, Plan, Within};
pub use principal::{Principal, PrincipalKind, Surface};
pub use problem::{FieldError, Problem, code};
pub use provider_status::ProviderStatus;
pub use record::{Record, Verb, Verdict as RecordVerdict};
pub use registration::{Instance, Registration, Service};
pub use run::{
    BrokenGlass, CancelAsked, Outcome, OutcomeStatus, Review, ReviewClosed, Run, RunState, UndoOffer,
};
pub use schedule::{Fired, Missed, Schedule, ScheduleState};
pub use simulation::{CannotTell, Change, Changed, Example, Simulation};
