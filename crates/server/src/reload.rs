//! Live reload: configuration, policies, registry and providers' documents. A bad change keeps the old world and says so.
//!
//! Files are looked at once a second (a handful of `stat` calls): unlike inotify this also sees the way Kubernetes
//! swaps mounted configuration.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, Weak},
    time::Duration,
};

use guichet_contract::{Clock, Registration};
use guichet_dispatch::{Dispatch, Provider};
use guichet_jobs::KnownBulkheads;
use guichet_operations::{
    Platform,
    register_instance::ConfiguredNames,
    register_provider::{Registered, register_provider},
    reload_settings::{self, Sources},
};
use jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret as _;
use tokio::{
    sync::Notify,
    time::{self, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

use crate::{
    added::AddedServices,
    config::{Config, ProviderConfig, Reached},
    documents::Documents,
    providers::{Holder, Manner, Wiring},
    registered, sources,
};

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How often providers are asked for their document when nothing hints at a change, and those that are unreachable; in looks.
const ASK: (u32, u32) = (30, 3);

/// Who registered itself and was asked for a document is asked for the same one again after so long.
const AGAIN: SignedDuration = SignedDuration::from_secs(10);

/// What a provider that registered itself was asked for: since when its newest instance is there, and what that says that it
/// serves.
type AskedFor = (Weak<Provider>, Option<Timestamp>, Option<String>);

/// What a reload needs at hand.
pub struct Reloader {
    /// Where things are.
    pub config: Config,
    /// The verbs' platform.
    pub platform: Arc<Platform>,
    /// The providers.
    pub dispatch: Arc<Dispatch>,
    /// Their documents.
    pub documents: Documents,
    /// What providers are made with.
    pub wiring: Arc<Wiring>,
    /// Their names, which nobody can register.
    pub configured: ConfiguredNames,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Told when a provider that registers itself has come or gone, or serves another document.
    pub registered_changed: Arc<Notify>,
    /// What was recorded last of each provider's document.
    pub registered: BTreeMap<String, Registered>,
    /// How services are reached that somebody added.
    pub added: Arc<AddedServices>,
    /// Whose runs have places of their own.
    pub bulkheads: KnownBulkheads,
}

/// So many of those that are new are tried one by one when a world cannot be made with all of them.
const PUT_BACK_TRIES: usize = 32;

/// The sources of a world, read from files; `registered` are those among the documents' providers that registered
/// themselves, in the order in which they did.
///
/// # Errors
/// A folder or file that cannot be read.
pub fn read_sources(
    config: &Config,
    documents: &Documents,
    registered: Vec<String>,
) -> Result<Sources, Vec<String>> {
    let policies = sources::read_folder(&config.policy, "cedar").map_err(|why| vec![why])?;
    let registry = sources::read_folder(&config.registry, "yaml").map_err(|why| vec![why])?;
    Ok(Sources {
        environment: config.environment.clone(),
        policies,
        registry,
        documents: documents.current().clone(),
        absent: config
            .providers
            .iter()
            .map(|provider| &provider.name)
            .chain(&registered)
            .chain(&config.registration.expects)
            .filter(|name| !documents.current().contains_key(*name))
            .cloned()
            .collect(),
        registered,
        approval_expires_seconds: config.approval_expires_seconds,
    })
}

impl Reloader {
    /// Watches until `stop`.
    pub async fn work(mut self, stop: CancellationToken) {
        let hint = self.dispatch.changed();
        let mut seen = self.fingerprint();
        // Whose document was kept was not asked for it before the start.
        if self.refresh(|_| true).await {
            self.reload().await;
        }
        let mut looks = 0_u32;
        // A provider whose answers name another document than it serves would be asked without end.
        let mut misled = false;
        let came = Arc::clone(&self.registered_changed);
        let mut asked_for = Vec::new();
        // Before those who come: whoever never answers must not keep files from being looked at.
        let mut look = time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let hinted = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = look.tick() => false,
                () = came.notified() => {
                    if self.take_registered(&mut asked_for).await {
                        self.reload().await;
                    }
                    continue;
                }
                () = hint.notified(), if !misled => true,
            };
            looks += 1;
            if hinted {
                looks = looks.max(ASK.0);
            }
            let mut changed = false;
            let now = self.fingerprint();
            // Files first: an answer may take long.
            if looks >= ASK.0 && now == seen {
                looks = 0;
                changed = self.refresh(|_| true).await;
                misled = hinted && !changed;
            } else if looks.is_multiple_of(ASK.1) && now == seen {
                let unreachable = self.unreachable();
                if !unreachable.is_empty() {
                    changed = self.refresh(|one| !one.is_barred() && unreachable.contains(&one.name)).await;
                }
            }
            // Of what is built in, scripts come and go as files do.
            changed |= self.refresh_if(Provider::is_embedded).await;
            if now != seen {
                self.reload_config().await;
                self.refresh_if(Provider::has_document_in_file).await;
                changed = true;
                // What changed meanwhile is seen by the next look. Where other files count from now on, so are those, once more.
                seen = now;
            }
            if changed {
                self.reload().await;
            }
        }
    }

    /// Asks all who are there for their documents. Says whether one has changed.
    async fn refresh(&mut self, is_asked: impl Fn(&Provider) -> bool) -> bool {
        let mut there = self.dispatch.providers();
        let mut changed = self.drop_of_others(&there);
        let now = self.clock.now();
        there.retain(|provider| {
            if provider.registration().is_some() {
                // Also one that came this moment: read without its manner, it would be offered without its overlay.
                let Some(manner) = manner_of(provider) else { return false };
                changed |= self.documents.begin(&provider.name, manner);
            }
            is_asked(provider) && provider.absent(now).is_none()
        });
        self.documents.refresh(&there, &*self.clock).await || changed
    }

    /// Goes by who is registered now, and asks those for their documents who may serve another one; but nobody without end for
    /// the one that it does not give (`asked_for`). Says whether anything about what is offered has changed.
    async fn take_registered(&mut self, asked_for: &mut Vec<(AskedFor, Timestamp)>) -> bool {
        let providers = self.dispatch.providers();
        let is_known = |name: &String| providers.iter().any(|provider| provider.name == *name);
        let gone: Vec<String> = self.documents.names().filter(|name| !is_known(name)).cloned().collect();
        let mut changed = false;
        for name in gone {
            tracing::info!(provider = name, "a provider that registered itself, or was added, is gone");
            changed |= self.documents.end(&name);
            self.registered.remove(&name);
        }
        changed |= self.drop_of_others(&providers);
        let now = self.clock.now();
        asked_for.retain(|(_, at)| now.duration_since(*at) < AGAIN);
        let (mut asked, mut wanted) = (Vec::new(), Vec::new());
        for provider in providers {
            let Some(registration) = provider.registration() else { continue };
            let Some(manner) = manner_of(&provider) else { continue };
            changed |= self.documents.begin(&provider.name, manner);
            let serves = provider.instances().map(|instances| instances.document(now));
            let is_new = match &serves {
                Some(serves) => serves.is_none() || *serves != provider.etag(),
                None => !provider.was_asked(),
            };
            if provider.absent(now).is_some() || !is_new {
                continue;
            }
            let newest = registration.live(now).map(|instance| instance.since).max();
            let wants = (Arc::downgrade(&provider), newest, serves.flatten());
            let is_same = |(known, _): &(AskedFor, Timestamp)| {
                known.0.ptr_eq(&wants.0) && (&known.1, &known.2) == (&wants.1, &wants.2)
            };
            if !asked_for.iter().any(is_same) {
                asked.push(provider);
                wanted.push(wants);
            }
        }
        changed |= self.documents.refresh(&asked, &*self.clock).await;
        let at = self.clock.now();
        asked_for.extend(wanted.into_iter().map(|wants| (wants, at)));
        changed
    }

    /// Whether what is known under its name is somebody else's, who had it before.
    fn is_of_another(&self, provider: &Provider) -> bool {
        let now = provider.registration();
        now.is_some_and(|now| self.documents.is_of_another(&provider.name, &Holder::of(&now)))
    }

    /// Whoever has a name now offers nothing of who had it before. Says whether something was offered.
    fn drop_of_others(&mut self, providers: &[Arc<Provider>]) -> bool {
        let mut dropped = false;
        for provider in providers {
            if !self.is_of_another(provider) {
                continue;
            }
            tracing::info!(provider = provider.name, "a provider's name was registered anew");
            dropped |= self.documents.end(&provider.name);
            self.registered.remove(&provider.name);
            if let Some(manner) = manner_of(provider) {
                self.documents.begin(&provider.name, manner);
            }
        }
        dropped
    }

    fn fingerprint(&self) -> Vec<impl PartialEq + use<>> {
        let mut files = vec![self.config.file.clone()];
        files.extend(self.config.provider_files.iter().cloned());
        sources::fingerprint(
            &files,
            &[
                (Path::new(&self.config.policy), "cedar"),
                (Path::new(&self.config.registry), "yaml"),
                (Path::new(&self.config.provider_folder), "toml"),
            ],
        )
    }

    async fn refresh_if(&mut self, is_asked: impl Fn(&Provider) -> bool) -> bool {
        let mut providers = self.dispatch.providers();
        providers.retain(|provider| is_asked(provider));
        self.documents.refresh(&providers, &*self.clock).await
    }

    fn unreachable(&self) -> BTreeSet<String> {
        use guichet_operations::Providers as _;
        let of = self.dispatch.status().into_iter().filter(|provider| provider.state == "unreachable");
        of.map(|provider| provider.name).collect()
    }

    /// Users are taken over live; what only a restart can change is told.
    async fn reload_config(&mut self) {
        match Config::load(&self.config.file) {
            Ok(new) => {
                if new.users != self.config.users {
                    reload_settings::replace_users(&self.platform, new.users()).await;
                    tracing::info!(users = new.users.len(), "the users were reloaded");
                }
                self.added.replace_credentials(&new.credentials);
                if fixed_at_start(&new) != fixed_at_start(&self.config) {
                    tracing::warn!(
                        "listen, data, store, environment, channels, review_seconds, limits, telemetry, ledger, registration and providers that are built in take effect at the next start"
                    );
                }
                if let Err(error) = self.replace_providers(&new).await {
                    tracing::error!(%error, "the providers were not reloaded; the old ones stay in force");
                    reload_settings::refuse_settings(&self.platform, &[format!("{error:#}")]).await;
                }
                self.config.users = new.users;
                self.config.provider_folder = new.provider_folder;
                self.config.provider_files = new.provider_files;
                self.config.policy = new.policy;
                self.config.registry = new.registry;
                self.config.approval_expires_seconds = new.approval_expires_seconds;
            }
            Err(faults) => {
                for fault in &faults {
                    tracing::error!(%fault, "the configuration was not reloaded; the old one stays in force");
                }
                let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
                reload_settings::refuse_settings(&self.platform, &faults).await;
            }
        }
    }

    /// Takes over providers that are new or told otherwise now, and lets go of those that are gone; but of those that are built in
    /// the old ones stay. Whoever is as before keeps its connections, and the calls it has under way.
    async fn replace_providers(&mut self, new: &Config) -> anyhow::Result<()> {
        let is_embedded = |provider: &&ProviderConfig| matches!(provider.reached, Reached::Embedded { .. });
        let stay = self.config.providers.iter().filter(is_embedded);
        let come = new.providers.iter().filter(|provider| !is_embedded(provider));
        let come = come
            .filter(|new| self.config.providers.iter().all(|old| !is_embedded(&old) || old.name != new.name));
        let configured: Vec<ProviderConfig> = stay.chain(come).cloned().collect();
        if configured == self.config.providers {
            return Ok(());
        }
        let before = self.dispatch.providers();
        let mut providers = Vec::with_capacity(configured.len());
        let mut changed = Vec::new();
        for provider in &configured {
            let same = self.config.providers.iter().any(|old| old == provider);
            let known = before.iter().find(|known| same && known.name == provider.name);
            let provider = match known {
                Some(known) => Arc::clone(known),
                None => Arc::new(self.wiring.provider(provider)?),
            };
            if known.is_none() {
                changed.push(Arc::clone(&provider));
            }
            providers.push(provider);
        }
        let is_configured = |name: &str| configured.iter().any(|own| own.name == name);
        let gone = self.config.providers.iter().map(|old| &old.name).filter(|name| !is_configured(name));
        let ousted = before.iter().filter(|known| known.registration().is_some()).map(|known| &known.name);
        for name in gone.chain(ousted.filter(|name| is_configured(name))) {
            // Who has the name next has nothing of it.
            self.documents.end(name);
            self.registered.remove(name);
        }
        self.config.providers = configured;
        self.configured.replace(self.config.providers.iter().map(|provider| provider.name.clone()));
        let configured = &self.config.providers;
        self.dispatch.amend(|all| {
            // Who registered itself under a name that is configured now is no longer called.
            all.retain(|known| {
                known.registration().is_some() && configured.iter().all(|own| own.name != known.name)
            });
            all.extend(providers);
        });
        self.bulkheads.replace(registered::bulkheads(&self.dispatch));
        self.documents.configure(manners(&self.config, &self.dispatch));
        self.documents.refresh(&changed, &*self.clock).await;
        tracing::info!(
            providers = self.config.providers.len(),
            changed = changed.len(),
            "the providers were reloaded"
        );
        Ok(())
    }

    /// Makes a new world and puts it in force, or keeps the old one.
    pub async fn reload(&mut self) {
        // Who was asked may no longer be who has the name.
        self.drop_of_others(&self.dispatch.providers());
        let sources = match read_sources(&self.config, &self.documents, registered(&self.dispatch)) {
            Ok(sources) => sources,
            Err(faults) => {
                reload_settings::refuse_settings(&self.platform, &faults).await;
                return told(&faults);
            }
        };
        match reload_settings::reload_settings(&self.platform, &sources).await {
            Ok((offered, refused)) => {
                self.note(&offered, &refused).await;
                tracing::info!(policy_version = %self.platform.door.world().policies.version(), "reloaded");
            }
            Err(faults) => {
                told(&faults);
                let Some((left_out, sources)) = self.without_those_that_are_new(&sources) else { return };
                if let Ok((offered, mut refused)) =
                    reload_settings::reload_settings(&self.platform, &sources).await
                {
                    refused.extend(left_out);
                    self.note(&offered, &refused).await;
                }
            }
        }
    }

    /// Nobody who registers a provider or adds one keeps others' changes from taking effect: where the policies cannot be put in
    /// force with what is new or changed of some of them, all goes on without those, which are named with the reason.
    fn without_those_that_are_new(&self, sources: &Sources) -> Option<(BTreeMap<String, String>, Sources)> {
        let is_new = |name: &&String| {
            let Some(source) = sources.documents.get(*name) else { return false };
            let offered = |known: &Registered| match known {
                Registered::Offered { document, .. } => *document == source.digest,
                Registered::Refused { .. } => false,
            };
            !self.registered.get(*name).is_some_and(offered)
        };
        let new: Vec<&String> = sources.registered.iter().filter(is_new).collect();
        if new.is_empty() {
            return None;
        }
        let mut good = sources.clone();
        for name in &new {
            good.documents.remove(*name);
            good.absent.insert((*name).clone());
        }
        reload_settings::build_world(&good).ok()?;
        // One after the other they come back, in the order in which they came.
        let mut left_out = BTreeMap::new();
        for (tries, name) in new.into_iter().enumerate() {
            let mut with = good.clone();
            with.absent.remove(name);
            with.documents.extend(
                sources.documents.get_key_value(name).map(|(name, source)| (name.clone(), source.clone())),
            );
            let why = if tries < PUT_BACK_TRIES {
                match reload_settings::build_world(&with) {
                    Ok(_) => {
                        good = with;
                        continue;
                    }
                    Err(faults) => faults.join("; "),
                }
            } else {
                format!("more than {PUT_BACK_TRIES} that are new would have to be tried one by one")
            };
            left_out.insert(name.clone(), format!("with it the policies cannot be put in force: {why}"));
        }
        Some((left_out, good))
    }

    /// Tells how each provider stands, and keeps the documents that are good.
    pub async fn note(
        &mut self,
        offered: &BTreeMap<String, (usize, Vec<String>)>,
        refused: &BTreeMap<String, String>,
    ) {
        let now = self.clock.now();
        for provider in self.dispatch.providers() {
            // Of who came this moment nothing was read yet.
            if self.is_of_another(&provider) {
                continue;
            }
            if let Some(why) = refused.get(&provider.name) {
                tracing::error!(provider = provider.name, why, "the provider's document is refused");
                provider.note_problem(now, why.clone(), true);
                let told = Registered::Refused { why: why.clone() };
                register_provider(&self.platform, &mut self.registered, &provider.name, told).await;
            } else if let (Some((operations, odd)), Some(source)) =
                (offered.get(&provider.name), self.documents.current().get(&provider.name))
            {
                let document = source.digest.clone();
                let refused = source
                    .offer
                    .as_ref()
                    .map(|offer| offer.refused.iter().map(ToString::to_string).collect());
                let refused = refused.unwrap_or_default();
                provider.note_document(now, document.clone(), *operations, odd.clone(), refused);
                self.documents.keep(&provider.name);
                let told = Registered::Offered { document, operations: *operations };
                register_provider(&self.platform, &mut self.registered, &provider.name, told).await;
            }
        }
    }
}

/// How the documents of all providers are read: as configured, or as anybody's who registered itself.
pub(crate) fn manners(config: &Config, dispatch: &Dispatch) -> BTreeMap<String, Manner> {
    let providers = dispatch.providers();
    let registered =
        providers.iter().filter_map(|provider| Some((provider.name.clone(), manner_of(provider)?)));
    registered.chain(Manner::of_all(config)).collect()
}

/// How the document of one is read that registered itself or was added; none of one that is configured. One that was added with
/// an overlay that cannot be understood is not read at all: what it would have said might be an approval.
fn manner_of(provider: &Provider) -> Option<Manner> {
    match Manner::of_registered(&*provider.registration()?) {
        Ok(manner) => Some(manner),
        Err(faults) => {
            tracing::error!(
                provider = provider.name,
                ?faults,
                "the overlay of a service cannot be understood"
            );
            None
        }
    }
}

/// Those that registered themselves or were added, in the order in which they were.
pub(crate) fn registered(dispatch: &Dispatch) -> Vec<String> {
    registrations(dispatch).iter().map(|registration| registration.provider.clone()).collect()
}

fn registrations(dispatch: &Dispatch) -> Vec<Arc<Registration>> {
    let providers = dispatch.providers();
    let mut found: Vec<_> = providers.iter().filter_map(|provider| provider.registration()).collect();
    found.sort_by(|one, other| {
        (one.registered_at, &one.provider).cmp(&(other.registered_at, &other.provider))
    });
    found
}

/// What only a restart takes over, in a form that can be compared.
fn fixed_at_start(config: &Config) -> String {
    let Config {
        environment,
        listen,
        store,
        review_seconds,
        limits,
        telemetry,
        ledger,
        providers,
        registration,
        channels,
        ..
    } = config;
    let is_embedded = |provider: &&ProviderConfig| matches!(provider.reached, Reached::Embedded { .. });
    let providers: Vec<&ProviderConfig> = providers.iter().filter(is_embedded).collect();
    let data = config.data.display();
    // Compared, and never shown.
    let store = store.as_ref().map(|store| (store.url.expose_secret(), &store.ca_file));
    format!(
        "{environment} {listen} {data} {store:?} {review_seconds} {limits:?} {telemetry:?} {ledger:?} {providers:?} {registration:?} {channels:?}"
    )
}

fn told(faults: &[String]) {
    for fault in faults {
        tracing::error!(fault, "not reloaded; what was in force stays in force");
    }
}
