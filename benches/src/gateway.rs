//! `guichetd` as it is run: its configuration, the policies and teams of the demo, a signed-in person.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use http::Method;
use serde_json::{Value, json};

use crate::{
    connection::Connection,
    server::{Server, free_port},
    setting::{Setting, root},
};

/// Who calls; `demo/registry` knows her.
pub(crate) const USER: &str = "dana";
/// Who approves: of the team `dba` there.
pub(crate) const APPROVER: &str = "omar";
pub(crate) const PASSWORD: &str = "correct horse battery";

/// The one action that the demo's policies name: a policy that names an action nobody offers is a fault, so here that
/// policy speaks of everything that destroys. There are as many to evaluate as in the demo.
const DEMO_ACTION: &str = "action == Action::\"postgres.cancel-query\"";

/// A folder that guichetd can be started in, again and again.
pub(crate) struct Site {
    folder: PathBuf,
    /// Where it will answer.
    pub(crate) url: String,
}

impl Site {
    /// Writes all files. The port is chosen now, so that providers can be told before the gateway starts.
    pub(crate) fn new(setting: &Setting, name: &str) -> Result<Self> {
        let folder = setting.folder(name)?;
        for part in ["policy", "registry"] {
            let (from, to) = (root().join("demo").join(part), folder.join(part));
            fs::create_dir_all(&to)?;
            for entry in fs::read_dir(&from).with_context(|| format!("cannot read {}", from.display()))? {
                let entry = entry?;
                let text = fs::read_to_string(entry.path())?;
                fs::write(
                    to.join(entry.file_name()),
                    text.replace(DEMO_ACTION, "action in Action::\"destroy\""),
                )?;
            }
        }
        Ok(Self { folder, url: format!("http://127.0.0.1:{}", free_port()?) })
    }

    /// Writes the configuration: these providers (name, address), limits out of the way, and the log as it comes.
    pub(crate) fn configure(&self, setting: &Setting, providers: &[(&str, &str)]) -> Result<()> {
        self.configure_with(setting, providers, "")
    }

    /// The same with further tables.
    pub(crate) fn configure_with(
        &self,
        setting: &Setting,
        providers: &[(&str, &str)],
        tables: &str,
    ) -> Result<()> {
        let listen = self.url.trim_start_matches("http://");
        let provider = |(name, url): &(&str, &str)| {
            format!("[[provider]]\nname = \"{name}\"\nurl = \"{url}\"\ncalls_at_once = 1024\n")
        };
        let providers = providers.iter().map(provider).collect::<Vec<_>>().concat();
        let text = format!(
            "environment = \"staging\"\nlisten = \"{listen}\"\n\
             [limits]\nrequests_per_second = 0\nopen_runs_per_principal = 100000\n\
             [telemetry]\nlog = \"info\"\n\
             [[user]]\nname = \"{USER}\"\npassword_hash = \"{hash}\"\n\
             [[user]]\nname = \"{APPROVER}\"\npassword_hash = \"{hash}\"\n{providers}{tables}",
            hash = hash(setting)?
        );
        fs::write(self.folder.join("guichet.toml"), text).context("cannot write guichet.toml")
    }

    /// Starts it; its log goes to a file.
    pub(crate) fn spawn(&self, setting: &Setting) -> Result<Server> {
        let log = File::options().create(true).append(true).open(self.folder.join("guichetd.log"))?;
        let mut command = Command::new(setting.binary("guichetd")?);
        command.arg("serve").arg("--config").arg(self.folder.join("guichet.toml"));
        command.stdout(log.try_clone()?).stderr(log);
        Server::spawn(command, self.url.clone())
    }

    /// Starts it, waits until it takes work, and signs in. Gives the token too.
    pub(crate) fn start(&self, setting: &Setting) -> Result<(Server, String)> {
        let began = Instant::now();
        let mut server = self.spawn(setting)?;
        server.watch()?;
        server.wait_for(setting, "/readyz", None, began).with_context(|| self.log())?;
        Ok((server, self.sign_in(setting, USER)?))
    }

    /// Signs somebody in; gives the token.
    pub(crate) fn sign_in(&self, setting: &Setting, user: &str) -> Result<String> {
        let body = json!({"user": user, "password": PASSWORD}).to_string();
        setting.runtime.block_on(async {
            let mut connection = Connection::open(&self.url).await?;
            let (status, body) = connection.call(Method::POST, "/v1/session", None, body.into()).await?;
            ensure!(status == 201, "{user} was not let in: {status} {}", String::from_utf8_lossy(&body));
            let answer: Value = serde_json::from_slice(&body)?;
            Ok(answer["token"].as_str().context("no token in the answer")?.to_owned())
        })
    }

    /// The end of its log, for whoever must learn why it failed.
    pub(crate) fn log(&self) -> String {
        let text = fs::read_to_string(self.folder.join("guichetd.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(5).collect();
        format!("guichetd said lastly:\n{}", lines.into_iter().rev().collect::<Vec<_>>().join("\n"))
    }

    /// Where its files are, the database among them.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

fn hash(setting: &Setting) -> Result<String> {
    let mut child = Command::new(setting.binary("guichetd")?)
        .args(["hash-password", "--password-stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start guichetd")?;
    child.stdin.take().context("no standard input")?.write_all(PASSWORD.as_bytes())?;
    let output = child.wait_with_output()?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(output.status.success() && text.starts_with("$argon2"), "guichetd hash-password gave `{text}`");
    Ok(text.trim().to_owned())
}
