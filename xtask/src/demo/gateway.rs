//! `guichetd` in the demo: its files, its start, its stop.

use std::{
    fs::{self, File},
    net::Ipv4Addr,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::{
    database::Database,
    people::{People, Person},
};
use crate::{
    cargo::{binary, root},
    process::wait_until,
};

/// Keeps `guichetd` for as long as its own standard input is open, also when we die without a word: then the pipe
/// closes, and the server is asked to stop.
const KEEPER: &str = r#"exec 3<&0
"$@" 3<&- </dev/null & server=$!
(read -r _ <&3; kill "$server") & watcher=$!
exec 3<&-
wait "$server"; code=$?
kill "$watcher" 2>/dev/null
exit "$code""#;

/// The second database is the demo's alone, so its owner stands here and not in `demo/registry`.
const ARCHIVE: &str = "resources:\n  - pattern: \"postgres/shop-archive/**\"\n    owner: dba\n";

/// Writes what `guichetd` reads: configuration, policies, registry, the provider's settings.
pub(super) fn configure(
    folder: &Path,
    people: &People,
    database: &Database,
    extra: &[(&str, &str)],
) -> Result<()> {
    for part in ["policy", "registry"] {
        copy_folder(&root().join("demo").join(part), &folder.join(part))?;
    }
    fs::write(folder.join("registry/archive.yaml"), ARCHIVE)?;
    for (name, text) in extra {
        fs::write(folder.join("policy").join(name), text)?;
    }
    let instance = |(identifier, title, name): (&str, &str, &str)| {
        let url = database.url("guichet", name);
        format!(
            "[[instance]]\nidentifier = \"{identifier}\"\ntitle = \"{title}\"\nenvironment = \"staging\"\nurl = \"{url}\"\n"
        )
    };
    let shops = [("shop", "Shop", "shop"), ("shop-archive", "Shop, closed years", "shop_archive")];
    let instances = shops.map(instance).join("\n");
    fs::write(folder.join("postgres.toml"), instances)?;
    write_config(folder, people, 0)
}

fn write_config(folder: &Path, people: &People, port: u16) -> Result<()> {
    let user = |person: &Person| {
        format!("\n[[user]]\nname = \"{}\"\npassword_hash = \"{}\"\n", person.name, person.password_hash)
    };
    let users: String = people.0.iter().map(user).collect();
    let text = format!(
        "environment = \"staging\"\nlisten = \"{}:{port}\"\ndata = \"data\"\npolicy = \"policy\"\nregistry = \"registry\"\n\n\
         [[provider]]\nname = \"postgres\"\nembedded = \"postgres\"\nsettings = \"postgres.toml\"\n{users}",
        Ipv4Addr::LOCALHOST
    );
    fs::write(folder.join("guichet.toml"), text).context("cannot write guichet.toml")
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

/// A running `guichetd`. Dropping it stops it.
pub(super) struct Gateway {
    keeper: Child,
    stdin: Option<ChildStdin>,
    /// `http://127.0.0.1:PORT`.
    pub(super) url: String,
    folder: PathBuf,
}

impl Gateway {
    /// Starts it and waits until it answers.
    pub(super) fn start(folder: &Path) -> Result<Self> {
        let ready = folder.join("ready.json");
        let _ = fs::remove_file(&ready);
        let log = File::options().create(true).append(true).open(folder.join("guichetd.log"))?;
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "guichetd-keeper"])
            .arg(binary("guichetd")?)
            .arg("serve")
            .arg("--config")
            .arg(folder.join("guichet.toml"))
            .arg("--ready-file")
            .arg(&ready)
            .current_dir(folder)
            // A group of its own: Ctrl-C is ours to pass on, in order.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start guichetd")?;
        let stdin = keeper.stdin.take();
        let mut gateway = Self { keeper, stdin, url: String::new(), folder: folder.to_owned() };
        gateway.url = wait_until("guichetd's first answer", Duration::from_mins(1), || {
            gateway.check_alive()?;
            let Ok(text) = fs::read_to_string(&ready) else { return Ok(None) };
            let told: Value = serde_json::from_str(&text)?;
            Ok(told["url"].as_str().map(str::to_owned))
        })?;
        Ok(gateway)
    }

    /// An error, with the end of its log, when it has ended by itself.
    pub(super) fn check_alive(&mut self) -> Result<()> {
        if let Some(status) = self.keeper.try_wait()? {
            bail!("guichetd ended with {status}; its log:\n{}", self.log());
        }
        Ok(())
    }

    /// Starts it again where it was, so that everybody's session still finds it.
    pub(super) fn start_again(&mut self, people: &People) -> Result<()> {
        let port = self.url.rsplit(':').next().unwrap_or_default().parse().context("the gateway's port")?;
        write_config(&self.folder, people, port)?;
        *self = Self::start(&self.folder)?;
        Ok(())
    }

    /// Stops it as an operator would, and waits until it is gone.
    pub(super) fn stop(mut self) -> Result<()> {
        self.stop_now()
    }

    /// The same, for one that shall start again.
    pub(super) fn stop_now(&mut self) -> Result<()> {
        drop(self.stdin.take());
        let status = self.keeper.wait()?;
        if !status.success() {
            bail!("guichetd did not stop well ({status}); its log:\n{}", self.log());
        }
        Ok(())
    }

    /// The end of its log.
    fn log(&self) -> String {
        let text = fs::read_to_string(self.folder.join("guichetd.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.keeper.wait();
    }
}
