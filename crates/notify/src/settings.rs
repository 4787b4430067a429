//! What a channel is made of, checked by whoever read it.

use std::{collections::BTreeSet, time::Duration};

use guichet_contract::Occasion;
use secrecy::SecretString;

use crate::signature::Key;

/// How often a notice is tried where nobody says: with pauses of 1 s, 2 s, 4 s … 1 h this is about six hours.
pub const TRIES: u32 = 18;
/// How long one delivery may take where nobody says.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// One way to reach people.
#[derive(Debug, Clone)]
pub struct ChannelSettings {
    /// Unique.
    pub name: String,
    /// On which occasions it is used, at least one.
    pub occasions: BTreeSet<Occasion>,
    /// Only for members of these teams and for `people`; for everybody when both are empty.
    pub teams: BTreeSet<String>,
    /// Only for these people and for `teams`.
    pub people: BTreeSet<String>,
    /// How often it is tried, 1–100.
    pub tries: u32,
    /// How long one delivery may take, 1–60 s.
    pub timeout: Duration,
    /// What it is.
    pub kind: Kind,
}

/// What a channel is.
#[derive(Debug, Clone)]
pub enum Kind {
    /// A line on the gateway's log.
    Console,
    /// Mail.
    Smtp(MailSettings),
    /// An HTTP receiver.
    Webhook(WebhookSettings),
    /// A room of a chat.
    Chat(ChatSettings),
}

/// A server that takes mail.
#[derive(Debug, Clone)]
pub struct MailSettings {
    /// Its host name, which its certificate must bear.
    pub server: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub tls: Tls,
    /// PEM of authorities to believe beside the system's.
    pub authorities: Option<Vec<u8>>,
    /// Who the mail is from: `Guichet <guichet@example.org>`.
    pub from: String,
    /// Name and password.
    pub credentials: Option<(String, SecretString)>,
    /// The address of people whom the registry gives none, with `{name}` in it: `{name}@example.org`.
    pub address: Option<String>,
}

/// How a connection to a mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// Begins in the clear and must change to TLS before anything is said (port 587).
    Starttls,
    /// TLS from the first byte (port 465).
    Tls,
    /// Not at all.
    None,
}

/// An HTTP receiver.
#[derive(Debug, Clone)]
pub struct WebhookSettings {
    /// Where it is posted to, http or https.
    pub url: String,
    /// What it is signed with, at least one; several while a key is being replaced.
    pub keys: Vec<Key>,
}

/// A room of a chat that takes messages by an incoming webhook.
#[derive(Debug, Clone)]
pub struct ChatSettings {
    /// Where it is posted to. Whoever knows it can post, so it is a secret.
    pub url: SecretString,
    /// Which chat it is.
    pub format: ChatFormat,
}

/// How a chat wants to be spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChatFormat {
    /// Slack's blocks, which other chats understand too.
    Slack,
    /// An Adaptive Card, for a workflow of Microsoft Teams.
    Teams,
}
