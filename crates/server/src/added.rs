//! Services that somebody added: how they are reached, by rules of the configuration that whoever adds them cannot change. Where
//! something may be called and who is shown which credential is asked anew at each start and each change, not only when one is
//! added.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use async_trait::async_trait;
use guichet_contract::{Address, FieldError, Problem, Reach, Registration, Service, code};
use guichet_dispatch::{
    DocumentError, DocumentPlace, Foreign, Limits, Provider, Transport,
    transport::{self, HttpClient},
};
use guichet_operations::{Looked, Services};
use tokio::sync::{Notify, Semaphore};

use crate::{
    config::CredentialConfig,
    providers::{Manner, Wiring, tls_of},
};

/// How long a service that shall be added may take for its document.
const LOOK_TIME: Duration = Duration::from_secs(10);
/// So many are looked at at once: a document is held whole while it is read.
const LOOKS_AT_ONCE: usize = 4;

/// Those who were added, and those who shall be.
pub struct AddedServices {
    wiring: Arc<Wiring>,
    /// A guarded one.
    client: HttpClient,
    reach: Reach,
    credentials: RwLock<BTreeMap<String, CredentialConfig>>,
    /// What each was made with, to tell when that has changed.
    shown: Mutex<BTreeMap<String, Option<CredentialConfig>>>,
    looking: Semaphore,
    changed: Notify,
}

impl AddedServices {
    /// Within this reach, through this client, which must be a guarded one.
    pub fn new(
        wiring: Arc<Wiring>,
        client: HttpClient,
        reach: Reach,
        credentials: BTreeMap<String, CredentialConfig>,
    ) -> Self {
        Self {
            wiring,
            client,
            reach,
            credentials: RwLock::new(credentials),
            shown: Mutex::default(),
            looking: Semaphore::new(LOOKS_AT_ONCE),
            changed: Notify::new(),
        }
    }

    /// From now on, these credentials.
    pub fn replace_credentials(&self, credentials: &BTreeMap<String, CredentialConfig>) {
        let mut known = self.credentials.write().unwrap_or_else(PoisonError::into_inner);
        if *known != *credentials {
            known.clone_from(credentials);
            self.changed.notify_one();
        }
    }

    /// Comes back when the credentials have changed.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Somebody who can be called, or who says why it is not.
    pub(crate) fn provider(&self, registration: &Arc<Registration>, service: &Service) -> Provider {
        let name = &registration.provider;
        self.shown().insert(name.clone(), self.credential(service));
        let made = Manner::of_service(service)
            .map_err(|faults| faults.join("; "))
            .and_then(|_| self.reached(name, service, Limits::default()));
        let provider = made.unwrap_or_else(|why| {
            tracing::error!(provider = name, why, "a service that was added is not called");
            let barred = Provider::new(name, Transport::Barred(why), Limits::default());
            barred.with_foreign(Foreign {
                document: DocumentPlace::Url(service.openapi.clone()),
                credentials: guichet_dispatch::Credentials::None,
                shows_token: false,
                servers: Vec::new(),
            })
        });
        provider.with_registration(Arc::clone(registration))
    }

    /// Whether it is still shown what it was made with.
    pub(crate) fn is_shown_the_same(&self, provider: &str, service: &Service) -> bool {
        self.shown().get(provider).is_some_and(|shown| *shown == self.credential(service))
    }

    fn shown(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Option<CredentialConfig>>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn credential(&self, service: &Service) -> Option<CredentialConfig> {
        let known = self.credentials.read().unwrap_or_else(PoisonError::into_inner);
        known.get(service.credential.as_ref()?).cloned()
    }

    fn reached(&self, name: &str, service: &Service, limits: Limits) -> Result<Provider, String> {
        let address: Address = service.url.parse()?;
        self.reach.check(&address)?;
        self.reach.check(&Address::of_document(&service.openapi)?.0)?;
        let mut client = self.client.clone();
        let mut credentials = guichet_dispatch::Credentials::None;
        if let Some(named) = &service.credential {
            // Which there are is not told: only whether this one may be used so.
            let may = self.credential(service).filter(|it| it.is_for(name, &address));
            let may = may.ok_or_else(|| {
                format!("no credential `{named}` may be shown to the provider {name} at {}", address.origin())
            })?;
            if !may.tls.is_usual() {
                client = transport::http_client_with(&tls_of(&may.tls, true))?;
            }
            credentials = self.wiring.credentials(&may.auth, &client)?;
        }
        let foreign = Foreign {
            document: DocumentPlace::Url(service.openapi.clone()),
            credentials,
            shows_token: false,
            servers: Vec::new(),
        };
        let transport = Transport::Http { base: service.url.clone(), client };
        Ok(Provider::new(name, transport, limits).with_foreign(foreign))
    }
}

#[async_trait]
impl Services for AddedServices {
    async fn look_at(&self, provider: &str, service: &Service) -> Result<Looked, Problem> {
        let Ok(_place) = self.looking.try_acquire() else {
            let detail = format!("{LOOKS_AT_ONCE} services are being looked at already");
            return Err(Problem::new(code::TOO_MANY_REQUESTS, detail).next("try again in a moment"));
        };
        let invalid = |pointer: &str, why: String| {
            let field = FieldError { pointer: pointer.to_owned(), flag: None, message: why.clone() };
            Problem::new(code::INVALID_INPUT, why)
                .next("mend it; walks/add-an-openapi.md («Through the gateway») tells what is taken")
                .errors(vec![field])
        };
        let manner = Manner::of_service(service).map_err(|faults| invalid("/overlay", faults.join("; ")))?;
        let limits = Limits { document_time: LOOK_TIME, ..Limits::default() };
        let reached = self.reached(provider, service, limits).map_err(|why| invalid("/credential", why))?;
        // The token that the credential may have to be exchanged for takes its time as well.
        let read = tokio::time::timeout(LOOK_TIME * 2, reached.read_document()).await;
        let unreachable = |why: String| {
            Problem::new(
                code::PROVIDER_UNREACHABLE,
                format!("the document of {provider} cannot be had: {why}"),
            )
            .next("nothing was added; try again when it answers, or give another address")
        };
        let refused = |why: String| {
            Problem::new(code::DOCUMENT_REFUSED, format!("the document of {provider} cannot be used: {why}"))
                .next("nothing was added; mend the document, or say in an overlay what it should say")
        };
        let document = match read {
            Ok(Ok(Some(document))) => document,
            Ok(Ok(None)) => return Err(refused("its server says that nobody needs it".to_owned())),
            Ok(Err(DocumentError::Unreachable(why))) => return Err(unreachable(why)),
            Ok(Err(DocumentError::Unusable(why))) => return Err(refused(why)),
            Err(_) => return Err(unreachable("its server took too long".to_owned())),
        };
        let (name, digest) = (provider.to_owned(), document.digest.clone());
        // A thousand operations take a tenth of a second, and whoever shares the thread shall not wait for them.
        let reading =
            tokio::task::spawn_blocking(move || manner.read(&name, &document.value, &document.digest));
        let source = reading.await.map_err(|error| refused(format!("reading it broke off: {error}")))?;
        Ok(Looked { offer: source.offer.map_err(refused)?, document: digest })
    }
}
