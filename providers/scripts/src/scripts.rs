//! A folder of scripts, kept up to date.

use std::{sync::Arc, time::Duration};

use guichet_provider_sdk::{Mounted, Prepared, Provider, ServeError};

use crate::{
    declare,
    findings::Finding,
    folder::{self, Folder},
    local::LocalRunner,
    perform::Shop,
    runner::Runner,
    sandbox::Sandbox,
    settings::{Settings, SettingsError},
};

/// How often the folder is looked at: a `stat` for each file, which also sees how Kubernetes swaps mounted files.
const LOOK: Duration = Duration::from_secs(1);

/// The scripts of a folder, and what runs them. Cheap to clone.
#[derive(Clone)]
pub struct Scripts {
    shop: Shop,
    machine: Arc<Vec<Finding>>,
}

impl Scripts {
    /// Looks what this machine has to hold scripts; reads no script yet.
    ///
    /// # Errors
    /// What is missing on this machine, a user that must be named.
    pub fn open(settings: Settings) -> Result<Self, SettingsError> {
        let sandbox = Sandbox::probe(&settings)?;
        let machine = Arc::new(sandbox.findings(&settings));
        let runner = Arc::new(LocalRunner::new(&settings, sandbox)?);
        Ok(Self { shop: Shop { settings: Arc::new(settings), runner }, machine })
    }

    /// With another runner than this machine, of which this is to be told beside what is wrong with scripts.
    pub fn run_by(settings: Settings, runner: Arc<dyn Runner>, findings: Vec<Finding>) -> Self {
        Self { shop: Shop { settings: Arc::new(settings), runner }, machine: Arc::new(findings) }
    }

    /// The provider of the scripts as they are now, and what is wrong or odd with the others.
    pub fn provider(&self, name: &str) -> (Provider, Vec<Finding>) {
        declare::provider(name, &self.shop, Folder::read(&self.shop.settings))
    }

    /// The same for a lint: with what this machine lacks.
    pub fn findings(&self, name: &str) -> Vec<Finding> {
        let mut findings = self.machine.as_ref().clone();
        findings.extend(self.provider(name).1);
        findings
    }

    /// The provider, with everything that is wrong in the log.
    pub fn provider_told(&self, name: &str) -> Provider {
        let (provider, findings) = self.provider(name);
        for finding in self.machine.iter().chain(&findings) {
            if finding.grave {
                tracing::error!(provider = name, "a script is left out: {finding}");
            } else {
                tracing::warn!(provider = name, "{finding}");
            }
        }
        provider
    }

    /// Looks at the folder once a second, and offers what it then has. Never ends.
    pub async fn keep_up(self, prepared: Prepared) {
        // What changed between the first reading and now is seen by reading once more.
        let mut seen = None;
        let mut is_there = true;
        let name = prepared.name();
        loop {
            match folder::fingerprint(&self.shop.settings.folder) {
                Ok(now) => {
                    if seen.as_ref() != Some(&now) {
                        self.read_again(&prepared, &name, seen.is_none()).await;
                        seen = Some(now);
                    }
                    is_there = true;
                }
                // A folder that is away for a moment takes no action from anybody.
                Err(error) => {
                    if std::mem::take(&mut is_there) {
                        let folder = self.shop.settings.folder.display();
                        tracing::error!(provider = name, %folder, %error, "the folder of scripts cannot be read; its actions stay as they were");
                    }
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn read_again(&self, prepared: &Prepared, name: &str, is_first: bool) {
        let (scripts, called) = (self.clone(), name.to_owned());
        let read =
            move || if is_first { scripts.provider(&called).0 } else { scripts.provider_told(&called) };
        let read = tokio::task::spawn_blocking(read).await.map_err(|error| error.to_string());
        let renewed =
            read.and_then(|provider| prepared.renew(provider).map_err(|mistakes| mistakes.to_string()));
        match renewed {
            Ok(()) if is_first => {}
            Ok(()) => tracing::info!(provider = name, "the folder of scripts has changed and was read again"),
            Err(why) => {
                tracing::error!(provider = name, why, "the scripts were not read again; the old ones stay");
            }
        }
    }

    /// Serves them as a process of its own, until SIGTERM or Ctrl-C; then finishes what is under way (at most 30 s).
    ///
    /// # Errors
    /// An address that cannot be had.
    pub async fn serve(self, name: &str, settings: guichet_provider_sdk::Settings) -> Result<(), ServeError> {
        let mounted: Mounted = self.provider_told(name).mount(settings)?;
        let keeping = tokio::spawn(self.keep_up(mounted.prepared()));
        let served = mounted.serve().await;
        keeping.abort();
        served
    }
}
