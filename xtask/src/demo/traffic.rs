//! The shop's applications at work, and what is wrong with them today.
//!
//! A repair script, `orders-fix`, has changed an order and forgotten to commit: its session sits idle in a transaction
//! and holds the row. Three sessions of the checkout team wait behind it, one behind the other. Meanwhile two long
//! queries run, one of the checkout team and one of the reporting team. Each session is a `psql` of its own.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::CommandExt as _,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context as _, Result};

use super::database::Database;
use crate::prerequisites;

const SHOP: &str = "shop";

/// One session of an application. Dropping it kills its `psql`.
pub(super) struct Session {
    psql: Child,
    stdin: ChildStdin,
    /// Never read again, and kept: a `psql` that cannot print dies. Its answers are few and fit into the pipe.
    _stdout: BufReader<ChildStdout>,
    /// Process id of its backend in the server.
    pub(super) pid: i32,
}

impl Session {
    /// Connects, and says its first statements. Does not wait for them to end.
    pub(super) fn start(
        database: &Database,
        on: &str,
        application: &str,
        role: &str,
        sql: &str,
    ) -> Result<Self> {
        let psql = prerequisites::program("psql").unwrap_or_else(|| "psql".into());
        let mut psql = Command::new(psql)
            .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--dbname"])
            .arg(database.url(role, on))
            .env("PGAPPNAME", application)
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start psql")?;
        let mut stdin = psql.stdin.take().context("psql has no standard input")?;
        let mut stdout = BufReader::new(psql.stdout.take().context("psql has no standard output")?);
        writeln!(stdin, "SELECT pg_backend_pid();").context("psql does not listen")?;
        let mut line = String::new();
        stdout.read_line(&mut line).context("psql does not answer")?;
        let pid =
            line.trim().parse().with_context(|| format!("psql of {application} is not connected: {line}"))?;
        let mut session = Self { psql, stdin, _stdout: stdout, pid };
        session.say(sql)?;
        Ok(session)
    }

    /// Says another statement.
    pub(super) fn say(&mut self, sql: &str) -> Result<()> {
        writeln!(self.stdin, "{sql}").context("the session is gone")
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.psql.kill();
        let _ = self.psql.wait();
    }
}

/// All sessions of the demo.
pub(super) struct Traffic {
    /// Idle in a transaction; all wait for it.
    pub(super) blocker: Session,
    /// Waiting, one behind the other.
    pub(super) waiting: Vec<Session>,
    /// A long query of the checkout team.
    pub(super) checkout_report: Session,
    /// A long query of the reporting team.
    pub(super) reporting: Session,
    /// Sessions a step of the script made.
    pub(super) others: Vec<Session>,
}

impl Traffic {
    /// Starts all, and returns when the problem is there.
    pub(super) fn start(database: &Database) -> Result<Self> {
        let app = |name: &str, sql: &str| Session::start(database, SHOP, name, "shop_app", sql);
        let blocker = app("orders-fix", "BEGIN; UPDATE orders SET status = 'paid' WHERE id = 4711;")?;
        database.wait_for("the forgotten transaction", &in_state(blocker.pid, "idle in transaction"))?;
        let mut waiting = Vec::new();
        for (name, sql) in [
            (
                "checkout-api",
                "BEGIN; UPDATE orders SET status = 'paid' WHERE id = 4712; UPDATE orders SET status = 'shipped' WHERE id = 4711; COMMIT;",
            ),
            ("checkout-worker", "UPDATE orders SET amount = amount - 5 WHERE id = 4712;"),
            ("checkout-api", "UPDATE orders SET status = 'delivered' WHERE id = 4711;"),
        ] {
            let session = app(name, sql)?;
            database.wait_for("a session that waits", &waits(session.pid))?;
            waiting.push(session);
        }
        // `pg_sleep` per row: long without making the machine hot.
        let slow = "FROM orders WHERE pg_sleep(0.05) IS NOT NULL GROUP BY 1 ORDER BY 1;";
        let checkout_report =
            app("checkout-report", &format!("SELECT status, count(*), sum(amount) {slow}"))?;
        let monthly =
            format!("SELECT date_trunc('month', ordered_at) AS month, sum(amount) AS turnover {slow}");
        let reporting = Session::start(database, SHOP, "reporting", "shop_reporting", &monthly)?;
        for session in [&checkout_report, &reporting] {
            database.wait_for("a long query", &in_state(session.pid, "active"))?;
        }
        Ok(Self { blocker, waiting, checkout_report, reporting, others: Vec::new() })
    }
}

/// A question: is this session in this state, and is it past the question for its own pid?
pub(super) fn in_state(pid: i32, state: &str) -> String {
    format!(
        "SELECT count(*) = 1 FROM pg_stat_activity WHERE pid = {pid} AND state = '{state}' AND query !~ 'pg_backend_pid'"
    )
}

/// A question: does this session wait for a lock?
pub(super) fn waits(pid: i32) -> String {
    format!("SELECT count(*) = 1 FROM pg_stat_activity WHERE pid = {pid} AND wait_event_type = 'Lock'")
}

/// A question: is there no such session any more?
pub(super) fn is_gone(pid: i32) -> String {
    format!("SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = {pid}")
}
