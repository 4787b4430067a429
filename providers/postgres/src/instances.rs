//! All servers, by identifier.

use std::sync::Arc;

use guichet_provider_sdk::ActionError;

use crate::{
    endpoint::Endpoint,
    settings::{Settings, SettingsError},
};

/// All servers. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Instances(Arc<Vec<Endpoint>>);

impl Instances {
    pub(crate) fn new(settings: &Settings) -> Result<Self, SettingsError> {
        let endpoints: Result<Vec<_>, _> = settings.servers()?.into_iter().map(Endpoint::new).collect();
        Ok(Self(Arc::new(endpoints?)))
    }

    /// Primaries, each followed by its replicas.
    pub(crate) fn all(&self) -> &[Endpoint] {
        &self.0
    }

    /// The server of this name.
    pub(crate) fn find(&self, identifier: &str) -> Result<&Endpoint, ActionError> {
        self.0.iter().find(|endpoint| endpoint.identifier() == identifier).ok_or_else(|| {
            let known: Vec<&str> = self.0.iter().take(20).map(Endpoint::identifier).collect();
            let known = if known.is_empty() { "none is configured".to_owned() } else { known.join(", ") };
            ActionError::not_found(format!("there is no instance `{identifier}`"))
                .next(format!("instances: {known}"))
        })
    }

    /// The configured replicas of this primary.
    pub(crate) fn replicas_of<'a>(&'a self, primary: &'a str) -> impl Iterator<Item = &'a Endpoint> {
        self.0.iter().filter(move |endpoint| endpoint.server.replica_of.as_deref() == Some(primary))
    }
}
