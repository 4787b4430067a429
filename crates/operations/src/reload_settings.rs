//! Policies, registry and providers' documents become the world the door decides against: all of it or nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::resume_unwind,
    sync::Arc,
    thread,
};

use guichet_admission::{CompiledCatalogue, World};
use guichet_contract::{Action, Catalogue, Digest, RecordVerdict, Surface, Verb};
use guichet_rules::{Defaults, Policies, Registry};
use serde_json::Value;

use crate::{
    offer::{self, Offer},
    platform::Platform,
};

/// What a world is made of.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// staging, production …
    pub environment: String,
    /// File name and text.
    pub policies: Vec<(String, String)>,
    /// File name and text.
    pub registry: Vec<(String, String)>,
    /// Provider → document and how strictly it is read.
    pub documents: BTreeMap<String, Source>,
    /// Those of them that registered themselves, in the order in which they took their names. Where two want the same
    /// command, it is the earlier one's, and what is configured comes before all of them.
    pub registered: Vec<String>,
    /// Providers that are configured, registered or expected, and whose document was never read.
    pub absent: BTreeSet<String>,
    /// Seconds after which a request for approval expires, where the policy does not say.
    pub approval_expires_seconds: u32,
}

/// A provider's document, as it was read.
#[derive(Debug, Clone)]
pub struct Source {
    /// What it offers, or every fault that makes it unusable.
    pub offer: Result<Arc<Offer>, String>,
    /// The document's digest.
    pub digest: Digest,
}

impl Source {
    /// Reads a document; our own are read strictly.
    pub fn read(provider: &str, document: &Value, strict: bool) -> Self {
        let offer = Offer::read(provider, document, strict).map(Arc::new);
        Self { offer, digest: Digest::of_json(document) }
    }
}

/// A world, and what was noticed while it was made.
#[derive(Debug)]
pub struct Built {
    /// Ready to be decided against.
    pub world: World,
    /// Per provider: operations offered, and what is odd.
    pub providers: BTreeMap<String, (usize, Vec<String>)>,
    /// Providers whose document cannot be used, and why. Their actions are not in the world.
    pub refused: BTreeMap<String, String>,
}

/// Makes a world.
///
/// # Errors
/// Every fault of policies and registry, each with file, line and column.
pub fn build_world(sources: &Sources) -> Result<Built, Vec<String>> {
    let mut actions: Vec<Arc<Action>> = Vec::new();
    let mut providers = BTreeMap::new();
    let mut refused = BTreeMap::new();
    let configured = sources.documents.keys().filter(|name| !sources.registered.contains(name));
    for name in configured.chain(&sources.registered) {
        let Some(source) = sources.documents.get(name) else { continue };
        let offer = match &source.offer {
            Ok(offer) => offer,
            Err(why) => {
                refused.insert(name.clone(), why.clone());
                continue;
            }
        };
        // A command that another provider has already would make both unusable: the later one is left out.
        let before = actions.len();
        actions.extend(offer.actions.iter().map(Arc::clone));
        if let Some(why) = offer::clash(&actions) {
            refused.insert(name.clone(), format!("nothing of it is offered: {why}"));
            actions.truncate(before);
        } else {
            providers.insert(name.clone(), (offer.actions.len(), offer.odd.clone()));
        }
    }
    // A refused document offers nothing either.
    let absent: BTreeSet<String> = sources.absent.iter().chain(refused.keys()).cloned().collect();
    // The digest of ten thousand actions takes as long as the policies about them: each on a core of its own.
    let (compiled, decided_by) = thread::scope(|scope| {
        let compiled = scope.spawn(|| CompiledCatalogue::compile(&sources.environment, &actions));
        let decided_by = policies_of(sources, &absent, actions.clone());
        (compiled.join().unwrap_or_else(|panic| resume_unwind(panic)), decided_by)
    });
    let ((catalogue, not_offered), (policies, registry)) = (compiled, decided_by?);
    for problem in not_offered {
        let provider = problem.action.split('.').next().unwrap_or_default();
        if let Some((_, odd)) = providers.get_mut(provider) {
            odd.push(problem.to_string());
        }
    }
    let world = World {
        environment: sources.environment.clone(),
        catalogue,
        policies: Arc::new(policies),
        registry: Arc::new(registry),
        absent,
    };
    Ok(Built { world, providers, refused })
}

fn policies_of(
    sources: &Sources,
    absent: &BTreeSet<String>,
    mut actions: Vec<Arc<Action>>,
) -> Result<(Policies, Registry), Vec<String>> {
    // As the catalogue has them, so that the same faults are found whatever document they stand in.
    actions.sort_by(Catalogue::order);
    let registry = Registry::parse(&sources.registry).map_err(|faults| texts(&faults))?;
    let defaults = Defaults { approval_expires_seconds: sources.approval_expires_seconds };
    let policies = Policies::load_without(absent, &sources.policies, &actions, &registry, defaults)
        .map_err(|faults| texts(&faults))?;
    Ok((policies, registry))
}

fn texts<T: ToString>(faults: &[T]) -> Vec<String> {
    faults.iter().map(T::to_string).collect()
}

/// Makes a world and lets the door decide against it from now on, recorded. When it cannot be made, the old one stays.
///
/// # Errors
/// As [`build_world`].
pub async fn reload_settings(
    platform: &Platform,
    sources: &Sources,
) -> Result<(BTreeMap<String, (usize, Vec<String>)>, BTreeMap<String, String>), Vec<String>> {
    match build_world(sources) {
        Ok(built) => {
            let mut record =
                platform.door.record(Verb::ReloadSettings, RecordVerdict::Allowed, Surface::Gateway);
            record.policy_version = Some(built.world.policies.version().clone());
            record.detail = Some(format!("catalogue {}", built.world.catalogue.published.digest));
            platform.door.replace_world(built.world);
            if let Err(error) = platform.store.append_soon(record).await {
                tracing::error!(%error, "a reload could not be recorded");
            }
            Ok((built.providers, built.refused))
        }
        Err(faults) => {
            refuse_settings(platform, &faults).await;
            Err(faults)
        }
    }
}

/// Records that settings could not be read or made into a world; the old ones stay in force.
pub async fn refuse_settings(platform: &Platform, faults: &[String]) {
    let mut record = platform.door.record(Verb::ReloadSettings, RecordVerdict::Failed, Surface::Gateway);
    record.detail = Some(faults.join("; ").chars().take(1_000).collect());
    if let Err(error) = platform.store.append_soon(record).await {
        tracing::error!(%error, "a failed reload could not be recorded");
    }
}

/// Records that the people who can sign in were replaced.
pub async fn replace_users(platform: &Platform, users: guichet_identity::Users) {
    let mut record = platform.door.record(Verb::ReloadSettings, RecordVerdict::Allowed, Surface::Gateway);
    record.detail = Some("users".to_owned());
    platform.door.identity().replace_users(users);
    if let Err(error) = platform.store.append_soon(record).await {
        tracing::error!(%error, "a reload of the users could not be recorded");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn of_two_providers_with_one_command_the_later_is_refused_and_told_in_words() {
        let document = |words: &[&str]| {
            let get = |word: &&str| {
                let operation = json!({"operationId": word, "responses": {}, "x-guichet": {"command": format!("topics {word}")}});
                (format!("/{word}"), json!({"get": operation}))
            };
            let paths: serde_json::Map<String, Value> = words.iter().map(get).collect();
            json!({"openapi": "3.1.0", "info": {"title": "T", "version": "1"}, "paths": paths})
        };
        let documents = [
            ("bus", document(&["list", "show", "make", "drop", "move"])),
            ("kafka", document(&["list", "count"])),
            ("stream", document(&["list", "show", "make", "drop", "move"])),
            ("zoo", document(&["feed"])),
        ];
        let read = |(name, document): (&str, Value)| (name.to_owned(), Source::read(name, &document, true));
        let sources = Sources { documents: documents.map(read).into(), ..Sources::default() };
        let built = build_world(&sources).unwrap();
        assert_eq!(built.providers.keys().collect::<Vec<_>>(), ["bus", "zoo"]);
        assert_eq!(
            built.refused["kafka"],
            "nothing of it is offered: `topics list` is the command of `bus.list` and of `kafka.list`; choose another for one \
             of them"
        );
        let of_stream = &built.refused["stream"];
        assert!(
            of_stream.contains("`stream.make`") && of_stream.ends_with("; and 2 more of this kind"),
            "{of_stream}"
        );
    }
}
