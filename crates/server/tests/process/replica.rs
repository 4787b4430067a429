//! Further gateways on the PostgreSQL of a first one, from copies of its folder.

use std::{
    fs::{self, File},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus},
};

use guichet_throwaway_postgres::Cluster;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    gateway::{Gateway, TO_STOP, guichetd, until, until_within},
    person::Address,
};

/// A gateway beside a first one.
pub(crate) struct Replica {
    process: Option<Child>,
    verb: &'static [&'static str],
    pub(crate) address: Address,
    environment: Vec<(&'static str, String)>,
    folder: TempDir,
}

impl Replica {
    /// One that serves and works, from a copy of the first one's configuration, policies, registry and keys.
    pub(crate) async fn of(first: &Gateway) -> Self {
        Self::doing(first, &["serve"]).await
    }

    /// The same, told to do something else.
    pub(crate) async fn doing(first: &Gateway, verb: &'static [&'static str]) -> Self {
        let mut replica = Self::prepared(first, verb);
        copy(["policy", "registry"].map(|name| first.path(name)), replica.folder.path());
        replica.start().await;
        replica
    }

    /// One whose policies and registry are the first one's own, as from a folder that is mounted by both.
    pub(crate) async fn sharing(first: &Gateway) -> Self {
        let mut replica = Self::prepared(first, &["serve"]);
        for name in ["policy", "registry"] {
            symlink(first.path(name), replica.folder.path().join(name)).unwrap();
        }
        replica.start().await;
        replica
    }

    /// One that has another line in its configuration.
    pub(crate) async fn with(first: &Gateway, line: &str, other: &str) -> Self {
        let mut replica = Self::prepared(first, &["serve"]);
        copy(["policy", "registry"].map(|name| first.path(name)), replica.folder.path());
        let file = replica.folder.path().join("guichet.toml");
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(line), "{text}");
        fs::write(&file, text.replace(line, other)).unwrap();
        replica.start().await;
        replica
    }

    /// One whose process has these variables in its environment.
    pub(crate) async fn in_environment(first: &Gateway, environment: Vec<(&'static str, String)>) -> Self {
        let mut replica = Self::prepared(first, &["serve"]);
        copy(["policy", "registry"].map(|name| first.path(name)), replica.folder.path());
        replica.environment = environment;
        replica.start().await;
        replica
    }

    fn prepared(first: &Gateway, verb: &'static [&'static str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy(["guichet.toml", "db.password"].map(|name| first.path(name)), folder.path());
        fs::create_dir(folder.path().join("data")).unwrap();
        copy([first.path("data/keys")], &folder.path().join("data"));
        Self { process: None, verb, address: Address::nowhere(), environment: Vec::new(), folder }
    }

    pub(crate) async fn start(&mut self) {
        let ready = self.folder.path().join("ready.json");
        // There is none at the first start.
        let _none = fs::remove_file(&ready);
        let log = File::options().create(true).append(true).open(self.folder.path().join("log")).unwrap();
        let mut command = serve(self.folder.path(), self.verb);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        self.process = Some(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
        let told: Value = until("the other gateway", || async {
            serde_json::from_str(&fs::read_to_string(&ready).ok()?).ok()
        })
        .await;
        self.address.moved_to(told["url"].as_str().unwrap());
    }

    /// Whether it answers people.
    pub(crate) fn serves(&self) -> bool {
        self.verb.first() == Some(&"serve")
    }

    /// SIGTERM, and its end.
    pub(crate) async fn stopped(&mut self) -> ExitStatus {
        let child = self.process.as_mut().expect("it runs");
        let asked = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
        assert!(asked.success());
        let ended = || std::future::ready(child.try_wait().unwrap());
        let status = until_within(TO_STOP, "the other gateway to end", ended).await;
        self.process = None;
        self.address.gone();
        status
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        let mut child = self.process.take().expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
        self.address.gone();
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        if let Some(mut child) = self.process.take() {
            // It may have ended by itself.
            let _ended = child.kill();
            let _ended = child.wait();
        }
    }
}

/// Copies files and folders with their modes.
pub(crate) fn copy(what: impl IntoIterator<Item = PathBuf>, to: &Path) {
    assert!(Command::new("cp").arg("-a").args(what.into_iter()).arg(to).status().unwrap().success());
}

/// `guichetd` with the configuration of this folder.
pub(crate) fn serve(folder: &Path, verb: &[&str]) -> Command {
    let mut command = guichetd();
    command.args(verb).arg("--config").arg(folder.join("guichet.toml"));
    command.arg("--ready-file").arg(folder.join("ready.json"));
    command
}

/// Makes a database for the gateway, and gives the table of the configuration that names it.
pub(crate) fn database(cluster: &Cluster, gateway: &Gateway) -> String {
    cluster.role("guichet", "").unwrap();
    cluster.sql("CREATE DATABASE guichet OWNER guichet").unwrap();
    gateway.write("db.password", &format!("{}\n", cluster.password()));
    let port = cluster.port();
    format!(
        "[store]\npostgres = \"postgresql://guichet@127.0.0.1:{port}/guichet?sslmode=disable\"\n\
         password_file = \"db.password\"\n"
    )
}

/// A gateway on a database of its own, with these tables in its configuration.
pub(crate) async fn on_postgres(cluster: &Cluster, tables: &str) -> Gateway {
    let mut gateway = Gateway::prepared("", "").await;
    let store = database(cluster, &gateway);
    gateway.with_tables(&format!("{store}{tables}"));
    gateway.start().await;
    gateway
}
