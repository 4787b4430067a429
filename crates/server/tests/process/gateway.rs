//! `guichetd` as a process, in a folder of its own, with its providers. What it logs is read at the end: no secret may
//! be in it.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output},
    sync::OnceLock,
    time::{Duration, Instant},
};

use guichet_testkit::{
    bench,
    patience::{PATIENCE, output_within},
};
pub(crate) use guichet_testkit::{
    bench::TO_STOP,
    patience::{until, until_within},
};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    person::{Address, Person},
    providers::Providers,
    rules::{PASSWORD, PEOPLE, POLICY, REGISTRY},
};

/// Stands in every sensitive input of these tests.
pub(crate) const SECRET: &str = "s3cret-of-the-vault";

pub(crate) fn guichetd() -> Command {
    Command::new(env!("CARGO_BIN_EXE_guichetd"))
}

/// Runs a command of it to its end.
pub(crate) fn output_of(command: &mut Command) -> Output {
    let what = format!("the end of {:?}", command.get_args().collect::<Vec<_>>());
    output_within(PATIENCE, &what, command).unwrap()
}

/// One hash for everyone: making one takes a while.
pub(crate) fn password_hash() -> &'static str {
    static HASH: OnceLock<String> = OnceLock::new();
    HASH.get_or_init(|| guichet_identity::password::hash_password(PASSWORD).unwrap())
}

pub(crate) fn users(names: &[&str]) -> String {
    let user =
        |name: &&str| format!("[[user]]\nname = \"{name}\"\npassword_hash = \"{}\"\n", password_hash());
    names.iter().map(user).collect()
}

/// A gateway: running, killed, or not started yet.
pub(crate) struct Gateway {
    process: Option<Child>,
    address: Address,
    top: String,
    tables: String,
    telemetry: String,
    pub(crate) providers: Providers,
    folder: TempDir,
}

impl Gateway {
    /// Its folder, not started. `top` are lines before the first table of the configuration, `tables` are tables.
    pub(crate) async fn prepared(top: &str, tables: &str) -> Self {
        bench::install_tls();
        let gateway = Self {
            process: None,
            address: Address::nowhere(),
            top: top.to_owned(),
            tables: tables.to_owned(),
            telemetry: String::new(),
            providers: Providers::serve().await,
            folder: tempfile::tempdir().unwrap(),
        };
        gateway.configure(&PEOPLE);
        fs::create_dir(gateway.path("policy")).unwrap();
        fs::create_dir(gateway.path("registry")).unwrap();
        gateway.write("policy/rules.cedar", POLICY);
        gateway.write("registry/registry.yaml", REGISTRY);
        gateway
    }

    pub(crate) async fn started(top: &str, tables: &str) -> Self {
        let mut gateway = Self::prepared(top, tables).await;
        gateway.start().await;
        gateway
    }

    /// From the next start on its records go to this collector.
    pub(crate) fn log_records_to(&mut self, url: &str) {
        self.telemetry = format!("otlp_records = \"{url}\"\n");
        self.configure(&PEOPLE);
    }

    /// From the next start on it has these tables in its configuration.
    pub(crate) fn with_tables(&mut self, tables: &str) {
        tables.clone_into(&mut self.tables);
        self.configure(&PEOPLE);
    }

    /// Writes the configuration with these people.
    pub(crate) fn configure(&self, people: &[&str]) {
        // Debug, not info: what an operator switches on to find a fault must be as clean.
        let mut text = format!(
            "environment = \"staging\"\nlisten = \"127.0.0.1:0\"\n{}\n[telemetry]\nlog = \"debug\"\n{}{}\n{}",
            self.top,
            self.telemetry,
            self.tables,
            users(people)
        );
        text.extend(
            self.providers.served.iter().map(|(name, url)| {
                format!("[[provider]]\nname = \"{name}\"\nurl = \"{url}\"\nstrict = true\n")
            }),
        );
        self.write("guichet.toml", &text);
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Whole or not at all, as an editor or a deployment does it.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let unfinished = self.path("unfinished");
        fs::write(&unfinished, text).unwrap();
        fs::rename(unfinished, self.path(name)).unwrap();
    }

    /// Starts the process and does not wait.
    pub(crate) fn spawn(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        // There is none at the first start.
        let _none = fs::remove_file(self.path("ready.json"));
        let log = |name: &str| File::options().create(true).append(true).open(self.path(name)).unwrap();
        let child = guichetd()
            .args(["serve", "--config"])
            .arg(self.path("guichet.toml"))
            .arg("--ready-file")
            .arg(self.path("ready.json"))
            .stdout(log("log"))
            .stderr(log("stderr"))
            .spawn()
            .unwrap();
        self.process = Some(child);
    }

    /// Starts it and waits until it answers and its providers know its keys.
    pub(crate) async fn start(&mut self) {
        self.spawn();
        let began = Instant::now();
        let url = loop {
            if let Some(status) = self.process.as_mut().unwrap().try_wait().unwrap() {
                self.process = None;
                panic!("guichetd ended with {status}: {}\n{}", self.stderr(), self.log());
            }
            if let Ok(text) = fs::read_to_string(self.path("ready.json")) {
                let told: Value = serde_json::from_str(&text).unwrap();
                break told["url"].as_str().unwrap().to_owned();
            }
            assert!(began.elapsed() < PATIENCE, "guichetd does not answer: {}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        self.address.moved_to(&url);
        let keys = self.nobody().get("/v1/keys").await.body;
        let keys = keys["keys"].as_array().unwrap().iter().map(|key| key["public"].as_str().unwrap());
        self.providers.keys.replace(keys).unwrap();
    }

    /// A start that must not succeed: status, and what it says on standard error.
    pub(crate) fn refused(&self) -> (Option<i32>, String) {
        let output = self.output(&["serve", "--config"]);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }

    /// Runs it to its end with the configuration file as last argument.
    pub(crate) fn output(&self, arguments: &[&str]) -> Output {
        output_of(guichetd().args(arguments).arg(self.path("guichet.toml")))
    }

    /// Runs it to its end with the configuration file first: `provider add` and its kind.
    pub(crate) fn output_with(&self, command: &[&str], arguments: &[&str]) -> Output {
        output_of(guichetd().args(command).arg("--config").arg(self.path("guichet.toml")).args(arguments))
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.process.as_ref().unwrap().id()
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        let mut child = self.process.take().expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
        self.address.gone();
    }

    /// Kills it and starts it again on the same folder.
    pub(crate) async fn kill_and_start(&mut self) {
        self.kill();
        self.start().await;
    }

    /// SIGTERM.
    pub(crate) fn ask_to_stop(&self) {
        let asked = Command::new("kill").args(["-TERM", &self.process_id().to_string()]).status().unwrap();
        assert!(asked.success());
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let child = self.process.as_mut().expect("it runs");
        let ended = || std::future::ready(child.try_wait().unwrap());
        let status = until_within(TO_STOP, "guichetd to end", ended).await;
        self.process = None;
        self.address.gone();
        status
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) fn nobody(&self) -> Person {
        Person::nobody(&self.address)
    }

    pub(crate) async fn sign_in(&self, name: &str) -> Person {
        self.nobody().sign_in(name, PASSWORD).await
    }

    /// Standard output of all its lives: JSON, a line each.
    pub(crate) fn log(&self) -> String {
        read(&self.path("log"))
    }

    pub(crate) fn stderr(&self) -> String {
        read(&self.path("stderr"))
    }

    /// Waits for a line of the log that has all these words.
    pub(crate) async fn logged(&self, words: &[&str]) -> Value {
        until(&format!("{words:?} in the log"), || async {
            let log = self.log();
            let line = log.lines().find(|line| words.iter().all(|word| line.contains(word)))?;
            serde_json::from_str(line).ok()
        })
        .await
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// What no log may hold.
const NEVER_LOGGED: [&str; 7] = [PASSWORD, SECRET, "gcs_", "gcp_", "v4.public.", "k4.secret.", "whsec_"];

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(mut child) = self.process.take() {
            // It may have ended by itself.
            let _ended = child.kill();
            let _ended = child.wait();
        }
        if std::thread::panicking() {
            return;
        }
        for text in [self.log(), self.stderr()] {
            for secret in NEVER_LOGGED {
                let found = text.lines().find(|line| line.contains(secret));
                assert!(found.is_none(), "{secret} is in the log: {found:?}");
            }
            assert!(!text.contains("panicked"), "{text}");
        }
        for line in self.log().lines() {
            let told: Result<Value, _> = serde_json::from_str(line);
            assert!(told.is_ok(), "the log is a JSON object a line; this is none: {line}");
        }
    }
}
