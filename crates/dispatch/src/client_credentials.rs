//! OAuth 2.0 client credentials (RFC 6749 §4.4): the gateway asks for a token with a name and a secret of its own. One token serves
//! all calls until shortly before its end; however many calls need a new one, it is asked for once.

use std::{fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use guichet_contract::{Clock, Problem, code};
use guichet_operations::ProviderError;
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::Full;
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::{
    answer::read_body,
    credentials::sensitive,
    transport::{HttpClient, NoAnswer},
    written,
};

/// How long a call waits for a token, also while another asks for it.
const TIME: Duration = Duration::from_secs(10);
/// Largest answer, bytes.
const LARGEST: usize = 64 * 1024;
/// How long a token holds of which nobody says so.
const USUAL_SECONDS: i64 = 300;
/// A token is renewed so long before its end, or at a fifth of its life if that is less.
const EARLY_SECONDS: i64 = 60;

/// Where and as whom a token is asked for.
pub struct TokenRequest {
    /// The address that gives tokens.
    pub url: String,
    /// Who the gateway is there.
    pub client_id: String,
    /// Its secret.
    pub client_secret: SecretString,
    /// What the token is for, as the service names it.
    pub scope: Option<String>,
    /// For whom the token is, where the issuer asks for that.
    pub audience: Option<String>,
    /// Name and secret go into the form, not into `Authorization`.
    pub in_body: bool,
}

/// Tokens for one service.
pub struct ClientCredentials {
    request: TokenRequest,
    client: HttpClient,
    clock: Arc<dyn Clock>,
    time: Duration,
    held: ArcSwapOption<Held>,
    /// Held by who asks for a new one.
    asking: Mutex<()>,
}

struct Held {
    bearer: HeaderValue,
    renewed_from: Timestamp,
    until: Timestamp,
}

impl ClientCredentials {
    /// Asks with this client when a token is needed first.
    pub fn new(request: TokenRequest, client: HttpClient, clock: Arc<dyn Clock>) -> Self {
        Self { request, client, clock, time: TIME, held: ArcSwapOption::empty(), asking: Mutex::new(()) }
    }

    /// The value of `Authorization`.
    pub(crate) async fn token(&self) -> Result<HeaderValue, ProviderError> {
        let now = self.clock.now();
        let held = self.held.load_full().filter(|held| now < held.until);
        // One that hangs keeps each call that waits as long as one question may take, and not for one after the other.
        let renewed = tokio::time::timeout(self.time, self.renewed(held.as_deref(), now)).await;
        let renewed = renewed.unwrap_or_else(|_| {
            Err(format!("{} did not answer within {} s", self.request.url, self.time.as_secs()))
        });
        match renewed {
            Ok(bearer) => Ok(bearer),
            Err(why) => match held {
                Some(held) => {
                    tracing::warn!(why, "a token could not be renewed; the old one still holds");
                    Ok(held.bearer.clone())
                }
                None => Err(ProviderError::NotSent(
                    Problem::new(
                        code::PROVIDER_UNREACHABLE,
                        format!("no token for this provider could be had: {why}"),
                    )
                    .next("nothing was done; try again, or tell the operators of this gateway"),
                )),
            },
        }
    }

    /// A token that holds; asked for when there is none, or when the one that is `held` ends soon.
    async fn renewed(&self, held: Option<&Held>, now: Timestamp) -> Result<HeaderValue, String> {
        let _asking = match held {
            Some(held) if now < held.renewed_from => return Ok(held.bearer.clone()),
            // Renewed by one, while the others go on with what still holds.
            Some(held) => match self.asking.try_lock() {
                Ok(asking) => asking,
                Err(_) => return Ok(held.bearer.clone()),
            },
            None => self.asking.lock().await,
        };
        let now = self.clock.now();
        if let Some(newer) = self.held.load_full().filter(|newer| now < newer.renewed_from) {
            return Ok(newer.bearer.clone());
        }
        let new = self.ask().await?;
        let bearer = new.bearer.clone();
        self.held.store(Some(Arc::new(new)));
        Ok(bearer)
    }

    /// Forgets this token. `true`: it was the one that is held, so that another can be asked for.
    pub(crate) fn forget(&self, shown: &HeaderValue) -> bool {
        let held = self.held.load_full();
        let is_held = held.as_ref().is_some_and(|held| held.bearer == *shown);
        if is_held {
            self.held.store(None);
        }
        // Somebody else has forgotten it meanwhile, or has a new one already: then too.
        is_held || held.is_none_or(|held| held.bearer != *shown)
    }

    async fn ask(&self) -> Result<Held, String> {
        let asked = &self.request;
        let mut form = vec![("grant_type".to_owned(), "client_credentials".to_owned())];
        let mut add = |name: &str, value: &str| form.push((name.to_owned(), value.to_owned()));
        for (name, value) in [("scope", &asked.scope), ("audience", &asked.audience)] {
            if let Some(value) = value {
                add(name, value);
            }
        }
        let secret = asked.client_secret.expose_secret();
        if asked.in_body {
            add("client_id", &asked.client_id);
            add("client_secret", secret);
        }
        let mut request = Request::post(&asked.url)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json")
            .body(Full::new(Bytes::from(written::form(&form))))
            .map_err(|error| format!("{} cannot be asked: {error}", asked.url))?;
        if !asked.in_body {
            // Both are written as in a form first: RFC 6749 §2.3.1.
            let (mut name, mut password) = (String::new(), String::new());
            written::add_encoded(&mut name, &asked.client_id);
            written::add_encoded(&mut password, secret);
            let told = format!("Basic {}", STANDARD.encode(format!("{name}:{password}")));
            request.headers_mut().insert(header::AUTHORIZATION, sensitive(&told)?);
        }
        let told = |why: String| format!("{}: {why}", asked.url);
        let response = self.client.send(request).await.map_err(|error| match error {
            NoAnswer::NotConnected(why) | NoAnswer::Cut(why) => told(why),
        })?;
        let (head, body) = response.into_parts();
        let body = read_body(body, LARGEST).await.map_err(|error| told(format!("{error:?}")))?;
        self.held_of(head.status, &body)
    }

    /// Reads an answer. Nothing of it is told but the error's own word, since the rest may be a token.
    fn held_of(&self, status: StatusCode, body: &[u8]) -> Result<Held, String> {
        let url = &self.request.url;
        let told: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let text = |name: &str| told.get(name).and_then(Value::as_str);
        if !status.is_success() {
            let why = text("error").map_or_else(String::new, |word| {
                format!(
                    " ({})",
                    word.chars().filter(|letter| !letter.is_control()).take(100).collect::<String>()
                )
            });
            return Err(format!("{url} answered {status}{why}"));
        }
        let token =
            text("access_token").ok_or_else(|| format!("{url} answered {status} without `access_token`"))?;
        let kind = text("token_type").unwrap_or("Bearer");
        if !kind.eq_ignore_ascii_case("bearer") {
            return Err(format!("{url} gives tokens of another kind than Bearer"));
        }
        // Some write the number as a text.
        let seconds =
            told.get("expires_in").and_then(|said| said.as_i64().or_else(|| said.as_str()?.parse().ok()));
        let seconds = seconds.unwrap_or(USUAL_SECONDS).clamp(1, 86_400);
        let now = self.clock.now();
        let early = EARLY_SECONDS.min(seconds / 5);
        Ok(Held {
            bearer: sensitive(&format!("Bearer {token}"))?,
            renewed_from: now + SignedDuration::from_secs(seconds - early),
            until: now + SignedDuration::from_secs(seconds),
        })
    }
}

impl fmt::Debug for ClientCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientCredentials({} at {})", self.request.client_id, self.request.url)
    }
}

#[cfg(test)]
mod tests {
    use guichet_contract::SystemClock;
    use tokio::{net::TcpListener, time::Instant};

    use super::*;
    use crate::transport::http_client;

    #[tokio::test]
    async fn an_issuer_that_hangs_keeps_nobody_longer_than_one_question_takes() {
        // Taken by the system, and never by anybody else.
        let issuer = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let request = TokenRequest {
            url: format!("http://{}", issuer.local_addr().unwrap()),
            client_id: "guichet".to_owned(),
            client_secret: SecretString::from("hunter2"),
            scope: None,
            audience: None,
            in_body: false,
        };
        let new = ClientCredentials::new(request, http_client().unwrap(), Arc::new(SystemClock));
        let credentials = ClientCredentials { time: Duration::from_secs(1), ..new };
        let begun = Instant::now();
        let (one, other, third) = tokio::join!(credentials.token(), credentials.token(), credentials.token());
        assert!(begun.elapsed() < Duration::from_millis(1_900), "{:?}", begun.elapsed());
        for told in [one, other, third] {
            let Err(ProviderError::NotSent(why)) = told else { panic!("{told:?}") };
            assert!(why.detail.contains("did not answer within 1 s"), "{why:?}");
        }
    }
}
