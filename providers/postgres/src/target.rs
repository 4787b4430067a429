//! The one session a person points at: what it is now, and what of it must stay the same until it is stopped.

use guichet_provider_sdk::ActionError;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    connect::APPLICATION,
    endpoint::Endpoint,
    session::{how_long, one_line},
};

/// A session as it is now.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) pid: i32,
    pub(crate) backend_start: Timestamp,
    pub(crate) transaction_start: Option<Timestamp>,
    pub(crate) query_start: Option<Timestamp>,
    pub(crate) state: String,
    pub(crate) user: String,
    pub(crate) application: Option<String>,
    pub(crate) client: Option<String>,
    pub(crate) database: Option<String>,
    pub(crate) query: String,
    /// Seconds in this state.
    pub(crate) state_seconds: f64,
    kind: String,
    leader: Option<i32>,
    superuser: bool,
    ours: bool,
}

/// What is stopped, exactly: this backend, in this query, in this state. A pid alone is reused within minutes
/// on a busy server, and a pooled connection runs another query within milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bound {
    pub(crate) identifier: String,
    pub(crate) pid: i32,
    pub(crate) backend_start: Timestamp,
    pub(crate) query_start: Option<Timestamp>,
    pub(crate) state: String,
}

const TARGET: &str = "
SELECT a.pid, a.leader_pid, coalesce(a.backend_start, 'epoch') AS backend_start, a.xact_start, a.query_start, coalesce(a.state, '') AS state,
       coalesce(a.usename::text, '') AS username, nullif(a.application_name, '') AS application,
       coalesce(host(a.client_addr), 'local') AS client, a.datname::text AS database,
       coalesce(a.backend_type, '') AS kind, coalesce(left(a.query, 4000), '') AS query,
       coalesce(extract(epoch FROM clock_timestamp() - a.state_change), 0)::float8 AS state_seconds,
       coalesce(r.rolsuper, false) AS superuser,
       a.pid = pg_backend_pid() OR (a.usename = current_user AND a.application_name = $2) AS ours
FROM pg_stat_activity a LEFT JOIN pg_roles r ON r.oid = a.usesysid
WHERE a.pid = $1";

impl Target {
    /// The session with this pid, when there is one.
    pub(crate) async fn look(endpoint: &Endpoint, pid: i32) -> Result<Option<Self>, ActionError> {
        let rows = endpoint.ask(TARGET, &[&pid, &APPLICATION]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        Ok(Some(Self {
            pid: row.try_get("pid")?,
            backend_start: row.try_get("backend_start")?,
            transaction_start: row.try_get("xact_start")?,
            query_start: row.try_get("query_start")?,
            state: row.try_get("state")?,
            user: row.try_get("username")?,
            application: row.try_get("application")?,
            client: row.try_get("client")?,
            database: row.try_get("database")?,
            query: row.try_get("query")?,
            state_seconds: row.try_get("state_seconds")?,
            kind: row.try_get("kind")?,
            leader: row.try_get("leader_pid")?,
            superuser: row.try_get("superuser")?,
            ours: row.try_get("ours")?,
        }))
    }

    /// The same, or in clear words why no one may stop it.
    pub(crate) async fn find(endpoint: &Endpoint, pid: i32) -> Result<Self, ActionError> {
        let target = Self::look(endpoint, pid).await?.ok_or_else(|| {
            ActionError::not_found(format!("instance `{}` has no session {pid}", endpoint.identifier()))
                .next("list the sessions with `rds activity`; it may have ended by itself")
        })?;
        match target.refusal() {
            Some(refusal) => Err(refusal),
            None => Ok(target),
        }
    }

    fn refusal(&self) -> Option<ActionError> {
        let pid = self.pid;
        if self.ours {
            return Some(ActionError::refused(format!("session {pid} is Guichet's own")));
        }
        if let Some(leader) = self.leader.filter(|leader| *leader != pid) {
            let why = format!("process {pid} is a parallel worker of session {leader}");
            return Some(ActionError::refused(why).next(format!("name the session itself: --pid {leader}")));
        }
        if self.kind.is_empty() {
            let why = format!("what process {pid} is, is not visible to Guichet's role");
            return Some(ActionError::refused(why).next("grant Guichet's role pg_monitor"));
        }
        if self.kind != "client backend" {
            return Some(ActionError::refused(format!(
                "process {pid} is no session of a client ({}); PostgreSQL needs its own processes",
                self.kind
            )));
        }
        if self.superuser {
            let why = format!(
                "session {pid} belongs to superuser `{}`; a superuser's sessions are never touched from here",
                self.user
            );
            return Some(ActionError::refused(why).next("ask the people who run this instance"));
        }
        None
    }

    pub(crate) fn bound(&self, identifier: &str) -> Bound {
        Bound {
            identifier: identifier.to_owned(),
            pid: self.pid,
            backend_start: self.backend_start,
            query_start: self.query_start,
            state: self.state.clone(),
        }
    }

    /// What it does now, after «it».
    pub(crate) fn doing(&self) -> String {
        let since = how_long(self.state_seconds);
        match self.state.as_str() {
            "active" => format!("runs '{}' for {since}", one_line(&self.query, 120)),
            "" => "does what Guichet's role cannot see".to_owned(),
            state => format!("is {state} for {since}"),
        }
    }
}
