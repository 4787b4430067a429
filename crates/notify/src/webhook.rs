//! A signed HTTP POST: a CloudEvent, with the headers of the Standard Webhooks scheme.

use std::time::Duration;

use guichet_contract::{Clock, Message};
use guichet_operations::{NotDelivered, Tried};
use jiff::{Timestamp, fmt::rfc2822};
use reqwest::{
    StatusCode,
    header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER},
    redirect,
};

use crate::{WebhookSettings, causes::with_causes, cloud_event, signature};

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
        Ok(Self { settings, client: client(timeout)? })
    }

    /// Posts it once.
    pub(crate) async fn post(&self, message: &Message, clock: &dyn Clock) -> Tried {
        let body = match cloud_event::body(message) {
            Ok(body) => body,
            Err(error) => return Err(NotDelivered::Never(error.to_string())).into(),
        };
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
            Ok(answer) => judged(answer.status(), answer.headers(), clock.now()),
            // The URL may bear a secret of the receiver's.
            Err(error) => Err(NotDelivered::later(with_causes(&error.without_url()))).into(),
        }
    }
}

/// What posts, to nobody but who was configured.
pub(crate) fn client(timeout: Duration) -> Result<reqwest::Client, String> {
    reqwest::Client::builder()
        .user_agent(concat!("guichet/", env!("CARGO_PKG_VERSION")))
        // Followed, a message would go where nobody configured it to.
        .redirect(redirect::Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT.min(timeout))
        .timeout(timeout)
        .build()
        .map_err(|error| format!("its HTTP client cannot be made: {error}"))
}

/// What is made of an answer. Its body is not read: what a receiver says there may repeat its own address or what was sent,
/// and the log of deliveries is read by more people than either is meant for.
pub(crate) fn judged(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Tried {
    Tried { status: Some(status.as_u16()), told: judge(status, headers, now) }
}

/// Any 2xx is a yes; 410 means that the receiver wants no more; all else may go better another time, which 429 and 503
/// may name.
fn judge(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Result<(), NotDelivered> {
    if status.is_success() {
        Ok(())
    } else if status == StatusCode::GONE {
        Err(NotDelivered::Never("the receiver answered 410 Gone: it wants no more".to_owned()))
    } else {
        let names_a_time = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        let pause = headers.get(RETRY_AFTER).filter(|_| names_a_time).and_then(|value| value.to_str().ok());
        let pause = pause.and_then(|text| pause_of(text, now));
        Err(NotDelivered::Later { why: format!("the receiver answered {status}"), pause })
    }
}

/// `Retry-After` (RFC 9110, section 10.2.3): so many seconds, or a moment; one that is past asks for no pause.
fn pause_of(text: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = rfc2822::parse(text.trim()).ok()?.timestamp();
    Duration::try_from(at.duration_since(now)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    #[test]
    fn a_receiver_names_the_time_of_the_next_try_in_seconds_or_as_a_moment() {
        let now: Timestamp = "2026-11-21T09:12:44Z".parse().unwrap();
        for (status, value, seconds) in [
            (429, "120", Some(120)),
            (503, " 7 ", Some(7)),
            (503, "Sat, 21 Nov 2026 09:13:44 GMT", Some(60)),
            (503, "Sat, 21 Nov 2026 09:00:00 GMT", None),
            (503, "-5", None),
            (503, "soon", None),
            (500, "120", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(value));
            let judged = judge(StatusCode::from_u16(status).unwrap(), &headers, now);
            let Err(NotDelivered::Later { pause, .. }) = judged else { panic!("{judged:?}") };
            assert_eq!(pause.map(|pause| pause.as_secs()), seconds, "{status} {value}");
        }
    }
}
