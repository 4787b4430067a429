//! Providers that registered themselves, and services that were added, as all gateways that use the store see them: who they
//! are, and where they answer. Nothing is fetched here, so that one that hangs keeps no other from being known.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use guichet_contract::{Clock, Instance, Reach, Registration};
use guichet_dispatch::{Dispatch, Instances, Limits, Provider, Transport, transport::HttpClient};
use guichet_jobs::KnownBulkheads;
use guichet_operations::{
    bulkhead,
    register_instance::{ConfiguredNames, PROVIDERS_MAX},
};
use guichet_store::{Store, StoreError, Wake};
use jiff::Timestamp;
use tokio::{
    sync::{Notify, broadcast::error::RecvError},
    time::{self, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

use crate::{added::AddedServices, providers::Holder};

/// How often it is looked when nobody told of a change: a wake can be lost.
const LOOK: Duration = Duration::from_secs(10);
/// Those that come together are looked at once.
const GATHER: Duration = Duration::from_millis(50);

/// Looks who is registered.
#[derive(Clone)]
pub(crate) struct Lookout {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    /// A guarded one.
    pub(crate) client: HttpClient,
    pub(crate) reach: Reach,
    /// How services are reached that somebody added.
    pub(crate) added: Arc<AddedServices>,
    /// Whose runs have places of their own.
    pub(crate) bulkheads: KnownBulkheads,
    /// Names that are configured, which nobody can register.
    pub(crate) configured: ConfiguredNames,
    /// Told when somebody has come or gone, or serves another document.
    pub(crate) changed: Arc<Notify>,
    /// The instances that are registered where nothing is called, which was told.
    pub(crate) out_of_reach: Arc<Mutex<BTreeSet<OutOfReach>>>,
}

/// Provider, instance, and since when it is there.
type OutOfReach = (String, String, Timestamp);

impl Lookout {
    /// Those that are registered, as providers that can be called.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn providers(&self) -> Result<Vec<Provider>, StoreError> {
        Ok(self.look().await?.into_values().map(|registration| self.provider(registration)).collect())
    }

    async fn look(&self) -> Result<BTreeMap<String, Arc<Registration>>, StoreError> {
        let all = self.store.registrations(PROVIDERS_MAX).await?;
        let of_others = all.into_iter().filter(|one| !self.configured.contains(&one.provider));
        let mut out = BTreeSet::new();
        let mut told = self.out_of_reach.lock().unwrap_or_else(PoisonError::into_inner);
        let found = of_others
            .map(|one| (one.provider.clone(), Arc::new(self.in_reach(one, &told, &mut out))))
            .collect();
        *told = out;
        Ok(found)
    }

    /// What may be called can be less than when it was registered, and other than where another gateway looks. Each that is
    /// left out is put into `out`, and told of once: who was `told` of says that it is there again and again.
    fn in_reach(
        &self,
        mut registration: Registration,
        told: &BTreeSet<OutOfReach>,
        out: &mut BTreeSet<OutOfReach>,
    ) -> Registration {
        registration.instances.retain(|instance| {
            let checked = instance.url.parse().and_then(|address| self.reach.check(&address));
            if let Err(why) = &checked {
                let (provider, url) = (registration.provider.as_str(), instance.url.as_str());
                let which = (provider.to_owned(), instance.id.clone(), instance.since);
                if !told.contains(&which) {
                    tracing::warn!(provider, url, why, "an instance is registered where nothing is called");
                }
                out.insert(which);
            }
            checked.is_ok()
        });
        registration
    }

    fn provider(&self, registration: Arc<Registration>) -> Provider {
        if let Some(service) = &registration.service {
            return self.added.provider(&registration, service);
        }
        let name = registration.provider.clone();
        let instances = Instances::new(registration, self.client.clone(), Arc::clone(&self.clock));
        Provider::new(name, Transport::Instances(Arc::new(instances)), Limits::default())
    }

    /// Tells `dispatch` of every change, until `stop`.
    pub(crate) async fn work(self, dispatch: Arc<Dispatch>, stop: CancellationToken) {
        let mut wakes = self.store.wakes();
        let mut looks = time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                heard = wakes.recv() => match heard {
                    Ok(Wake::Registration | Wake::Anything) | Err(RecvError::Lagged(_)) => {}
                    Ok(_) => continue,
                    Err(RecvError::Closed) => return,
                },
                () = self.added.changed() => {}
                _ = looks.tick() => {}
            }
            time::sleep(GATHER).await;
            // What was told meanwhile is seen by the look that follows.
            wakes = wakes.resubscribe();
            match self.look().await {
                Ok(registered) => self.tell(&dispatch, registered),
                Err(error) => tracing::warn!(%error, "it cannot be looked which providers are registered"),
            }
        }
    }

    /// Whether it is the same provider, who was not removed meanwhile, reached in the same way.
    fn is_same(&self, known: &Registration, now: &Registration) -> bool {
        let shows_the_same = |service| self.added.is_shown_the_same(&now.provider, service);
        Holder::of(known) == Holder::of(now)
            && known.service == now.service
            && known.document == now.document
            && now.service.as_ref().is_none_or(shows_the_same)
    }

    fn tell(&self, dispatch: &Dispatch, mut registered: BTreeMap<String, Arc<Registration>>) {
        let now = self.clock.now();
        let changed = dispatch.amend(|providers| {
            // A name may have been configured since it was looked.
            registered.retain(|name, _| !self.configured.contains(name));
            let before = providers.len();
            providers.retain(|one| one.registration().is_none() || registered.contains_key(&one.name));
            let mut changed = providers.len() != before;
            for provider in providers.iter_mut() {
                let Some(known) = provider.registration() else { continue };
                let Some(registration) = registered.remove(&provider.name) else { continue };
                if !self.is_same(&known, &registration) {
                    // Nothing that is known of who had the name before is true of who has it now.
                    *provider = Arc::new(self.provider(registration));
                    changed = true;
                    continue;
                }
                let Some(instances) = provider.instances() else { continue };
                let was_absent = instances.absent_since(now).is_some();
                changed |= has_come(&known, &registration);
                provider.note_registration(registration);
                let serves = instances.document(now);
                changed |= serves.is_some() && serves != provider.etag()
                    || was_absent && instances.absent_since(now).is_none();
            }
            let fresh = registered.into_values().map(|registration| Arc::new(self.provider(registration)));
            providers.extend(fresh);
            changed || providers.len() > before
        });
        self.bulkheads.replace(bulkheads(dispatch));
        if changed {
            self.changed.notify_one();
        }
    }
}

/// How much a provider is asked at once beside its runs.
const QUESTIONS_AT_ONCE: usize = 8;

/// Two for each provider, however it came: of its runs, and of what else it is asked.
pub(crate) fn bulkheads(dispatch: &Dispatch) -> BTreeMap<String, usize> {
    let of = |provider: Arc<Provider>| {
        let calls = provider.calls_at_once();
        [
            (bulkhead::of_runs(&provider.name), calls),
            (bulkhead::of_questions(&provider.name), calls.min(QUESTIONS_AT_ONCE)),
        ]
    };
    dispatch.providers().into_iter().flat_map(of).collect()
}

/// Whether an instance is there that was not, or that serves something else: also one that does not say what.
fn has_come(known: &Registration, now: &Registration) -> bool {
    let since = |instance: &Instance| (instance.id.clone(), instance.since);
    let known: BTreeSet<_> = known.instances.iter().map(since).collect();
    now.instances.iter().any(|instance| !known.contains(&since(instance)))
}
