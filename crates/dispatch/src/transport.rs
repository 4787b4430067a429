//! How a provider is reached: over HTTP with pooled connections, in process through the same router, or by a carrier that
//! is handed in.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::Router;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector as Connector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{
    ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use rustls_platform_verifier::BuilderVerifierExt as _;
use thread_local::ThreadLocal;
use tower::ServiceExt as _;

use crate::{instances::Instances, names::Names};

/// The body of an answer, whichever way it came.
pub type AnswerBody = UnsyncBoxBody<Bytes, std::io::Error>;

/// How a provider is reached.
#[derive(Clone)]
pub enum Transport {
    /// Over HTTP.
    Http {
        /// `http://host:port/prefix`, without a slash at the end.
        base: String,
        /// Shared by all providers.
        client: HttpClient,
    },
    /// Over HTTP, at whichever of its instances is there: it registers itself.
    Instances(Arc<Instances>),
    /// In this process: the same router, the same protocol, no socket.
    Embedded(Router),
    /// By somebody who is handed in: a simulated network.
    Carried(Arc<dyn Carry>),
    /// Not at all, for this reason.
    Barred(String),
}

/// Brings a request to a provider and its answer back.
#[async_trait]
pub trait Carry: Send + Sync + 'static {
    /// The head of the answer, its body still to come. Dropped when the caller no longer waits.
    ///
    /// # Errors
    /// Why there is none.
    async fn carry(&self, request: Request<Full<Bytes>>) -> Result<Response<AnswerBody>, NoAnswer>;
}

/// Pooled connections: one pool for each thread that calls. A connection is driven by the thread that opened it; were it
/// used by another, each call would wake that one and wait for it.
#[derive(Clone)]
pub struct HttpClient {
    connector: HttpsConnector<HttpConnector>,
    pools: Arc<ThreadLocal<Pool>>,
}

type HttpConnector = Connector<Names>;
type Pool = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);
/// Shorter than what usual servers keep a connection for, so that none is used at the moment it is closed.
const IDLE: Duration = Duration::from_secs(15);

/// Connections to one provider that a pool keeps while nobody needs them. As many as calls may go on at once: below that, a
/// thousand callers would open and close connections without end.
const AT_REST: usize = 1_024;

/// A new pool.
///
/// # Errors
/// When the machine's TLS roots cannot be used.
pub fn http_client() -> std::io::Result<HttpClient> {
    Ok(client_of(by_the_systems_roots()?, Names::any()))
}

/// A new pool for those that whoever runs the gateway has written down, and a guarded one for what nobody of them has: there, a
/// name that leads to an address where nothing may ever be called leads nowhere. The machine's certificates, some hundred files,
/// are read once for both.
///
/// # Errors
/// As [`http_client`].
pub fn http_clients() -> std::io::Result<(HttpClient, HttpClient)> {
    let config = by_the_systems_roots()?;
    Ok((client_of(config.clone(), Names::any()), client_of(config, Names::guarded())))
}

fn by_the_systems_roots() -> std::io::Result<ClientConfig> {
    let begun = begun().map_err(std::io::Error::other)?;
    let verified = begun.with_platform_verifier().map_err(std::io::Error::other)?;
    Ok(verified.with_no_client_auth())
}

fn begun() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()
}

fn client_of(config: ClientConfig, names: Names) -> HttpClient {
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp(names));
    HttpClient { connector, pools: Arc::default() }
}

/// What a connection to one provider is made with, when that is not what all others are made with.
#[derive(Default)]
pub struct TlsSettings {
    /// The authorities to believe, PEM; the system's when absent.
    pub authorities: Option<Vec<u8>>,
    /// The gateway's own certificate with what leads to its authority, and its key, PEM both.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
    /// Nobody who runs the gateway has written the address down: see [`http_clients`].
    pub guarded: bool,
}

/// A new pool for one provider, with certificates of its own.
///
/// # Errors
/// Certificates or a key that cannot be read or do not belong together; in words, without the key.
pub fn http_client_with(tls: &TlsSettings) -> Result<HttpClient, String> {
    let begun = begun().map_err(|error| error.to_string())?;
    let verified = match &tls.authorities {
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(pem, "authorities")? {
                roots.add(certificate).map_err(|error| format!("an authority cannot be used: {error}"))?;
            }
            begun.with_root_certificates(roots)
        }
        None => begun.with_platform_verifier().map_err(|error| error.to_string())?,
    };
    let config = match &tls.identity {
        Some((chain, key)) => {
            let chain = certificates(chain, "the certificate")?;
            let key = PrivateKeyDer::from_pem_slice(key)
                .map_err(|_| "the key is no PEM with an unencrypted private key".to_owned())?;
            verified
                .with_client_auth_cert(chain, key)
                .map_err(|error| format!("certificate and key cannot be used: {error}"))?
        }
        None => verified.with_no_client_auth(),
    };
    Ok(client_of(config, if tls.guarded { Names::guarded() } else { Names::any() }))
}

fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(format!("{what}: there is no certificate in this PEM")),
        Err(error) => Err(format!("{what}: this is no PEM: {error}")),
    }
}

fn tcp(names: Names) -> HttpConnector {
    let mut connector = HttpConnector::new_with_resolver(names);
    connector.set_nodelay(true);
    connector.enforce_http(false);
    connector.set_connect_timeout(Some(CONNECT));
    connector
}

impl HttpClient {
    fn pool(&self) -> &Pool {
        self.pools.get_or(|| {
            Client::builder(TokioExecutor::new())
                .pool_idle_timeout(IDLE)
                .pool_max_idle_per_host(AT_REST)
                .pool_timer(TokioTimer::new())
                .build(self.connector.clone())
        })
    }
}

impl HttpClient {
    /// Sends a request, and follows no redirect: what it shows of the gateway is for whom it was addressed to.
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<AnswerBody>, NoAnswer> {
        match self.pool().request(request).await {
            Ok(response) => Ok(boxed(response)),
            Err(error) if error.is_connect() => Err(NoAnswer::NotConnected(chain(&error))),
            Err(error) => Err(NoAnswer::Cut(chain(&error))),
        }
    }

    /// Posts a text and gives the status. For notices that are no calls of an action: no token, no identity.
    ///
    /// # Errors
    /// An address that is none, or no answer within `within`; in words.
    pub async fn post(
        &self,
        url: &str,
        content_type: &str,
        text: String,
        within: Duration,
    ) -> Result<u16, String> {
        let request = Request::post(url)
            .header(http::header::CONTENT_TYPE, content_type)
            .body(Full::new(Bytes::from(text)))
            .map_err(|error| format!("{url} cannot be asked: {error}"))?;
        match tokio::time::timeout(within, self.pool().request(request)).await {
            Ok(Ok(response)) => Ok(response.status().as_u16()),
            Ok(Err(error)) => Err(chain(&error)),
            Err(_) => Err(format!("no answer within {} s", within.as_secs())),
        }
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub enum NoAnswer {
    /// The connection never came about: surely nothing was done.
    NotConnected(String),
    /// It was cut after the request had gone out, or may have.
    Cut(String),
}

impl NoAnswer {
    /// The same, with the address in its words.
    pub(crate) fn at(self, url: &str) -> Self {
        match self {
            Self::NotConnected(why) => Self::NotConnected(format!("{url}: {why}")),
            Self::Cut(why) => Self::Cut(format!("{url}: {why}")),
        }
    }
}

impl Transport {
    /// What a path is appended to.
    pub(crate) fn base(&self) -> &str {
        match self {
            Self::Http { base, .. } => base,
            Self::Instances(_) | Self::Embedded(_) | Self::Carried(_) | Self::Barred(_) => "",
        }
    }

    /// `may_repeat`: it does no harm when it is done twice.
    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
        may_repeat: bool,
    ) -> Result<Response<AnswerBody>, NoAnswer> {
        match self {
            Self::Http { client, .. } => client.send(request).await,
            Self::Instances(instances) => instances.send(request, may_repeat).await,
            Self::Embedded(router) => {
                match router.clone().oneshot(request.map(axum::body::Body::new)).await {
                    Ok(response) => Ok(boxed(response)),
                    Err(never) => match never {},
                }
            }
            Self::Carried(carrier) => carrier.carry(request).await,
            Self::Barred(why) => Err(NoAnswer::NotConnected(why.clone())),
        }
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { base, .. } => write!(f, "Http({base})"),
            Self::Instances(_) => f.write_str("Instances"),
            Self::Embedded(_) => f.write_str("Embedded"),
            Self::Carried(_) => f.write_str("Carried"),
            Self::Barred(why) => write!(f, "Barred({why})"),
        }
    }
}

fn boxed<B>(response: Response<B>) -> Response<AnswerBody>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    response.map(|body| body.map_err(std::io::Error::other).boxed_unsync())
}

/// The error and what caused it, in one line: the outermost alone says "client error".
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
