//! The kit's side of registering: what a provider says of itself, and what it is answered. The answers come in one order
//! (`SCRIPT`), beside all other cases, so that nobody waits for heartbeats.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use guichet_contract::{Clock as _, SystemClock};
use http_body_util::Full;
use hyper::{
    Method, Response, StatusCode,
    header::{CONTENT_TYPE, HeaderValue, LOCATION},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::{sync::Notify, time::timeout};

use crate::{answer::Not, keys::fresh_id};

/// The lease that a provider is told to ask for, seconds.
pub(crate) const LEASE_SECONDS: i64 = 10;
/// Where a provider is pointed to that must not go there.
pub(crate) const ELSEWHERE: &str = "/elsewhere";
/// What each `PUT` is answered, one after the other; from then on, all are taken.
pub(crate) const SCRIPT: [Mood; 6] =
    [Mood::Takes, Mood::Takes, Mood::Refuses, Mood::Refuses, Mood::HangsUp, Mood::Points];

/// How a call is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// With a lease.
    Takes,
    /// With a refusal.
    Refuses,
    /// Not at all.
    HangsUp,
    /// With the address of somebody else.
    Points,
}

/// One call.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) at: Timestamp,
    pub(crate) method: Method,
    pub(crate) path: String,
    /// The header `Authorization`.
    pub(crate) authorization: String,
    pub(crate) body: Value,
}

impl Heard {
    /// In words, without its token.
    pub(crate) fn said(&self) -> String {
        match &self.body {
            Value::Null => format!("{} {}", self.method, self.path),
            body => format!("{} {} {body}", self.method, self.path),
        }
    }
}

/// All that was heard.
pub(crate) struct Presence {
    began: Timestamp,
    /// The token of providers that the kit starts.
    pub(crate) token: String,
    heard: Mutex<Vec<Heard>>,
    news: Notify,
    /// What became of a call that was made a second after the farewell.
    late: Mutex<Option<Result<(), Not>>>,
}

impl Presence {
    pub(crate) fn new() -> Self {
        Self {
            began: SystemClock.now(),
            token: format!("gcs_{}", fresh_id()),
            heard: Mutex::default(),
            news: Notify::new(),
            late: Mutex::default(),
        }
    }

    /// What is left of this time, counted from the first word, or else from the beginning of the kit.
    pub(crate) fn left_of(&self, time: Duration) -> Duration {
        let from = self.heard(&Method::PUT).first().map_or(self.began, |first| first.at);
        let over = SystemClock.now().duration_since(from);
        time.saturating_sub(Duration::try_from(over).unwrap_or_default())
    }

    fn all(&self) -> Vec<Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What came with this method under `/v1/providers`, in order.
    pub(crate) fn heard(&self, method: &Method) -> Vec<Heard> {
        let registering = |heard: &Heard| heard.method == method && heard.path != ELSEWHERE;
        self.all().into_iter().filter(registering).collect()
    }

    /// Whether anybody went where they were pointed to.
    pub(crate) fn followed(&self) -> Option<Heard> {
        self.all().into_iter().find(|heard| heard.path == ELSEWHERE)
    }

    /// So many calls with this method, when they come within this time; fewer otherwise.
    pub(crate) async fn wait(&self, method: &Method, count: usize, within: Duration) -> Vec<Heard> {
        let come = async {
            loop {
                let news = self.news.notified();
                if self.heard(method).len() >= count {
                    return;
                }
                news.await;
            }
        };
        let _ = timeout(within, come).await;
        self.heard(method)
    }

    /// Notes what became of the late call; without one, that there was none.
    pub(crate) fn note_late(&self, late: Result<(), Not>) {
        *self.late.lock().unwrap_or_else(PoisonError::into_inner) = Some(late);
    }

    /// What became of it, once.
    pub(crate) fn late(&self) -> Option<Result<(), Not>> {
        self.late.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Notes it, and answers; none where it hangs up.
    pub(crate) fn answer(&self, heard: Heard, here: &str) -> Option<Response<Full<bytes::Bytes>>> {
        let mood = match heard.method {
            Method::PUT if heard.path != ELSEWHERE => {
                SCRIPT.get(self.heard(&Method::PUT).len()).copied().unwrap_or(Mood::Takes)
            }
            _ => Mood::Takes,
        };
        let (status, body) = match (&heard.method, mood) {
            (_, Mood::HangsUp) => (None, Value::Null),
            (_, Mood::Refuses) => (
                Some(StatusCode::FORBIDDEN),
                problem("the kit takes nobody at the moment, as a case wants it"),
            ),
            (_, Mood::Points) => (Some(StatusCode::TEMPORARY_REDIRECT), Value::Null),
            (&Method::PUT, Mood::Takes) => (Some(StatusCode::OK), lease(&heard.body)),
            (&Method::DELETE, Mood::Takes) => (Some(StatusCode::NO_CONTENT), Value::Null),
            (_, Mood::Takes) => (Some(StatusCode::METHOD_NOT_ALLOWED), problem("PUT or DELETE")),
        };
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).push(heard);
        self.news.notify_waiters();
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let mut response = Response::new(Full::new(bytes::Bytes::from(text)));
        *response.status_mut() = status?;
        let headers = response.headers_mut();
        let _ = headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if mood == Mood::Points
            && let Ok(elsewhere) = HeaderValue::from_str(&format!("{here}{ELSEWHERE}"))
        {
            let _ = headers.insert(LOCATION, elsewhere);
        }
        Some(response)
    }
}

fn lease(said: &Value) -> Value {
    let until = SystemClock.now().saturating_add(SignedDuration::from_secs(LEASE_SECONDS));
    json!({
        "provider": "the one of the path",
        "instance": said["instance"],
        "lease_until": until.unwrap_or_else(|_| SystemClock.now()),
        "environment": "conformance",
    })
}

fn problem(detail: &str) -> Value {
    json!({"title": "The gateway says no", "status": 403, "code": "refused", "detail": detail})
}
