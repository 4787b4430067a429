//! Where the settings come from: `config.toml`, environment variables, `--context`. Read once, at the start.
//!
//! Which gateway: `--context`, else `GUICHET_GATEWAY`, else `GUICHET_CONTEXT`, else the file's `current`.
//! `GUICHET_CONFIG_DIR` moves the files; `GUICHET_TOKEN` stands in for a session; `NO_COLOR` (no-color.org)
//! takes the colours away. Tokens are in a file of their own, see `credentials`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use guichet_client::{Client, Secret, Timeouts};
use guichet_contract::Surface;
use serde::{Deserialize, Serialize};

use crate::{cache, credentials::Credentials, exit::Exit, failure::Failure, files};

/// What `config.toml` holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The context in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<String>,
    /// By name.
    #[serde(default)]
    pub(crate) contexts: BTreeMap<String, ContextEntry>,
}

/// One gateway, named.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ContextEntry {
    /// Its address.
    pub(crate) gateway: String,
    /// Plain http:// is taken to any host, not to loopback only: the token travels in the clear.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) insecure: bool,
}

/// The gateway this command speaks to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Context {
    pub(crate) name: String,
    pub(crate) gateway: String,
    pub(crate) insecure: bool,
}

/// All of it.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) config: Config,
    pub(crate) config_dir: PathBuf,
    cache_root: PathBuf,
    chosen: Result<Option<Context>, String>,
    env_token: Option<Secret>,
    pub(crate) no_color: bool,
}

#[expect(clippy::disallowed_methods, reason = "this is the settings room")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A directory by the XDG rules: relative paths are to be ignored.
fn xdg(name: &str, below_home: &str) -> Option<PathBuf> {
    variable(name)
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| variable("HOME").map(|home| Path::new(&home).join(below_home)))
        .map(|root| root.join("guichet"))
}

impl Settings {
    /// From files and environment; `flag` is the value of `--context`.
    pub(crate) fn load(flag: Option<&str>) -> Result<Self, Failure> {
        let homeless = || {
            Failure::new(Exit::Usage, "No home", "neither HOME nor GUICHET_CONFIG_DIR is set")
                .next("set GUICHET_CONFIG_DIR to a directory of yours")
        };
        let config_dir = variable("GUICHET_CONFIG_DIR")
            .map(PathBuf::from)
            .or_else(|| xdg("XDG_CONFIG_HOME", ".config"))
            .ok_or_else(homeless)?;
        let cache_root = xdg("XDG_CACHE_HOME", ".cache").unwrap_or_else(|| config_dir.join("cache"));
        let config = read_config(&config_dir)?;
        let chosen = choose(&config, flag, variable("GUICHET_GATEWAY"), variable("GUICHET_CONTEXT"));
        Ok(Self {
            config,
            config_dir,
            cache_root,
            chosen,
            env_token: variable("GUICHET_TOKEN").map(Secret::new),
            no_color: variable("NO_COLOR").is_some(),
        })
    }

    /// The gateway to speak to.
    pub(crate) fn context(&self) -> Result<&Context, Failure> {
        match &self.chosen {
            Ok(Some(context)) => Ok(context),
            Ok(None) => Err(Failure::new(Exit::Usage, "No gateway", "no context is set up yet")
                .next("guichet login --gateway https://… --user NAME")),
            Err(name) => Err(Failure::new(
                Exit::Usage,
                "Unknown context",
                format!("there is no context `{name}`; there is {}", self.context_names()),
            )
            .next("guichet context list")),
        }
    }

    /// The gateway to speak to, when one is chosen and known.
    pub(crate) fn context_if_any(&self) -> Option<&Context> {
        self.chosen.as_ref().ok().and_then(Option::as_ref)
    }

    fn context_names(&self) -> String {
        let names: Vec<String> = self.config.contexts.keys().map(|name| format!("`{name}`")).collect();
        if names.is_empty() { "none yet".to_owned() } else { names.join(", ") }
    }

    /// Environment and gateway in a few words, from what is remembered.
    pub(crate) fn place(&self) -> Option<String> {
        let context = self.context_if_any()?;
        let environment = cache::load_state(self).map(|state| state.environment);
        Some(match environment {
            Some(environment) => format!("{environment} (context {}, {})", context.name, context.gateway),
            None => format!("context {}, {}", context.name, context.gateway),
        })
    }

    /// The token for this gateway: `GUICHET_TOKEN`, else the session that `guichet login` kept.
    pub(crate) fn token(&self, gateway: &str) -> Result<Option<Secret>, Failure> {
        if let Some(token) = &self.env_token {
            return Ok(Some(token.clone()));
        }
        Ok(Credentials::load(&self.config_dir)?.token(gateway).cloned())
    }

    /// Whether `GUICHET_TOKEN` overrides what `guichet login` keeps.
    pub(crate) fn has_env_token(&self) -> bool {
        self.env_token.is_some()
    }

    /// A client of the chosen gateway.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        let context = self.context()?;
        connect(context, self.token(&context.gateway)?)
    }

    /// Where what is remembered of this context is kept.
    pub(crate) fn cache_dir(&self, context: &str) -> PathBuf {
        self.cache_root.join(context)
    }

    /// Writes `config.toml`.
    pub(crate) fn save(&self, config: &Config) -> Result<(), Failure> {
        let path = self.config_dir.join("config.toml");
        let text = toml::to_string_pretty(config).map_err(|error| Failure::file(&path, error))?;
        files::write(&path, text.as_bytes())
    }
}

/// A client of this gateway.
pub(crate) fn connect(context: &Context, token: Option<Secret>) -> Result<Client, Failure> {
    let make = if context.insecure { Client::new_insecure } else { Client::new };
    Ok(make(&context.gateway, token, Surface::Cli, Timeouts::default())?)
}

fn read_config(directory: &Path) -> Result<Config, Failure> {
    let path = directory.join("config.toml");
    match files::read(&path)? {
        None => Ok(Config::default()),
        Some(text) => toml::from_str(&text).map_err(|error| {
            Failure::new(Exit::Usage, "Settings", format!("{}: {error}", path.display()))
                .next("correct the file, or remove it and sign in again")
        }),
    }
}

/// Which context is meant; the error is the name of one that does not exist.
fn choose(
    config: &Config,
    flag: Option<&str>,
    env_gateway: Option<String>,
    env_context: Option<String>,
) -> Result<Option<Context>, String> {
    let named = |name: &str| {
        let entry = config.contexts.get(name).ok_or_else(|| name.to_owned())?;
        Ok(Some(Context {
            name: name.to_owned(),
            gateway: trim(&entry.gateway).to_owned(),
            insecure: entry.insecure,
        }))
    };
    if let Some(name) = flag {
        return named(name);
    }
    if let Some(gateway) = env_gateway {
        return Ok(Some(of_gateway(config, &gateway)));
    }
    match env_context.or_else(|| config.current.clone()) {
        Some(name) => named(&name),
        None => Ok(None),
    }
}

/// The context of this gateway, or one that is named after its host.
pub(crate) fn of_gateway(config: &Config, gateway: &str) -> Context {
    let gateway = trim(gateway);
    for (name, entry) in &config.contexts {
        if trim(&entry.gateway) == gateway {
            return Context { name: name.clone(), gateway: gateway.to_owned(), insecure: entry.insecure };
        }
    }
    let host = gateway.split_once("://").map_or(gateway, |(_, rest)| rest);
    let name = host.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
    Context { name, gateway: gateway.to_owned(), insecure: false }
}

fn trim(gateway: &str) -> &str {
    gateway.trim().trim_end_matches('/')
}

/// A context's name is a directory's name too.
pub(crate) fn check_name(name: &str) -> Result<(), Failure> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !name.is_empty() && name.len() <= 64 && !name.starts_with(['.', '-']) && name.chars().all(plain) {
        return Ok(());
    }
    Err(Failure::usage(format!("`{name}` is no name for a context: take letters, digits, `-`, `_` and `.`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_decides_which_gateway() {
        let mut config = Config { current: Some("staging".to_owned()), ..Config::default() };
        for name in ["staging", "production"] {
            let entry = ContextEntry { gateway: format!("https://{name}.example/"), insecure: false };
            config.contexts.insert(name.to_owned(), entry);
        }
        let name = |flag, gateway: Option<&str>, context: Option<&str>| {
            choose(&config, flag, gateway.map(str::to_owned), context.map(str::to_owned))
                .map(|context| context.map(|context| context.name))
        };
        assert_eq!(name(None, None, None), Ok(Some("staging".to_owned())));
        assert_eq!(name(None, None, Some("production")), Ok(Some("production".to_owned())));
        assert_eq!(
            name(None, Some("https://production.example"), Some("staging")),
            Ok(Some("production".to_owned()))
        );
        assert_eq!(name(None, Some("http://127.0.0.1:8080"), None), Ok(Some("127.0.0.1-8080".to_owned())));
        assert_eq!(
            name(Some("staging"), Some("https://production.example"), None),
            Ok(Some("staging".to_owned()))
        );
        assert_eq!(name(Some("nowhere"), None, None), Err("nowhere".to_owned()));
    }

    #[test]
    fn a_name_cannot_leave_the_cache() {
        assert!(check_name("tooling-staging").is_ok());
        for name in ["", "..", "../x", "a/b", "-x", "é"] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
