//! A PostgreSQL as a company would have it, on this machine and this disk: every commit is synced. What it can do by itself is
//! measured with its own pgbench.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use anyhow::{Context as _, Result, ensure};
use guichet_throwaway_postgres::Cluster;

use crate::{
    figures::{Measured, of_durations},
    gateway::Site,
};

const DATABASE: &str = "guichet";
const ROLE: &str = "guichet";

/// One server, with a database for the gateway and one row after the other for pgbench.
pub(crate) struct Postgres {
    cluster: Cluster,
}

impl Postgres {
    pub(crate) fn start() -> Result<Self> {
        let cluster = Cluster::start()?;
        cluster.keep_what_is_committed("256MB")?;
        cluster.role(ROLE, "")?;
        cluster.sql(&format!("CREATE DATABASE {DATABASE} OWNER {ROLE}"))?;
        cluster.sql(
            "CREATE TABLE note (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, text text NOT NULL)",
        )?;
        Ok(Self { cluster })
    }

    /// The table of the gateway's configuration that names it.
    pub(crate) fn table(&self, site: &Site) -> Result<String> {
        fs::write(site.folder().join("db.password"), self.cluster.password())?;
        Ok(format!(
            "[store]\npostgres = \"postgresql://{ROLE}@127.0.0.1:{}/{DATABASE}?sslmode=disable\"\n\
             password_file = \"db.password\"\n",
            self.cluster.port()
        ))
    }

    /// One row of 500 bytes inserted and committed, durably, by so many clients at once: prepared statements, no think time.
    pub(crate) fn commits(&self, clients: usize, how_long: Duration) -> Result<Measured> {
        // pgbench counts in whole seconds.
        let how_long = Duration::from_secs(how_long.as_secs().max(1));
        let folder = tempfile::tempdir()?;
        // Where this runs as root, PostgreSQL's programs run as its own user.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777))?;
        let script = folder.path().join("insert.sql");
        fs::write(&script, "INSERT INTO note (text) VALUES (repeat('x', 500));\n")?;
        let mut pgbench = self.cluster.client("pgbench", "postgres")?;
        pgbench.current_dir(folder.path()).args([
            "--no-vacuum",
            "--protocol=prepared",
            "--log",
            "--log-prefix=each",
        ]);
        pgbench.arg(format!("--client={clients}")).arg(format!("--jobs={}", clients.min(2)));
        pgbench.arg(format!("--time={}", how_long.as_secs())).arg("--file").arg(&script);
        let output = pgbench.output().context("cannot start pgbench")?;
        ensure!(output.status.success(), "pgbench failed: {}", String::from_utf8_lossy(&output.stderr));
        let mut durations = Vec::new();
        for entry in fs::read_dir(folder.path())? {
            let path = entry?.path();
            if !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("each")) {
                continue;
            }
            // client, transaction, µs, …
            let each = fs::read_to_string(&path)?;
            durations.extend(each.lines().filter_map(|line| {
                line.split_whitespace()
                    .nth(2)
                    .and_then(|micros| micros.parse().ok())
                    .map(Duration::from_micros)
            }));
        }
        ensure!(!durations.is_empty(), "pgbench logged nothing");
        Ok(of_durations(durations, how_long))
    }
}
