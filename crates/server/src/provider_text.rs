//! `[[provider]]` of `guichet.toml`, and the same in a file of its own: read and checked, with the place of whatever is wrong.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use guichet_contract::Digest;
use guichet_dispatch::{DocumentPlace, parse_text};
use guichet_operations::overlay::Overlay;
use secrecy::SecretString;
use serde::Deserialize;
use toml::Spanned;

use crate::{
    config::{check_url, is_name},
    config_provider::{Auth, OverlayFile, ProviderConfig, Reached, ServiceConfig, TlsFiles},
};

/// Calls at once, where nobody says.
const CALLS_AT_ONCE: usize = 64;
/// Largest answer, where nobody says: 8 MiB.
const ANSWER_BYTES: usize = 8 * 1024 * 1024;

/// As it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawProvider {
    pub(crate) name: Option<Spanned<String>>,
    url: Option<Spanned<String>>,
    pub(crate) embedded: Option<Spanned<String>>,
    openapi: Option<Spanned<String>>,
    pub(crate) settings: Option<PathBuf>,
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
pub(crate) struct RawAuth {
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
pub(crate) struct RawTls {
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
                let servers: Vec<String> = raw.servers.iter().filter_map(|server| self.url(server)).collect();
                let tls = raw.tls.map(|tls| self.tls(tls.into_inner())).unwrap_or_default();
                let shows_token = raw.show_token.as_ref().is_some_and(|said| *said.get_ref());
                let auth = match raw.auth {
                    Some(auth) => self.auth(auth, &url, &servers, shows_token)?,
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

    /// Certificates, as they are now.
    pub(crate) fn tls(&mut self, raw: RawTls) -> TlsFiles {
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

    /// What a service at `url` is shown.
    pub(crate) fn auth(
        &mut self,
        raw: Spanned<RawAuth>,
        url: &str,
        servers: &[String],
        shows_token: bool,
    ) -> Option<Auth> {
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
        let token_url = raw.token_url.as_ref().map(|url| url.get_ref().as_str());
        let all = [Some(url), token_url].into_iter().flatten().chain(servers.iter().map(String::as_str));
        for shown_to in all {
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
pub(crate) fn is_private(url: &str) -> bool {
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
    overlay_of(path, &text)
}

/// An overlay from its text, which is called `place`.
///
/// # Errors
/// Everything that is wrong with it.
pub(crate) fn overlay_of(place: impl Into<PathBuf>, text: &[u8]) -> Result<OverlayFile, Vec<String>> {
    let place = place.into();
    let told = |why: String| format!("{}: {why}", place.display());
    let value = parse_text(text).map_err(|why| vec![told(why)])?;
    let overlay = Overlay::read(&value).map_err(|faults| faults.into_iter().map(told).collect::<Vec<_>>())?;
    Ok(OverlayFile { digest: Digest::of_json(&value), overlay: Arc::new(overlay), file: place })
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    const SECRET: &str = "hunter2";

    /// What is wrong with a `[[provider]]` that has these lines, without the secret.
    fn faults(lines: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("good", SECRET);
        write("empty", "");
        write(
            "overlay.yaml",
            "overlay: 1.0.0\ninfo: {title: T, version: '1'}\nactions: [{target: $.a, updat: 1}]\n",
        );
        let text = format!("environment = \"staging\"\n[[provider]]\nname = \"p\"\n{lines}\n");
        write("guichet.toml", &text);
        match Config::load(&folder.path().join("guichet.toml")) {
            Ok(config) => {
                let shown = format!("{config:?}");
                assert!(!shown.contains(SECRET), "{shown}");
                Vec::new()
            }
            Err(faults) => faults
                .iter()
                .map(|fault| {
                    assert!(!fault.message.contains(SECRET), "{fault}");
                    format!("{}:{} {}", fault.line, fault.column, fault.message)
                })
                .collect(),
        }
    }

    #[test]
    fn each_fault_has_its_place_and_no_secret_is_shown() {
        let service = "openapi = \"shop.yaml\"\nurl = \"https://shop.example.org/v1\"\n";
        let auth = |auth: &str| format!("{service}auth = {{ {auth} }}");
        let clear = "openapi = \"shop.yaml\"\nurl = \"http://shop.example.org\"\n";
        for good in [
            service.to_owned(),
            auth("kind = \"bearer\", secret_file = \"good\""),
            auth("kind = \"header\", header = \"X-Key\", secret_file = \"good\""),
            auth(
                "kind = \"oauth2\", token_url = \"https://id.example.org/token?x=1\", client_id = \"g\", secret_file = \"good\"",
            ),
            format!("{clear}auth = {{ kind = \"bearer\", secret_file = \"good\", allow_http = true }}"),
            format!("{service}servers = [\"http://files.example.org\"]"),
        ] {
            assert_eq!(faults(&good), Vec::<String>::new(), "{good}");
        }
        for (lines, expected) in [
            ("openapi = \"shop.yaml\"".to_owned(), "4:11 `url` is missing"),
            (
                "url = \"http://x\"\nauth = { kind = \"bearer\" }".to_owned(),
                "5:8 this belongs to a provider with `openapi`",
            ),
            ("url = \"http://x\"\nshow_token = true".to_owned(), "5:14 this belongs"),
            (auth("kind = \"magic\""), "6:17 `magic` is no way"),
            (auth("kind = \"basic\", secret_file = \"good\""), "6:8 `basic` needs `user`"),
            (
                auth("kind = \"bearer\", user = \"u\", secret_file = \"good\""),
                "6:8 `user` means nothing with `bearer`",
            ),
            (auth("kind = \"bearer\""), "6:8 the secret stands in"),
            (
                auth("kind = \"bearer\", secret_env = \"GUICHET_NO_SUCH_VARIABLE\""),
                "6:40 the environment has no variable",
            ),
            (auth("kind = \"bearer\", secret_file = \"empty\""), "6:41 the secret is empty"),
            (auth("kind = \"bearer\", secret_file = \"none\""), "6:41 "),
            (
                format!("{clear}auth = {{ kind = \"bearer\", secret_file = \"good\" }}"),
                "6:8 a secret would go to http://shop.example.org in the clear",
            ),
            (
                format!(
                    "{service}servers = [\"http://files.example.org\"]\nauth = {{ kind = \"bearer\", secret_file = \"good\" }}"
                ),
                "7:8 a secret would go to http://files.example.org in the clear",
            ),
            (
                format!("{service}show_token = true\nauth = {{ kind = \"bearer\", secret_file = \"good\" }}"),
                "7:8 `show_token` puts",
            ),
            (
                format!("{service}tls = {{ key_file = \"good\" }}"),
                "6:20 `certificate_file` and `key_file` belong together",
            ),
            (format!("{service}overlay = \"overlay.yaml\""), "6:11 "),
            (format!("{service}overlay = \"none.yaml\""), "6:11 "),
            (format!("{service}servers = [\"shop\"]"), "6:12 `shop` is not of the form"),
        ] {
            let found = faults(&lines);
            assert!(found.iter().any(|fault| fault.starts_with(expected)), "{lines}\n{expected}\n{found:?}");
        }
    }

    #[test]
    fn a_provider_may_have_a_file_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        std::fs::create_dir(folder.path().join("providers")).unwrap();
        write(
            "guichet.toml",
            "environment = \"staging\"\n[[provider]]\nname = \"shop\"\nurl = \"http://127.0.0.1:9\"\n",
        );
        write("providers/mail.toml", "url = \"http://127.0.0.1:9/mail\"\n");
        let load = || Config::load(&folder.path().join("guichet.toml"));
        let names: Vec<String> =
            load().unwrap().providers.into_iter().map(|provider| provider.name).collect();
        assert_eq!(names, ["shop", "mail"]);
        for (name, text, expected) in [
            ("shop", "url = \"http://127.0.0.1:9\"", "shop.toml:1:1: there are two providers called `shop`"),
            ("post", "\nurl = \"nowhere\"", "post.toml:2:7: `nowhere` is not of the form"),
            (
                "post",
                "name = \"other\"\nurl = \"http://127.0.0.1:9\"",
                "post.toml:1:8: the file is called `post.toml`",
            ),
            ("post", "ulr = 1", "post.toml:1:1: unknown field `ulr`"),
            ("post", "embedded = \"postgres\"", "post.toml:1:12: what is built in would read this file"),
        ] {
            let file = format!("providers/{name}.toml");
            write(&file, text);
            let faults: Vec<String> = load().unwrap_err().iter().map(ToString::to_string).collect();
            assert!(faults.iter().any(|fault| fault.contains(expected)), "{expected}: {faults:?}");
            std::fs::remove_file(folder.path().join(file)).unwrap();
        }
    }
}
