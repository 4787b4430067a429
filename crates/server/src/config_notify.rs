//! `[[notify]]` of `guichet.toml`: through which channels people are told what happens to runs.

use std::{
    collections::BTreeSet,
    fs,
    net::IpAddr,
    ops::Range,
    path::{Path, PathBuf},
    time::Duration,
};

use guichet_contract::Occasion;
use guichet_notify::{
    ChannelSettings, ChatFormat, ChatSettings, Kind, MailSettings, Tls, WebhookSettings, mail, settings,
    signature::Key,
};
use serde::Deserialize;
use toml::Spanned;

use crate::config::is_name;

/// One channel as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawNotify {
    name: Spanned<String>,
    kind: Spanned<String>,
    #[serde(default)]
    events: Option<Vec<Spanned<String>>>,
    #[serde(default)]
    teams: BTreeSet<String>,
    #[serde(default)]
    people: BTreeSet<String>,
    tries: Option<Spanned<u32>>,
    timeout_seconds: Option<Spanned<u64>>,
    // smtp
    server: Option<Spanned<String>>,
    port: Option<Spanned<u16>>,
    tls: Option<Spanned<String>>,
    ca_file: Option<Spanned<PathBuf>>,
    from: Option<Spanned<String>>,
    user: Option<Spanned<String>>,
    password_env: Option<Spanned<String>>,
    password_file: Option<Spanned<PathBuf>>,
    address: Option<Spanned<String>>,
    // webhook
    url: Option<Spanned<String>>,
    secret_env: Option<Spanned<String>>,
    secret_file: Option<Spanned<PathBuf>>,
    // chat
    format: Option<Spanned<String>>,
    url_env: Option<Spanned<String>>,
    url_file: Option<Spanned<PathBuf>>,
}

/// The channels, and every fault with the byte where it is.
pub(crate) fn channels(
    raw: Vec<RawNotify>,
    base: &Path,
    fault: &mut impl FnMut(usize, String),
) -> Vec<ChannelSettings> {
    let mut names = BTreeSet::new();
    let mut channels = Vec::new();
    for channel in raw {
        let at = channel.name.span().start;
        let name = channel.name.get_ref().clone();
        if !is_name(&name) {
            fault(at, "a channel is named with a–z, 0–9 and -, 1–50 characters".into());
        }
        if !names.insert(name.clone()) {
            fault(at, format!("there are two channels called `{name}`: rename or remove one"));
        }
        let tries = within(channel.tries.as_ref(), settings::TRIES, 1..101, "`tries` is 1 to 100", fault);
        let seconds = within(
            channel.timeout_seconds.as_ref(),
            settings::TIMEOUT.as_secs(),
            1..61,
            "`timeout_seconds` is 1 to 60",
            fault,
        );
        let occasions = occasions(channel.events.as_deref(), fault);
        let (teams, people) = (channel.teams.clone(), channel.people.clone());
        let kind = Reading { channel, base, fault: &mut *fault }.kind();
        if let Some(kind) = kind {
            let timeout = Duration::from_secs(seconds);
            channels.push(ChannelSettings { name, occasions, teams, people, tries, timeout, kind });
        }
    }
    channels
}

fn within<T: Copy + PartialOrd>(
    given: Option<&Spanned<T>>,
    default: T,
    range: Range<T>,
    otherwise: &str,
    fault: &mut impl FnMut(usize, String),
) -> T {
    let Some(given) = given else { return default };
    if !range.contains(given.get_ref()) {
        fault(given.span().start, otherwise.to_owned());
    }
    *given.get_ref()
}

fn occasions(given: Option<&[Spanned<String>]>, fault: &mut impl FnMut(usize, String)) -> BTreeSet<Occasion> {
    let Some(given) = given else { return Occasion::usual() };
    let mut occasions = BTreeSet::new();
    for event in given {
        match Occasion::all_of(event.get_ref()) {
            Ok(meant) => occasions.extend(meant),
            Err(why) => fault(event.span().start, why),
        }
    }
    occasions
}

/// One channel while it is read.
struct Reading<'a, F> {
    channel: RawNotify,
    base: &'a Path,
    fault: &'a mut F,
}

impl<F: FnMut(usize, String)> Reading<'_, F> {
    fn kind(mut self) -> Option<Kind> {
        let (at, kind) = (self.channel.kind.span().start, self.channel.kind.get_ref().clone());
        let (mail, hook, chat) = (self.mail_fields(), self.webhook_fields(), self.chat_fields());
        match kind.as_str() {
            "console" => {
                self.none_of("console", mail.into_iter().chain(hook).chain(chat));
                Some(Kind::Console)
            }
            "smtp" => {
                self.none_of("smtp", hook.into_iter().chain(chat));
                self.mail().map(Kind::Smtp)
            }
            "webhook" => {
                self.none_of("webhook", mail.into_iter().chain(chat));
                self.webhook().map(Kind::Webhook)
            }
            "chat" => {
                self.none_of("chat", mail.into_iter().chain(hook));
                self.chat().map(Kind::Chat)
            }
            other => {
                let why = format!("no channel is of kind `{other}`; there is console, smtp, webhook, chat");
                (self.fault)(at, why);
                None
            }
        }
    }

    fn mail_fields(&self) -> Vec<(&'static str, Option<usize>)> {
        let channel = &self.channel;
        vec![
            ("server", start(channel.server.as_ref())),
            ("port", start(channel.port.as_ref())),
            ("tls", start(channel.tls.as_ref())),
            ("ca_file", start(channel.ca_file.as_ref())),
            ("from", start(channel.from.as_ref())),
            ("user", start(channel.user.as_ref())),
            ("password_env", start(channel.password_env.as_ref())),
            ("password_file", start(channel.password_file.as_ref())),
            ("address", start(channel.address.as_ref())),
        ]
    }

    fn webhook_fields(&self) -> Vec<(&'static str, Option<usize>)> {
        let channel = &self.channel;
        vec![
            ("url", start(channel.url.as_ref())),
            ("secret_env", start(channel.secret_env.as_ref())),
            ("secret_file", start(channel.secret_file.as_ref())),
        ]
    }

    fn chat_fields(&self) -> Vec<(&'static str, Option<usize>)> {
        let channel = &self.channel;
        vec![
            ("format", start(channel.format.as_ref())),
            ("url_env", start(channel.url_env.as_ref())),
            ("url_file", start(channel.url_file.as_ref())),
        ]
    }

    fn none_of(&mut self, kind: &str, fields: impl IntoIterator<Item = (&'static str, Option<usize>)>) {
        for (field, at) in fields {
            if let Some(at) = at {
                (self.fault)(at, format!("a channel of kind `{kind}` has no `{field}`: remove it"));
            }
        }
    }

    /// A value that this kind cannot do without.
    fn needed(&mut self, field: &str, given: Option<Spanned<String>>) -> Option<(usize, String)> {
        if let Some(given) = given {
            return Some((given.span().start, given.into_inner()));
        }
        let (at, kind) = (self.channel.name.span().start, self.channel.kind.get_ref());
        (self.fault)(at, format!("a channel of kind `{kind}` needs `{field}`"));
        None
    }

    fn mail(&mut self) -> Option<MailSettings> {
        let given = self.channel.server.take();
        let server = self.needed("server", given);
        let given = self.channel.from.take();
        let from = self.needed("from", given);
        let tls = match self.channel.tls.as_ref().map_or("starttls", |tls| tls.get_ref().as_str()) {
            "starttls" => Some(Tls::Starttls),
            "tls" => Some(Tls::Tls),
            "none" => Some(Tls::None),
            other => {
                let at = start(self.channel.tls.as_ref()).unwrap_or_default();
                (self.fault)(
                    at,
                    format!("`{other}` is no way to protect a connection; there is starttls, tls, none"),
                );
                None
            }
        };
        if let Some((at, from)) = &from
            && let Err(why) = mail::check_from(from)
        {
            (self.fault)(*at, why);
        }
        if let Some(address) =
            self.channel.address.as_ref().filter(|address| !address.get_ref().contains("{name}"))
        {
            (self.fault)(address.span().start, "`address` has `{name}` in it: {name}@example.org".into());
        }
        let credentials = self.credentials();
        if let (Some(user), Some(Tls::None), Some((_, server))) = (&self.channel.user, tls, &server)
            && !is_loopback(server)
        {
            let why =
                "a password would go over the network in the clear: use `tls = \"starttls\"` or `\"tls\"`";
            (self.fault)(user.span().start, why.into());
        }
        let authorities = self.authorities();
        let ((_, server), (_, from), tls) = (server?, from?, tls?);
        let port = self
            .channel
            .port
            .as_ref()
            .map_or(if tls == Tls::Tls { 465 } else { 587 }, |port| *port.get_ref());
        let address = self.channel.address.as_ref().map(|address| address.get_ref().clone());
        Some(MailSettings { server, port, tls, authorities, from, credentials, address })
    }

    fn authorities(&mut self) -> Option<Vec<u8>> {
        let file = self.channel.ca_file.as_ref()?;
        let path = self.base.join(file.get_ref());
        fs::read(&path)
            .map_err(|error| (self.fault)(file.span().start, format!("{}: {error}", path.display())))
            .ok()
    }

    fn credentials(&mut self) -> Option<(String, secrecy::SecretString)> {
        let at = start(self.channel.user.as_ref());
        let (env, file) = (self.channel.password_env.clone(), self.channel.password_file.clone());
        let password = self.secret(("password_env", env), ("password_file", file));
        match (at, password) {
            (None, None) => None,
            (Some(_), Some((_, password))) => {
                let user = self.channel.user.as_ref()?.get_ref().clone();
                Some((user, password.into()))
            }
            (Some(at), None) => {
                if self.channel.password_env.is_none() && self.channel.password_file.is_none() {
                    (self.fault)(at, "a `user` needs `password_env` or `password_file`".into());
                }
                None
            }
            (None, Some((at, _))) => {
                (self.fault)(at, "a password needs a `user`".into());
                None
            }
        }
    }

    fn webhook(&mut self) -> Option<WebhookSettings> {
        let given = self.channel.url.take();
        let url = self.needed("url", given);
        if let Some((at, url)) = &url
            && scheme_and_host(url).is_none()
        {
            (self.fault)(*at, format!("`{url}` is not of the form https://host/path"));
        }
        if self.channel.secret_env.is_none() && self.channel.secret_file.is_none() {
            let at = self.channel.name.span().start;
            (self.fault)(at, "a channel of kind `webhook` needs `secret_env` or `secret_file`".into());
        }
        let (env, file) = (self.channel.secret_env.clone(), self.channel.secret_file.clone());
        let (at, text) = self.secret(("secret_env", env), ("secret_file", file))?;
        let mut keys = Vec::new();
        for secret in text.split_whitespace() {
            match Key::parse(secret) {
                Ok(key) => keys.push(key),
                Err(why) => (self.fault)(at, why),
            }
        }
        if text.trim().is_empty() {
            (self.fault)(at, "there is no secret in it: it holds `whsec_…`, one a line".into());
        }
        let (_, url) = url?;
        Some(WebhookSettings { url, keys })
    }

    fn chat(&mut self) -> Option<ChatSettings> {
        let given = self.channel.format.take();
        let format = self.needed("format", given).and_then(|(at, format)| match format.as_str() {
            "slack" => Some(ChatFormat::Slack),
            "teams" => Some(ChatFormat::Teams),
            other => {
                (self.fault)(at, format!("no chat is called `{other}`; there is slack, teams"));
                None
            }
        });
        let (env, file) = (self.channel.url_env.clone(), self.channel.url_file.clone());
        if env.is_none() && file.is_none() {
            let at = self.channel.name.span().start;
            (self.fault)(at, "a channel of kind `chat` needs `url_env` or `url_file`".into());
        }
        let (at, url) = self.secret(("url_env", env), ("url_file", file))?;
        // It is a secret: no fault may show it.
        match scheme_and_host(&url) {
            None => (self.fault)(at, "the address in it is not of the form https://host/path".into()),
            Some((false, host)) if !is_loopback(&host) => {
                (self.fault)(at, "the address in it is a secret and would go in the clear: use https".into());
            }
            Some(_) => return Some(ChatSettings { url: url.into(), format: format? }),
        }
        None
    }

    /// What stands in a variable or a file, without the white space around it, and where it is named.
    #[expect(clippy::disallowed_methods, reason = "this is the settings room")]
    fn secret(
        &mut self,
        (env_field, env): (&str, Option<Spanned<String>>),
        (file_field, file): (&str, Option<Spanned<PathBuf>>),
    ) -> Option<(usize, String)> {
        match (env, file) {
            (None, None) => None,
            (Some(_), Some(file)) => {
                let why = format!("`{env_field}` and `{file_field}` are both given: keep one");
                (self.fault)(file.span().start, why);
                None
            }
            (Some(variable), None) => {
                if let Ok(text) = std::env::var(variable.get_ref()) {
                    Some((variable.span().start, text.trim().to_owned()))
                } else {
                    let why = format!("the environment has no variable {}: set it", variable.get_ref());
                    (self.fault)(variable.span().start, why);
                    None
                }
            }
            (None, Some(file)) => {
                let (at, path) = (file.span().start, self.base.join(file.get_ref()));
                match fs::read_to_string(&path) {
                    Ok(text) => Some((at, text.trim().to_owned())),
                    Err(error) => {
                        (self.fault)(at, format!("{}: {error}", path.display()));
                        None
                    }
                }
            }
        }
    }
}

/// Whether an address is of `https` rather than `http`, and its host.
fn scheme_and_host(url: &str) -> Option<(bool, String)> {
    let uri = url.parse::<http::Uri>().ok()?;
    let is_https = match uri.scheme_str()? {
        "https" => true,
        "http" => false,
        _ => return None,
    };
    Some((is_https, uri.host()?.to_owned()))
}

fn start<T>(given: Option<&Spanned<T>>) -> Option<usize> {
    given.map(|given| given.span().start)
}

fn is_loopback(server: &str) -> bool {
    server == "localhost" || server.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    /// What is wrong with a file of this one channel, as `line:column message`.
    fn faults(channel: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("guichet.toml");
        std::fs::write(folder.path().join("good"), KEY).unwrap();
        std::fs::write(folder.path().join("bad"), "hunter2").unwrap();
        std::fs::write(folder.path().join("chat"), "https://chat.test/hunter2\n").unwrap();
        std::fs::write(folder.path().join("clear"), "http://chat.test/hunter2").unwrap();
        std::fs::write(&file, format!("environment = \"staging\"\n[[notify]]\n{channel}")).unwrap();
        let faults = Config::load(&file).err().unwrap_or_default();
        faults.iter().map(|fault| format!("{}:{} {}", fault.line, fault.column, fault.message)).collect()
    }

    #[test]
    fn each_fault_has_its_place() {
        let hook = "name = \"a\"\nkind = \"webhook\"\nurl = \"https://x/y\"\n";
        let mail = "name = \"a\"\nkind = \"smtp\"\nserver = \"mail.test\"\nfrom = \"a@b.test\"\n";
        let chat = "name = \"a\"\nkind = \"chat\"\n";
        let cases = [
            (format!("{chat}url_file = \"chat\""), "3:8 a channel of kind `chat` needs `format`"),
            (
                format!("{chat}format = \"slack\""),
                "3:8 a channel of kind `chat` needs `url_env` or `url_file`",
            ),
            (format!("{chat}format = \"irc\"\nurl_file = \"chat\""), "5:10 no chat is called `irc`"),
            (
                format!("{chat}format = \"teams\"\nurl_file = \"bad\""),
                "6:12 the address in it is not of the form",
            ),
            (
                format!("{chat}format = \"teams\"\nurl_file = \"clear\""),
                "6:12 the address in it is a secret and",
            ),
            (format!("{chat}url = \"https://x/y\""), "5:7 a channel of kind `chat` has no `url`"),
            (format!("{hook}format = \"slack\""), "6:10 a channel of kind `webhook` has no `format`"),
            ("name = \"A\"\nkind = \"console\"".to_owned(), "3:8 a channel is named"),
            ("name = \"a\"\nkind = \"pager\"".to_owned(), "4:8 no channel is of kind `pager`"),
            (
                "name = \"a\"\nkind = \"console\"\nevents = [\"run_ended\", \"run_begun\"]".to_owned(),
                "5:24 `run_begun` is no occasion; there is approval_requested",
            ),
            (
                "name = \"a\"\nkind = \"console\"\nevents = [\"run_*\", \"tea_*\"]".to_owned(),
                "5:20 `tea_*` is no occasion; there is approval_requested",
            ),
            (
                "name = \"a\"\nkind = \"console\"\nurl = \"x\"".to_owned(),
                "5:7 a channel of kind `console` has no `url`",
            ),
            ("name = \"a\"\nkind = \"console\"\ntries = 0".to_owned(), "5:9 `tries` is 1 to 100"),
            ("name = \"a\"\nkind = \"console\"\ntimeout_seconds = 61".to_owned(), "5:19 `timeout_seconds`"),
            ("name = \"a\"\nkind = \"console\"\nnoise = 1".to_owned(), "5:1 unknown field `noise`"),
            (
                "name = \"a\"\nkind = \"smtp\"\nfrom = \"a@b.test\"".to_owned(),
                "3:8 a channel of kind `smtp` needs `server`",
            ),
            (mail.replace("a@b.test", "nobody"), "6:8 `nobody` is no sender"),
            (format!("{mail}tls = \"ssl\""), "7:7 `ssl` is no way to protect"),
            (format!("{mail}address = \"x@b.test\""), "7:11 `address` has `{name}` in it"),
            (format!("{mail}user = \"u\""), "7:8 a `user` needs `password_env`"),
            (format!("{mail}password_file = \"good\""), "7:17 a password needs a `user`"),
            (format!("{mail}ca_file = \"gone.pem\""), "7:11 "),
            (
                format!("{mail}tls = \"none\"\nuser = \"u\"\npassword_file = \"good\""),
                "8:8 a password would go over the network in the clear",
            ),
            (hook.to_owned(), "3:8 a channel of kind `webhook` needs `secret_env`"),
            (format!("{hook}secret_file = \"bad\""), "6:15 the secret does not begin with `whsec_`"),
            (
                format!("{hook}secret_env = \"GUICHET_NO_SUCH_VARIABLE\""),
                "6:14 the environment has no variable",
            ),
            (
                format!("{}secret_file = \"good\"", hook.replace("https:", "ftp:")),
                "5:7 `ftp://x/y` is not of the form https",
            ),
        ];
        for (text, expected) in cases {
            let found = faults(&text);
            assert!(found.iter().any(|fault| fault.starts_with(expected)), "{text}\n{found:?}");
            assert!(!found.iter().any(|fault| fault.contains("hunter2")), "a secret is shown: {found:?}");
        }
        assert_eq!(faults(&format!("{hook}secret_file = \"good\"")), Vec::<String>::new());
        assert_eq!(faults(mail), Vec::<String>::new());
        assert_eq!(faults(&format!("{chat}format = \"slack\"\nurl_file = \"chat\"")), Vec::<String>::new());
        let twice = faults("name = \"a\"\nkind = \"console\"\n[[notify]]\nname = \"a\"\nkind = \"console\"");
        assert!(twice[0].starts_with("6:8 there are two channels called `a`"), "{twice:?}");
    }
}
