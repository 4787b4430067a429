//! What a provider's process is told by its environment.

use std::net::SocketAddr;

use crate::{
    keys::{KeyError, Keys},
    registration::{Registration, RegistrationError, Token},
};

/// Where to listen and whom to believe.
pub struct Settings {
    /// Address to listen on; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// The gateway's keys.
    pub keys: Keys,
    /// How it registers itself; none when it stands in the gateway's configuration.
    pub registration: Option<Registration>,
}

impl Settings {
    /// From the environment:
    /// `GUICHET_LISTEN` (default `127.0.0.1:7100`);
    /// `GUICHET_GATEWAY`, a URL whose `/v1/keys` is asked, or `GUICHET_PUBLIC_KEYS`, a list of `k4.public.…`
    /// separated by commas, which wins; one of the two must be there;
    /// `GUICHET_ISSUER` (optional), the only issuer to believe: `guichet/production`;
    /// `GUICHET_TOKEN` or `GUICHET_TOKEN_FILE`, a service account's token, with which it registers itself at
    /// `GUICHET_GATEWAY`, to be called at `GUICHET_URL` (default `http://` and the address to listen on), believed for
    /// `GUICHET_LEASE_SECONDS` (default 30). `GUICHET_INSECURE=true` sends the token to a gateway beyond this machine in
    /// the clear.
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
        let registration = registration(&variable, listen)?;
        Ok(Self { listen, keys, registration })
    }
}

fn registration(
    variable: &impl Fn(&str) -> Option<String>,
    listen: SocketAddr,
) -> Result<Option<Registration>, SettingsError> {
    let token = match (variable("GUICHET_TOKEN"), variable("GUICHET_TOKEN_FILE")) {
        (Some(token), _) => Token::Given(token),
        (None, Some(file)) => Token::File(file.into()),
        (None, None) => return Ok(None),
    };
    let gateway = variable("GUICHET_GATEWAY").ok_or(SettingsError::NoGateway)?;
    let url = match variable("GUICHET_URL") {
        Some(url) => url,
        None if listen.ip().is_unspecified() || listen.port() == 0 => {
            return Err(SettingsError::NoUrl(listen));
        }
        None => format!("http://{listen}"),
    };
    let insecure = variable("GUICHET_INSECURE").is_some_and(|word| word == "true");
    let registration = Registration::with(&gateway, token, &url, insecure)?;
    let Some(text) = variable("GUICHET_LEASE_SECONDS") else { return Ok(Some(registration)) };
    let seconds = text.parse().map_err(|_| SettingsError::Lease(text))?;
    Ok(Some(registration.lease_seconds(seconds)?))
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
    /// A token, and nobody to show it to.
    #[error("there is a token to register with, and no gateway: set GUICHET_GATEWAY to its URL")]
    NoGateway,
    /// Nobody could be told where this provider is.
    #[error("the gateway cannot be told to call {0}: set GUICHET_URL to where it reaches this provider")]
    NoUrl(SocketAddr),
    /// No number.
    #[error("GUICHET_LEASE_SECONDS is `{0}`, which is no number of seconds: write for example 30")]
    Lease(String),
    /// It cannot register so.
    #[error(transparent)]
    Registration(#[from] RegistrationError),
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
        assert!(settings.registration.is_none());
        let gateway = ("GUICHET_GATEWAY", "http://127.0.0.1:7000/");
        let token = ("GUICHET_TOKEN", "t");
        assert!(read(&[gateway, token]).unwrap().registration.is_some());
        let file = ("GUICHET_TOKEN_FILE", "/run/token");
        assert!(read(&[gateway, file]).unwrap().registration.is_some());
        let everywhere = ("GUICHET_LISTEN", "0.0.0.0:7100");
        assert!(matches!(read(&[gateway, token, everywhere]), Err(SettingsError::NoUrl(_))));
        let lease = ("GUICHET_LEASE_SECONDS", "soon");
        assert!(matches!(read(&[gateway, token, lease]), Err(SettingsError::Lease(_))));
        let elsewhere = ("GUICHET_GATEWAY", "http://gateway.example");
        assert!(matches!(read(&[elsewhere, token]), Err(SettingsError::Registration(_))));
        assert!(matches!(
            read(&[("GUICHET_LISTEN", "7100"), ("GUICHET_GATEWAY", "http://x")]),
            Err(SettingsError::Listen(_))
        ));
    }
}
