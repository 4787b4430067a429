//! Which clusters there are and how to reach them, from a TOML file.
//!
//! ```toml
//! [[cluster]]
//! name = "default"
//! environment = "production"
//! bootstrap = ["kafka-1.internal:9093", "kafka-2.internal:9093"]
//! tls = {}
//! sasl = { mechanism = "scram-sha-512", user = "guichet", password_env = "KAFKA_PASSWORD" }
//!
//! [[cluster.mask]]
//! topics = "billing.*"
//! paths = ["$.customer.email", "$..card"]
//! ```

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use krafka::auth::{AuthConfig, TlsConfig};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::masking::{Mask, Masks};

/// The environment where messages are not read, nor written, unless a cluster's settings say so.
pub(crate) const PRODUCTION: &str = "production";

/// All clusters.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// At least one, or there is nothing to ask.
    #[serde(default, rename = "cluster")]
    pub clusters: Vec<ClusterSettings>,
}

/// One cluster.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterSettings {
    /// What people call it on the command line; unique: letters, digits, `-`, `_`, `.`.
    pub name: String,
    /// What it is, in a few words.
    pub title: Option<String>,
    /// Where it belongs: `production`.
    pub environment: Option<String>,
    /// Some of its brokers, `host:port`; the others are told by these.
    pub bootstrap: Vec<String>,
    /// TLS; without it, the connection is open to whoever listens.
    pub tls: Option<TlsSettings>,
    /// Who signs in.
    pub sasl: Option<SaslSettings>,
    /// Whether messages may be read; absent: not in production.
    pub read_messages: Option<bool>,
    /// Whether a test message may be written; absent: not in production.
    pub produce_messages: Option<bool>,
    /// Most bytes of a message that is written, key and headers included: 1–1,000,000.
    #[serde(default = "sixty_four_kib")]
    pub max_message_bytes: usize,
    /// What of messages is not shown.
    #[serde(default, rename = "mask")]
    pub masks: Vec<Mask>,
}

/// TLS. Certificates and names are always verified.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
    /// A PEM file with the authorities to believe, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// A PEM file with this client's certificate chain.
    pub certificate_file: Option<PathBuf>,
    /// A PEM file with its key.
    pub key_file: Option<PathBuf>,
}

/// SASL.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SaslSettings {
    /// How the password is shown.
    pub mechanism: Mechanism,
    /// Who.
    pub user: String,
    /// An environment variable that holds the password.
    pub password_env: Option<String>,
    /// A file that holds it.
    pub password_file: Option<PathBuf>,
}

/// How a password is shown to the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mechanism {
    /// As it is: only with TLS.
    Plain,
    /// SCRAM with SHA-256.
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    /// SCRAM with SHA-512.
    #[serde(rename = "scram-sha-512")]
    ScramSha512,
}

fn sixty_four_kib() -> usize {
    64 * 1024
}

/// How a cluster is reached, with everything found that its settings point at.
pub(crate) struct Reached {
    pub(crate) bootstrap: Vec<String>,
    pub(crate) security: AuthConfig,
}

impl Settings {
    /// From a file. Relative paths in it are relative to the file's folder.
    pub fn from_file(path: &Path) -> Result<Self, SettingsError> {
        let unreadable = |source| SettingsError::Unreadable { path: path.to_owned(), source };
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        let mut settings = Self::from_toml(&text)?;
        let base = path.parent().unwrap_or(Path::new("."));
        for cluster in &mut settings.clusters {
            let tls = cluster.tls.iter_mut();
            let files = tls.flat_map(|tls| [&mut tls.ca_file, &mut tls.certificate_file, &mut tls.key_file]);
            let password = cluster.sasl.iter_mut().map(|sasl| &mut sasl.password_file);
            for file in files.chain(password).flatten() {
                *file = base.join(&*file);
            }
        }
        Ok(settings)
    }

    /// From TOML.
    pub fn from_toml(text: &str) -> Result<Self, SettingsError> {
        // Only the message: the whole error would quote lines, and a line may hold what nobody should read.
        toml::from_str(text).map_err(|error| SettingsError::Toml {
            line: error
                .span()
                .map_or(0, |span| text.bytes().take(span.start).filter(|byte| *byte == b'\n').count() + 1),
            message: error.message().to_owned(),
        })
    }

    /// What each field says for itself is right.
    pub(crate) fn check(&self) -> Result<(), SettingsError> {
        let mut known = HashSet::new();
        for cluster in &self.clusters {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            let wrong = |why: &str| Err(SettingsError::wrong(&cluster.name, why));
            if cluster.name.is_empty() || !cluster.name.chars().all(allowed) {
                return wrong("a name has letters, digits, `-`, `_` and `.` only");
            }
            if !known.insert(&cluster.name) {
                return wrong("the name is used twice");
            }
            if cluster.bootstrap.is_empty() {
                return wrong("bootstrap names no broker: write [\"host:port\"]");
            }
            if !(1..=1_000_000).contains(&cluster.max_message_bytes) {
                return wrong("max_message_bytes must be 1 to 1000000");
            }
        }
        Ok(())
    }
}

impl ClusterSettings {
    /// With its passwords and certificates.
    pub(crate) fn reached(&self) -> Result<Reached, SettingsError> {
        let mut security = match &self.sasl {
            None => AuthConfig::plaintext(),
            Some(sasl) => {
                let password = self.password(sasl)?;
                let (user, password) = (sasl.user.as_str(), password.expose_secret());
                match sasl.mechanism {
                    Mechanism::Plain => AuthConfig::sasl_plain(user, password),
                    Mechanism::ScramSha256 => AuthConfig::sasl_scram_sha256(user, password),
                    Mechanism::ScramSha512 => AuthConfig::sasl_scram_sha512(user, password),
                }
            }
        };
        match &self.tls {
            Some(tls) => security = security.with_tls(self.tls(tls)?),
            None if self.sasl.as_ref().is_some_and(|sasl| sasl.mechanism == Mechanism::Plain) => {
                tracing::warn!(
                    cluster = self.name,
                    "its password travels as it is: mechanism `plain` without tls"
                );
            }
            None => {}
        }
        Ok(Reached { bootstrap: self.bootstrap.clone(), security })
    }

    /// Its masks, read.
    pub(crate) fn masks(&self) -> Result<Masks, SettingsError> {
        Masks::new(&self.masks).map_err(|why| SettingsError::wrong(&self.name, &why))
    }

    fn tls(&self, tls: &TlsSettings) -> Result<TlsConfig, SettingsError> {
        let mut config = match &tls.ca_file {
            Some(file) => TlsConfig::new().with_ca_cert_pem(read(file)?.expose_secret().to_owned()),
            None => TlsConfig::new().with_native_roots(),
        };
        match (&tls.certificate_file, &tls.key_file) {
            (None, None) => {}
            (Some(certificate), Some(key)) => {
                let (certificate, key) = (read(certificate)?, read(key)?);
                let pem = |secret: &SecretString| secret.expose_secret().to_owned().into_bytes();
                config = config.with_client_cert_pem(pem(&certificate), pem(&key));
            }
            _ => {
                let why = "tls has one of certificate_file and key_file; it needs both, or none";
                return Err(SettingsError::wrong(&self.name, why));
            }
        }
        Ok(config)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the settings room of this provider")]
    fn password(&self, sasl: &SaslSettings) -> Result<SecretString, SettingsError> {
        let wrong = |why: &str| Err(SettingsError::wrong(&self.name, why));
        match (&sasl.password_env, &sasl.password_file) {
            (None, Some(file)) => read(file),
            (Some(variable), None) => match std::env::var(variable) {
                Ok(password) => Ok(password.into()),
                Err(_) => wrong(&format!("the environment has no variable {variable}")),
            },
            (Some(_), Some(_)) => wrong("sasl has both password_env and password_file"),
            (None, None) => wrong("sasl has neither password_env nor password_file"),
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
    #[error("the settings of the Kafka provider are wrong at line {line}: {message}")]
    Toml {
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// One cluster's settings do not hold.
    #[error("cluster `{name}`: {why}")]
    Wrong {
        /// Which.
        name: String,
        /// What is wrong.
        why: String,
    },
}

impl SettingsError {
    pub(crate) fn wrong(name: &str, why: &str) -> Self {
        Self::Wrong { name: name.to_owned(), why: why.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_come_by_reference_and_are_told_to_nobody() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("password"), "s3cret\n").unwrap();
        let path = dir.path().join("kafka.toml");
        let text = "[[cluster]]\nname = 'a'\nbootstrap = ['k:9092']\ntls = {}\n\
                    sasl = { mechanism = 'scram-sha-512', user = 'guichet', password_file = 'password' }\n";
        std::fs::write(&path, text).unwrap();
        let settings = Settings::from_file(&path).unwrap();
        settings.check().unwrap();
        let reached = settings.clusters[0].reached().unwrap();
        assert!(reached.security.requires_tls() && reached.security.requires_sasl());
        assert!(!format!("{settings:?} {:?}", reached.security).contains("s3cret"));
        let inline = text.replace("password_file", "password");
        let error = Settings::from_toml(&inline).unwrap_err().to_string();
        assert!(error.contains("line 5") && error.contains("`password`"), "{error}");
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (text, told) in [
            ("name = 'a b'\nbootstrap = ['k:1']", "letters, digits"),
            ("name = 'a'\nbootstrap = []", "names no broker"),
            ("name = 'a'\nbootstrap = ['k:1']\nmax_message_bytes = 0", "1 to 1000000"),
            (
                "name = 'a'\nbootstrap = ['k:1']\nsasl = { mechanism = 'plain', user = 'x' }",
                "neither password_env",
            ),
            ("name = 'a'\nbootstrap = ['k:1']\ntls = { key_file = 'k' }", "needs both"),
            (
                "name = 'a'\nbootstrap = ['k:1']\n[[cluster.mask]]\ntopics = '*'\npaths = ['customer']",
                "`customer`",
            ),
        ] {
            let settings = Settings::from_toml(&format!("[[cluster]]\n{text}\n")).unwrap();
            let cluster = &settings.clusters[0];
            let told_by = settings.check().and_then(|()| cluster.reached().map(drop));
            let error = told_by.and_then(|()| cluster.masks().map(drop)).unwrap_err().to_string();
            assert!(error.contains(told), "{text}: {error}");
        }
    }
}
