//! A provider as it is configured: who performs, how it is reached, and what it is shown. `provider_text` reads it.

use std::{fmt, path::PathBuf, sync::Arc};

use guichet_contract::Digest;
use guichet_dispatch::DocumentPlace;
use guichet_operations::overlay::Overlay;
use secrecy::{ExposeSecret as _, SecretString};

/// One provider.
#[derive(Debug, Clone, PartialEq)]
pub struct ProviderConfig {
    /// Its name.
    pub name: String,
    /// How it is reached.
    pub reached: Reached,
    /// Unknown `x-guichet` fields are errors.
    pub strict: bool,
    /// What is added to its document.
    pub overlay: Option<OverlayFile>,
    /// Calls at once.
    pub calls_at_once: usize,
    /// Largest answer, bytes.
    pub answer_bytes: usize,
}

/// How a provider is reached.
#[derive(Debug, Clone, PartialEq)]
pub enum Reached {
    /// In this process; the file with its settings.
    Embedded {
        /// Which of the providers built in.
        kind: String,
        /// Its settings.
        settings: PathBuf,
    },
    /// Over HTTP, `http://host:port/prefix`.
    Url(String),
    /// A service that knows nothing of gateways.
    Service(Box<ServiceConfig>),
}

/// A service that has an OpenAPI document and knows nothing of gateways.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceConfig {
    /// What the paths of its document are appended to.
    pub url: String,
    /// Its document.
    pub document: DocumentPlace,
    /// What it is shown of the gateway.
    pub auth: Auth,
    /// Certificates for connections to it.
    pub tls: TlsFiles,
    /// It is shown who calls, in the gateway's own token.
    pub shows_token: bool,
    /// Addresses beside its own that its document may send calls to.
    pub servers: Vec<String>,
}

/// What a service is shown of the gateway. Secrets are never printed.
#[derive(Clone, Default)]
pub enum Auth {
    /// Nothing.
    #[default]
    None,
    /// A header of its own.
    Header {
        /// Its name.
        name: String,
        /// What it says.
        secret: SecretString,
    },
    /// Name and password.
    Basic {
        /// The name.
        user: String,
        /// The password.
        secret: SecretString,
    },
    /// A token that does not change.
    Bearer {
        /// The token.
        secret: SecretString,
    },
    /// OAuth 2.0, client credentials.
    ClientCredentials {
        /// Where tokens are asked for.
        token_url: String,
        /// Who the gateway is there.
        client_id: String,
        /// Its secret.
        secret: SecretString,
        /// What for.
        scope: Option<String>,
        /// For whom.
        audience: Option<String>,
        /// Name and secret go into the form.
        in_body: bool,
    },
}

impl Auth {
    /// All that makes it what it is, secrets too: to be compared, and never shown.
    fn key(&self) -> Vec<&str> {
        match self {
            Self::None => vec!["none"],
            Self::Header { name, secret } => vec!["header", name, secret.expose_secret()],
            Self::Basic { user, secret } => vec!["basic", user, secret.expose_secret()],
            Self::Bearer { secret } => vec!["bearer", secret.expose_secret()],
            Self::ClientCredentials { token_url, client_id, secret, scope, audience, in_body } => {
                vec![
                    "oauth2",
                    token_url,
                    client_id,
                    secret.expose_secret(),
                    scope.as_deref().unwrap_or_default(),
                    audience.as_deref().unwrap_or_default(),
                    if *in_body { "body" } else { "header" },
                ]
            }
        }
    }
}

impl PartialEq for Auth {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Header { .. } => "header",
            Self::Basic { .. } => "basic",
            Self::Bearer { .. } => "bearer",
            Self::ClientCredentials { .. } => "oauth2",
        })
    }
}

/// Certificates in files, PEM each, with what stands in them, so that a change of them is noticed.
#[derive(Clone, PartialEq, Default)]
pub struct TlsFiles {
    /// The authorities to believe instead of the system's.
    pub authorities: Option<Vec<u8>>,
    /// The gateway's certificate and key.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl TlsFiles {
    /// Whether connections are made as all others are.
    pub fn is_usual(&self) -> bool {
        self.authorities.is_none() && self.identity.is_none()
    }
}

impl fmt::Debug for TlsFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "own authorities: {}, own certificate: {}",
            self.authorities.is_some(),
            self.identity.is_some()
        )
    }
}

/// An overlay, read.
#[derive(Debug, Clone)]
pub struct OverlayFile {
    /// Where it is.
    pub file: PathBuf,
    /// Of its content.
    pub digest: Digest,
    /// What it does.
    pub overlay: Arc<Overlay>,
}

impl PartialEq for OverlayFile {
    fn eq(&self, other: &Self) -> bool {
        self.file == other.file && self.digest == other.digest
    }
}
