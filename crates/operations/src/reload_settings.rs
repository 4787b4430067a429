//! Policies, registry and providers' documents become the world the door decides against: all of it or nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use guichet_admission::{CompiledCatalogue, World};
use guichet_contract::{
    Action, Digest, RecordVerdict, Surface, Verb,
    openapi::{self, Finding, Strictness},
};
use guichet_rules::{Defaults, Policies, Registry};
use serde_json::Value;

use crate::platform::Platform;

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
    /// Providers that are configured and whose document was never read.
    pub absent: BTreeSet<String>,
    /// Seconds after which a request for approval expires, where the policy does not say.
    pub approval_expires_seconds: u32,
}

/// A provider's document.
#[derive(Debug, Clone)]
pub struct Source {
    /// As it was served.
    pub document: Value,
    /// Its digest.
    pub digest: Digest,
    /// Our own documents are read strictly.
    pub strict: bool,
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

/// Whether a document can be used, as far as it can be told without the others.
///
/// # Errors
/// Every fault, with its pointer.
pub fn check_document(provider: &str, source: &Source) -> Result<(), String> {
    let strictness = if source.strict { Strictness::Strict } else { Strictness::Lenient };
    openapi::read(provider, &source.document, strictness).map(|_| ()).map_err(|findings| join(&findings))
}

/// Makes a world.
///
/// # Errors
/// Every fault of policies and registry, each with file, line and column.
pub fn build_world(sources: &Sources) -> Result<Built, Vec<String>> {
    let mut actions: Vec<Action> = Vec::new();
    let mut providers = BTreeMap::new();
    let mut refused = BTreeMap::new();
    for (name, source) in &sources.documents {
        let strictness = if source.strict { Strictness::Strict } else { Strictness::Lenient };
        match openapi::read(name, &source.document, strictness) {
            Err(findings) => {
                refused.insert(name.clone(), join(&findings));
            }
            Ok(reading) => {
                // A command that another provider has already would make both unusable: the later one is left out.
                let mut together = actions.clone();
                together.extend(reading.actions.iter().cloned());
                let clashes = openapi::check_catalogue(&together);
                if !clashes.is_empty() {
                    refused.insert(name.clone(), join(&clashes));
                    continue;
                }
                let odd = reading
                    .warnings
                    .iter()
                    .chain(&reading.refused)
                    .map(|f| format!("{}: {}", f.pointer, f.message));
                providers.insert(name.clone(), (reading.actions.len(), odd.collect::<Vec<_>>()));
                actions = together;
            }
        }
    }
    let (catalogue, not_offered) = CompiledCatalogue::compile(&sources.environment, actions);
    for problem in not_offered {
        let provider = problem.action.split('.').next().unwrap_or_default();
        if let Some((_, odd)) = providers.get_mut(provider) {
            odd.push(problem.to_string());
        }
    }
    let registry = Registry::parse(&sources.registry).map_err(|faults| texts(&faults))?;
    // A refused document offers nothing either.
    let absent: BTreeSet<String> = sources.absent.iter().chain(refused.keys()).cloned().collect();
    let defaults = Defaults { approval_expires_seconds: sources.approval_expires_seconds };
    let policies =
        Policies::load_without(&absent, &sources.policies, &catalogue.published, &registry, defaults)
            .map_err(|faults| texts(&faults))?;
    let world = World {
        environment: sources.environment.clone(),
        catalogue,
        policies: Arc::new(policies),
        registry: Arc::new(registry),
        absent,
    };
    Ok(Built { world, providers, refused })
}

fn join(findings: &[Finding]) -> String {
    findings
        .iter()
        .map(|finding| format!("{}: {}", finding.pointer, finding.message))
        .collect::<Vec<_>>()
        .join("; ")
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
