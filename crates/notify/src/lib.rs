//! Tells people what happens to runs: a line on the gateway's log, a mail over SMTP, a signed webhook, a card in a chat.
//!
//! This room speaks; whom to tell what, how often to try and what was told already is `crates/operations`'s
//! (`deliver_notice`). A delivery ends within its channel's time-out and says whether it may go better another time.
//!
//! Begin reading at [`Notifier`], then [`mail`], [`webhook`] and [`chat`].

mod card;
mod causes;
pub mod chat;
mod cloud_event;
mod console;
pub mod mail;
mod notifier;
pub mod settings;
pub mod signature;
pub mod webhook;

pub use notifier::{Notifier, OpenError};
pub use settings::{ChannelSettings, ChatFormat, ChatSettings, Kind, MailSettings, Tls, WebhookSettings};
