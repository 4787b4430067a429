//! A signed HTTP POST: a CloudEvent, with the headers of the Standard Webhooks scheme.

use std::time::Duration;

use guichet_contract::{Clock, Message};
use guichet_operations::NotDelivered;
use reqwest::{StatusCode, header::CONTENT_TYPE, redirect};

use crate::{WebhookSettings, cloud_event, signature};

/// How long a connection may take to come about, at most.
const CONNECT: Duration = Duration::from_secs(5);

/// An HTTP receiver, ready.
#[derive(Debug)]
pub struct Webhook {
    settings: WebhookSettings,
    client: reqwest::Client,
}

impl Webhook {
    /// Ready to post. Nothing is sent yet.
    ///
    /// # Errors
    /// When the machine's TLS roots cannot be used.
    pub fn new(settings: WebhookSettings, timeout: Duration) -> Result<Self, String> {
        let client = reqwest::Client::builder()
            .user_agent(concat!("guichet/", env!("CARGO_PKG_VERSION")))
            // Followed, a signed message would go where nobody configured it to.
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT.min(timeout))
            .timeout(timeout)
            .build()
            .map_err(|error| format!("its HTTP client cannot be made: {error}"))?;
        Ok(Self { settings, client })
    }

    /// Posts it once.
    pub(crate) async fn post(&self, message: &Message, clock: &dyn Clock) -> Result<(), NotDelivered> {
        let body = cloud_event::body(message).map_err(|error| NotDelivered::Never(error.to_string()))?;
        let id = message.id.to_string();
        let timestamp = clock.now().as_second();
        let signature = signature::sign(&self.settings.keys, &id, timestamp, &body);
        let sent = self
            .client
            .post(&self.settings.url)
            .header(CONTENT_TYPE, cloud_event::MEDIA_TYPE)
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature)
            .body(body)
            .send()
            .await;
        match sent {
            Ok(answer) => judge(answer.status()),
            // The URL may bear a secret of the receiver's.
            Err(error) => Err(NotDelivered::Later(told(&error.without_url()))),
        }
    }
}

/// Any 2xx is a yes; 410 means that the receiver wants no more; all else may go better another time.
fn judge(status: StatusCode) -> Result<(), NotDelivered> {
    if status.is_success() {
        Ok(())
    } else if status == StatusCode::GONE {
        Err(NotDelivered::Never("the receiver answered 410 Gone: it wants no more".to_owned()))
    } else {
        Err(NotDelivered::Later(format!("the receiver answered {status}")))
    }
}

/// The error and what caused it: the outermost alone says "error sending request".
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = cause.source();
    }
    text
}
