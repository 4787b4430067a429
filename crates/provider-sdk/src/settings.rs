//! What a provider's process is told by its environment.

use std::net::SocketAddr;

use crate::keys::{KeyError, Keys};

/// Where to listen and whom to believe.
pub struct Settings {
    /// Address to listen on; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// The gateway's keys.
    pub keys: Keys,
}

impl Settings {
    /// From the environment:
    /// `GUICHET_LISTEN` (default `127.0.0.1:7100`);
    /// `GUICHET_GATEWAY`, a URL whose `/v1/keys` is asked, or `GUICHET_PUBLIC_KEYS`, a list of `k4.public.…`
    /// separated by commas, which wins; one of the two must be there;
    /// `GUICHET_ISSUER` (optional), the only issuer to believe: `guichet/production`.
    #[expect(clippy::disallowed_methods, reason = "this is the settings room of a provider")]
    pub fn from_env() -> Result<Self, SettingsError> {
        Self::read(|name| std::env::var(name).ok())
    }

    /// The same from any other place.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let variable =
            |name: &str| variable(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let listen = variable("GUICHET_LISTEN").unwrap_or_else(|| "127.0.0.1:7100".to_owned());
        let listen = listen.parse().map_err(|_| SettingsError::Listen(listen))?;
        let keys = match (variable("GUICHET_PUBLIC_KEYS"), variable("GUICHET_GATEWAY")) {
            (Some(list), _) => Keys::fixed(list.split(',').filter(|key| !key.trim().is_empty()))?,
            (None, Some(url)) => Keys::from_gateway(&url)?,
            (None, None) => return Err(SettingsError::NoKeys),
        };
        let keys = match variable("GUICHET_ISSUER") {
            Some(issuer) => keys.issued_by(issuer),
            None => keys,
        };
        Ok(Self { listen, keys })
    }
}

/// Settings that do not hold.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The address is none.
    #[error("GUICHET_LISTEN is `{0}`, which is no address: write for example 127.0.0.1:7100")]
    Listen(String),
    /// Nobody would be believed.
    #[error(
        "the provider does not know its gateway: set GUICHET_GATEWAY to its URL, or GUICHET_PUBLIC_KEYS to its keys"
    )]
    NoKeys,
    /// The keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeyError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_or_wrong_is_told() {
        let read = |pairs: &[(&str, &str)]| {
            let pairs: Vec<_> = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            Settings::read(move |name| pairs.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone()))
        };
        let settings = read(&[("GUICHET_GATEWAY", "http://127.0.0.1:7000/")]).unwrap();
        assert_eq!(settings.listen.to_string(), "127.0.0.1:7100");
        assert!(matches!(read(&[]), Err(SettingsError::NoKeys)));
        assert!(matches!(read(&[("GUICHET_PUBLIC_KEYS", "k4.public.x")]), Err(SettingsError::Keys(_))));
        assert!(matches!(read(&[("GUICHET_GATEWAY", "gateway")]), Err(SettingsError::Keys(_))));
        assert!(matches!(
            read(&[("GUICHET_LISTEN", "7100"), ("GUICHET_GATEWAY", "http://x")]),
            Err(SettingsError::Listen(_))
        ));
    }
}
