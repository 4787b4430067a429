//! An instance of a provider says that it is there: where it answers, which document it serves, and how long it shall be
//! believed. The first who says so owns the name.

use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError, RwLock},
};

use guichet_admission::{Admitted, Call, Refusal, registrations::Registering};
use guichet_contract::{
    Address, FieldError, Instance, Problem, Reach, Record, RecordVerdict, Registration, Verb, code,
};
use guichet_lifecycle::registrations::{self, LEASE_SECONDS, NotRegistered, Presence};
use guichet_store::{Change, CommitError, UnitOfWork};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::platform::{Platform, store_problem};

/// Providers that register themselves, at most.
pub const PROVIDERS_MAX: usize = 1_000;
/// So often a registration is looked at again when another instance was quicker.
const LOOKS: u32 = 30;
/// The longest name of a provider, characters.
const NAME_MAX: usize = 50;
/// The longest id of an instance and `ETag` of a document, characters.
const TEXT_MAX: (usize, usize) = (64, 200);

/// What providers that register themselves may say.
#[derive(Debug, Clone, Default)]
pub struct RegistrationRules {
    /// Where they may answer.
    pub reach: Reach,
    /// Names that they cannot have: those of the providers that are configured.
    pub configured: ConfiguredNames,
}

/// The names of the providers that are configured, for all who must know them: a configuration is read again while the
/// gateway runs.
#[derive(Debug, Clone, Default)]
pub struct ConfiguredNames(Arc<RwLock<BTreeSet<String>>>);

impl ConfiguredNames {
    /// These.
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        Self(Arc::new(RwLock::new(names.into_iter().collect())))
    }

    /// From now on, these.
    pub fn replace(&self, names: impl IntoIterator<Item = String>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = names.into_iter().collect();
    }

    /// Whether this is one of them.
    pub fn contains(&self, name: &str) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains(name)
    }
}

/// What an instance says of itself.
#[derive(Debug, Clone)]
pub struct Said {
    /// The provider it answers for.
    pub provider: String,
    /// Its id, 1–64 letters, digits and `-._`.
    pub instance: String,
    /// Where its paths begin.
    pub url: String,
    /// The `ETag` of the document that it serves.
    pub document: Option<String>,
    /// How long it shall be believed, seconds, 10–300.
    pub lease_seconds: u32,
}

/// What it is told.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Lease {
    /// The provider.
    pub provider: String,
    /// The instance.
    pub instance: String,
    /// When it is believed no longer, unless it says again that it is there.
    pub lease_until: Timestamp,
    /// The environment that this gateway serves.
    pub environment: String,
}

/// Registers an instance, or prolongs its lease. Recorded when it changes more than the end of the lease.
///
/// # Errors
/// Not a service account that policy permits; a name that is configured or somebody else's; an address at which nothing is
/// called; too many; the store.
pub async fn register_instance(platform: &Arc<Platform>, call: &Call, said: Said) -> Result<Lease, Refusal> {
    let caller = platform.door.identify(call).await?;
    let provider: String = said.provider.chars().take(NAME_MAX + 1).collect();
    let admitted = platform.door.admit_registration(caller, &provider).await?;
    let address = match checked(&platform.settings.registration, &said) {
        Ok(address) => address,
        Err(problem) => return Err(refused(platform, &admitted, &said, problem).await),
    };
    for _ in 0..LOOKS {
        let known = match platform.store.registration(&said.provider).await {
            Ok(known) => known,
            Err(error) => return Err(refused(platform, &admitted, &said, store_problem(&error)).await),
        };
        if known.is_none()
            && let Some(problem) = no_room(platform).await
        {
            return Err(refused(platform, &admitted, &said, problem).await);
        }
        let url = address.to_string();
        let presence = Presence {
            provider: &said.provider,
            instance: &said.instance,
            url: &url,
            document: said.document.as_deref(),
            lease_seconds: said.lease_seconds,
        };
        let now = platform.clock.now();
        let came = registrations::register(known.as_ref(), &admitted.caller().principal, &presence, now);
        let came = match came {
            Ok(came) => came,
            Err(why) => return Err(refused(platform, &admitted, &said, not_registered(&said, &why)).await),
        };
        let lease = lease_of(platform, &said, &came.registration);
        let mut work = UnitOfWork::new().with(Change::PutRegistration(Box::new(came.registration)));
        if came.is_news {
            work = work.append_record(record(platform, &admitted, &said, RecordVerdict::Allowed));
        }
        match platform.store.commit(work).await {
            Ok(()) => return Ok(lease),
            Err(CommitError::Conflict { .. }) => {}
            Err(CommitError::Store(error)) => {
                return Err(refused(platform, &admitted, &said, store_problem(&error)).await);
            }
        }
    }
    let problem = Problem::new(code::STORE_UNAVAILABLE, "too many instances register at the same moment");
    Err(refused(platform, &admitted, &said, problem.next("say it again in a moment")).await)
}

fn lease_of(platform: &Platform, said: &Said, registration: &Registration) -> Lease {
    let of_it = |instance: &&Instance| instance.id == said.instance;
    let until = registration.instances.iter().find(of_it).map(|instance| instance.until);
    Lease {
        provider: said.provider.clone(),
        instance: said.instance.clone(),
        lease_until: until.unwrap_or_else(|| platform.clock.now()),
        environment: platform.door.world().environment.clone(),
    }
}

/// What is said can be so: names, lengths, and an address that may be called.
fn checked(rules: &RegistrationRules, said: &Said) -> Result<Address, Problem> {
    let address = said.url.parse::<Address>().and_then(|address| {
        rules.reach.check(&address)?;
        Ok(address)
    });
    let is_etag = |etag: &String| etag.len() <= TEXT_MAX.1 && etag.is_ascii();
    let (least, most) = LEASE_SECONDS;
    let wrong = [
        (!is_name(&said.provider)).then(|| {
            ("/provider", format!("a provider is named with a–z, 0–9 and -, 1–{NAME_MAX} characters"))
        }),
        (!is_id(&said.instance))
            .then(|| ("/instance", format!("an instance's id has 1–{} letters, digits and -._", TEXT_MAX.0))),
        (!said.document.as_ref().is_none_or(is_etag))
            .then(|| ("/document", format!("an ETag has at most {} ASCII characters", TEXT_MAX.1))),
        (!(least..=most).contains(&said.lease_seconds)).then(|| {
            ("/lease_seconds", format!("a lease is {least} to {most} seconds, not {}", said.lease_seconds))
        }),
        address.as_ref().err().map(|why| ("/url", why.clone())),
    ];
    let errors: Vec<FieldError> = wrong
        .into_iter()
        .flatten()
        .map(|(pointer, message)| FieldError { pointer: pointer.to_owned(), flag: None, message })
        .collect();
    let detail: Vec<&str> = errors.iter().map(|error| error.message.as_str()).collect();
    let detail = detail.join("; ");
    let address = address.ok().filter(|_| errors.is_empty()).ok_or_else(|| {
        Problem::new(code::INVALID_INPUT, detail)
            .next("mend it; docs/provider-protocol.md («Registering») tells what is taken")
            .errors(errors)
    })?;
    if rules.configured.contains(&said.provider) {
        let detail = format!("provider {} is in this gateway's configuration", said.provider);
        return Err(Problem::new(code::NAME_TAKEN, detail)
            .next("register under another name, or have it taken out of the configuration"));
    }
    Ok(address)
}

/// Whether a provider may be called so.
pub fn is_name(text: &str) -> bool {
    (1..=NAME_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn is_id(text: &str) -> bool {
    (1..=TEXT_MAX.0).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

pub(crate) async fn no_room(platform: &Platform) -> Option<Problem> {
    match platform.store.registrations(PROVIDERS_MAX).await {
        Ok(all) if all.len() < PROVIDERS_MAX => None,
        Ok(_) => {
            let detail = format!("{PROVIDERS_MAX} providers are registered or added already");
            let next = "have some that are gone removed: `DELETE /v1/providers/NAME`";
            Some(Problem::new(code::TOO_MANY_REQUESTS, detail).next(next))
        }
        Err(error) => Some(store_problem(&error)),
    }
}

fn not_registered(said: &Said, why: &NotRegistered) -> Problem {
    match why {
        NotRegistered::OfAnother(owner) => {
            let detail = format!("the name {} belongs to {owner}, who registered it first", said.provider);
            Problem::new(code::NAME_TAKEN, detail)
                .next(format!("use a token of {owner}, or register under another name"))
        }
        NotRegistered::OfAnotherKind(_) => {
            Problem::new(code::NAME_TAKEN, format!("{} cannot be registered: {why}", said.provider)).next(
                "register under another name, or have that one removed: `guichet providers remove NAME`",
            )
        }
        NotRegistered::TooMany => Problem::new(code::TOO_MANY_REQUESTS, format!("{}: {why}", said.provider))
            .next("let some leave; each that stops without a farewell is forgotten when its lease ends"),
    }
}

fn record(
    platform: &Platform,
    admitted: &Admitted<Registering>,
    said: &Said,
    verdict: RecordVerdict,
) -> Record {
    let mut record = platform.door.record_of(admitted.caller(), Verb::RegisterInstance, verdict);
    record.resource = Some(admitted.wanted().provider().to_owned());
    let shown = |text: &str| text.chars().take(200).collect::<String>();
    let document =
        said.document.as_deref().map_or_else(String::new, |etag| format!(", document {}", shown(etag)));
    // In its exact form: what is none may be anything, a password too.
    let at = said.url.parse::<Address>().map_or_else(|_| String::new(), |address| format!(" at {address}"));
    record.detail = Some(format!(
        "provider {}, instance {}{at}{document}, for {} s",
        admitted.wanted().provider(),
        shown(&said.instance),
        said.lease_seconds
    ));
    record
}

async fn refused(
    platform: &Platform,
    admitted: &Admitted<Registering>,
    said: &Said,
    problem: Problem,
) -> Refusal {
    let record = record(platform, admitted, said, RecordVerdict::Refused);
    platform.door.refuse(record, problem).await
}
