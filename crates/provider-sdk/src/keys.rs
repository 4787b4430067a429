//! The gateway's public keys: which signatures a provider believes.

use std::{collections::HashMap, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use guichet_contract::Clock;
use jiff::{SignedDuration, Timestamp};
use pasetors::{
    keys::AsymmetricPublicKey,
    paserk::{FormatAsPaserk as _, Id},
    version4::V4,
};
use serde::Deserialize;
use tokio::sync::Mutex;

/// An unknown key id makes the provider ask the gateway anew, at most this often.
const ASK_AGAIN_AFTER: SignedDuration = SignedDuration::from_secs(10);
/// Known keys are asked for anew after this time, so that a withdrawn key does not hold for ever.
const KEYS_GROW_OLD: SignedDuration = SignedDuration::from_secs(300);

pub(crate) type PublicKey = Arc<AsymmetricPublicKey<V4>>;

/// Where a provider finds the keys of the gateway it serves.
#[derive(Clone)]
pub struct Keys {
    source: Source,
    issuer: Option<String>,
}

#[derive(Clone)]
enum Source {
    Ring(Arc<KeyRing>),
    Gateway(Arc<GatewayKeys>),
    Anyone,
}

/// What a look for a key can meet.
pub(crate) enum Found {
    Key(PublicKey),
    NoSuchKey,
    /// The gateway could not be asked.
    CannotAsk(String),
}

impl Keys {
    /// These keys and no others, each as `k4.public.…` (PASERK).
    pub fn fixed<T: AsRef<str>>(public_keys: impl IntoIterator<Item = T>) -> Result<Self, KeyError> {
        let ring = KeyRing::default();
        ring.replace(public_keys)?;
        Ok(Self::shared(Arc::new(ring)))
    }

    /// A ring that someone else holds too and turns: for providers that live in the gateway's process.
    pub fn shared(ring: Arc<KeyRing>) -> Self {
        Self { source: Source::Ring(ring), issuer: None }
    }

    /// The keys that the gateway at this URL publishes at `/v1/keys`. They are fetched at the first call,
    /// again when a token names an unknown key (at most every 10 s), and every 5 minutes.
    pub fn from_gateway(url: &str) -> Result<Self, KeyError> {
        let base = gateway_at(url).map_err(KeyError::Gateway)?;
        let url = format!("{}/v1/keys", base.as_str().trim_end_matches('/'));
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(5))
            .redirect(reqwest::redirect::Policy::none());
        // Whom a proxy of plain HTTP hands in as keys would be believed.
        let client = if base.scheme() == "http" { client.no_proxy() } else { client };
        let client = client.build().map_err(|error| KeyError::Client(error.to_string()))?;
        let keys = GatewayKeys {
            url,
            client,
            ring: KeyRing::default(),
            asked: Mutex::new(None),
            age: ArcSwap::default(),
        };
        Ok(Self { source: Source::Gateway(Arc::new(keys)), issuer: None })
    }

    /// Believes everyone. For measuring on a machine nobody else reaches, and for nothing else: there is no
    /// identity behind any call.
    pub fn insecure_for_bench() -> Self {
        tracing::warn!(
            "provider accepts calls without any token: insecure_for_bench must never meet a network"
        );
        Self { source: Source::Anyone, issuer: None }
    }

    /// Believes only tokens of this issuer: `guichet/production`.
    #[must_use]
    pub fn issued_by(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    pub(crate) fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    pub(crate) fn is_anyone(&self) -> bool {
        matches!(self.source, Source::Anyone)
    }

    pub(crate) async fn find(&self, kid: &str, clock: &dyn Clock) -> Found {
        match &self.source {
            Source::Ring(ring) => ring.get(kid).map_or(Found::NoSuchKey, Found::Key),
            Source::Gateway(gateway) => gateway.find(kid, clock).await,
            Source::Anyone => Found::NoSuchKey,
        }
    }
}

/// The address of a gateway. `Err`: how what is none may be called; what stands before an `@` may be a password, which is not
/// told, and such an address is not taken.
pub(crate) fn gateway_at(address: &str) -> Result<reqwest::Url, String> {
    let has_password = |url: &reqwest::Url| !url.username().is_empty() || url.password().is_some();
    let is_one = |url: &reqwest::Url| {
        matches!(url.scheme(), "http" | "https") && !url.cannot_be_a_base() && !has_password(url)
    };
    reqwest::Url::parse(address).ok().filter(is_one).ok_or_else(|| {
        if address.contains('@') { "an address with an `@`".to_owned() } else { address.to_owned() }
    })
}

/// Whether the host is this machine itself.
pub(crate) fn is_loopback(url: &reqwest::Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Public keys by key id. Replacing them takes effect on the next call.
#[derive(Default)]
pub struct KeyRing(ArcSwap<HashMap<String, PublicKey>>);

impl KeyRing {
    /// An empty ring: believes nobody until [`KeyRing::replace`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Believes these keys (`k4.public.…`) and no others from now on. On an error nothing changes.
    pub fn replace<T: AsRef<str>>(&self, public_keys: impl IntoIterator<Item = T>) -> Result<(), KeyError> {
        let mut keys = HashMap::new();
        for text in public_keys {
            let text = text.as_ref().trim();
            let key = AsymmetricPublicKey::<V4>::try_from(text)
                .map_err(|_| KeyError::NotAKey(text.chars().take(80).collect()))?;
            let mut kid = String::new();
            Id::from(&key).fmt(&mut kid).map_err(|error| KeyError::Client(error.to_string()))?;
            keys.insert(kid, Arc::new(key));
        }
        self.0.store(Arc::new(keys));
        Ok(())
    }

    fn get(&self, kid: &str) -> Option<PublicKey> {
        self.0.load().get(kid).cloned()
    }
}

/// Keys fetched from a gateway.
struct GatewayKeys {
    url: String,
    client: reqwest::Client,
    ring: KeyRing,
    /// When the gateway was last asked, held while it is asked: many callers, one question.
    asked: Mutex<Option<Asked>>,
    /// When the keys in the ring were had.
    age: ArcSwap<Option<Timestamp>>,
}

struct Asked {
    at: Timestamp,
    problem: Option<String>,
}

#[derive(Deserialize)]
struct Published {
    keys: Vec<PublishedKey>,
}

#[derive(Deserialize)]
struct PublishedKey {
    public: String,
}

impl GatewayKeys {
    async fn find(self: &Arc<Self>, kid: &str, clock: &dyn Clock) -> Found {
        if let Some(key) = self.ring.get(kid) {
            let now = clock.now();
            if self.age.load().is_none_or(|had| now.duration_since(had) > KEYS_GROW_OLD) {
                // Beside the call: a known key answers at once, and a gateway that is away for a while
                // does not stop the provider.
                let this = Arc::clone(self);
                drop(tokio::spawn(async move { this.ask(now).await }));
            }
            return Found::Key(key);
        }
        let problem = self.ask(clock.now()).await;
        match (self.ring.get(kid), problem) {
            (Some(key), _) => Found::Key(key),
            (None, Some(problem)) => Found::CannotAsk(problem),
            (None, None) => Found::NoSuchKey,
        }
    }

    /// Asks the gateway unless it was asked just now. Answers what went wrong the last time.
    async fn ask(&self, now: Timestamp) -> Option<String> {
        let mut asked = self.asked.lock().await;
        if let Some(asked) = asked.as_ref()
            && now.duration_since(asked.at) < ASK_AGAIN_AFTER
        {
            return asked.problem.clone();
        }
        let problem = match self.fetch().await {
            Ok(()) => {
                self.age.store(Arc::new(Some(now)));
                None
            }
            Err(problem) => {
                tracing::warn!(url = self.url, problem, "the gateway's keys cannot be had");
                Some(problem)
            }
        };
        *asked = Some(Asked { at: now, problem: problem.clone() });
        problem
    }

    async fn fetch(&self) -> Result<(), String> {
        let published: Published =
            async { self.client.get(&self.url).send().await?.error_for_status()?.json().await }
                .await
                .map_err(|error: reqwest::Error| error.to_string())?;
        self.ring.replace(published.keys.iter().map(|key| &key.public)).map_err(|error| error.to_string())
    }
}

/// Keys that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The text is no public key.
    #[error("`{0}` is no public key of version 4: it must begin with `k4.public.`")]
    NotAKey(String),
    /// The URL is none.
    #[error("`{0}` is no URL of a gateway: write http://host:port or https://host")]
    Gateway(String),
    /// No HTTP client can be made.
    #[error("keys cannot be fetched: {0}")]
    Client(String),
}
