//! `guichetd check`: everything that would be wrong at the start or at a reload, with its place; nothing is changed.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context as _;
use guichet_contract::SystemClock;
use guichet_dispatch::{Provider, transport};
use guichet_notify::Notifier;
use guichet_operations::reload_settings;

use super::{fail, policy_test, say};
use crate::{
    config::{Config, Reached},
    documents::Documents,
    embedded,
    policy_cases::Around,
    providers::{Manner, Wiring},
    reload,
};

/// Whom to ask for the documents.
#[derive(Debug, Clone, Default)]
pub struct Asking {
    /// Not the providers that are reached over the network.
    pub offline: bool,
    /// Nobody: they are in this folder, `NAME.json` each.
    pub documents: Option<PathBuf>,
}

/// Checks; exits 0 when all is well, 1 otherwise.
///
/// # Errors
/// What keeps it from checking at all.
pub fn check(file: &Path, asking: &Asking) -> anyhow::Result<ExitCode> {
    let config = match Config::load(file) {
        Ok(config) => config,
        Err(faults) => {
            let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
            return Ok(told(&faults));
        }
    };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("no async runtime")?;
    runtime.block_on(check_config(&config, asking))
}

/// The documents of the configured providers, and what is wrong with them.
pub(super) async fn gather(config: &Config, asking: &Asking) -> anyhow::Result<(Documents, Vec<String>)> {
    let mut manners: BTreeMap<String, Manner> =
        config.registration.expects.iter().map(|name| (name.clone(), Manner::default())).collect();
    manners.extend(Manner::of_all(config));
    let mut faults = Vec::new();
    let mut providers = Vec::new();
    let documents = if let Some(folder) = &asking.documents {
        Documents::saved(folder, manners.clone()).unwrap_or_else(|more| {
            faults.extend(more);
            Documents::kept(folder, BTreeMap::new())
        })
    } else {
        providers = reached(config, asking.offline, &mut faults)?;
        let mut documents = Documents::kept(&config.data, manners);
        documents.refresh(&providers, &SystemClock).await;
        documents
    };
    for provider in &providers {
        faults.extend(provider.refusal().map(|why| format!("provider {}: {why}", provider.name)));
    }
    for provider in &config.providers {
        if !documents.current().contains_key(&provider.name) {
            let reached = providers.iter().find(|reached| reached.name == provider.name);
            let why = reached
                .and_then(|reached| reached.problem())
                .map_or_else(String::new, |why| format!(" ({why})"));
            say(&format!(
                "note: provider {} has no usable document{why}; policies that name its actions cannot be checked",
                provider.name
            ));
        }
    }
    Ok((documents, faults))
}

fn reached(config: &Config, offline: bool, faults: &mut Vec<String>) -> anyhow::Result<Vec<Arc<Provider>>> {
    let client = transport::http_client().context("the HTTP client cannot be made")?;
    let wiring = Wiring::new(None, client, Arc::new(SystemClock))?;
    let mut providers = Vec::new();
    for provider in &config.providers {
        if offline && !matches!(provider.reached, Reached::Embedded { .. }) {
            continue;
        }
        match wiring.provider(provider) {
            Ok(reached) => providers.push(Arc::new(reached)),
            Err(error) => {
                let place = match &provider.reached {
                    Reached::Embedded { settings, .. } => settings,
                    Reached::Url(_) | Reached::Service(_) => &config.file,
                };
                faults.push(format!("{}: {error:#}", place.display()));
            }
        }
    }
    Ok(providers)
}

/// What built-in providers are made of, script by script.
fn look_inside(config: &Config, faults: &mut Vec<String>) {
    for provider in &config.providers {
        let Reached::Embedded { kind, settings } = &provider.reached else { continue };
        // Settings that cannot be read are told already.
        for finding in embedded::findings(kind, &provider.name, settings).unwrap_or_default() {
            if finding.grave {
                faults.push(finding.to_string());
            } else {
                say(&format!("note: {finding}"));
            }
        }
    }
}

async fn check_config(config: &Config, asking: &Asking) -> anyhow::Result<ExitCode> {
    let (documents, mut faults) = gather(config, asking).await?;
    look_inside(config, &mut faults);
    if let Err(error) = Notifier::open(&config.channels, Arc::new(SystemClock)) {
        faults.push(format!("{}: {error}", config.file.display()));
    }
    match reload::read_sources(config, &documents, config.registration.expects.clone()) {
        Err(more) => faults.extend(more),
        Ok(sources) => match reload_settings::build_world(&sources) {
            Err(more) => faults.extend(more),
            Ok(built) => {
                faults.extend(built.refused.iter().map(|(name, why)| format!("provider {name}: {why}")));
                for (name, (operations, odd)) in &built.providers {
                    say(&format!("provider {name}: {operations} actions"));
                    for warning in odd {
                        say(&format!("warning: provider {name}: {warning}"));
                    }
                }
                for (channel, team) in
                    config.channels.iter().flat_map(|c| c.teams.iter().map(move |t| (c, t)))
                {
                    if built.world.registry.team(team).is_none() {
                        let name = &channel.name;
                        say(&format!(
                            "warning: channel {name}: no team is called `{team}`, so nobody in it is told"
                        ));
                    }
                }
                for warning in built.world.policies.warnings() {
                    say(&format!("warning: {warning}"));
                }
                say(&format!(
                    "{} actions, {} policies, {} users; policy version {}",
                    built.world.catalogue.published.actions.len(),
                    built.world.policies.rules().count(),
                    config.users.len(),
                    built.world.policies.version().short(),
                ));
                let absent = sources.absent.iter().chain(built.refused.keys()).cloned().collect();
                let around = Around { absent, programs: policy_test::programs(config) };
                faults.extend(policy_test::run(&built.world, &config.policy, &around));
            }
        },
    }
    Ok(told(&faults))
}

pub(super) fn told(faults: &[String]) -> ExitCode {
    if faults.is_empty() {
        say("all is well");
        return ExitCode::SUCCESS;
    }
    for fault in faults {
        fail(fault);
    }
    fail(&format!("{} faults; nothing was changed", faults.len()))
}
