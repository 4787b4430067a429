//! Which instances there are and how to reach them, from a TOML file.
//!
//! ```toml
//! [[instance]]
//! identifier = "shop"
//! title = "Shop"
//! url = "postgres://guichet@shop.internal/postgres?sslmode=require"
//! password_env = "SHOP_PASSWORD"
//!
//! [[instance.replica]]
//! identifier = "shop-replica-1"
//! url = "postgres://guichet@shop-replica-1.internal/postgres?sslmode=require"
//! password_env = "SHOP_PASSWORD"
//! ```

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

/// All instances.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// One per primary.
    #[serde(default, rename = "instance")]
    pub instances: Vec<InstanceSettings>,
}

/// A primary and its replicas.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceSettings {
    /// Its name, unique among instances and replicas: letters, digits, `-`, `_`, `.`.
    pub identifier: String,
    /// What people call it.
    pub title: Option<String>,
    /// Where it belongs: `production`.
    pub environment: Option<String>,
    /// `postgres://user@host:port/database?sslmode=require`. `sslmode` is `disable`, `prefer` or `require`;
    /// certificates are always verified, so `verify-ca` and `verify-full` mean the same as `require`.
    pub url: Option<SecretString>,
    /// A file that holds the URL, for a URL with a password in it.
    pub url_file: Option<PathBuf>,
    /// An environment variable that holds the password.
    pub password_env: Option<String>,
    /// A file that holds the password.
    pub password_file: Option<PathBuf>,
    /// A PEM file with the authorities to believe, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Connections kept to it at most, 1–50.
    #[serde(default = "four")]
    pub max_connections: usize,
    /// Its streaming replicas.
    #[serde(default, rename = "replica")]
    pub replicas: Vec<ReplicaSettings>,
}

/// A replica; where it says nothing of password or authorities, its primary's hold.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplicaSettings {
    /// Its name, unique among instances and replicas.
    pub identifier: String,
    /// What people call it.
    pub title: Option<String>,
    /// As for an instance.
    pub url: Option<SecretString>,
    /// As for an instance.
    pub url_file: Option<PathBuf>,
    /// As for an instance.
    pub password_env: Option<String>,
    /// As for an instance.
    pub password_file: Option<PathBuf>,
    /// Connections kept to it at most, 1–50.
    #[serde(default = "four")]
    pub max_connections: usize,
}

fn four() -> usize {
    4
}

/// One server to connect to, with everything found that its settings point at.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) identifier: String,
    pub(crate) title: Option<String>,
    pub(crate) environment: Option<String>,
    /// The primary it copies, for a replica.
    pub(crate) replica_of: Option<String>,
    pub(crate) url: SecretString,
    pub(crate) password: Option<SecretString>,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) max_connections: usize,
}

impl Settings {
    /// From a file. Relative paths in it are relative to the file's directory.
    pub fn from_file(path: &Path) -> Result<Self, SettingsError> {
        let unreadable = |source| SettingsError::Unreadable { path: path.to_owned(), source };
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        let mut settings = Self::from_toml(&text)?;
        let base = path.parent().unwrap_or(Path::new("."));
        for instance in &mut settings.instances {
            let files = [&mut instance.url_file, &mut instance.password_file, &mut instance.ca_file];
            let replica_files = instance
                .replicas
                .iter_mut()
                .flat_map(|replica| [&mut replica.url_file, &mut replica.password_file]);
            for file in files.into_iter().chain(replica_files).flatten() {
                *file = base.join(&*file);
            }
        }
        Ok(settings)
    }

    /// From TOML.
    pub fn from_toml(text: &str) -> Result<Self, SettingsError> {
        // Only the message: the whole error would quote lines, and a line may hold a password.
        toml::from_str(text).map_err(|error| SettingsError::Toml {
            line: error
                .span()
                .map_or(0, |span| text.bytes().take(span.start).filter(|byte| *byte == b'\n').count() + 1),
            message: error.message().to_owned(),
        })
    }

    /// Every server, primaries before their replicas, with what their settings point at.
    pub(crate) fn servers(&self) -> Result<Vec<Server>, SettingsError> {
        let mut servers = Vec::new();
        for instance in &self.instances {
            let at = Place(&instance.identifier);
            let password =
                at.password(instance.password_env.as_deref(), instance.password_file.as_deref())?;
            servers.push(Server {
                identifier: instance.identifier.clone(),
                title: instance.title.clone(),
                environment: instance.environment.clone(),
                replica_of: None,
                url: at.url(instance.url.as_ref(), instance.url_file.as_deref())?,
                password: password.clone(),
                ca_file: instance.ca_file.clone(),
                max_connections: instance.max_connections,
            });
            for replica in &instance.replicas {
                let at = Place(&replica.identifier);
                let own = at.password(replica.password_env.as_deref(), replica.password_file.as_deref())?;
                servers.push(Server {
                    identifier: replica.identifier.clone(),
                    title: replica.title.clone(),
                    environment: instance.environment.clone(),
                    replica_of: Some(instance.identifier.clone()),
                    url: at.url(replica.url.as_ref(), replica.url_file.as_deref())?,
                    password: own.or_else(|| password.clone()),
                    ca_file: instance.ca_file.clone(),
                    max_connections: replica.max_connections,
                });
            }
        }
        let mut known = HashSet::new();
        for server in &servers {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            let wrong = |why: &str| Err(SettingsError::wrong(&server.identifier, why));
            if server.identifier.is_empty() || !server.identifier.chars().all(allowed) {
                return wrong("an identifier has letters, digits, `-`, `_` and `.` only");
            }
            if !known.insert(&server.identifier) {
                return wrong("the identifier is used twice");
            }
            if !(1..=50).contains(&server.max_connections) {
                return wrong("max_connections must be 1 to 50");
            }
        }
        Ok(servers)
    }
}

/// A server whose settings are being followed.
struct Place<'a>(&'a str);

impl Place<'_> {
    fn url(&self, url: Option<&SecretString>, file: Option<&Path>) -> Result<SecretString, SettingsError> {
        match (url, file) {
            (Some(url), None) => Ok(url.expose_secret().trim().into()),
            (None, Some(file)) => read(file),
            (Some(_), Some(_)) => Err(SettingsError::wrong(self.0, "it has both url and url_file")),
            (None, None) => Err(SettingsError::wrong(self.0, "it has neither url nor url_file")),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "this is the settings room of this provider")]
    fn password(
        &self,
        variable: Option<&str>,
        file: Option<&Path>,
    ) -> Result<Option<SecretString>, SettingsError> {
        match (variable, file) {
            (None, None) => Ok(None),
            (None, Some(file)) => read(file).map(Some),
            (Some(variable), None) => match std::env::var(variable) {
                Ok(password) => Ok(Some(password.into())),
                Err(_) => {
                    Err(SettingsError::wrong(self.0, &format!("the environment has no variable {variable}")))
                }
            },
            (Some(_), Some(_)) => {
                Err(SettingsError::wrong(self.0, "it has both password_env and password_file"))
            }
        }
    }
}

fn read(file: &Path) -> Result<SecretString, SettingsError> {
    std::fs::read_to_string(file)
        .map(|text| text.trim().into())
        .map_err(|source| SettingsError::Unreadable { path: file.to_owned(), source })
}

/// Settings that do not hold.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not TOML, or not of this form.
    #[error("the settings of the PostgreSQL provider are wrong at line {line}: {message}")]
    Toml {
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// One server's settings do not hold.
    #[error("instance `{identifier}`: {why}")]
    Wrong {
        /// Which.
        identifier: String,
        /// What is wrong.
        why: String,
    },
}

impl SettingsError {
    pub(crate) fn wrong(identifier: &str, why: &str) -> Self {
        Self::Wrong { identifier: identifier.to_owned(), why: why.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_takes_what_its_primary_has() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("password"), "s3cret\n").unwrap();
        std::fs::write(dir.path().join("url"), "postgres://guichet@b/postgres\n").unwrap();
        let path = dir.path().join("postgres.toml");
        let text = "[[instance]]\nidentifier = 'a'\nenvironment = 'staging'\nurl = 'postgres://guichet@a/postgres'\n\
                    password_file = 'password'\n[[instance.replica]]\nidentifier = 'b'\nurl_file = 'url'\n";
        std::fs::write(&path, text).unwrap();
        let settings = Settings::from_file(&path).unwrap();
        let servers = settings.servers().unwrap();
        let replica = &servers[1];
        assert_eq!(
            (replica.replica_of.as_deref(), replica.environment.as_deref()),
            (Some("a"), Some("staging"))
        );
        assert_eq!(replica.url.expose_secret(), "postgres://guichet@b/postgres");
        assert_eq!(replica.password.as_ref().unwrap().expose_secret(), "s3cret");
        assert!(!format!("{settings:?} {servers:?}").contains("s3cret"));
    }

    #[test]
    fn what_is_wrong_is_told_without_telling_secrets() {
        for (text, words) in [
            ("[[instance]]\nidentifier = 'a'\nurl = 'x'\nulr = 'y'", "line 4"),
            ("[[instance]]\nidentifier = 'a'", "neither url nor url_file"),
            ("[[instance]]\nidentifier = 'a b'\nurl = 'x'", "letters, digits"),
            (
                "[[instance]]\nidentifier = 'a'\nurl = 'x'\n[[instance]]\nidentifier = 'a'\nurl = 'x'",
                "used twice",
            ),
            ("[[instance]]\nidentifier = 'a'\nurl = 'x'\nmax_connections = 0", "1 to 50"),
            (
                "[[instance]]\nidentifier = 'a'\nurl = 'x'\npassword_env = 'NO_SUCH_VARIABLE_HERE'",
                "NO_SUCH_VARIABLE",
            ),
            ("[[instance]]\nidentifier = 'a'\nurl = ['postgres://u:s3cret@h/d']", "line 3"),
        ] {
            let error =
                Settings::from_toml(text).and_then(|settings| settings.servers()).unwrap_err().to_string();
            assert!(error.contains(words) && !error.contains("s3cret"), "{words}: {error}");
        }
    }
}
