//! How connections are made: to whom, how safely, with which limits.

use std::{net::IpAddr, path::PathBuf, pin::Pin, sync::Arc, time::Duration};

use deadpool_postgres::{Connect, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use rustls_platform_verifier::BuilderVerifierExt as _;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::task::JoinHandle;
use tokio_postgres::{
    Client, Config, Connection, Error, Socket,
    config::{Host, SslMode, TargetSessionAttrs},
    tls::MakeTlsConnect,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::fault::{self, Fault};
use crate::StoreError;

/// The name of our sessions in `pg_stat_activity`.
const APPLICATION: &str = "guichetd";
/// How long connecting to one host, or waiting for a free connection, may take.
pub(super) const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How long one address of a host may take to be there at all.
const FOUND_WITHIN: Duration = Duration::from_secs(3);
/// How long what is asked may stay without an answer: longer than the server lets a statement take. What stands between
/// may keep a connection that leads nowhere alive, so the system alone does not find it out.
pub(super) const ANSWERED_WITHIN: Duration = Duration::from_secs(35);
/// How long a connection may be silent before the other side is asked whether it is there.
const SILENT: Duration = Duration::from_secs(15);
/// Connections for reads and claims.
const READERS: usize = 8;

/// Where the database is and who we are there.
#[derive(Debug, Clone)]
pub struct PostgresSettings {
    /// `postgresql://user@host:port/database?sslmode=verify-full`; see [`check_url`].
    pub url: SecretString,
    /// The password, when it does not stand in the URL.
    pub password: Option<SecretString>,
    /// The authorities that sign the server's certificate (PEM); the system's when absent.
    pub ca_file: Option<PathBuf>,
}

/// Whether this URL names a database that can be the store: of the right form, and safe to speak to.
///
/// # Errors
/// What is wrong, and what to do; never the URL, in which somebody may have left a password.
pub fn check_url(url: &str) -> Result<(), String> {
    read_url(url).map(drop)
}

fn read_url(url: &str) -> Result<Config, String> {
    // Certificates and names are verified always, which is what these two ask for.
    let url = url.replace("sslmode=verify-full", "sslmode=require");
    let url = url.replace("sslmode=verify-ca", "sslmode=require");
    // The parser's own words quote parts of the URL, which may hold a password.
    let config: Config = url
        .parse()
        .map_err(|_| "`postgres` is not of the form postgresql://user@host:port/database".to_owned())?;
    let (hosts, ports) = (config.get_hosts().len(), config.get_ports().len());
    if hosts == 0 {
        return Err("`postgres` names no host".to_owned());
    }
    if !matches!(ports, 0 | 1) && ports != hosts {
        return Err("`postgres` names several hosts and not as many ports".to_owned());
    }
    // The default is `prefer`: in plain text as soon as somebody in between says that there is no TLS.
    if config.get_ssl_mode() != SslMode::Require && !is_on_this_machine(&config) {
        return Err("`postgres` leaves this machine, and would do so in plain text: write `?sslmode=verify-full` at its end, and \
                    give `ca_file` where the system does not know who signed the database's certificate; other modes are \
                    for loopback and sockets"
            .to_owned());
    }
    Ok(config)
}

/// Whether all of its hosts are loopback addresses or sockets.
fn is_on_this_machine(config: &Config) -> bool {
    let addresses = config.get_hostaddrs();
    config.get_hosts().iter().enumerate().all(|(place, host)| match (addresses.get(place), host) {
        (Some(address), _) => address.is_loopback(),
        (None, Host::Tcp(name)) => {
            name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        #[cfg(unix)]
        (None, Host::Unix(_)) => true,
    })
}

type Stream = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;

/// Makes connections.
#[derive(Clone)]
pub(super) struct Connector {
    /// One for each host, in the order of the URL; never empty.
    hosts: Vec<Config>,
    tls: MakeRustlsConnect,
}

impl Connector {
    /// Connects to nothing yet.
    pub(super) fn new(settings: &PostgresSettings) -> Result<Self, StoreError> {
        let wrong = |why: String| StoreError::Engine(format!("the settings of the store: {why}"));
        let mut config = read_url(settings.url.expose_secret()).map_err(wrong)?;
        if let Some(password) = &settings.password {
            config.password(password.expose_secret());
        }
        let tls = tls(settings, config.get_ssl_mode()).map_err(wrong)?;
        Ok(Self { hosts: hosts_of(&config), tls: MakeRustlsConnect::new(tls) })
    }

    /// One connection; whoever asked drives it.
    pub(super) async fn connect(&self) -> Result<(Client, Connection<Socket, Stream>), Fault> {
        match tokio::time::timeout(self.within(), self.connect_to_any()).await {
            Ok(Ok(connected)) => Ok(connected),
            Ok(Err(error)) => Err(Fault::Unreachable(fault::words(&error))),
            Err(_) => Err(Fault::Unreachable("it does not answer".to_owned())),
        }
    }

    /// How long all hosts together may take.
    pub(super) fn within(&self) -> Duration {
        CONNECT_WITHIN * u32::try_from(self.hosts.len()).unwrap_or(u32::MAX) + CONNECT_WITHIN
    }

    /// To the first host that takes writes. One that is there and says nothing does not keep us from the next; the last
    /// one is waited for.
    async fn connect_to_any(&self) -> Result<(Client, Connection<Socket, Stream>), Error> {
        let mut hosts = self.hosts.iter();
        let mut host = hosts.next();
        loop {
            let connecting = host.map_or_else(Config::new, Clone::clone);
            let Some(next) = hosts.next() else { return connecting.connect(self.tls.clone()).await };
            let told = match tokio::time::timeout(CONNECT_WITHIN, connecting.connect(self.tls.clone())).await
            {
                Ok(Ok(connected)) => return Ok(connected),
                Ok(Err(error)) => fault::words(&error),
                Err(_) => "it does not answer".to_owned(),
            };
            tracing::debug!(host = ?connecting.get_hosts(), told, "another host of the database is tried");
            host = Some(next);
        }
    }

    /// Connections for reads and claims, made when first needed.
    pub(super) fn pool(&self) -> Result<Pool, StoreError> {
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        Pool::builder(Manager::from_connect(Config::new(), self.clone(), recycling))
            .max_size(READERS)
            .wait_timeout(Some(CONNECT_WITHIN))
            .create_timeout(Some(self.within()))
            .recycle_timeout(Some(CONNECT_WITHIN))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| StoreError::Engine(error.to_string()))
    }
}

type Connecting<'a> = Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), Error>> + Send + 'a>>;

impl Connect for Connector {
    /// The pool's configuration is ours.
    fn connect(&self, _: &Config) -> Connecting<'_> {
        Box::pin(async move {
            let (client, connection) = self.connect_to_any().await?;
            let driving = tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::warn!(error = fault::words(&error), "a connection to PostgreSQL broke");
                }
            });
            Ok((client, driving))
        })
    }
}

/// The same, of each host alone.
fn hosts_of(all: &Config) -> Vec<Config> {
    let each = |(place, host): (usize, &Host)| {
        let mut config = Config::new();
        match host {
            Host::Tcp(name) => config.host(name),
            #[cfg(unix)]
            Host::Unix(folder) => config.host_path(folder),
        };
        if let Some(address) = all.get_hostaddrs().get(place) {
            config.hostaddr(*address);
        }
        if let Some(port) = all.get_ports().get(place).or(all.get_ports().first()) {
            config.port(*port);
        }
        if let Some(user) = all.get_user() {
            config.user(user);
        }
        if let Some(password) = all.get_password() {
            config.password(password);
        }
        if let Some(database) = all.get_dbname() {
            config.dbname(database);
        }
        config.ssl_mode(all.get_ssl_mode()).ssl_negotiation(all.get_ssl_negotiation());
        config.channel_binding(all.get_channel_binding());
        // Of several hosts, the one that takes writes. A commit that was answered survives a power cut. One that falls
        // silent in the midst of a transaction does not keep its locks for longer than others wait for them. Jobs are few
        // when a statement is planned, and their table is full of what was deleted when it is used: what has an index is found
        // by it. A plan that has none looks dear then, and compiling it would cost more than it.
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        config.options(
            "-c synchronous_commit=on -c statement_timeout=30s -c lock_timeout=10s \
             -c idle_in_transaction_session_timeout=5s -c default_transaction_isolation=read\\ committed \
             -c timezone=UTC -c search_path=public -c enable_seqscan=off -c jit=off",
        );
        config.application_name(APPLICATION).connect_timeout(FOUND_WITHIN);
        // A server whose machine vanished says nothing; the system would wait for it for a quarter of an hour.
        config.keepalives_idle(SILENT).keepalives_interval(SILENT / 3).keepalives_retries(3);
        config.tcp_user_timeout(SILENT * 2);
        config
    };
    all.get_hosts().iter().enumerate().map(each).collect()
}

fn tls(settings: &PostgresSettings, mode: SslMode) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    if mode == SslMode::Disable {
        // Never asked; with no authority it would believe nobody.
        return Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth());
    }
    let Some(file) = &settings.ca_file else {
        let builder = builder.with_platform_verifier();
        return Ok(builder
            .map_err(|error| format!("the system's authorities cannot be had: {error}; give `ca_file`"))?
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_the_machine_is_encrypted() {
        let safe = [
            "db.internal/guichet?sslmode=verify-full",
            "db.internal/guichet?sslmode=require",
            "a,b/guichet?sslmode=verify-full",
            "localhost/guichet",
            "127.0.0.1:5432/guichet?sslmode=disable",
            "127.0.0.1,[::1]/guichet",
            "%2Fvar%2Frun%2Fpostgresql/guichet",
            "db/guichet?hostaddr=127.0.0.1",
        ];
        for url in safe {
            let url = format!("postgresql://guichet@{url}");
            assert_eq!(check_url(&url), Ok(()), "{url}");
        }
        let plain = [
            "db.internal/guichet",
            "db.internal/guichet?sslmode=prefer",
            "db.internal/guichet?sslmode=disable",
            "10.0.0.7/guichet",
            "localhost,db.internal/guichet",
            "localhost/guichet?hostaddr=10.0.0.7",
            "localhost.example.org/guichet",
        ];
        for url in plain {
            let url = format!("postgresql://guichet:hunter2@{url}");
            let told = check_url(&url).unwrap_err();
            assert!(told.contains("?sslmode=verify-full") && !told.contains("hunter2"), "{url}: {told}");
        }
    }
}
