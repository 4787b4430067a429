//! Registering with a gateway: saying that one is there, again before each lease ends, and taking leave.
//!
//! ```text
//!   listen ─► register ─► (a third of the lease) ─► register … ─► told to stop ─► deregister ─► linger ─► finish
//! ```
//!
//! A gateway that is away or says no stops nothing: calls that come are answered, and it is told again soon. So a gateway
//! that was restarted has all its providers back within one such round.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use guichet_contract::{Address, Clock, Problem, SystemClock};
use jiff::Timestamp;
use reqwest::{Client, Method, Response, Url};
use serde::Deserialize;
use serde_json::json;
use tokio::time::sleep;

use crate::{
    keys::{gateway_at, is_loopback},
    prepared::Prepared,
};

/// How long a call to the gateway may take.
const CALL: Duration = Duration::from_secs(5);
/// The longest pause after a call that failed; the first is this much shorter.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));
/// After its farewell an instance still answers for so long: another gateway hears of it a moment later.
const LINGER: Duration = Duration::from_secs(2);
/// The shortest and the longest lease, seconds.
const LEASE_SECONDS: (u32, u32) = (10, 300);

/// How a provider registers itself with its gateway.
#[derive(Clone)]
pub struct Registration {
    gateway: Url,
    token: Token,
    url: String,
    instance: String,
    lease_seconds: u32,
    client: Client,
    clock: Arc<dyn Clock>,
}

/// A service account's token; a file is read anew each time, so that the token in it can be exchanged.
#[derive(Clone)]
pub(crate) enum Token {
    Given(String),
    File(PathBuf),
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration")
            .field("gateway", &self.gateway.as_str())
            .field("url", &self.url)
            .field("instance", &self.instance)
            .field("lease_seconds", &self.lease_seconds)
            .finish_non_exhaustive()
    }
}

/// Why a provider cannot register itself at all.
#[derive(Debug, thiserror::Error)]
pub enum RegistrationError {
    /// The gateway's address.
    #[error("`{0}` is no URL of a gateway: write http://host:port or https://host")]
    Gateway(String),
    /// The token would travel in the clear.
    #[error(
        "the token is not sent to {0} in the clear: use https://, or set GUICHET_INSECURE=true if the network itself is trusted"
    )]
    InTheClear(String),
    /// The provider's own address.
    #[error("this provider's own address: {0}; set GUICHET_URL to where the gateway reaches it")]
    Own(String),
    /// The lease.
    #[error("a lease is 10 to 300 seconds, not {0}: set GUICHET_LEASE_SECONDS")]
    Lease(u32),
    /// No HTTP client can be made.
    #[error("the gateway cannot be called: {0}")]
    Client(String),
}

/// What the gateway answers.
#[derive(Deserialize)]
struct Lease {
    lease_until: Timestamp,
    environment: String,
}

/// Why it did not take it.
enum NotTaken {
    /// It says no: in its words.
    Refused(String),
    /// It did not say anything.
    NoAnswer(String),
}

impl Registration {
    /// With the gateway at `gateway`, as the service account whose token this is, to be called at `url`, which is this
    /// provider's own address with the prefix under which it is mounted. Plain `http://` beyond this machine is taken only
    /// when `insecure`.
    ///
    /// # Errors
    /// An address that is none, or to which no token is sent.
    pub fn new(
        gateway: &str,
        token: impl Into<String>,
        url: &str,
        insecure: bool,
    ) -> Result<Self, RegistrationError> {
        Self::with(gateway, Token::Given(token.into()), url, insecure)
    }

    pub(crate) fn with(
        gateway: &str,
        token: Token,
        url: &str,
        insecure: bool,
    ) -> Result<Self, RegistrationError> {
        let gateway = gateway_at(gateway).map_err(RegistrationError::Gateway)?;
        if gateway.scheme() == "http" && !insecure && !is_loopback(&gateway) {
            return Err(RegistrationError::InTheClear(gateway.to_string()));
        }
        let address: Address = url.parse().map_err(RegistrationError::Own)?;
        let mut client = Client::builder().timeout(CALL).redirect(reqwest::redirect::Policy::none());
        if gateway.scheme() == "http" || is_loopback(&gateway) {
            // A proxy would read the token, and could answer for the gateway.
            client = client.no_proxy();
        }
        let client = client.build().map_err(|error| RegistrationError::Client(error.to_string()))?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let instance = clock.new_uuid().simple().to_string();
        Ok(Self { gateway, token, url: address.to_string(), instance, lease_seconds: 30, client, clock })
    }

    /// For how long the gateway believes that this instance is there, seconds, 10–300 (30 when never called). It is told
    /// again after a third of it.
    ///
    /// # Errors
    /// Any other number.
    pub fn lease_seconds(mut self, seconds: u32) -> Result<Self, RegistrationError> {
        if !(LEASE_SECONDS.0..=LEASE_SECONDS.1).contains(&seconds) {
            return Err(RegistrationError::Lease(seconds));
        }
        self.lease_seconds = seconds;
        Ok(self)
    }

    /// This process, as the gateway calls it: another one after each start.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Registers, and says so again until `stop` is ready; then takes leave, and is ready when no gateway should send
    /// anything here any more. Calls are to be answered until then, and what is under way to be finished after it.
    pub async fn keep(&self, provider: &Prepared, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        let mut failures = 0_u32;
        let mut told: Option<String> = None;
        loop {
            // It is said to its end also when `stop` is ready meanwhile: it must not arrive after the farewell.
            let taken = self.say(provider).await;
            failures = if taken.is_ok() { 0 } else { failures.saturating_add(1) };
            self.tell(&provider.name(), &taken, &mut told);
            tokio::select! {
                biased;
                () = &mut stop => break,
                () = sleep(self.spread(self.pause(failures))) => {}
            }
        }
        self.leave(&provider.name()).await;
    }

    /// How long until it is said again, after so many failures in a row.
    fn pause(&self, failures: u32) -> Duration {
        let third = Duration::from_secs(self.lease_seconds.into()) / 3;
        if failures == 0 {
            return third;
        }
        PAUSE.0.saturating_mul(1 << failures.min(10)).min(PAUSE.1).min(third)
    }

    /// Each outcome is told once, not at each heartbeat.
    fn tell(&self, provider: &str, taken: &Result<Lease, NotTaken>, told: &mut Option<String>) {
        let (gateway, instance) = (self.gateway.as_str(), self.instance.as_str());
        let outcome = match taken {
            Ok(_) => "registered".to_owned(),
            Err(NotTaken::Refused(why) | NotTaken::NoAnswer(why)) => why.clone(),
        };
        if told.as_ref() == Some(&outcome) {
            return;
        }
        match taken {
            Ok(Lease { environment, lease_until }) => {
                tracing::info!(provider, gateway, environment, instance, url = self.url, %lease_until, "registered");
            }
            Err(NotTaken::Refused(why)) => {
                tracing::error!(
                    provider,
                    gateway,
                    why,
                    "the gateway does not take this provider; it is asked again"
                );
            }
            Err(NotTaken::NoAnswer(why)) => {
                tracing::warn!(
                    provider,
                    gateway,
                    why,
                    "the gateway cannot be told that this provider is there; again soon"
                );
            }
        }
        *told = Some(outcome);
    }

    /// Between four fifths and all of it, so that many who began together do not stay together.
    fn spread(&self, pause: Duration) -> Duration {
        let chance = self.clock.new_uuid().as_u128() % 1_000;
        let permille = 800 + u32::try_from(chance).unwrap_or_default() / 5;
        pause * permille / 1_000
    }

    async fn say(&self, provider: &Prepared) -> Result<Lease, NotTaken> {
        let body = json!({
            "instance": self.instance,
            "url": self.url,
            "document": provider.desk().etag.to_str().ok(),
            "lease_seconds": self.lease_seconds,
        });
        let url = self.endpoint(&["v1", "providers", &provider.name()]);
        let answer = self.call(Method::PUT, url, Some(&body)).await?;
        answer.json().await.map_err(|error| NotTaken::NoAnswer(error.without_url().to_string()))
    }

    async fn leave(&self, provider: &str) {
        let url = self.endpoint(&["v1", "providers", provider, "instances", &self.instance]);
        match self.call(Method::DELETE, url, None).await {
            Ok(_) => {
                tracing::info!(provider, "the gateway sends nothing more here");
                sleep(LINGER).await;
            }
            Err(NotTaken::Refused(why) | NotTaken::NoAnswer(why)) => {
                tracing::warn!(
                    provider,
                    why,
                    "the gateway was not told that this instance leaves; its lease ends by itself"
                );
            }
        }
    }

    fn endpoint(&self, words: &[&str]) -> Url {
        let mut url = self.gateway.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(words);
        }
        url
    }

    async fn call(
        &self,
        method: Method,
        url: Url,
        body: Option<&serde_json::Value>,
    ) -> Result<Response, NotTaken> {
        let token = match &self.token {
            Token::Given(token) => token.clone(),
            Token::File(file) => tokio::fs::read_to_string(file).await.map_err(|error| {
                NotTaken::NoAnswer(format!("the token in {} cannot be read: {error}", file.display()))
            })?,
        };
        let mut request = self.client.request(method, url).bearer_auth(token.trim());
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(|error| NotTaken::NoAnswer(cause(&error)))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let told = answer.json::<Problem>().await.map_or_else(
            |_| format!("it answers {status}"),
            |problem| match &problem.next {
                Some(next) => format!("{} ({}): {next}", problem.detail, problem.code),
                None => format!("{} ({})", problem.detail, problem.code),
            },
        );
        Err(if status.is_client_error() { NotTaken::Refused(told) } else { NotTaken::NoAnswer(told) })
    }
}

/// The innermost reason; the outermost says only that a request failed.
fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(gateway: &str, url: &str, insecure: bool) -> Result<Registration, RegistrationError> {
        Registration::new(gateway, "secret-token", url, insecure)
    }

    #[test]
    fn a_token_goes_nowhere_in_the_clear_and_is_never_shown() {
        let registration = with("http://127.0.0.1:7070/guichet/", "http://127.0.0.1:7100/x/", false).unwrap();
        assert_eq!(registration.url, "http://127.0.0.1:7100/x");
        let url = registration.endpoint(&["v1", "providers", "a b"]);
        assert_eq!(url.as_str(), "http://127.0.0.1:7070/guichet/v1/providers/a%20b");
        assert!(!format!("{registration:?}").contains("secret-token"));
        let own = "http://127.0.0.1:7100";
        assert!(matches!(with("http://gate.example", own, false), Err(RegistrationError::InTheClear(_))));
        assert!(
            with("http://gate.example", own, true).is_ok()
                && with("https://gate.example", own, false).is_ok()
        );
        assert!(matches!(with("gate", own, false), Err(RegistrationError::Gateway(_))));
        assert!(matches!(with("https://gate", "7100", false), Err(RegistrationError::Own(_))));
        for gateway in
            ["https://ada:hunter2@gate.example", "http://ada:hunter2@gate.example", "ada:hunter2@gate"]
        {
            let error = with(gateway, own, false).unwrap_err();
            assert!(
                matches!(error, RegistrationError::Gateway(_)) && !error.to_string().contains("hunter2"),
                "{error}"
            );
        }
        assert!(matches!(registration.lease_seconds(5), Err(RegistrationError::Lease(5))));
    }

    /// What all SDKs do alike.
    #[test]
    fn the_vectors_hold() {
        let all: serde_json::Value =
            serde_json::from_str(include_str!("../../../sdks/vectors.json")).unwrap();
        let cases = |kind: &str| all["registering"][kind].as_array().unwrap().clone();
        let own = "http://127.0.0.1:7100";
        // Whoever is not taken is told why, without the token and without what may be a password.
        let taken = |registration: Result<Registration, RegistrationError>| {
            let why = registration.err().map(|why| why.to_string());
            let tells = ["secret", "se/cret"]
                .iter()
                .any(|secret| why.as_ref().is_some_and(|why| why.contains(secret)));
            assert!(!tells, "{why:?}");
            why.is_none()
        };
        for case in cases("gateways") {
            let (url, insecure) = (case["url"].as_str().unwrap(), case["insecure"].as_bool().unwrap());
            assert_eq!(taken(with(url, own, insecure)), case["taken"], "{case}");
        }
        for case in cases("own") {
            let url = case["url"].as_str().unwrap();
            assert_eq!(taken(with("https://gate", url, false)), case["taken"], "{case}");
        }
        let leased = |seconds: &serde_json::Value| {
            let seconds = u32::try_from(seconds.as_u64().unwrap()).unwrap();
            with("https://gate", own, false).unwrap().lease_seconds(seconds)
        };
        for case in cases("leases") {
            assert_eq!(leased(&case["seconds"]).is_ok(), case["taken"], "{case}");
        }
        for case in cases("pauses") {
            let failures = u32::try_from(case["failures"].as_u64().unwrap()).unwrap();
            let pause = leased(&case["lease_seconds"]).unwrap().pause(failures);
            assert_eq!(pause.as_millis(), u128::from(case["milliseconds"].as_u64().unwrap()), "{case}");
        }
    }

    #[test]
    fn pauses_are_spread() {
        let registration = with("http://localhost:7070", "http://127.0.0.1:7100", false).unwrap();
        let pauses: Vec<Duration> = (0..50).map(|_| registration.spread(Duration::from_secs(10))).collect();
        assert!(pauses.iter().all(|pause| (8_000..=10_000).contains(&pause.as_millis())), "{pauses:?}");
        assert!(pauses.iter().max() > pauses.iter().min());
    }
}
