//! Connections: few, short-lived in what they run, and told from others by their application's name.

use std::{path::Path, sync::Arc, time::Duration};

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use rustls_platform_verifier::BuilderVerifierExt as _;
use secrecy::ExposeSecret as _;
use tokio_postgres::{Config, NoTls, config::SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::settings::{Server, SettingsError};

/// The name of our own sessions in `pg_stat_activity`.
pub(crate) const APPLICATION: &str = "guichet";
/// How long connecting, or waiting for a free connection, may take.
pub(crate) const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// A pool to this server. Connects to nothing yet.
pub(crate) fn pool(server: &Server) -> Result<Pool, SettingsError> {
    let wrong = |why: String| SettingsError::wrong(&server.identifier, &why);
    let mut config = config(server)?;
    // A look must never become the long query it looks for, nor wait behind the locks it looks at.
    config.options("-c statement_timeout=10s -c lock_timeout=2s -c idle_in_transaction_session_timeout=30s");
    config.application_name(APPLICATION).connect_timeout(CONNECT_WITHIN);
    config.keepalives_idle(Duration::from_secs(30));
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = match config.get_ssl_mode() {
        SslMode::Disable => Manager::from_config(config, NoTls, recycling),
        mode => match tls(server.ca_file.as_deref()) {
            Ok(tls) => Manager::from_config(config, MakeRustlsConnect::new(tls), recycling),
            Err(why) if mode == SslMode::Prefer && server.ca_file.is_none() => {
                tracing::warn!(
                    instance = server.identifier,
                    why,
                    "no TLS: sslmode is `prefer`, and it cannot be had"
                );
                Manager::from_config(config, NoTls, recycling)
            }
            Err(why) => return Err(wrong(why)),
        },
    };
    Pool::builder(manager)
        .max_size(server.max_connections)
        .wait_timeout(Some(CONNECT_WITHIN))
        .create_timeout(Some(CONNECT_WITHIN))
        .recycle_timeout(Some(CONNECT_WITHIN))
        .runtime(Runtime::Tokio1)
        .build()
        .map_err(|error| wrong(error.to_string()))
}

fn config(server: &Server) -> Result<Config, SettingsError> {
    // Certificates and names are verified always, which is what these two ask for.
    let url = server.url.expose_secret().replace("sslmode=verify-full", "sslmode=require");
    let url = url.replace("sslmode=verify-ca", "sslmode=require");
    // The parser's own words quote parts of the URL, which may hold a password.
    let mut config: Config = url.parse().map_err(|_| {
        SettingsError::wrong(
            &server.identifier,
            "its url is not of the form postgres://user@host:port/database",
        )
    })?;
    if config.get_hosts().is_empty() {
        return Err(SettingsError::wrong(&server.identifier, "its url names no host"));
    }
    if let Some(password) = &server.password {
        config.password(password.expose_secret());
    }
    Ok(config)
}

fn tls(ca_file: Option<&Path>) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let Some(file) = ca_file else {
        let builder = builder.with_platform_verifier();
        return Ok(builder
            .map_err(|error| format!("the system's authorities cannot be had: {error}"))?
            .with_no_client_auth());
    };
    let unusable = |error: String| format!("the authorities in {} cannot be used: {error}", file.display());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| unusable(error.to_string()))? {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(unusable("it holds no certificate".to_owned()));
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
