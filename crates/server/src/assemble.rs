//! All wiring: which room is handed what. `guichetd serve` and the test bench both start here.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow, ensure};
use async_trait::async_trait;
use guichet_admission::Door;
use guichet_contract::{Clock, RecordVerdict, Surface, SystemClock, Verb};
use guichet_dispatch::{Claims, Dispatch, Provider, SignTokens, transport};
use guichet_gateway::{self as gateway, Gateway, Info, Itinerary, ServeSettings, Tracer};
use guichet_identity::{Identity, KeyRing, ProviderClaims};
use guichet_jobs::{KnownBulkheads, Perform, Worker, WorkerSettings};
use guichet_ledger::KeySet;
use guichet_notify::Notifier;
use guichet_operations::{
    Messages, Platform, Services, Settings, deliver_notice, execute_run, expire_run, fire_schedule,
    index_records, look_after_deliveries, reconcile_run,
    register_instance::{ConfiguredNames, RegistrationRules},
    reload_settings, seal_records,
};
use guichet_store::{CommitError, Job, JobKind, Lane, Store};
use tokio::{
    net::TcpListener,
    sync::watch,
    task::{JoinSet, spawn_blocking},
};
use tokio_util::sync::CancellationToken;

use crate::{
    added::AddedServices,
    config::{Config, Reached},
    documents::{Documents, ReadAhead},
    keys, memory,
    providers::{Manner, Wiring},
    record_export::RecordExport,
    registered::{self, Lookout},
    reload::{self, Reloader},
    store,
    witness::Witnesses,
};

/// What a process does. Several of different roles need a store that they can share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It answers requests and performs runs.
    Whole,
    /// It answers requests; others perform runs and tell people.
    Serve,
    /// It performs runs and tells people; of requests it answers probes, metrics and keys.
    Work,
}

/// A gateway ready to be served.
pub struct Assembled {
    /// All routes.
    pub itinerary: Itinerary,
    /// The verbs' platform.
    pub platform: Arc<Platform>,
    /// What is kept.
    pub store: Arc<dyn Store>,
    /// The providers.
    pub dispatch: Arc<Dispatch>,
    lookout: Lookout,
    reloader: Reloader,
    keys: Arc<KeySet>,
    witnesses: Witnesses,
    export: Option<RecordExport>,
    worker: Worker,
    tellers: Vec<Worker>,
    clock: Arc<dyn Clock>,
    role: Role,
    farewell: Duration,
    leaving: CancellationToken,
    draining: CancellationToken,
}

/// Puts everything together: opens the store, reads keys, policies, registry and documents. Without a `clock` it goes by the
/// one that all who use the store go by, or by the machine's.
///
/// # Errors
/// Everything that is wrong, so that it can be mended at once.
pub async fn assemble(
    role: Role,
    config: &Config,
    clock: Option<Arc<dyn Clock>>,
    tracer: Arc<dyn Tracer>,
) -> anyhow::Result<Assembled> {
    let key_folder = keys::folder(&config.data)?;
    let ring = Arc::new(keys::provider_keys(&key_folder)?);
    let ledger_keys = keys::ledger_keys(&key_folder, &config.environment)?;
    // The machine's certificates and what was kept of documents take as long to read as the store takes to open.
    let clients = spawn_blocking(transport::http_clients);
    let (data, manners) = (config.data.clone(), Manner::of_all(config));
    let ahead = spawn_blocking(move || ReadAhead::of(&data, manners));
    let store = store::open_to_serve(config, &ledger_keys).await?;
    let clock = clock.or_else(|| store.clock()).unwrap_or_else(|| Arc::new(SystemClock));
    ensure!(
        role == Role::Whole || store.is_shared(),
        "one process alone uses a store of SQLite, so it must answer requests and perform runs: give it a database with \
         `[store] postgres`, or start `guichetd serve` without `--no-work`"
    );

    let (client, guarded) = clients.await?.context("the HTTP client cannot be made")?;
    let wiring = Arc::new(Wiring::new(Some(&ring), client.clone(), Arc::clone(&clock))?);
    let providers = config.providers.iter().map(|provider| wiring.provider(provider));
    let mut providers = providers.collect::<anyhow::Result<Vec<Provider>>>()?;
    let configured = ConfiguredNames::new(config.providers.iter().map(|provider| provider.name.clone()));
    let reach = config.registration.reach.clone();
    let added =
        AddedServices::new(Arc::clone(&wiring), guarded.clone(), reach.clone(), config.credentials.clone());
    let added = Arc::new(added);
    let bulkheads = KnownBulkheads::default();
    let lookout = Lookout {
        store: Arc::clone(&store),
        clock: Arc::clone(&clock),
        client: guarded,
        reach,
        added: Arc::clone(&added),
        bulkheads: bulkheads.clone(),
        configured: configured.clone(),
        changed: Arc::default(),
        out_of_reach: Arc::default(),
    };
    providers.extend(lookout.providers().await.context("the store cannot be used")?);
    let token_signer = Arc::new(RingSigner { ring: Arc::clone(&ring), clock: Arc::clone(&clock) });
    let dispatch = Arc::new(Dispatch::new(providers, token_signer, Arc::clone(&clock)));
    bulkheads.replace(registered::bulkheads(&dispatch));
    let registered = reload::registered(&dispatch);
    let mut documents = Documents::kept_with(&config.data, reload::manners(config, &dispatch), ahead.await?);
    documents.refresh(&asked_first(config, &documents, &dispatch), &*clock).await;

    let sources =
        reload::read_sources(config, &documents, registered).map_err(|faults| anyhow!(faults.join("\n")))?;
    let built = reload_settings::build_world(&sources).map_err(|faults| anyhow!(faults.join("\n")))?;
    let identity = Identity::new(Arc::clone(&store), Arc::clone(&clock), config.users())?;
    let notifier =
        Notifier::open(&config.channels, Arc::clone(&clock)).context("people cannot be told what happens")?;
    let door = Door::new(built.world, Arc::new(identity), Arc::clone(&store), Arc::clone(&clock));
    let platform = Arc::new(Platform {
        door,
        store: Arc::clone(&store),
        providers: Arc::clone(&dispatch) as Arc<dyn guichet_operations::Providers>,
        services: Arc::clone(&added) as Arc<dyn Services>,
        messages: Messages::new(Arc::new(notifier)),
        clock: Arc::clone(&clock),
        settings: Settings {
            open_runs_per_principal: config.limits.open_runs_per_principal,
            review_seconds: config.review_seconds,
            registration: RegistrationRules {
                reach: config.registration.reach.clone(),
                configured: configured.clone(),
            },
        },
    });
    let public_keys: Vec<String> = ledger_keys.verifiers().iter().map(ToString::to_string).collect();
    start_record(&platform, &public_keys).await?;
    let mut reloader = Reloader {
        config: config.clone(),
        platform: Arc::clone(&platform),
        dispatch: Arc::clone(&dispatch),
        documents,
        wiring,
        configured,
        clock: Arc::clone(&clock),
        registered_changed: Arc::clone(&lookout.changed),
        registered: BTreeMap::new(),
        added,
        bulkheads: bulkheads.clone(),
    };
    reloader.note(&built.providers, &built.refused).await;

    let draining = CancellationToken::new();
    let info = Info {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        provider_keys: ring.public_keys(),
        ledger_keys: public_keys,
    };
    let http =
        Gateway::new(Arc::clone(&platform), info, http_settings(config, role), tracer, draining.clone());
    let leaving = http.leaving.clone();
    let witnesses = Witnesses::new(&config.ledger.witness, &client, &http.metrics);
    let export = config.telemetry.otlp_records.as_deref();
    let export = export
        .map(|endpoint| {
            RecordExport::new(
                Arc::clone(&store),
                Arc::clone(&clock),
                endpoint,
                &config.environment,
                &config.data,
            )
        })
        .transpose()?;
    let itinerary = Itinerary::new(Arc::new(http));
    let performer = Arc::new(Performer { platform: Arc::clone(&platform) });
    let worker_settings =
        WorkerSettings { at_once: config.limits.runs_at_once, bulkheads, ..WorkerSettings::default() };
    let worker =
        Worker::new(Arc::clone(&store), Arc::clone(&clock), Arc::clone(&performer) as _, worker_settings);
    let tellers = tellers(config, &store, &clock, &performer);
    Ok(Assembled {
        itinerary,
        platform,
        store,
        dispatch,
        lookout,
        reloader,
        keys: ledger_keys,
        witnesses,
        export,
        worker,
        tellers,
        clock,
        role,
        farewell: Duration::from_secs(config.limits.farewell_seconds.into()),
        leaving,
        draining,
    })
}

impl Assembled {
    /// Serves and works, as its role is, until `stop`; then drains, in this order: no run is begun and readiness says no; when
    /// the time for a farewell is over, new requests are refused and streams end; runs under way finish (their providers may
    /// still fetch the gateway's keys), the listener closes, all records are sealed, the store is closed. Ends when that is
    /// done.
    pub async fn serve(self, listener: TcpListener, settings: ServeSettings, stop: CancellationToken) {
        let Self {
            itinerary,
            platform,
            store,
            dispatch,
            lookout,
            reloader,
            keys,
            witnesses,
            export,
            worker,
            tellers,
            clock,
            role,
            farewell,
            leaving,
            draining,
            ..
        } = self;
        let (close, sealed) = (CancellationToken::new(), CancellationToken::new());
        let server = tokio::spawn(gateway::serve(listener, itinerary, settings, close.clone()));
        let (told, witnessed) = watch::channel(None);
        let sealer = tokio::spawn(seal_records::work(Arc::clone(&store), keys, clock, told, sealed.clone()));
        // Ends by itself when the sealer has told its last checkpoint.
        let witnessing = tokio::spawn(witnesses.work(witnessed));
        let exporting = export.map(|export| tokio::spawn(export.work(sealed.clone())));
        let mut tasks = JoinSet::new();
        if role != Role::Serve {
            tasks.spawn(worker.work(stop.clone()));
            for teller in tellers {
                tasks.spawn(teller.work(stop.clone()));
            }
        }
        // Until the last run has ended: a run that is under way is called again where its provider is then.
        let looking = CancellationToken::new();
        let looked = tokio::spawn(lookout.work(dispatch, looking.clone()));
        tasks.spawn(reloader.work(stop.clone()));
        tasks.spawn(index_records::work(Arc::clone(&store), stop.clone()));
        tasks.spawn(look_after_deliveries::work(platform, stop.clone()));
        tasks.spawn(memory::give_back(stop.clone()));
        stop.cancelled().await;
        leaving.cancel();
        tokio::time::sleep(farewell).await;
        draining.cancel();
        while tasks.join_next().await.is_some() {}
        looking.cancel();
        if looked.await.is_err() {
            tracing::error!("the look for registered providers failed while it stopped");
        }
        close.cancel();
        if let Err(error) = server.await {
            tracing::error!(%error, "the HTTP side failed while it stopped");
        }
        sealed.cancel();
        if tokio::time::timeout(Duration::from_secs(10), sealer).await.is_err() {
            tracing::warn!("not all records were sealed; they are at the next start");
        }
        if tokio::time::timeout(WITNESSED_WITHIN, witnessing).await.is_err() {
            tracing::warn!("not every witness has the last checkpoint; the next start sends it");
        }
        if let Some(exporting) = exporting
            && exporting.await.is_err()
        {
            tracing::error!("the export of records failed while it stopped");
        }
        store.close().await;
    }
}

/// Those that are asked for their document before anything is served: whose document is not kept, and who are built in. The
/// others, those that registered themselves and those that were added are asked right afterwards, so that none of them delays a
/// start or keeps it from coming about.
fn asked_first(config: &Config, documents: &Documents, dispatch: &Dispatch) -> Vec<Arc<Provider>> {
    let is_embedded = |name: &str| {
        let mut providers = config.providers.iter();
        providers.any(|p| p.name == name && matches!(p.reached, Reached::Embedded { .. }))
    };
    let mut providers = dispatch.providers();
    providers.retain(|p| {
        let is_unread = !documents.current().contains_key(&p.name) && p.registration().is_none();
        is_unread || is_embedded(&p.name)
    });
    providers
}

/// How long a stop waits for witnesses to take the last checkpoint.
const WITNESSED_WITHIN: Duration = Duration::from_secs(3);

/// The record of the start also names the keys that sign the ledger: an auditor who trusts one of them learns the others
/// from the log that it signed.
async fn start_record(platform: &Platform, ledger_keys: &[String]) -> anyhow::Result<()> {
    let world = platform.door.world();
    let mut record = platform.door.record(Verb::StartGateway, RecordVerdict::Allowed, Surface::Gateway);
    record.policy_version = Some(world.policies.version().clone());
    record.detail = Some(format!(
        "version {}, catalogue {}, ledger keys {}",
        env!("CARGO_PKG_VERSION"),
        world.catalogue.published.digest,
        ledger_keys.join(" ")
    ));
    let work = guichet_store::UnitOfWork::new().append_record(record);
    platform.store.commit(work).await.context("the store takes no records, so nothing can be served")
}

/// One worker for each channel, so that a receiver that hangs holds up nobody but itself. A stop does not wait long for
/// them: what was not told is told after the next start.
fn tellers(
    config: &Config,
    store: &Arc<dyn Store>,
    clock: &Arc<dyn Clock>,
    performer: &Arc<Performer>,
) -> Vec<Worker> {
    let names = config.channels.iter().map(|channel| channel.name.clone());
    let teller = |name| {
        let settings = WorkerSettings {
            lane: Lane::Channel(name),
            at_once: 8,
            drain: Duration::from_secs(3),
            ..WorkerSettings::default()
        };
        Worker::new(Arc::clone(store), Arc::clone(clock), Arc::clone(performer) as _, settings)
    };
    names.map(teller).collect()
}

fn http_settings(config: &Config, role: Role) -> gateway::Settings {
    gateway::Settings {
        body_bytes: config.limits.body_bytes,
        requests_at_once: config.limits.requests_at_once,
        requests_per_second: config.limits.requests_per_second,
        refusals_per_second: config.limits.refusals_per_second,
        streams_at_once: config.limits.streams_at_once,
        only_probes: role == Role::Work,
    }
}

/// Signs providers' tokens with the gateway's ring.
struct RingSigner {
    ring: Arc<KeyRing>,
    clock: Arc<dyn Clock>,
}

impl SignTokens for RingSigner {
    fn sign(&self, claims: &Claims<'_>) -> Result<String, String> {
        let claims = ProviderClaims {
            provider: claims.provider,
            principal: claims.principal,
            environment: claims.environment,
            operation: claims.operation,
            run: claims.run.clone(),
            input: claims.input.clone(),
            journal: claims.journal.clone(),
            plan: claims.plan.clone(),
            approved_by: claims.approved_by,
        };
        self.ring.sign(&*self.clock, &claims).map_err(|error| error.to_string())
    }
}

/// Does what jobs ask for.
struct Performer {
    platform: Arc<Platform>,
}

#[async_trait]
impl Perform for Performer {
    async fn perform(&self, job: &Job, lease: &str) -> Result<(), CommitError> {
        match job.kind {
            JobKind::ExecuteRun => execute_run::execute_run(&self.platform, job, lease).await,
            JobKind::DeliverNotice => deliver_notice::deliver_notice(&self.platform, job, lease).await,
            JobKind::FireSchedule => fire_schedule::fire_schedule(&self.platform, job, lease).await,
            JobKind::ReconcileRun => reconcile_run::reconcile_run(&self.platform, job, lease).await,
            JobKind::ExpireRun => expire_run::expire_run(&self.platform, job, lease).await,
        }
    }
}
