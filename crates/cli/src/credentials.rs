//! `credentials.toml`: the tokens, by gateway. Mode 0600, never on a command line, never in `config.toml`,
//! so that the settings can be shown to a colleague.

use std::{collections::BTreeMap, path::Path};

use guichet_client::Secret;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{exit::Exit, failure::Failure, files};

/// What the file holds.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Credentials {
    #[serde(default)]
    gateways: BTreeMap<String, Credential>,
}

/// One session.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Credential {
    pub(crate) user: String,
    pub(crate) token: Secret,
    pub(crate) expires_at: Timestamp,
}

const FILE: &str = "credentials.toml";

impl Credentials {
    /// Reads the file; empty when there is none. Refuses one that others may read.
    pub(crate) fn load(config_dir: &Path) -> Result<Self, Failure> {
        let path = config_dir.join(FILE);
        let Some(text) = files::read(&path)? else {
            return Ok(Self::default());
        };
        if files::is_open_to_others(&path) {
            return Err(Failure::new(
                Exit::NotSignedIn,
                "Credentials",
                format!("{} can be read by others", path.display()),
            )
            .next(format!("chmod 600 {}; if others use this machine, sign in anew", path.display())));
        }
        toml::from_str(&text).map_err(|error| {
            // The parser's message quotes the line it stumbles over, which may hold a token.
            Failure::new(
                Exit::NotSignedIn,
                "Credentials",
                format!("{} cannot be read: {}", path.display(), error.message()),
            )
            .next("remove the file, then `guichet login`")
        })
    }

    /// The token for this gateway.
    pub(crate) fn token(&self, gateway: &str) -> Option<&Secret> {
        self.gateways.get(gateway).map(|credential| &credential.token)
    }

    /// Keeps a session.
    pub(crate) fn keep(config_dir: &Path, gateway: &str, credential: Credential) -> Result<(), Failure> {
        let mut all = Self::load(config_dir)?;
        all.gateways.insert(gateway.to_owned(), credential);
        all.save(config_dir)
    }

    /// Forgets a session; whether there was one.
    pub(crate) fn forget(config_dir: &Path, gateway: &str) -> Result<bool, Failure> {
        let mut all = Self::load(config_dir)?;
        let was = all.gateways.remove(gateway).is_some();
        if was {
            all.save(config_dir)?;
        }
        Ok(was)
    }

    fn save(&self, config_dir: &Path) -> Result<(), Failure> {
        let path = config_dir.join(FILE);
        let text = toml::to_string_pretty(self).map_err(|error| Failure::file(&path, error))?;
        files::write(&path, text.as_bytes())
    }
}
