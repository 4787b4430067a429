//! `[credential.NAME]` of `guichet.toml`: what services that are added through the API may be shown of the gateway. Whoever adds
//! one names a credential and never sees it; where it goes, and to whom, is said here alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use guichet_contract::Address;
use serde::Deserialize;
use toml::Spanned;

use crate::{
    config::is_name,
    config_provider::{Auth, TlsFiles},
    provider_text::{RawAuth, RawTls, Reader, is_private},
};

/// A credential that services which are added may be shown.
#[derive(Debug, Clone, PartialEq)]
pub struct CredentialConfig {
    /// What is shown.
    pub auth: Auth,
    /// Certificates for connections to them.
    pub tls: TlsFiles,
    /// Where it may go: `https://host:port` each.
    pub origins: BTreeSet<String>,
    /// The providers that may have it.
    pub providers: BTreeSet<String>,
}

impl CredentialConfig {
    /// Whether it may be shown to a service of this provider at this address.
    pub fn is_for(&self, provider: &str, address: &Address) -> bool {
        self.providers.contains(provider) && self.origins.contains(&address.origin())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawCredential {
    auth: Option<Spanned<RawAuth>>,
    tls: Option<RawTls>,
    #[serde(default)]
    urls: Vec<Spanned<String>>,
    #[serde(default)]
    providers: Vec<Spanned<String>>,
}

/// What is wrong is told to `fault`, with its place.
pub(crate) fn credentials(
    raw: BTreeMap<String, Spanned<RawCredential>>,
    base: &Path,
    files: &mut Vec<PathBuf>,
    mut fault: impl FnMut(usize, String),
) -> BTreeMap<String, CredentialConfig> {
    let mut found = BTreeMap::new();
    for (name, raw) in raw {
        let at = raw.span().start;
        if !is_name(&name) {
            fault(at, "a credential is named with a–z, 0–9 and -, 1–50 characters".to_owned());
        }
        let mut reader = Reader { base, fault: &mut fault, files };
        if let Some(read) = one(raw.into_inner(), at, &mut reader) {
            found.insert(name, read);
        }
    }
    found
}

fn one(raw: RawCredential, at: usize, reader: &mut Reader<'_>) -> Option<CredentialConfig> {
    if raw.auth.is_none() && raw.tls.is_none() {
        (reader.fault)(at, "a credential has `auth`, `tls`, or both: say what is shown".to_owned());
        return None;
    }
    let mut origins = BTreeSet::new();
    for url in &raw.urls {
        match url.get_ref().parse::<Address>() {
            Ok(address) => {
                origins.insert(address.origin());
            }
            Err(why) => (reader.fault)(url.span().start, why),
        }
    }
    let mut providers = BTreeSet::new();
    for provider in raw.providers {
        if !is_name(provider.get_ref()) {
            let why = "a provider is named with a–z, 0–9 and -, 1–50 characters";
            (reader.fault)(provider.span().start, why.to_owned());
        }
        providers.insert(provider.into_inner());
    }
    // Without these, whoever may add a provider could have it shown to a service of their own.
    for (is_missing, field, what) in [
        (origins.is_empty(), "urls", "the addresses that it may be shown at"),
        (providers.is_empty(), "providers", "the providers that may have it"),
    ] {
        if is_missing {
            (reader.fault)(at, format!("a credential needs `{field}`: {what}"));
        }
    }
    if origins.is_empty() {
        return None;
    }
    let in_the_clear = origins.iter().find(|origin| !is_private(origin));
    let url = in_the_clear.or_else(|| origins.first()).cloned().unwrap_or_default();
    let auth = match raw.auth {
        Some(auth) => reader.auth(auth, &url, &[], false)?,
        None => Auth::None,
    };
    let tls = raw.tls.map(|tls| reader.tls(tls)).unwrap_or_default();
    Some(CredentialConfig { auth, tls, origins, providers })
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    fn load(lines: &str) -> Result<Config, Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("guichet.toml");
        std::fs::write(folder.path().join("secret"), "hunter2").unwrap();
        std::fs::write(&file, format!("environment = \"staging\"\n[credential.bao]\n{lines}\n")).unwrap();
        Config::load(&file).map_err(|faults| {
            faults.iter().map(|fault| format!("{}:{} {}", fault.line, fault.column, fault.message)).collect()
        })
    }

    const AUTH: &str = "auth = {kind = \"bearer\", secret_file = \"secret\"}";

    #[test]
    fn a_credential_goes_where_it_is_said_and_to_whom() {
        let lines = format!("{AUTH}\nurls = [\"https://Bao.internal\"]\nproviders = [\"bao\"]");
        let config = load(&lines).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
        let bao = &config.credentials["bao"];
        assert!(bao.is_for("bao", &"https://bao.internal:443/v1".parse().unwrap()));
        for (provider, url) in [
            ("bao", "https://bao.internal:444"),
            ("bao", "http://bao.internal:443"),
            ("bao", "https://bao.internal.example:443"),
            ("other", "https://bao.internal:443"),
        ] {
            assert!(!bao.is_for(provider, &url.parse().unwrap()), "{provider} {url}");
        }
    }

    #[test]
    fn each_fault_has_its_place() {
        let both = "urls = [\"https://bao.internal\"]\nproviders = [\"bao\"]";
        for (lines, expected) in [
            (both.to_owned(), "2:1 a credential has `auth`, `tls`"),
            (AUTH.to_owned(), "2:1 a credential needs `urls`"),
            (format!("{AUTH}\nurls = [\"https://bao.internal\"]"), "2:1 a credential needs `providers`"),
            (format!("{AUTH}\nurls = [\"bao\"]\nproviders = [\"bao\"]"), "4:9 `bao` is not of the form"),
            (
                format!(
                    "{AUTH}\nurls = [\"https://b.internal\", \"http://10.0.0.1\"]\nproviders = [\"bao\"]"
                ),
                "3:8 a secret would go to http://10.0.0.1:80 in the clear",
            ),
            (format!("{both}\nsecret = \"x\""), "5:1 unknown field `secret`"),
        ] {
            let found = load(&lines).unwrap_err();
            assert!(found.iter().any(|fault| fault.starts_with(expected)), "{lines}\n{expected}\n{found:?}");
        }
    }
}
