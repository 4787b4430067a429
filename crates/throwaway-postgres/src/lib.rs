//! A PostgreSQL cluster of one's own, for tests and the demo: made in a temporary directory, on a port that the
//! system picks, on loopback only, and gone when its [`Cluster`] is dropped or its process dies.
//!
//! Not for data that anyone wants to keep: nothing is synced to disk.
//!
//! Begin reading at [`Cluster::start`].

mod binaries;

use std::{
    ffi::OsString,
    fs,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};
use guichet_throwaway_janitor::Janitor;

use crate::binaries::Binaries;

/// Every role of a cluster has this password; it listens on loopback and lives for minutes.
const PASSWORD: &str = "throwaway";

/// How often another port is tried when someone took the first.
const TRIES: u8 = 5;

/// A running server. Dropping it stops the server and removes its directory.
#[derive(Debug)]
pub struct Cluster {
    binaries: Binaries,
    dir: PathBuf,
    port: u16,
    janitor: Janitor,
}

impl Cluster {
    /// A new cluster with superuser `postgres`, database `postgres`, `pg_stat_statements` loaded and ready for
    /// streaming replicas. Takes a few seconds.
    pub fn start() -> Result<Self> {
        Self::start_in(&std::env::temp_dir())
    }

    /// The same, in a directory of its own inside of this one: on a small disk, perhaps. It needs about 100 MB.
    pub fn start_in(parent: &Path) -> Result<Self> {
        let (binaries, dir, janitor) = prepare(parent)?;
        let data = dir.join("data");
        let password_file = dir.join("password");
        fs::write(&password_file, PASSWORD).context("cannot write the superuser's password")?;
        binaries.own(&dir)?;
        let mut initdb = binaries.command("initdb");
        initdb.arg("--pgdata").arg(&data).arg("--pwfile").arg(&password_file).args([
            "--username=postgres",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ]);
        run(initdb)?;
        configure(
            &data,
            "shared_preload_libraries = 'pg_stat_statements'\nmax_connections = 60\nfsync = off\n\
             synchronous_commit = off\nfull_page_writes = off\nmax_prepared_transactions = 5\n\
             wal_level = replica\nmax_wal_senders = 8\nmax_replication_slots = 8\nshared_buffers = 16MB\n",
        )?;
        Self::run(binaries, dir, janitor)
    }

    /// A streaming replica of this cluster, ready to be asked. Stop it before its primary.
    pub fn replica(&self) -> Result<Self> {
        let (binaries, dir, janitor) = prepare(&std::env::temp_dir())?;
        binaries.own(&dir)?;
        let source = format!("{} application_name=replica", self.connection("postgres", "postgres"));
        let mut copy = binaries.command("pg_basebackup");
        copy.arg("--dbname").arg(source).arg("--pgdata").arg(dir.join("data")).args([
            "--write-recovery-conf",
            "--wal-method=stream",
            "--checkpoint=fast",
            "--no-sync",
            "--create-slot",
            "--slot",
            &slot_name(&dir),
        ]);
        run(copy)?;
        Self::run(binaries, dir, janitor)
    }

    fn run(binaries: Binaries, dir: PathBuf, janitor: Janitor) -> Result<Self> {
        let data = dir.join("data");
        let log = dir.join("log");
        let mut last = anyhow::anyhow!("no port was tried");
        for _ in 0..TRIES {
            let port = free_port()?;
            let mut start = binaries.command("pg_ctl");
            start.arg("--pgdata").arg(&data).arg("--log").arg(&log).args([
                "--wait",
                "--timeout=60",
                "--options",
            ]);
            start.arg(options(port)).arg("start");
            match run(start) {
                Ok(_) => return Ok(Self { binaries, dir, port, janitor }),
                Err(error) => last = error.context(fs::read_to_string(&log).unwrap_or_default()),
            }
        }
        Err(last.context("PostgreSQL does not start"))
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its directory: `data`, `log`.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A URL with password for the superuser and the database `postgres`.
    pub fn url_superuser(&self) -> String {
        self.url("postgres")
    }

    /// A URL with password for a role that [`Cluster::role`] made.
    pub fn url(&self, role: &str) -> String {
        format!("postgres://{role}:{PASSWORD}@127.0.0.1:{}/postgres?sslmode=disable", self.port)
    }

    /// The same URL without the password.
    pub fn url_without_password(&self, role: &str) -> String {
        format!("postgres://{role}@127.0.0.1:{}/postgres?sslmode=disable", self.port)
    }

    /// The password of every role.
    pub fn password(&self) -> &'static str {
        PASSWORD
    }

    /// Makes a role that can log in, with these further words of `CREATE ROLE`.
    pub fn role(&self, name: &str, options: &str) -> Result<()> {
        self.sql(&format!("CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}' {options}")).map(drop)
    }

    /// Runs SQL as superuser through `psql`; answers the rows, a line each, columns separated by `|`.
    pub fn sql(&self, sql: &str) -> Result<String> {
        self.sql_in("postgres", sql)
    }

    /// The same in another database.
    pub fn sql_in(&self, database: &str, sql: &str) -> Result<String> {
        let mut psql = self.binaries.command("psql");
        psql.arg("--dbname").arg(self.connection("postgres", database)).args([
            "--no-psqlrc",
            "--quiet",
            "--tuples-only",
            "--no-align",
            "--set=ON_ERROR_STOP=1",
            "--command",
            sql,
        ]);
        run(psql)
    }

    /// From now on a commit is synced to disk before it is answered, as where somebody wants to keep what is committed; with
    /// so large a cache (`256MB`). Restarts the server. For measuring.
    pub fn keep_what_is_committed(&self, shared_buffers: &str) -> Result<()> {
        for (name, value) in [
            ("fsync", "on"),
            ("synchronous_commit", "on"),
            ("full_page_writes", "on"),
            ("shared_buffers", shared_buffers),
            ("max_connections", "200"),
        ] {
            self.sql(&format!("ALTER SYSTEM SET {name} = '{value}'"))?;
        }
        self.stop()?;
        self.start_again()
    }

    /// A program of PostgreSQL's that talks to this server as its superuser: `pgbench`.
    pub fn client(&self, program: &str, database: &str) -> Result<Command> {
        let mut command = self.binaries.command(program);
        command.env("PGHOST", "127.0.0.1").env("PGPORT", self.port.to_string()).env("PGUSER", "postgres");
        command.env("PGPASSWORD", PASSWORD).env("PGDATABASE", database).env("PGSSLMODE", "disable");
        Ok(command)
    }

    /// Stops the server; its directory stays until the drop.
    pub fn stop(&self) -> Result<()> {
        let mut stop = self.binaries.command("pg_ctl");
        stop.arg("--pgdata").arg(self.dir.join("data")).args(["--mode=fast", "--wait", "stop"]);
        run(stop).map(drop)
    }

    /// Starts it again after [`Cluster::stop`], on the same port.
    pub fn start_again(&self) -> Result<()> {
        let mut restart = self.binaries.command("pg_ctl");
        restart.arg("--pgdata").arg(self.dir.join("data")).arg("--log").arg(self.dir.join("log"));
        restart.arg("--wait").arg("--options");
        restart.arg(options(self.port)).arg("start");
        run(restart).map(drop).with_context(|| fs::read_to_string(self.dir.join("log")).unwrap_or_default())
    }

    /// Ends the server at once, as a crash does, and starts it again on the same port.
    pub fn crash_and_start(&self) -> Result<()> {
        let mut restart = self.binaries.command("pg_ctl");
        restart.arg("--pgdata").arg(self.dir.join("data")).arg("--log").arg(self.dir.join("log"));
        restart.args(["--mode=immediate", "--wait", "restart"]);
        run(restart).map(drop)
    }

    /// Ends all its processes with SIGKILL; its directory stays until the drop.
    pub fn kill(&self) -> Result<()> {
        let file = self.dir.join("data/postmaster.pid");
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let postmaster = text.lines().next().unwrap_or_default();
        // It is stopped first, or it would see its children die and begin anew.
        let kill = r#"kill -STOP "$1"; pkill -KILL -P "$1"; kill -KILL "$1"
            tries=0; while kill -0 "$1" 2>/dev/null && [ $tries -lt 100 ]; do sleep 0.05; tries=$((tries + 1)); done"#;
        let mut shell = Command::new("sh");
        shell.args(["-c", kill, "kill", postmaster]);
        run(shell).map(drop)
    }

    /// Makes a replica a primary that takes writes.
    pub fn promote(&self) -> Result<()> {
        let mut promote = self.binaries.command("pg_ctl");
        promote.arg("--pgdata").arg(self.dir.join("data")).args(["--wait", "--timeout=60", "promote"]);
        run(promote).map(drop)
    }

    /// Whether it runs.
    pub fn is_up(&self) -> bool {
        let mut status = self.binaries.command("pg_ctl");
        status.arg("--pgdata").arg(self.dir.join("data")).arg("status");
        run(status).is_ok()
    }

    /// Stops and removes it now, and tells how that went. A drop does the same silently.
    pub fn remove(self) -> Result<()> {
        let Self { dir, janitor, .. } = self;
        drop(janitor);
        ensure!(!dir.exists(), "{} is still there", dir.display());
        Ok(())
    }

    fn connection(&self, role: &str, database: &str) -> String {
        format!(
            "host=127.0.0.1 port={} user={role} password={PASSWORD} dbname={database} sslmode=disable",
            self.port
        )
    }
}

fn prepare(parent: &Path) -> Result<(Binaries, PathBuf, Janitor)> {
    let binaries = Binaries::find()?;
    let dir = tempfile::Builder::new().prefix("throwaway-postgres-").tempdir_in(parent)?.keep();
    // Mode immediate is SIGQUIT to the postmaster, which ends every session at once.
    let mut stop: Vec<OsString> = binaries.pg_ctl_words().into_iter().map(OsString::from).collect();
    stop.extend(["--pgdata".into(), dir.join("data").into()]);
    stop.extend(["--mode=immediate", "--wait", "--silent", "stop"].map(OsString::from));
    let janitor = Janitor::hire(&dir, &stop)?;
    Ok((binaries, dir, janitor))
}

/// The directory's name, which is random, as the name of a replication slot.
fn slot_name(dir: &Path) -> String {
    let name = dir.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

fn configure(data: &Path, settings: &str) -> Result<()> {
    use std::io::Write as _;
    let path = data.join("postgresql.conf");
    let mut file = fs::OpenOptions::new().append(true).open(&path).context("cannot open postgresql.conf")?;
    file.write_all(settings.as_bytes()).context("cannot write postgresql.conf")
}

fn options(port: u16) -> String {
    format!("-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=''")
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn run(mut command: Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}
