//! Somebody adds a service that has an OpenAPI document and knows nothing of gateways: it is looked at first, what would
//! become usable is told, and only then it is kept, for all gateways that use the store.

use std::sync::Arc;

use guichet_admission::{Admitted, Call, Refusal, registrations::Adding};
use guichet_contract::{
    Action, Addition, Address, Became, Digest, FieldError, Problem, Reach, Record, RecordVerdict,
    Registration, Service, Usable, Verb, code,
};
use guichet_lifecycle::registrations::{self, NotRegistered};
use guichet_store::{Change, CommitError, UnitOfWork};

use crate::{
    offer::{self, Offer},
    platform::{Platform, store_problem},
    register_instance::{is_name, no_room},
    services::Looked,
};

/// The longest overlay, bytes.
pub const OVERLAY_MAX: usize = 64 * 1024;
/// So often a registration is looked at again when somebody else was quicker.
const LOOKS: u32 = 30;
/// As much of what a caller sent is recorded, characters.
const SHOWN: usize = 300;
/// Findings of each kind that are answered, at most.
const TOLD_MAX: usize = 1_000;

/// What is to be added.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// As which provider.
    pub provider: String,
    /// Where its document is.
    pub openapi: String,
    /// Where it answers; what its document says when absent.
    pub url: Option<String>,
    /// The name of the credential that it is shown.
    pub credential: Option<String>,
    /// What is added to its document: the text of an OpenAPI Overlay.
    pub overlay: Option<String>,
    /// It is only looked what that would give.
    pub dry_run: bool,
}

/// Adds a service as a provider, or looks what that would give. Adding the same again changes nothing; another by the same owner
/// takes its place. Always recorded.
///
/// # Errors
/// No policy permits it; a name that is configured, somebody else's, or that of a provider that registers itself; an address at
/// which nothing is called; a credential that it may not be shown; a document that cannot be had or used; too many; the store.
pub async fn add_provider(
    platform: &Arc<Platform>,
    call: &Call,
    wanted: Wanted,
) -> Result<Addition, Refusal> {
    let caller = platform.door.identify(call).await?;
    let provider = shown(&wanted.provider);
    let admitted = platform.door.admit_addition(caller, &provider).await?;
    match added(platform, &admitted, &wanted).await {
        Ok(addition) => Ok(addition),
        Err(problem) => {
            let mut record = record(platform, &admitted, RecordVerdict::Refused);
            record.detail = Some(told(&wanted, None));
            Err(platform.door.refuse(record, problem).await)
        }
    }
}

async fn added(
    platform: &Platform,
    admitted: &Admitted<Adding>,
    wanted: &Wanted,
) -> Result<Addition, Problem> {
    let rules = &platform.settings.registration;
    let given = checked(&rules.reach, wanted)?;
    if rules.configured.contains(&wanted.provider) {
        let detail = format!("provider {} is in this gateway's configuration", wanted.provider);
        return Err(Problem::new(code::NAME_TAKEN, detail)
            .next("add it under another name, or have it taken out of the configuration"));
    }
    // Whoever may not have the name has nothing fetched for them.
    let known = known(platform, wanted).await?;
    let me = &admitted.caller().principal;
    if let Some(other) = known.as_ref().filter(|known| !known.is_of(me)) {
        return Err(not_added(wanted, &NotRegistered::OfAnother(other.owner.clone())));
    }
    if known.is_none()
        && let Some(problem) = no_room(platform).await
    {
        return Err(problem);
    }
    let (service, looked) = looked_at(platform, wanted, given).await?;
    check_commands(platform, wanted, &looked.offer)?;
    for _ in 0..LOOKS {
        let known = self::known(platform, wanted).await?;
        let now = platform.clock.now();
        let after = registrations::add(
            known.as_ref(),
            &admitted.caller().principal,
            &wanted.provider,
            &service,
            &looked.document,
            now,
        );
        let after = after.map_err(|why| not_added(wanted, &why))?;
        let addition = addition(wanted, &service, &looked, known.as_ref(), after.is_some());
        let mut record = record(platform, admitted, RecordVerdict::Allowed);
        record.detail = Some(told(wanted, Some(&addition)));
        let mut work = UnitOfWork::new();
        if let Some(after) = after.filter(|_| !wanted.dry_run) {
            work = work.with(Change::PutRegistration(Box::new(after)));
        }
        match platform.store.commit(work.append_record(record)).await {
            Ok(()) => return Ok(addition),
            Err(CommitError::Conflict { .. }) => {}
            Err(CommitError::Store(error)) => return Err(store_problem(&error)),
        }
    }
    let detail = format!("provider {} is changed by others at the same time", wanted.provider);
    Err(Problem::new(code::WRONG_STATE, detail)
        .next("look at it with `guichet providers list`, then try again"))
}

async fn known(platform: &Platform, wanted: &Wanted) -> Result<Option<Registration>, Problem> {
    platform.store.registration(&wanted.provider).await.map_err(|error| store_problem(&error))
}

/// What was given, in its exact form.
struct Given {
    openapi: String,
    /// Who has the document.
    origin: String,
    url: Option<String>,
}

/// What is said can be so: the name, the lengths, and addresses that may be called.
fn checked(reach: &Reach, wanted: &Wanted) -> Result<Given, Problem> {
    let document = Address::of_document(&wanted.openapi).and_then(|(address, exact)| {
        reach.check(&address)?;
        Ok((address.origin(), exact))
    });
    let url = wanted.url.as_ref().map(|url| in_reach(reach, url)).transpose();
    let is_long = |text: &Option<String>, most: usize| text.as_ref().is_some_and(|text| text.len() > most);
    let wrong = [
        (!is_name(&wanted.provider))
            .then(|| ("/provider", "a provider is named with a–z, 0–9 and -, 1–50 characters".to_owned())),
        document.as_ref().err().map(|why| ("/openapi", why.clone())),
        url.as_ref().err().map(|why| ("/url", why.clone())),
        is_long(&wanted.overlay, OVERLAY_MAX)
            .then(|| ("/overlay", format!("an overlay has at most {OVERLAY_MAX} bytes"))),
        wanted.credential.as_ref().is_some_and(|name| !is_name(name)).then(|| {
            ("/credential", "a credential is named with a–z, 0–9 and -, 1–50 characters".to_owned())
        }),
    ];
    let errors: Vec<FieldError> = wrong
        .into_iter()
        .flatten()
        .map(|(pointer, message)| FieldError { pointer: pointer.to_owned(), flag: None, message })
        .collect();
    match (document, url) {
        (Ok((origin, openapi)), Ok(url)) if errors.is_empty() => Ok(Given { openapi, origin, url }),
        _ => {
            let detail: Vec<&str> = errors.iter().map(|error| error.message.as_str()).collect();
            Err(Problem::new(code::INVALID_INPUT, detail.join("; "))
                .next("mend it; walks/add-an-openapi.md («Through the gateway») tells what is taken")
                .errors(errors))
        }
    }
}

fn in_reach(reach: &Reach, url: &str) -> Result<String, String> {
    let address: Address = url.parse()?;
    reach.check(&address)?;
    Ok(address.to_string())
}

/// The service as it is kept, and what it offers. Without an address of its own it is where its document says.
async fn looked_at(platform: &Platform, wanted: &Wanted, given: Given) -> Result<(Service, Looked), Problem> {
    let Given { openapi, origin, url } = given;
    let mut service = Service {
        url: url.clone().unwrap_or_else(|| origin.clone()),
        openapi,
        credential: wanted.credential.clone(),
        overlay: wanted.overlay.clone(),
    };
    let looked = platform.services.look_at(&wanted.provider, &service).await?;
    if url.is_some() {
        return Ok((service, looked));
    }
    let said = base(&service.openapi, &origin, looked.offer.server.as_deref());
    let invalid = |why: String| {
        let field = FieldError { pointer: "/url".to_owned(), flag: None, message: why.clone() };
        Problem::new(code::INVALID_INPUT, why)
            .next("give `url`, where the service answers")
            .errors(vec![field])
    };
    let url = in_reach(&platform.settings.registration.reach, &said)
        .map_err(|why| invalid(format!("by its document the service answers at {said}: {why}")))?;
    if url == service.url {
        return Ok((service, looked));
    }
    let elsewhere = url.parse::<Address>().is_ok_and(|address| address.origin() != origin);
    if elsewhere && wanted.credential.is_some() {
        // A document must not choose who is shown a secret.
        return Err(invalid(format!(
            "by its document the service answers at {url}, which is not where the document came from, and it would be shown a \
             credential"
        )));
    }
    // Once more: what its document sends elsewhere depends on where it answers.
    service.url = url;
    let looked = platform.services.look_at(&wanted.provider, &service).await?;
    Ok((service, looked))
}

/// Where the service answers by its document: an address, or a path on the machine that the document came from.
fn base(openapi: &str, origin: &str, server: Option<&str>) -> String {
    match server {
        Some(server) if server.contains("://") => server.to_owned(),
        Some(path) if path.starts_with('/') => format!("{origin}{path}"),
        Some(path) => {
            let place = openapi.split('?').next().unwrap_or(openapi);
            let folder = place.rsplit_once('/').map_or(origin, |(folder, _)| folder);
            format!("{folder}/{}", path.trim_start_matches("./"))
        }
        None => origin.to_owned(),
    }
}

/// Something is usable, and no command is taken by somebody else: the whole document would be refused later.
fn check_commands(platform: &Platform, wanted: &Wanted, offer: &Offer) -> Result<(), Problem> {
    let refused = |why: String| {
        Problem::new(code::DOCUMENT_REFUSED, why)
            .next("nothing was added; mend the document, or say in an overlay what it should say")
    };
    if offer.actions.is_empty() {
        let reasons = offer.refused.iter().take(3).map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let reasons = if reasons.is_empty() { "it has none".to_owned() } else { reasons };
        return Err(refused(format!(
            "no operation in the document of {} is usable: {reasons}",
            shown(&wanted.provider)
        )));
    }
    let world = platform.door.world();
    let others = world.catalogue.published.actions.iter().filter(|action| action.provider != wanted.provider);
    let all: Vec<Arc<Action>> = others.chain(&offer.actions).map(Arc::clone).collect();
    offer::clash(&all).map_or(Ok(()), |why| Err(refused(why)))
}

fn not_added(wanted: &Wanted, why: &NotRegistered) -> Problem {
    let name = &wanted.provider;
    match why {
        NotRegistered::OfAnother(owner) => {
            let detail = format!("the name {name} belongs to {owner}, who took it first");
            Problem::new(code::NAME_TAKEN, detail).next(format!(
                "add it under another name, or have {owner} remove it: `guichet providers remove {name}`"
            ))
        }
        NotRegistered::OfAnotherKind(_) | NotRegistered::TooMany => {
            Problem::new(code::NAME_TAKEN, format!("{name} cannot be added: {why}")).next(format!(
                "add it under another name, or remove that one first: `guichet providers remove {name}`"
            ))
        }
    }
}

fn addition(
    wanted: &Wanted,
    service: &Service,
    looked: &Looked,
    known: Option<&Registration>,
    is_news: bool,
) -> Addition {
    let offer = &looked.offer;
    let refused: Vec<String> = offer.refused.iter().take(TOLD_MAX).map(ToString::to_string).collect();
    let warnings = offer.oddities().take(TOLD_MAX).cloned().collect();
    Addition {
        provider: wanted.provider.clone(),
        became: match (known, is_news) {
            (None, _) => Became::Added,
            (Some(_), true) => Became::Replaced,
            (Some(_), false) => Became::Unchanged,
        },
        dry_run: wanted.dry_run,
        openapi: service.openapi.clone(),
        url: service.url.clone(),
        document: looked.document.clone(),
        before: known.and_then(|known| known.document.clone()),
        operations: offer.actions.iter().map(|action| Usable::from(&**action)).collect(),
        refused,
        warnings,
    }
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

/// What is recorded: never an overlay's text, whose digest tells enough, and of what is no address or no name nothing, since it
/// may be anything, a password too.
fn told(wanted: &Wanted, addition: Option<&Addition>) -> String {
    let document =
        Address::of_document(&wanted.openapi).map_or_else(|_| "at no address".to_owned(), |(_, exact)| exact);
    let mut text = format!("provider {}, document {}", shown(&wanted.provider), shown(&document));
    let mut more = |what: &str, value: &str| {
        text.push_str(", ");
        text.push_str(what);
        text.push_str(value);
    };
    if let Some(addition) = addition {
        more("", addition.document.as_str());
        more("at ", &addition.url);
        if let Some(before) = addition.before.as_ref().filter(|before| **before != addition.document) {
            more("before it ", before.as_str());
        }
        more("", &format!("{} operations", addition.operations.len()));
        more("", addition.became.as_str());
    } else if let Some(url) = wanted.url.as_ref().and_then(|url| url.parse::<Address>().ok()) {
        more("at ", &shown(&url.to_string()));
    }
    if let Some(credential) = wanted.credential.as_ref().filter(|name| is_name(name)) {
        more("credential ", credential);
    }
    if let Some(overlay) = &wanted.overlay {
        more("overlay ", Digest::of_bytes(overlay.as_bytes()).as_str());
    }
    if wanted.dry_run {
        more("", "only looked");
    }
    text
}

fn record(platform: &Platform, admitted: &Admitted<Adding>, verdict: RecordVerdict) -> Record {
    let mut record = platform.door.record_of(admitted.caller(), Verb::AddProvider, verdict);
    record.resource = Some(admitted.wanted().provider().to_owned());
    record
}
