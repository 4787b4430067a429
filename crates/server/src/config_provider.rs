//! `[[provider]]` of `guichet.toml`, and the same in a file of its own: who performs, how it is reached, and what it is shown.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use guichet_contract::Digest;
use guichet_dispatch::{DocumentPlace, parse_text};
use guichet_operations::overlay::Overlay;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use toml::Spanned;

use crate::config::{check_url, is_name};

/// Calls at once, where nobody says.
const CALLS_AT_ONCE: usize = 64;
/// Largest answer, where nobody says: 8 MiB.
const ANSWER_BYTES: usize = 8 * 1024 * 1024;

/// One provider.
#[derive(Debug, Clone, PartialEq)]
pub struct ProviderConfig {
    /// Its name.
    pub name: String,
    /// How it is reached.
    pub reached: Reached,
    /// Unknown `x-guichet` fields are errors.
    pub strict: bool,
    /// What is added to its document.
    pub overlay: Option<OverlayFile>,
    /// Calls at once.
    pub calls_at_once: usize,
    /// Largest answer, bytes.
    pub answer_bytes: usize,
}

/// How a provider is reached.
#[derive(Debug, Clone, PartialEq)]
pub enum Reached {
    /// In this process; the file with its settings.
    Embedded {
        /// Which of the providers built in.
        kind: String,
        /// Its settings.
        settings: PathBuf,
    },
    /// Over HTTP, `http://host:port/prefix`.
    Url(String),
    /// A service that knows nothing of gateways.
    Service(Box<ServiceConfig>),
}

/// A service that has an OpenAPI document and knows nothing of gateways.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceConfig {
    /// What the paths of its document are appended to.
    pub url: String,
    /// Its document.
    pub document: DocumentPlace,
    /// What it is shown of the gateway.
    pub auth: Auth,
    /// Certificates for connections to it.
    pub tls: TlsFiles,
    /// It is shown who calls, in the gateway's own token.
    pub shows_token: bool,
    /// Addresses beside its own that its document may send calls to.
    pub servers: Vec<String>,
}

/// What a service is shown of the gateway. Secrets are never printed.
#[derive(Clone, Default)]
pub enum Auth {
    /// Nothing.
    #[default]
    None,
    /// A header of its own.
    Header {
        /// Its name.
        name: String,
        /// What it says.
        secret: SecretString,
    },
    /// Name and password.
    Basic {
        /// The name.
        user: String,
        /// The password.
        secret: SecretString,
    },
    /// A token that does not change.
    Bearer {
        /// The token.
        secret: SecretString,
    },
    /// OAuth 2.0, client credentials.
    ClientCredentials {
        /// Where tokens are asked for.
        token_url: String,
        /// Who the gateway is there.
        client_id: String,
        /// Its secret.
        secret: SecretString,
        /// What for.
        scope: Option<String>,
        /// For whom.
        audience: Option<String>,
        /// Name and secret go into the form.
        in_body: bool,
    },
}

impl Auth {
    /// All that makes it what it is, secrets too: to be compared, and never shown.
    fn key(&self) -> Vec<&str> {
        match self {
            Self::None => vec!["none"],
            Self::Header { name, secret } => vec!["header", name, secret.expose_secret()],
            Self::Basic { user, secret } => vec!["basic", user, secret.expose_secret()],
            Self::Bearer { secret } => vec!["bearer", secret.expose_secret()],
            Self::ClientCredentials { token_url, client_id, secret, scope, audience, in_body } => {
                vec![
                    "oauth2",
                    token_url,
                    client_id,
                    secret.expose_secret(),
                    scope.as_deref().unwrap_or_default(),
                    audience.as_deref().unwrap_or_default(),
                    if *in_body { "body" } else { "header" },
                ]
            }
        }
    }
}

impl PartialEq for Auth {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Header { .. } => "header",
            Self::Basic { .. } => "basic",
            Self::Bearer { .. } => "bearer",
            Self::ClientCredentials { .. } => "oauth2",
        })
    }
}

/// Certificates in files, PEM each, with what stands in them, so that a change of them is noticed.
#[derive(Clone, PartialEq, Default)]
pub struct TlsFiles {
    /// The authorities to believe instead of the system's.
    pub authorities: Option<Vec<u8>>,
    /// The gateway's certificate and key.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl TlsFiles {
    /// Whether connections are made as all others are.
    pub fn is_usual(&self) -> bool {
        self.authorities.is_none() && self.identity.is_none()
    }
}

impl fmt::Debug for TlsFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "own authorities: {}, own certificate: {}",
            self.authorities.is_some(),
            self.identity.is_some()
        )
    }
}

/// An overlay, read.
#[derive(Debug, Clone)]
pub struct OverlayFile {
    /// Where it is.
    pub file: PathBuf,
    /// Of its content.
    pub digest: Digest,
    /// What it does.
    pub overlay: Arc<Overlay>,
}

impl PartialEq for OverlayFile {
    fn eq(&self, other: &Self) -> bool {
        self.file == other.file && self.digest == other.digest
    }
}

/// As it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawProvider {
    pub(crate) name: Option<Spanned<String>>,
    url: Option<Spanned<String>>,
    embedded: Option<Spanned<String>>,
    openapi: Option<Spanned<String>>,
    settings: Option<PathBuf>,
    overlay: Option<Spanned<PathBuf>>,
    strict: Option<bool>,
    calls_at_once: Option<usize>,
    answer_bytes: Option<usize>,
    auth: Option<Spanned<RawAuth>>,
    tls: Option<Spanned<RawTls>>,
    show_token: Option<Spanned<bool>>,
    #[serde(default)]
    servers: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAuth {
    kind: Spanned<String>,
    header: Option<String>,
    user: Option<String>,
    token_url: Option<Spanned<String>>,
    client_id: Option<String>,
    scope: Option<String>,
    audience: Option<String>,
    in_body: Option<bool>,
    secret_env: Option<Spanned<String>>,
    secret_file: Option<Spanned<PathBuf>>,
    allow_http: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTls {
    #[serde(rename = "ca_file")]
    authorities: Option<Spanned<PathBuf>>,
    #[serde(rename = "certificate_file")]
    certificate: Option<Spanned<PathBuf>>,
    #[serde(rename = "key_file")]
    key: Option<Spanned<PathBuf>>,
}

/// What one file says while it is read: paths are relative to its folder, and faults are told with their place.
pub(crate) struct Reader<'f> {
    /// The folder of the file.
    pub(crate) base: &'f Path,
    /// Takes a fault: which byte, and what is wrong.
    pub(crate) fault: &'f mut dyn FnMut(usize, String),
    /// Files that what was read depends on.
    pub(crate) files: &'f mut Vec<PathBuf>,
}

impl Reader<'_> {
    /// One provider, named at byte `at`; none when it cannot be used, which was told.
    pub(crate) fn provider(&mut self, raw: RawProvider, name: String, at: usize) -> Option<ProviderConfig> {
        if !is_name(&name) {
            (self.fault)(at, "a provider is named with a–z, 0–9 and -, 1–50 characters".into());
        }
        let strict = raw.strict.unwrap_or(raw.embedded.is_some());
        let overlay = raw.overlay.and_then(|file| self.overlay(&file));
        let of_service = [
            raw.auth.as_ref().map(|given| given.span().start),
            raw.tls.as_ref().map(|given| given.span().start),
            raw.show_token.as_ref().map(|given| given.span().start),
            raw.servers.first().map(|given| given.span().start),
        ];
        if raw.openapi.is_none() {
            for start in of_service.into_iter().flatten() {
                let why =
                    "this belongs to a provider with `openapi`; one without it is shown the gateway's token";
                (self.fault)(start, why.to_owned());
            }
        }
        let reached = match (raw.url, raw.embedded, raw.openapi) {
            (Some(url), None, None) => Reached::Url(self.url(&url)?),
            (Some(url), None, Some(openapi)) => {
                let url = self.url(&url)?;
                let document = self.document(&openapi)?;
                let servers = raw.servers.iter().filter_map(|server| self.url(server)).collect();
                let tls = raw.tls.map(|tls| self.tls(tls.into_inner())).unwrap_or_default();
                let shows_token = raw.show_token.as_ref().is_some_and(|said| *said.get_ref());
                let auth = match raw.auth {
                    Some(auth) => self.auth(auth, &url, shows_token)?,
                    None => Auth::None,
                };
                Reached::Service(Box::new(ServiceConfig { url, document, auth, tls, shows_token, servers }))
            }
            (None, None, Some(openapi)) => {
                let why = "`url` is missing: give the address that the paths of the document are appended to; `guichetd provider add` \
                           finds it in the document";
                (self.fault)(openapi.span().start, why.to_owned());
                return None;
            }
            (None, Some(kind), None) => {
                if !crate::embedded::KINDS.contains(&kind.get_ref().as_str()) {
                    let known = crate::embedded::KINDS.join(", ");
                    let why = format!("no provider `{}` is built in; there is {known}", kind.get_ref());
                    (self.fault)(kind.span().start, why);
                    return None;
                }
                let settings = raw.settings.unwrap_or_else(|| format!("{name}.toml").into());
                Reached::Embedded { kind: kind.into_inner(), settings: self.base.join(settings) }
            }
            _ => {
                let why = format!(
                    "provider `{name}` needs either `url` or `embedded`, not both; `openapi` goes with `url`"
                );
                (self.fault)(at, why);
                return None;
            }
        };
        Some(ProviderConfig {
            name,
            reached,
            strict,
            overlay,
            calls_at_once: raw.calls_at_once.unwrap_or(CALLS_AT_ONCE).max(1),
            answer_bytes: raw.answer_bytes.unwrap_or(ANSWER_BYTES),
        })
    }

    fn url(&mut self, url: &Spanned<String>) -> Option<String> {
        check_url(url.get_ref()).map_err(|why| (self.fault)(url.span().start, why)).ok()
    }

    /// An address, or a file.
    fn document(&mut self, openapi: &Spanned<String>) -> Option<DocumentPlace> {
        let text = openapi.get_ref();
        if !text.contains("://") {
            let file = self.base.join(text);
            self.files.push(file.clone());
            return Some(DocumentPlace::File(file));
        }
        match document_url(text) {
            Ok(url) => Some(DocumentPlace::Url(url)),
            Err(why) => {
                (self.fault)(openapi.span().start, why);
                None
            }
        }
    }

    fn overlay(&mut self, file: &Spanned<PathBuf>) -> Option<OverlayFile> {
        let at = file.span().start;
        let path = self.base.join(file.get_ref());
        self.files.push(path.clone());
        match read_overlay(&path) {
            Ok(read) => Some(read),
            Err(faults) => {
                for why in faults {
                    (self.fault)(at, why);
                }
                None
            }
        }
    }

    fn tls(&mut self, raw: RawTls) -> TlsFiles {
        let mut read = |file: Option<Spanned<PathBuf>>| {
            let file = file?;
            let path = self.base.join(file.get_ref());
            self.files.push(path.clone());
            match fs::read(&path) {
                Ok(text) => Some(text),
                Err(error) => {
                    (self.fault)(file.span().start, format!("{}: {error}", path.display()));
                    None
                }
            }
        };
        let certificate_at = raw.certificate.as_ref().map(|given| given.span().start);
        let key_at = raw.key.as_ref().map(|given| given.span().start);
        let authorities = read(raw.authorities);
        let identity = read(raw.certificate).zip(read(raw.key));
        if let (Some(at), None) | (None, Some(at)) = (certificate_at, key_at) {
            (self.fault)(at, "`certificate_file` and `key_file` belong together: give both".to_owned());
        }
        TlsFiles { authorities, identity }
    }

    fn auth(&mut self, raw: Spanned<RawAuth>, url: &str, shows_token: bool) -> Option<Auth> {
        let at = raw.span().start;
        let raw = raw.into_inner();
        let kind = raw.kind.get_ref().clone();
        let kind_at = raw.kind.span().start;
        let given = [
            ("header", raw.header.is_some()),
            ("user", raw.user.is_some()),
            ("token_url", raw.token_url.is_some()),
            ("client_id", raw.client_id.is_some()),
            ("scope", raw.scope.is_some()),
            ("audience", raw.audience.is_some()),
            ("in_body", raw.in_body.is_some()),
        ];
        let (needed, optional): (&[&str], &[&str]) = match kind.as_str() {
            "header" => (&["header"], &[]),
            "basic" => (&["user"], &[]),
            "bearer" => (&[], &[]),
            "oauth2" => (&["token_url", "client_id"], &["scope", "audience", "in_body"]),
            _ => {
                let why =
                    format!("`{kind}` is no way to authenticate; there are header, basic, bearer and oauth2");
                (self.fault)(kind_at, why);
                return None;
            }
        };
        for (name, is_given) in given {
            if needed.contains(&name) && !is_given {
                (self.fault)(at, format!("`{kind}` needs `{name}`"));
                return None;
            }
            if is_given && !needed.contains(&name) && !optional.contains(&name) {
                (self.fault)(at, format!("`{name}` means nothing with `{kind}`: remove it"));
                return None;
            }
        }
        for shown_to in
            [Some(url), raw.token_url.as_ref().map(|url| url.get_ref().as_str())].into_iter().flatten()
        {
            if !raw.allow_http.unwrap_or_default() && !is_private(shown_to) {
                let why = format!(
                    "a secret would go to {shown_to} in the clear: use https, or say `allow_http = true` where the network itself is trusted"
                );
                (self.fault)(at, why);
                return None;
            }
        }
        let secret = self.secret(raw.secret_env, raw.secret_file, at)?;
        let text = |given: Option<String>| given.unwrap_or_default();
        let auth = match kind.as_str() {
            "header" => Auth::Header { name: text(raw.header), secret },
            "basic" => Auth::Basic { user: text(raw.user), secret },
            "bearer" => Auth::Bearer { secret },
            _ => {
                let token_url = raw.token_url?;
                let address = document_url(token_url.get_ref());
                Auth::ClientCredentials {
                    token_url: address.map_err(|why| (self.fault)(token_url.span().start, why)).ok()?,
                    client_id: text(raw.client_id),
                    secret,
                    scope: raw.scope,
                    audience: raw.audience,
                    in_body: raw.in_body.unwrap_or_default(),
                }
            }
        };
        let takes_authorization = match &auth {
            Auth::Header { name, .. } => name.eq_ignore_ascii_case("authorization"),
            Auth::None => false,
            _ => true,
        };
        if shows_token && takes_authorization {
            let why =
                "`show_token` puts the gateway's token into `Authorization`, and so does this: keep one";
            (self.fault)(at, why.to_owned());
            return None;
        }
        Some(auth)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the settings room")]
    fn secret(
        &mut self,
        env: Option<Spanned<String>>,
        file: Option<Spanned<PathBuf>>,
        at: usize,
    ) -> Option<SecretString> {
        let (text, place) = match (env, file) {
            (Some(variable), None) => {
                let Ok(text) = std::env::var(variable.get_ref()) else {
                    let why = format!("the environment has no variable {}: set it", variable.get_ref());
                    (self.fault)(variable.span().start, why);
                    return None;
                };
                (text, variable.span().start)
            }
            (None, Some(file)) => {
                let path = self.base.join(file.get_ref());
                self.files.push(path.clone());
                match fs::read_to_string(&path) {
                    Ok(text) => (text, file.span().start),
                    Err(error) => {
                        (self.fault)(file.span().start, format!("{}: {error}", path.display()));
                        return None;
                    }
                }
            }
            _ => {
                let why = "the secret stands in `secret_env` (an environment variable) or `secret_file`: give one of the two";
                (self.fault)(at, why.to_owned());
                return None;
            }
        };
        let text = text.trim();
        if text.is_empty() || text.chars().any(char::is_control) {
            (self.fault)(place, "the secret is empty, or has more than one line".to_owned());
            return None;
        }
        Some(SecretString::from(text))
    }
}

/// An address with a path of its own, and perhaps a query.
pub(crate) fn document_url(text: &str) -> Result<String, String> {
    let uri: http::Uri = text.parse().map_err(|error| format!("`{text}` is no URL: {error}"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none() || text.contains('@') {
        return Err(format!("`{text}` is not of the form https://host/path, without a user name"));
    }
    Ok(text.to_owned())
}

/// Whether nobody on the way can read along.
fn is_private(url: &str) -> bool {
    let Ok(uri) = url.parse::<http::Uri>() else { return false };
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    uri.scheme_str() == Some("https")
        || host == "localhost"
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Reads an overlay from a file.
pub(crate) fn read_overlay(path: &Path) -> Result<OverlayFile, Vec<String>> {
    let told = |why: String| format!("{}: {why}", path.display());
    let text = fs::read(path).map_err(|error| vec![told(error.to_string())])?;
    let value = parse_text(&text).map_err(|why| vec![told(why)])?;
    let overlay = Overlay::read(&value).map_err(|faults| faults.into_iter().map(told).collect::<Vec<_>>())?;
    Ok(OverlayFile { file: path.to_owned(), digest: Digest::of_json(&value), overlay: Arc::new(overlay) })
}
