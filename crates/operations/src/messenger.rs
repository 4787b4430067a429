//! The trait by which people are reached outside of the gateway, and what was counted of it. The room `notify` speaks
//! SMTP and HTTP; this one decides whom to tell what, and how often to try.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use guichet_contract::{Addressee, Message, Occasion};

/// How people are reached: some channels, each with a name of its own.
#[async_trait]
pub trait Messenger: Send + Sync + 'static {
    /// The channels there are.
    fn channels(&self) -> &[Channel];

    /// Tells it through a channel: to one person, or to the channel as a whole when `to` is `None`. Ends within the
    /// channel's own time-out.
    async fn deliver(&self, channel: &Channel, to: Option<&Addressee>, message: &Message) -> Tried;
}

/// What came of one try to tell somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// Status of the answer (HTTP), when there was one.
    pub status: Option<u16>,
    /// `Ok` means that the other side has taken it.
    pub told: Result<(), NotDelivered>,
}

impl From<Result<(), NotDelivered>> for Tried {
    fn from(told: Result<(), NotDelivered>) -> Self {
        Self { status: None, told }
    }
}

/// One way to reach people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// Unique.
    pub name: String,
    /// On which occasions it is used.
    pub occasions: BTreeSet<Occasion>,
    /// Only for members of these teams (and of the teams inside them) and for `people`; for everybody when both are empty.
    pub teams: BTreeSet<String>,
    /// Only for these people and for `teams`.
    pub people: BTreeSet<String>,
    /// Each person gets a message of their own; else there is one for all.
    pub per_person: bool,
    /// How often it is tried before it is given up, at least 1.
    pub tries: u32,
}

/// Why somebody was not told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotDelivered {
    /// It may go better another time.
    #[error("{why}")]
    Later {
        /// Why.
        why: String,
        /// The other side asks for so long a pause.
        pause: Option<Duration>,
    },
    /// It will not: there is no such address, or the receiver wants no more.
    #[error("{0}")]
    Never(String),
}

impl NotDelivered {
    /// It may go better another time, and nobody says when.
    pub fn later(why: impl Into<String>) -> Self {
        Self::Later { why: why.into(), pause: None }
    }
}

/// Nobody is told anything.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoMessenger;

#[async_trait]
impl Messenger for NoMessenger {
    fn channels(&self) -> &[Channel] {
        &[]
    }
    async fn deliver(&self, channel: &Channel, _: Option<&Addressee>, _: &Message) -> Tried {
        Err(NotDelivered::Never(format!("no channel is called `{}`", channel.name))).into()
    }
}

/// How a try to tell somebody ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Try {
    /// They were told.
    Delivered,
    /// They were not, and it is tried again.
    Failed,
    /// They were not, and it is not tried again.
    GivenUp,
}

impl Try {
    /// The word in `/metrics`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::GivenUp => "given_up",
        }
    }
}

/// The messenger, and how its tries ended since the gateway started.
pub struct Messages {
    /// How people are reached.
    pub messenger: Arc<dyn Messenger>,
    tries: Mutex<BTreeMap<(String, Try), u64>>,
}

impl Messages {
    /// Through this messenger.
    pub fn new(messenger: Arc<dyn Messenger>) -> Self {
        Self { messenger, tries: Mutex::default() }
    }

    /// Nobody is told anything.
    pub fn none() -> Self {
        Self::new(Arc::new(NoMessenger))
    }

    /// Counts a try.
    pub(crate) fn count(&self, channel: &str, ended: Try) {
        let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        *tries.entry((channel.to_owned(), ended)).or_default() += 1;
    }

    /// Tries by channel and how they ended; a channel that was not used yet has zeroes.
    pub fn tries(&self) -> Vec<(String, &'static str, u64)> {
        let tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        let channels = self.messenger.channels().iter();
        channels
            .flat_map(|channel| {
                [Try::Delivered, Try::Failed, Try::GivenUp].map(|ended| {
                    let count = tries.get(&(channel.name.clone(), ended)).copied().unwrap_or_default();
                    (channel.name.clone(), ended.as_str(), count)
                })
            })
            .collect()
    }
}
