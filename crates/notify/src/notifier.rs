//! All channels together: the messenger that the verbs are handed.

use std::sync::Arc;

use async_trait::async_trait;
use guichet_contract::{Addressee, Clock, Message};
use guichet_operations::{Channel, Messenger, NotDelivered, Tried};
use tokio::time;

use crate::{
    chat::Chat,
    console,
    mail::Mail,
    settings::{ChannelSettings, Kind},
    webhook::Webhook,
};

/// A channel that cannot be made ready.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("channel `{channel}`: {why}")]
pub struct OpenError {
    /// Which.
    pub channel: String,
    /// Why.
    pub why: String,
}

/// Every way in which people are told.
pub struct Notifier {
    channels: Vec<Channel>,
    ways: Vec<(time::Duration, Way)>,
    clock: Arc<dyn Clock>,
}

enum Way {
    Console,
    Mail(Box<Mail>),
    Webhook(Webhook),
    Chat(Chat),
}

impl Notifier {
    /// Makes every channel ready. Nothing is sent and nobody is asked yet.
    ///
    /// # Errors
    /// The first channel that cannot be, and why.
    pub fn open(settings: &[ChannelSettings], clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let mut channels = Vec::with_capacity(settings.len());
        let mut ways = Vec::with_capacity(settings.len());
        for channel in settings {
            let way = way(channel).map_err(|why| OpenError { channel: channel.name.clone(), why })?;
            channels.push(Channel {
                name: channel.name.clone(),
                occasions: channel.occasions.clone(),
                teams: channel.teams.clone(),
                people: channel.people.clone(),
                per_person: matches!(way, Way::Mail(_)),
                tries: channel.tries,
            });
            ways.push((channel.timeout, way));
        }
        Ok(Self { channels, ways, clock })
    }
}

fn way(channel: &ChannelSettings) -> Result<Way, String> {
    Ok(match &channel.kind {
        Kind::Console => Way::Console,
        Kind::Smtp(settings) => Way::Mail(Box::new(Mail::new(settings, channel.timeout)?)),
        Kind::Chat(settings) => Way::Chat(Chat::new(settings.clone(), channel.timeout)?),
        Kind::Webhook(settings) => Way::Webhook(Webhook::new(settings.clone(), channel.timeout)?),
    })
}

#[async_trait]
impl Messenger for Notifier {
    fn channels(&self) -> &[Channel] {
        &self.channels
    }

    async fn deliver(&self, channel: &Channel, to: Option<&Addressee>, message: &Message) -> Tried {
        let place = self.channels.iter().position(|known| known.name == channel.name);
        let Some((timeout, way)) = place.and_then(|place| self.ways.get(place)) else {
            return Err(NotDelivered::Never(format!("no channel is called `{}`", channel.name))).into();
        };
        // Waiting for a place is not the receiver's fault: it does not count against the time-out.
        let _place = match way {
            Way::Mail(mail) => mail.place().await,
            Way::Console | Way::Webhook(_) | Way::Chat(_) => None,
        };
        let delivery = async {
            match (way, to) {
                (Way::Console, _) => {
                    console::say(&channel.name, message);
                    Ok(()).into()
                }
                (Way::Mail(mail), Some(to)) => mail.send(to, message, &*self.clock).await.into(),
                (Way::Mail(_), None) => {
                    Err(NotDelivered::Never("a mail needs somebody to go to".to_owned())).into()
                }
                (Way::Chat(chat), _) => chat.post(message, &*self.clock).await,
                (Way::Webhook(webhook), _) => webhook.post(message, &*self.clock).await,
            }
        };
        time::timeout(*timeout, delivery).await.unwrap_or_else(|_| {
            Err(NotDelivered::later(format!("it was not taken within {} s", timeout.as_secs()))).into()
        })
    }
}
