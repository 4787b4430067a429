//! One file per verb. Each takes what a surface heard, passes the door, does its work as one unit, and answers with a
//! value or a [`Refusal`] that is already recorded.
//!
//! This room owns the traits [`Providers`], by which it reaches whoever performs, [`Services`], by which it looks at who may be
//! added to them, and [`Messenger`], by which it reaches people. It knows no HTTP and no SQL, reads no
//! environment, and takes time from the [`Clock`](guichet_contract::Clock) it is given.
//!
//! Begin reading at [`submit_run`], then [`approve_run`] and [`execute_run`]: the way of one run.

pub mod about;
pub mod add_provider;
mod advance_run;
pub mod approve_run;
pub mod bulkhead;
pub mod cancel_run;
pub mod change_schedule;
pub mod close_review;
pub mod comment_run;
pub mod create_schedule;
pub mod create_token;
pub mod decide;
pub mod decide_schedule;
pub mod deliver_notice;
pub mod execute_run;
pub mod expire_run;
pub mod explain_policy;
pub mod fire_schedule;
pub mod follow_run;
mod idempotency_key;
pub mod index_records;
mod journal;
mod line;
pub mod list_approvals;
pub mod list_options;
pub mod look_after_deliveries;
mod message;
pub mod messenger;
mod notices;
pub mod offer;
pub mod overlay;
pub mod perform_read;
pub mod ping_channel;
pub mod plan_run;
pub mod platform;
pub mod providers;
pub mod prune_records;
mod put_off;
pub mod read_catalogue;
pub mod read_deliveries;
pub mod read_records;
pub mod read_runs;
pub mod read_schedules;
pub mod reconcile_run;
pub mod record_outcome;
pub mod refuse_request;
pub mod register_instance;
pub mod register_provider;
pub mod reject_run;
pub mod reload_settings;
pub mod remove_provider;
mod replay;
pub mod replay_delivery;
pub mod revoke_token;
pub mod seal_records;
pub mod services;
pub mod sign_in;
pub mod sign_out;
pub mod simulate_policy;
pub mod submit_run;
pub mod undo_run;
pub mod void_run;
pub mod who_am_i;
pub mod who_can;
pub mod who_can_approve;

pub use about::About;
pub use guichet_admission::{Attempt, Call, Caller, Purpose, Refusal, RestCall};
pub use guichet_store::{DeliveriesFilter, Page, PageRequest, RecordsFilter, RunsFilter};
pub use idempotency_key::IDEMPOTENCY_KEY_MAX;
pub use messenger::{Channel, Messages, Messenger, NoMessenger, NotDelivered, Tried};
pub use platform::{Platform, Settings};
pub use providers::{
    Advanced, Forwarded, ProviderCall, ProviderError, Providers, Remembered, Reporter, Told,
};
pub use services::{Looked, NoServices, Services};
