//! Tells people what happens to runs: a line on the gateway's log, a mail over SMTP, a signed webhook.
//!
//! This room speaks; whom to tell what, how often to try and what was told already is `crates/operations`'s
//! (`deliver_notice`). A delivery ends within its channel's time-out and says whether it may go better another time.
//!
//! Begin reading at [`Notifier`], then [`mail`] and [`webhook`].

mod card;
mod causes;
mod cloud_event;
mod console;
pub mod mail;
mod notifier;
pub mod settings;
pub mod signature;
pub mod webhook;

pub use notifier::{Notifier, OpenError};
pub use settings::{ChannelSettings, Kind, MailSettings, Tls, WebhookSettings};
