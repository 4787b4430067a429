//! `guichetd policy test`: the cases beside the policies, held against them; nothing is changed and nobody is asked.

use std::{collections::BTreeSet, path::Path, process::ExitCode};

use anyhow::Context as _;
use guichet_admission::World;
use guichet_contract::{PrincipalKind, SystemClock};
use guichet_operations::reload_settings::{self, Sources};

use super::{
    check::{Asking, gather, told},
    say,
};
use crate::{
    config::Config,
    documents,
    policy_cases::{self, Around, Tried},
    providers::Manner,
    reload, sources,
};

/// Seconds a request for approval waits where no configuration says.
const EXPIRES_SECONDS: u32 = 4 * 3600;

/// Runs the cases of a configuration's policies; exits 0 when all hold, 1 otherwise.
///
/// # Errors
/// What keeps it from trying at all.
pub fn test(file: &Path, asking: &Asking) -> anyhow::Result<ExitCode> {
    let config = match Config::load(file) {
        Ok(config) => config,
        Err(faults) => {
            return Ok(told(&faults.iter().map(ToString::to_string).collect::<Vec<_>>()));
        }
    };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("no async runtime")?;
    let (documents, faults) = runtime.block_on(gather(&config, asking))?;
    if !faults.is_empty() {
        return Ok(told(&faults));
    }
    Ok(match reload::read_sources(&config, &documents, config.registration.expects.clone()) {
        Err(faults) => told(&faults),
        Ok(sources) => test_sources(&sources, &config.policy, programs(&config)),
    })
}

/// The same without a configuration: for the pipeline of a repository that holds policies, registry and saved documents.
///
/// # Errors
/// What keeps it from trying at all.
pub fn test_folders(
    policy: &Path,
    registry: &Path,
    documents: &Path,
    environment: &str,
) -> anyhow::Result<ExitCode> {
    let mut faults = Vec::new();
    let mut read = |folder: &Path, ending: &str| {
        sources::read_folder(folder, ending).unwrap_or_else(|why| {
            faults.push(why);
            Vec::new()
        })
    };
    let sources = Sources {
        environment: environment.to_owned(),
        policies: read(policy, "cedar"),
        registry: read(registry, "yaml"),
        documents: documents::saved(documents, |_| Manner::default()).unwrap_or_else(|more| {
            faults.extend(more);
            std::collections::BTreeMap::new()
        }),
        registered: Vec::new(),
        absent: BTreeSet::new(),
        approval_expires_seconds: EXPIRES_SECONDS,
    };
    Ok(if faults.is_empty() { test_sources(&sources, policy, BTreeSet::new()) } else { told(&faults) })
}

fn test_sources(sources: &Sources, policy: &Path, programs: BTreeSet<String>) -> ExitCode {
    match reload_settings::build_world(sources) {
        Err(faults) => told(&faults),
        Ok(built) => {
            let refused = built.refused.iter().map(|(name, why)| format!("provider {name}: {why}"));
            let mut faults: Vec<String> = refused.collect();
            for warning in built.world.policies.warnings() {
                say(&format!("warning: {warning}"));
            }
            let around = Around { absent: sources.absent.clone(), programs };
            faults.extend(run(&built.world, policy, &around));
            told(&faults)
        }
    }
}

/// The users who are no persons.
pub(super) fn programs(config: &Config) -> BTreeSet<String> {
    let programs = config.users.iter().filter(|user| user.kind != PrincipalKind::Person);
    programs.map(|user| user.name.clone()).collect()
}

/// Runs the cases of a folder and says how many there were.
pub(super) fn run(world: &World, folder: &Path, around: &Around) -> Vec<String> {
    let files = match sources::read_folder(folder, "yaml") {
        Ok(files) => files,
        Err(why) => return vec![why],
    };
    let files: Vec<_> = files.into_iter().filter(|(name, _)| name.ends_with(".test.yaml")).collect();
    let Tried { cases, not_tried, faults } = policy_cases::try_all(world, &files, around, &SystemClock);
    let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    let wrong = if faults.is_empty() { "all hold".to_owned() } else { count(faults.len(), "fault") };
    let apart = if not_tried == 0 {
        String::new()
    } else {
        format!("; {not_tried} not tried, their providers have no document")
    };
    if cases + not_tried + faults.len() > 0 {
        say(&format!("{} of policy in {}: {wrong}{apart}", count(cases, "case"), count(files.len(), "file")));
    }
    faults.iter().map(ToString::to_string).collect()
}
