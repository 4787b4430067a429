//! From what the configuration says of a provider, or whoever added it, to somebody who can be called: transport, credentials,
//! limits, and how its document is read.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use anyhow::{Context as _, anyhow};
use guichet_contract::{Clock, Digest, PrincipalKind, Registration, Service, openapi::Finding};
use guichet_dispatch::{
    ClientCredentials, Credentials, Foreign, Limits, Provider, TokenRequest, Transport,
    provider::origin,
    transport::{self, HttpClient, TlsSettings},
};
use guichet_identity::KeyRing;
use guichet_operations::{offer::Offer, reload_settings::Source};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    config::{Auth, Config, ProviderConfig, Reached, TlsFiles},
    config_provider::OverlayFile,
    embedded, provider_text,
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
                    transport::http_client_with(&tls_of(&service.tls, false)).map_err(foreign)?
                };
                limits.document_bytes = LARGEST_DOCUMENT;
                let foreign = Foreign {
                    document: service.document.clone(),
                    credentials: self.credentials(&service.auth, &client).map_err(foreign)?,
                    shows_token: service.shows_token,
                    servers: service.servers.clone(),
                };
                Ok(Provider::new(name, http(&service.url, &client), limits).with_foreign(foreign))
            }
        }
    }

    pub(crate) fn credentials(&self, auth: &Auth, client: &HttpClient) -> Result<Credentials, String> {
        use secrecy::ExposeSecret as _;
        match auth {
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
    /// Where it answers, when somebody added it: what its document sends elsewhere is left out.
    pub only_at: Option<String>,
    /// Whose it is, when its provider registered itself or was added.
    pub holder: Option<Holder>,
}

/// Who took a name, and when: after it was removed the same name is somebody else's, or the same one's anew, and nothing of
/// before is theirs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    kind: PrincipalKind,
    owner: String,
    registered_at: Timestamp,
    /// Where the document and the service are, of one that was added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    service: Option<(String, String)>,
}

impl Holder {
    /// Of this registration.
    pub fn of(registration: &Registration) -> Self {
        let Registration { owner_kind, owner, registered_at, service, .. } = registration;
        let service = service.as_ref().map(|service| (service.openapi.clone(), service.url.clone()));
        Self { kind: *owner_kind, owner: owner.clone(), registered_at: *registered_at, service }
    }
}

impl Manner {
    /// As the configuration says.
    pub fn of(config: &ProviderConfig) -> Self {
        Self { strict: config.strict, overlay: config.overlay.clone(), ..Self::default() }
    }

    /// As that of anybody who registered itself, or of a service that was added.
    ///
    /// # Errors
    /// Everything that is wrong with the overlay of a service.
    pub fn of_registered(registration: &Registration) -> Result<Self, Vec<String>> {
        let made = registration.service.as_ref().map(Self::of_service).transpose()?;
        Ok(Self { holder: Some(Holder::of(registration)), ..made.unwrap_or_default() })
    }

    /// Of a service that is to be added.
    ///
    /// # Errors
    /// Everything that is wrong with its overlay.
    pub fn of_service(service: &Service) -> Result<Self, Vec<String>> {
        let overlay =
            service.overlay.as_deref().map(|text| provider_text::overlay_of("overlay", text.as_bytes()));
        Ok(Self { overlay: overlay.transpose()?, only_at: Some(service.url.clone()), ..Self::default() })
    }

    /// Of all providers, by name.
    pub fn of_all(config: &Config) -> BTreeMap<String, Self> {
        config.providers.iter().map(|provider| (provider.name.clone(), Self::of(provider))).collect()
    }

    /// The digest of a document with what is added to it.
    pub(crate) fn digest(&self, document: &Digest) -> Digest {
        match self.additions() {
            None => document.clone(),
            Some(additions) => {
                Digest::of_lines([document.to_string(), additions.to_string()].map(String::into_bytes))
            }
        }
    }

    /// Of all that decides what is read in a document, beside itself and `strict`; none when nothing does.
    pub(crate) fn additions(&self) -> Option<Digest> {
        let overlay = self.overlay.as_ref().map(|overlay| overlay.digest.clone());
        let Some(only_at) = &self.only_at else { return overlay };
        let overlay = overlay.map(|digest| digest.to_string()).unwrap_or_default();
        Some(Digest::of_lines([overlay, only_at.clone()].map(String::into_bytes)))
    }

    /// Reads a document, whose digest this is.
    pub fn read(&self, provider: &str, document: &Value, digest: &Digest) -> Source {
        let mut offer = match &self.overlay {
            None => Offer::read(provider, document, self.strict),
            Some(overlay) => self.read_with(provider, document.clone(), overlay),
        };
        if let (Some(only_at), Ok(offer)) = (&self.only_at, &mut offer) {
            leave_out_elsewhere(offer, only_at);
        }
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

/// Nobody added a second address: operations that the document sends to one are told instead of failing at the call.
fn leave_out_elsewhere(offer: &mut Offer, only_at: &str) {
    let own = origin(only_at);
    let mut left_out = Vec::new();
    offer.actions.retain(|action| {
        let Some(server) = action.http.server.as_deref().filter(|server| server.contains("://")) else {
            return true;
        };
        let is_own = origin(server) == own;
        if !is_own {
            let message = format!("`{}` is answered by {server}, and only {own} is called", action.operation);
            let path = action.http.path.replace('~', "~0").replace('/', "~1");
            let pointer = format!("/paths/{path}/{}", action.http.method.to_ascii_lowercase());
            left_out.push(Finding { pointer, message });
        }
        is_own
    });
    offer.odd.extend(left_out.iter().map(ToString::to_string));
    offer.refused.extend(left_out);
}

/// The certificates of connections.
pub(crate) fn tls_of(files: &TlsFiles, guarded: bool) -> TlsSettings {
    TlsSettings { authorities: files.authorities.clone(), identity: files.identity.clone(), guarded }
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
