//! `guichet.toml`: read, checked, with file, line and column for whatever is wrong. See `docs/configuration.md`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use guichet_contract::PrincipalKind;
use guichet_identity::{User, Users, password};
use guichet_notify::ChannelSettings;
use guichet_store::postgres::PostgresSettings;
use serde::Deserialize;
use toml::Spanned;

use crate::{
    config_credential::{self, RawCredential},
    config_notify::{self, RawNotify},
    config_registration::{self, RawRegistration, Registration},
    config_store::{self, RawStore},
    provider_folder,
    provider_text::{RawProvider, Reader},
};

pub use crate::config_credential::CredentialConfig;
pub use crate::config_provider::{Auth, OverlayFile, ProviderConfig, Reached, ServiceConfig, TlsFiles};

/// The whole configuration, paths made absolute.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it was read from.
    pub file: PathBuf,
    /// staging, production …
    pub environment: String,
    /// Where requests are answered; port 0 lets the system pick.
    pub listen: SocketAddr,
    /// Database, keys and last known documents.
    pub data: PathBuf,
    /// The database that several gateways share; none when the store is a file in the data folder.
    pub store: Option<PostgresSettings>,
    /// `*.cedar`.
    pub policy: PathBuf,
    /// `*.yaml`.
    pub registry: PathBuf,
    /// Seconds after which a request for approval expires where no policy says.
    pub approval_expires_seconds: u32,
    /// Seconds until somebody else should have looked at a run that broke the glass.
    pub review_seconds: u32,
    /// Limits of the HTTP side and of submitting.
    pub limits: Limits,
    /// Logs and traces.
    pub telemetry: Telemetry,
    /// The audit trail's witnesses.
    pub ledger: Ledger,
    /// Local people.
    pub users: Vec<User>,
    /// A folder of providers, a file each; it need not be there.
    pub provider_folder: PathBuf,
    /// Who performs.
    pub providers: Vec<ProviderConfig>,
    /// Files that providers depend on: documents, overlays, secrets, certificates. They are looked at for changes.
    pub provider_files: Vec<PathBuf>,
    /// Providers that register themselves, and services that are added.
    pub registration: Registration,
    /// What services that are added may be shown, by name.
    pub credentials: BTreeMap<String, CredentialConfig>,
    /// How people are told what happens to runs.
    pub channels: Vec<ChannelSettings>,
}

/// Something in the configuration that cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFault {
    /// The file.
    pub file: PathBuf,
    /// From 1; 0 when the whole file is meant.
    pub line: usize,
    /// From 1.
    pub column: usize,
    /// What, why, what to do.
    pub message: String,
}

impl fmt::Display for ConfigFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            write!(f, "{}: {}", self.file.display(), self.message)
        } else {
            write!(f, "{}:{}:{}: {}", self.file.display(), self.line, self.column, self.message)
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    environment: Spanned<String>,
    #[serde(default = "default_listen")]
    listen: SocketAddr,
    #[serde(default = "default_data")]
    data: PathBuf,
    #[serde(default = "default_policy")]
    policy: PathBuf,
    #[serde(default = "default_registry")]
    registry: PathBuf,
    #[serde(default = "default_providers")]
    providers: PathBuf,
    #[serde(default)]
    store: RawStore,
    #[serde(default)]
    approval: RawApproval,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    telemetry: Telemetry,
    #[serde(default)]
    ledger: RawLedger,
    #[serde(default)]
    user: Vec<RawUser>,
    #[serde(default)]
    provider: Vec<Spanned<RawProvider>>,
    #[serde(default)]
    registration: RawRegistration,
    #[serde(default)]
    credential: BTreeMap<String, Spanned<RawCredential>>,
    #[serde(default)]
    notify: Vec<RawNotify>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawApproval {
    expires_seconds: Option<Spanned<u32>>,
    review_seconds: Option<Spanned<u32>>,
}

/// Limits. Every queue has one.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Largest request body, bytes.
    pub body_bytes: usize,
    /// Requests at once.
    pub requests_at_once: usize,
    /// Requests per second of one token; 0 for no limit.
    pub requests_per_second: u32,
    /// Requests per second of one address that may be turned away as nobody's; 0 for no limit.
    pub refusals_per_second: u32,
    /// Connections at once.
    pub connections: usize,
    /// Followers of runs at once.
    pub streams_at_once: usize,
    /// Runs that one principal may have unfinished.
    pub open_runs_per_principal: usize,
    /// Runs performed at once.
    pub runs_at_once: usize,
    /// How long a gateway that is told to stop still serves while readiness says no, seconds.
    pub farewell_seconds: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 1024 * 1024,
            requests_at_once: 1024,
            requests_per_second: 500,
            refusals_per_second: 20,
            connections: 10_000,
            streams_at_once: 10_000,
            open_runs_per_principal: 200,
            runs_at_once: 64,
            farewell_seconds: 0,
        }
    }
}

/// The audit trail.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// Who is sent every checkpoint.
    pub witness: Vec<WitnessConfig>,
}

/// Who is sent every checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WitnessConfig {
    /// It is appended to this file.
    File(PathBuf),
    /// It is posted to this address.
    Url(String),
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawLedger {
    #[serde(default)]
    witness: Vec<Spanned<RawWitness>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWitness {
    file: Option<PathBuf>,
    url: Option<String>,
}

/// Logs and traces.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    /// A filter as tracing-subscriber takes it: `info`, `warn,guichet_gateway=info`.
    pub log: String,
    /// OTLP endpoint over gRPC, `http://127.0.0.1:4317`; no traces are exported when absent.
    pub otlp: Option<String>,
    /// OTLP endpoint over gRPC that is sent every record of the audit trail as a log record; none when absent.
    pub otlp_records: Option<String>,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { log: "info".into(), otlp: None, otlp_records: None }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawUser {
    name: Spanned<String>,
    password_hash: Spanned<String>,
    kind: Option<PrincipalKind>,
}

fn default_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 7070))
}
fn default_data() -> PathBuf {
    "data".into()
}
fn default_policy() -> PathBuf {
    "policy".into()
}
fn default_providers() -> PathBuf {
    "providers".into()
}
fn default_registry() -> PathBuf {
    "registry".into()
}

/// The time a request for approval waits where nobody says: 4 hours.
const APPROVAL_EXPIRES_SECONDS: u32 = 4 * 3600;
/// Three days.
const REVIEW_SECONDS: u32 = 259_200;

impl Config {
    /// Reads and checks.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place.
    pub fn load(file: &Path) -> Result<Self, Vec<ConfigFault>> {
        let whole =
            |message: String| vec![ConfigFault { file: file.to_owned(), line: 0, column: 0, message }];
        let text = fs::read_to_string(file).map_err(|error| {
            whole(format!("the configuration cannot be read: {error}; name another with --config"))
        })?;
        let place = |at: usize| place(&text, at);
        let raw: Raw = toml::from_str(&text).map_err(|error| {
            let (line, column) = error.span().map_or((0, 0), |span| place(span.start));
            vec![ConfigFault { file: file.to_owned(), line, column, message: error.message().to_owned() }]
        })?;
        let mut faults = Vec::new();
        let mut fault = |at: usize, message: String| {
            let (line, column) = place(at);
            faults.push(ConfigFault { file: file.to_owned(), line, column, message });
        };
        if !is_name(raw.environment.get_ref()) {
            fault(
                raw.environment.span().start,
                "an environment is named with a–z, 0–9 and -, 1–50 characters".into(),
            );
        }
        if let Some(seconds) =
            raw.approval.expires_seconds.as_ref().filter(|s| !(1..=2_592_000).contains(s.get_ref()))
        {
            fault(seconds.span().start, "an approval expires after 1 second to 30 days (2592000)".into());
        }
        let users = raw.user.into_iter().collect::<Vec<_>>();
        let mut names = BTreeSet::new();
        for user in &users {
            let name = user.name.get_ref();
            if name.trim().is_empty() || name.chars().count() > 100 {
                fault(user.name.span().start, "a user's name has 1 to 100 characters".into());
            }
            if !names.insert(name.clone()) {
                fault(
                    user.name.span().start,
                    format!("there are two users called `{name}`: rename or remove one"),
                );
            }
            if let Err(why) = password::check_hash(user.password_hash.get_ref()) {
                fault(
                    user.password_hash.span().start,
                    format!("the password hash of `{name}` is not usable: {why}"),
                );
            }
        }
        let base = file.parent().map(Path::to_owned).unwrap_or_default();
        let mut witness = Vec::new();
        for raw in raw.ledger.witness {
            let at = raw.span().start;
            match raw.into_inner() {
                RawWitness { file: Some(file), url: None } => {
                    witness.push(WitnessConfig::File(base.join(file)));
                }
                RawWitness { file: None, url: Some(url) } => match check_url(&url) {
                    Ok(_) => witness.push(WitnessConfig::Url(url)),
                    Err(why) => fault(at, why),
                },
                _ => fault(at, "a witness is either {file = …} or {url = …}".into()),
            }
        }
        let mut providers = Vec::new();
        let mut provider_files = Vec::new();
        let mut names = BTreeSet::new();
        for raw in raw.provider {
            let start = raw.span().start;
            let mut raw = raw.into_inner();
            let Some(name) = raw.name.take() else {
                fault(start, "a [[provider]] has no `name`: give it one".into());
                continue;
            };
            let (at, name) = (name.span().start, name.into_inner());
            if !names.insert(name.clone()) {
                fault(at, format!("there are two providers called `{name}`: rename or remove one"));
            }
            let mut reader = Reader { base: &base, fault: &mut fault, files: &mut provider_files };
            providers.extend(reader.provider(raw, name, at));
        }
        let store = config_store::database(raw.store, &base, &mut fault);
        let registration = config_registration::registration(raw.registration, &mut fault);
        let credentials =
            config_credential::credentials(raw.credential, &base, &mut provider_files, &mut fault);
        let channels = config_notify::channels(raw.notify, &base, &mut fault);
        let provider_folder = base.join(raw.providers);
        let in_folder = provider_folder::read(&provider_folder, &mut names, &mut provider_files);
        providers.extend(in_folder.providers);
        faults.extend(in_folder.faults);
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Self {
            file: file.to_owned(),
            environment: raw.environment.into_inner(),
            listen: raw.listen,
            data: base.join(raw.data),
            store,
            policy: base.join(raw.policy),
            registry: base.join(raw.registry),
            approval_expires_seconds: raw
                .approval
                .expires_seconds
                .map_or(APPROVAL_EXPIRES_SECONDS, Spanned::into_inner),
            review_seconds: raw.approval.review_seconds.map_or(REVIEW_SECONDS, Spanned::into_inner),
            limits: raw.limits,
            telemetry: raw.telemetry,
            ledger: Ledger { witness },
            users: users
                .into_iter()
                .map(|user| User {
                    name: user.name.into_inner(),
                    password_hash: user.password_hash.into_inner(),
                    kind: user.kind.unwrap_or(PrincipalKind::Person),
                })
                .collect(),
            provider_folder,
            providers,
            registration,
            credentials,
            provider_files,
            channels,
        })
    }

    /// The local people.
    pub fn users(&self) -> Users {
        Users::new(self.users.iter().cloned())
    }
}

/// Line and column, from 1, of a byte.
pub(crate) fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

pub(crate) fn is_name(text: &str) -> bool {
    (1..=50).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

pub(crate) fn check_url(text: &str) -> Result<String, String> {
    let uri: http::Uri = text.parse().map_err(|error| format!("`{text}` is no URL: {error}"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none() {
        return Err(format!("`{text}` is not of the form http://host:port or https://host"));
    }
    if uri.query().is_some() || text.contains('@') {
        return Err(format!("`{text}` must have no query and no user name"));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("guichet.toml");
        fs::write(&file, text).unwrap();
        let faults = Config::load(&file).expect_err("this has faults");
        faults.iter().map(|fault| format!("{}:{} {}", fault.line, fault.column, fault.message)).collect()
    }

    #[test]
    fn each_fault_has_its_place() {
        let cases = [
            ("environment = \"Prod\"", "1:15 an environment is named"),
            ("environment = \"staging\"\nlisten = \"nowhere\"", "2:10 "),
            ("environment = \"staging\"\n[limit]\n", "2:2 unknown field `limit`"),
            (
                "environment = \"staging\"\n[[user]]\nname = \"a\"\npassword_hash = \"x\"",
                "4:17 the password hash of `a`",
            ),
            ("environment = \"staging\"\n[[provider]]\nname = \"p\"", "3:8 provider `p` needs either"),
            (
                "environment = \"staging\"\n[[provider]]\nname = \"p\"\nembedded = \"oracle\"",
                "4:12 no provider `oracle`",
            ),
            (
                "environment = \"staging\"\n[[provider]]\nname = \"p\"\nurl = \"ftp://x\"",
                "4:7 `ftp://x` is not of the form",
            ),
            ("environment = \"staging\"\n[ledger]\nwitness = [{}]", "3:12 a witness is either"),
            ("environment = \"staging\"\n[ledger]\nwitness = [{url = \"x\"}]", "3:12 `x` is not of the form"),
            ("environment = \"staging\"\n[approval]\nexpires_seconds = 0", "3:19 an approval expires after"),
        ];
        for (text, expected) in cases {
            let found = faults(text);
            assert!(found.iter().any(|fault| fault.starts_with(expected)), "{text}\n{found:?}");
        }
    }

    #[test]
    fn little_is_enough_and_paths_follow_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("guichet.toml");
        fs::write(
            &file,
            "environment = \"staging\"\n[[provider]]\nname = \"shop\"\nurl = \"http://127.0.0.1:9/api/\"",
        )
        .unwrap();
        let config = Config::load(&file).unwrap();
        assert_eq!(config.data, folder.path().join("data"));
        assert!(matches!(&config.providers[0].reached, Reached::Url(url) if url == "http://127.0.0.1:9/api"));
        assert_eq!(config.approval_expires_seconds, 14_400);
    }
}
