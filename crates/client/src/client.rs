//! One gateway, and how it is asked.

use std::{sync::Once, time::Duration};

use guichet_contract::{Problem, Surface};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url, header};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{address, error::Error, secret::Secret};

/// How long to wait for what.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For a connection.
    pub connect: Duration,
    /// For a whole answer. Reads of slow actions ask for more themselves.
    pub request: Duration,
    /// Between two pieces of a stream; the gateway says something at least every 15 s.
    pub silence: Duration,
    /// How long an event stream is sought again before the follower is told that the gateway is gone.
    pub give_up: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            request: Duration::from_mins(1),
            silence: Duration::from_secs(45),
            give_up: Duration::from_mins(2),
        }
    }
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Page<T> {
    /// In the list's order.
    pub items: Vec<T>,
    /// Where the next page begins; `None` on the last one.
    #[serde(default)]
    pub next: Option<String>,
}

/// Typed calls to one gateway. Cheap to clone; connections are shared.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    token: Option<Secret>,
    surface: Surface,
    timeouts: Timeouts,
}

/// RFC 3986 unreserved characters stay as they are.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The largest answer that is held in memory as a whole, MiB: that of a catalogue with the largest documents there are.
const LARGEST_ANSWER_MIB: usize = 256;

impl Client {
    /// A client of the gateway at `base_url`. Sends nothing yet. Plain `http://` is taken for loopback only;
    /// see [`Client::new_insecure`].
    pub fn new(
        base_url: &str,
        token: Option<Secret>,
        surface: Surface,
        timeouts: Timeouts,
    ) -> Result<Self, Error> {
        Self::build(base_url, false, token, surface, timeouts)
    }

    /// As [`Client::new`], and takes plain `http://` to any host: the token travels in the clear.
    pub fn new_insecure(
        base_url: &str,
        token: Option<Secret>,
        surface: Surface,
        timeouts: Timeouts,
    ) -> Result<Self, Error> {
        Self::build(base_url, true, token, surface, timeouts)
    }

    fn build(
        base_url: &str,
        insecure: bool,
        token: Option<Secret>,
        surface: Surface,
        timeouts: Timeouts,
    ) -> Result<Self, Error> {
        let base = address::parse(base_url, insecure)?;
        install_crypto();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("guichet-client/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(timeouts.connect)
            // A redirect would carry the token to a place nobody chose.
            .redirect(reqwest::redirect::Policy::none());
        if base.scheme() == "http" {
            // No TLS here: spares reading the machine's root certificates, some tens of milliseconds.
            builder = builder.tls_certs_only(std::iter::empty());
        }
        if address::is_loopback(&base) {
            builder = builder.no_proxy();
        }
        let http = builder
            .build()
            .map_err(|error| Error::Address { url: base_url.to_owned(), why: chain(&error) })?;
        Ok(Self { http, base, token, surface, timeouts })
    }

    /// The same gateway with another token.
    #[must_use]
    pub fn with_token(&self, token: Option<Secret>) -> Self {
        Self { token, ..self.clone() }
    }

    /// The gateway's address, as it is shown to people: without a slash at its end.
    pub fn url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    pub(crate) fn timeouts(&self) -> Timeouts {
        self.timeouts
    }

    /// A request to `v1/…`; the segments are escaped one by one.
    pub(crate) fn request(&self, method: Method, segments: &[&str]) -> RequestBuilder {
        let path: Vec<String> =
            segments.iter().map(|segment| utf8_percent_encode(segment, SEGMENT).to_string()).collect();
        let mut url = self.base.clone();
        url.set_path(&format!("{}v1/{}", self.base.path(), path.join("/")));
        let mut request = self.http.request(method, url).header("guichet-surface", self.surface.as_str());
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.reveal());
        }
        request
    }

    /// Sends, and turns every status from 400 into an error. The whole answer must come within `within`.
    pub(crate) async fn send_within(
        &self,
        request: RequestBuilder,
        within: Duration,
    ) -> Result<Response, Error> {
        self.accept(request.timeout(within)).await
    }

    /// As [`Client::send_within`], with the usual time-out.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Response, Error> {
        self.send_within(request, self.timeouts.request).await
    }

    /// For streams: only the silence between two pieces is bounded, by whoever reads them.
    pub(crate) async fn open(&self, request: RequestBuilder) -> Result<Response, Error> {
        let opening = self.accept(request);
        match tokio::time::timeout(self.timeouts.request, opening).await {
            Ok(response) => response,
            Err(_) => Err(self.silent(self.timeouts.request)),
        }
    }

    async fn accept(&self, request: RequestBuilder) -> Result<Response, Error> {
        let response = request.send().await.map_err(|error| self.network(&error))?;
        let status = response.status();
        if status.is_client_error() || status.is_server_error() {
            return Err(self.refusal(response).await);
        }
        if status.is_redirection() && status != StatusCode::NOT_MODIFIED {
            let to = response.headers().get(header::LOCATION).and_then(|to| to.to_str().ok()).unwrap_or("?");
            let what = format!("it sends us elsewhere, to {to}; if that is the gateway, use that address");
            return Err(self.protocol(what, Some(status)));
        }
        Ok(response)
    }

    async fn refusal(&self, response: Response) -> Error {
        let status = response.status();
        let body = match response.bytes().await {
            Ok(body) => body,
            Err(error) => return self.network(&error),
        };
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => Error::Problem(Box::new(problem)),
            Err(_) => self.protocol("its refusal is no application/problem+json".to_owned(), Some(status)),
        }
    }

    /// Reads a whole JSON answer.
    pub(crate) async fn json<T: DeserializeOwned>(&self, response: Response) -> Result<T, Error> {
        let status = response.status();
        let body = self.bytes(response).await?;
        serde_json::from_slice(&body).map_err(|error| self.protocol(error.to_string(), Some(status)))
    }

    /// Reads a whole answer, as long as it is not without bound.
    pub(crate) async fn bytes(&self, mut response: Response) -> Result<Vec<u8>, Error> {
        let status = response.status();
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| self.network(&error))? {
            if body.len() + piece.len() > LARGEST_ANSWER_MIB << 20 {
                let what = format!("its answer is larger than {LARGEST_ANSWER_MIB} MiB");
                return Err(self.protocol(what, Some(status)));
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }

    /// Reads a whole answer as text.
    pub(crate) async fn text(&self, response: Response) -> Result<String, Error> {
        let status = response.status();
        String::from_utf8(self.bytes(response).await?)
            .map_err(|_| self.protocol("its answer is not UTF-8".to_owned(), Some(status)))
    }

    pub(crate) fn network(&self, error: &reqwest::Error) -> Error {
        let why = if error.is_timeout() && !error.is_connect() {
            "it did not answer in time".to_owned()
        } else {
            chain(error)
        };
        Error::Unreachable { url: self.url().to_owned(), why }
    }

    pub(crate) fn silent(&self, after: Duration) -> Error {
        let why = format!("nothing was heard for {} s", after.as_secs());
        Error::Unreachable { url: self.url().to_owned(), why }
    }

    pub(crate) fn protocol(&self, what: String, status: Option<StatusCode>) -> Error {
        let what = match status {
            Some(status) => format!("{what} (status {})", status.as_u16()),
            None => what,
        };
        Error::Protocol { url: self.url().to_owned(), what, status: status.map(|status| status.as_u16()) }
    }
}

/// The innermost cause says most ("Connection refused"); the outer ones repeat the address.
fn chain(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// Right before the first client is made, and not in `main`: help and completion need no cryptography.
fn install_crypto() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error says that the process has installed one itself, which is as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    });
}
