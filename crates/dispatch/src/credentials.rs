//! What the gateway shows a service that has its own way of knowing who calls. Callers never see it, and it stands in no log,
//! record or error: values are marked sensitive, and nothing here prints them.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use guichet_operations::ProviderError;
use http::{HeaderName, HeaderValue, Request, header};

use crate::client_credentials::ClientCredentials;

/// How the gateway says to a service who it is, beside a certificate of its own (see [`crate::transport::http_client_with`]).
#[derive(Default)]
pub enum Credentials {
    /// Not at all.
    #[default]
    None,
    /// A header with a fixed value: `X-API-Key`, or `Authorization` with a name and password or a token.
    Header(HeaderName, HeaderValue),
    /// A token that is asked for: OAuth 2.0, client credentials.
    Client(Box<ClientCredentials>),
}

impl Credentials {
    /// A header of the service's own.
    ///
    /// # Errors
    /// A name or a value that no header can have; the value is not told.
    pub fn header(name: &str, secret: &str) -> Result<Self, String> {
        let name = HeaderName::try_from(name).map_err(|_| format!("`{name}` is no name of a header"))?;
        Ok(Self::Header(name, sensitive(secret)?))
    }

    /// `Authorization: Basic …`.
    ///
    /// # Errors
    /// A user name with a colon, which Basic cannot say.
    pub fn basic(user: &str, password: &str) -> Result<Self, String> {
        if user.contains(':') {
            return Err("a user name with a colon cannot be said in Basic (RFC 7617)".to_owned());
        }
        let told = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        Ok(Self::Header(header::AUTHORIZATION, sensitive(&told)?))
    }

    /// `Authorization: Bearer …`.
    ///
    /// # Errors
    /// A token that no header can carry; it is not told.
    pub fn bearer(token: &str) -> Result<Self, String> {
        Ok(Self::Header(header::AUTHORIZATION, sensitive(&format!("Bearer {token}"))?))
    }

    /// Whether they take `Authorization` for themselves.
    pub fn use_authorization(&self) -> bool {
        match self {
            Self::None => false,
            Self::Header(name, _) => name == header::AUTHORIZATION,
            Self::Client(_) => true,
        }
    }

    /// Writes them into a request, in place of whatever stands there.
    pub(crate) async fn write<B>(&self, request: &mut Request<B>) -> Result<(), ProviderError> {
        match self {
            Self::None => {}
            Self::Header(name, value) => {
                request.headers_mut().insert(name.clone(), value.clone());
            }
            Self::Client(client) => {
                let token = client.token().await?;
                request.headers_mut().insert(header::AUTHORIZATION, token);
            }
        }
        Ok(())
    }

    /// The service says that they are no longer good (401). `true`: others can be had, so that asking again makes sense.
    pub(crate) fn are_refused<B>(&self, request: &Request<B>) -> bool {
        match self {
            Self::Client(client) => {
                request.headers().get(header::AUTHORIZATION).is_some_and(|shown| client.forget(shown))
            }
            Self::None | Self::Header(..) => false,
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Header(name, _) => write!(f, "Header({name})"),
            Self::Client(client) => client.fmt(f),
        }
    }
}

pub(crate) fn sensitive(value: &str) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::from_str(value)
        .map_err(|_| "the secret has letters that no header can carry".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}
