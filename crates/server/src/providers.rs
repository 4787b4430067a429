//! From what the configuration says of a provider to somebody who can be called: transport, credentials, limits, and how its
//! document is read.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use anyhow::{Context as _, anyhow};
use guichet_contract::{Clock, Digest, PrincipalKind, Registration};
use guichet_dispatch::{
    ClientCredentials, Credentials, Foreign, Limits, Provider, TokenRequest, Transport,
    transport::{self, HttpClient, TlsSettings},
};
use guichet_identity::KeyRing;
use guichet_operations::{offer::Offer, reload_settings::Source};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    config::{Auth, Config, ProviderConfig, Reached, ServiceConfig},
    config_provider::OverlayFile,
    embedded,
};

/// Largest document of a service that knows nothing of gateways, bytes: some have a thousand operations with every answer spelled out.
const LARGEST_DOCUMENT: usize = 64 * 1024 * 1024;

/// What providers are made with.
pub struct Wiring {
    embedded_keys: Arc<guichet_provider_sdk::KeyRing>,
    client: HttpClient,
    clock: Arc<dyn Clock>,
}

impl Wiring {
    /// With the keys that built-in providers believe; none when they are only asked for their documents.
    ///
    /// # Errors
    /// Keys that are none.
    pub fn new(ring: Option<&KeyRing>, client: HttpClient, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let embedded_keys = Arc::new(guichet_provider_sdk::KeyRing::new());
        if let Some(ring) = ring {
            embedded_keys
                .replace(ring.public_keys().iter().map(|(_, public)| public))
                .context("the gateway's own keys")?;
        }
        Ok(Self { embedded_keys, client, clock })
    }

    /// Somebody who can be called.
    ///
    /// # Errors
    /// Settings, certificates or credentials that cannot be used; never a secret.
    pub fn provider(&self, config: &ProviderConfig) -> anyhow::Result<Provider> {
        let name = &config.name;
        let mut limits =
            Limits { at_once: config.calls_at_once, answer_bytes: config.answer_bytes, ..Limits::default() };
        let http = |base: &str, client: &HttpClient| Transport::Http {
            base: base.to_owned(),
            client: client.clone(),
        };
        match &config.reached {
            Reached::Url(base) => Ok(Provider::new(name, http(base, &self.client), limits)),
            Reached::Embedded { kind, settings } => {
                let router = embedded::router(kind, name, settings, &self.embedded_keys)?;
                Ok(Provider::new(name, Transport::Embedded(router), limits))
            }
            Reached::Service(service) => {
                let foreign = |why: String| anyhow!("provider {name}: {why}");
                let client = if service.tls.is_usual() {
                    self.client.clone()
                } else {
                    let tls = TlsSettings {
                        authorities: service.tls.authorities.clone(),
                        identity: service.tls.identity.clone(),
                    };
                    transport::http_client_with(&tls).map_err(foreign)?
                };
                limits.document_bytes = LARGEST_DOCUMENT;
                let foreign = Foreign {
                    document: service.document.clone(),
                    credentials: self.credentials(service, &client).map_err(foreign)?,
                    shows_token: service.shows_token,
                    servers: service.servers.clone(),
                };
                Ok(Provider::new(name, http(&service.url, &client), limits).with_foreign(foreign))
            }
        }
    }

    fn credentials(&self, service: &ServiceConfig, client: &HttpClient) -> Result<Credentials, String> {
        use secrecy::ExposeSecret as _;
        match &service.auth {
            Auth::None => Ok(Credentials::None),
            Auth::Header { name, secret } => Credentials::header(name, secret.expose_secret()),
            Auth::Basic { user, secret } => Credentials::basic(user, secret.expose_secret()),
            Auth::Bearer { secret } => Credentials::bearer(secret.expose_secret()),
            Auth::ClientCredentials { token_url, client_id, secret, scope, audience, in_body } => {
                let request = TokenRequest {
                    url: token_url.clone(),
                    client_id: client_id.clone(),
                    client_secret: secret.clone(),
                    scope: scope.clone(),
                    audience: audience.clone(),
                    in_body: *in_body,
                };
                let client = ClientCredentials::new(request, client.clone(), Arc::clone(&self.clock));
                Ok(Credentials::Client(Box::new(client)))
            }
        }
    }
}

/// How a provider's document is read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Manner {
    /// What is wrong in it refuses the whole.
    pub strict: bool,
    /// What is added to it first.
    pub overlay: Option<OverlayFile>,
    /// Whose it is, when its provider registered itself.
    pub holder: Option<Holder>,
}

/// Who registered a name, and when: after it was removed the same name is somebody else's, or the same one's anew, and nothing
/// of before is theirs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    kind: PrincipalKind,
    owner: String,
    registered_at: Timestamp,
}

impl Holder {
    /// Of this registration.
    pub fn of(registration: &Registration) -> Self {
        let Registration { owner_kind, owner, registered_at, .. } = registration;
        Self { kind: *owner_kind, owner: owner.clone(), registered_at: *registered_at }
    }
}

impl Manner {
    /// As the configuration says.
    pub fn of(config: &ProviderConfig) -> Self {
        Self { strict: config.strict, overlay: config.overlay.clone(), holder: None }
    }

    /// As that of anybody who registered itself.
    pub fn of_registered(registration: &Registration) -> Self {
        Self { holder: Some(Holder::of(registration)), ..Self::default() }
    }

    /// Of all providers, by name.
    pub fn of_all(config: &Config) -> BTreeMap<String, Self> {
        config.providers.iter().map(|provider| (provider.name.clone(), Self::of(provider))).collect()
    }

    /// The digest of a document with what is added to it.
    pub(crate) fn digest(&self, document: &Digest) -> Digest {
        match &self.overlay {
            None => document.clone(),
            Some(overlay) => {
                Digest::of_lines([document.to_string(), overlay.digest.to_string()].map(String::into_bytes))
            }
        }
    }

    /// Reads a document, whose digest this is.
    pub fn read(&self, provider: &str, document: &Value, digest: &Digest) -> Source {
        let offer = match &self.overlay {
            None => Offer::read(provider, document, self.strict),
            Some(overlay) => self.read_with(provider, document.clone(), overlay),
        };
        Source { offer: offer.map(Arc::new), digest: self.digest(digest) }
    }

    fn read_with(&self, provider: &str, mut document: Value, file: &OverlayFile) -> Result<Offer, String> {
        let told = |why: &String| format!("{}: {why}", shown(&file.file));
        match file.overlay.apply(&mut document) {
            Ok(warnings) => {
                let mut offer = Offer::read(provider, &document, self.strict)?;
                offer.odd.splice(0..0, warnings.iter().map(told));
                Ok(offer)
            }
            Err(faults) => Err(faults.iter().map(told).collect::<Vec<_>>().join("; ")),
        }
    }
}

fn shown(file: &Path) -> String {
    file.file_name().map_or_else(|| file.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// Asks a provider for its document and reads it: what a provider of this configuration would offer. Nothing is kept.
///
/// # Errors
/// What cannot be used of the configuration, that it cannot be had, or every fault that makes the whole document unusable.
pub async fn read_offer(wiring: &Wiring, config: &ProviderConfig) -> anyhow::Result<Arc<Offer>> {
    let provider = wiring.provider(config)?;
    let read = provider.read_document().await.map_err(|error| anyhow!("{error}"))?;
    let document =
        read.with_context(|| format!("provider {} says that its document has not changed", config.name))?;
    let source = Manner::of(config).read(&config.name, &document.value, &document.digest);
    source.offer.map_err(|why| anyhow!("the document of provider {} cannot be used: {why}", config.name))
}
