//! `rds activity`: what runs, and who waits for whom.

use std::collections::{BTreeMap, BTreeSet};

use guichet_provider_sdk::{ActionError, Context};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_postgres::Row;

use crate::{
    endpoint::Endpoint,
    instances::Instances,
    session::{one_line, tenths},
    tree,
};

/// Rows that are told; a server may have thousands of sessions.
const MOST_ROWS: usize = 1_000;
const QUERY_LENGTH: usize = 300;
/// What PostgreSQL writes in place of a query that the role may not see.
const HIDDEN: &str = "<insufficient privilege>";

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct ActivityOf {
    /// The instance or replica.
    identifier: String,
    /// Also idle sessions and PostgreSQL's own processes.
    #[serde(default)]
    all: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Activity {
    /// Sessions that wait for another.
    blocked: usize,
    /// Sessions, those who block first, each followed by those who wait for it.
    sessions: Vec<Session>,
    /// What to know about this list.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// One session.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Session {
    /// The instance it belongs to.
    pub(crate) identifier: String,
    /// Process id; 0 stands for prepared transactions, which no session holds.
    pub(crate) pid: i32,
    /// How deep in the tree of waiters, 0 for a root.
    pub(crate) depth: u32,
    pub(crate) user: Option<String>,
    pub(crate) application: Option<String>,
    pub(crate) database: Option<String>,
    pub(crate) client: Option<String>,
    /// Kind of process: `client backend`, `autovacuum worker` …
    pub(crate) kind: Option<String>,
    /// `active`, `idle in transaction` …
    pub(crate) state: Option<String>,
    /// What it waits for: `Lock: transactionid`.
    pub(crate) wait: Option<String>,
    /// Seconds since its transaction began.
    pub(crate) transaction_seconds: Option<f64>,
    /// Seconds since its query began, while it runs.
    pub(crate) query_seconds: Option<f64>,
    /// Sessions it waits for.
    pub(crate) blocked_by: Vec<i32>,
    /// How many sessions wait for it, directly or through others.
    pub(crate) blocks: usize,
    /// Its query, or its last one, on one line.
    pub(crate) query: String,
}

const SESSIONS: &str = "
SELECT a.pid, a.leader_pid, a.usename::text AS username, a.application_name AS application,
       a.datname::text AS database, host(a.client_addr) AS client, a.backend_type AS kind, a.state,
       a.wait_event_type || ': ' || a.wait_event AS wait,
       extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS transaction_seconds,
       CASE WHEN a.state = 'active'
            THEN extract(epoch FROM clock_timestamp() - a.query_start)::float8 END AS query_seconds,
       -- Asked only of those who wait: the function stops the lock manager for a moment.
       CASE WHEN a.wait_event_type = 'Lock' THEN pg_blocking_pids(a.pid) ELSE '{}' END AS blocked_by,
       coalesce(left(a.query, 2000), '') AS query
FROM pg_stat_activity a
WHERE a.pid <> pg_backend_pid()";

pub(crate) async fn list(instances: Instances, _: Context, of: ActivityOf) -> Result<Activity, ActionError> {
    let endpoint = instances.find(&of.identifier)?;
    let mut sessions = sessions(endpoint).await?;
    let blocked = sessions.iter().filter(|session| !session.blocked_by.is_empty()).count();
    sessions.retain(|session| {
        let works =
            session.kind.as_deref() == Some("client backend") && session.state.as_deref() != Some("idle");
        of.all || works || session.blocks > 0 || !session.blocked_by.is_empty()
    });
    let mut notes = Vec::new();
    if sessions.len() > MOST_ROWS {
        notes.push(format!("the first {MOST_ROWS} of {} sessions", sessions.len()));
        sessions.truncate(MOST_ROWS);
    }
    if sessions.iter().any(|session| session.query == HIDDEN) {
        notes.push("some queries are hidden: grant Guichet's role pg_monitor".to_owned());
    }
    let note = (!notes.is_empty()).then(|| notes.join("; "));
    Ok(Activity { blocked, sessions, note })
}

/// All sessions in the order of the drawing.
pub(crate) async fn sessions(endpoint: &Endpoint) -> Result<Vec<Session>, ActionError> {
    let rows = endpoint.ask(SESSIONS, &[]).await?;
    let mut found: BTreeMap<i32, Session> = BTreeMap::new();
    let mut workers: Vec<(i32, Vec<i32>)> = Vec::new();
    for row in &rows {
        let session = read(endpoint.identifier(), row)?;
        match row.try_get::<_, Option<i32>>("leader_pid")? {
            Some(leader) if leader != session.pid => workers.push((leader, session.blocked_by)),
            _ => drop(found.insert(session.pid, session)),
        }
    }
    // A parallel worker is part of its leader's query: what it waits for, the query waits for.
    for (leader, blocked_by) in workers {
        if let Some(session) = found.get_mut(&leader) {
            session.blocked_by.extend(blocked_by);
        }
    }
    for session in found.values_mut() {
        let pid = session.pid;
        let blockers: BTreeSet<i32> = session.blocked_by.iter().copied().filter(|by| *by != pid).collect();
        session.blocked_by = blockers.into_iter().collect();
    }
    if found.values().any(|session| session.blocked_by.contains(&0)) {
        let _ = found.insert(0, prepared_transactions(endpoint).await?);
    }
    Ok(in_order(found))
}

fn in_order(mut found: BTreeMap<i32, Session>) -> Vec<Session> {
    let mut oldest_first: Vec<&Session> = found.values().collect();
    let age = |session: &Session| session.query_seconds.or(session.transaction_seconds).unwrap_or(-1.0);
    oldest_first.sort_by(|a, b| age(b).total_cmp(&age(a)).then(a.pid.cmp(&b.pid)));
    let waits: Vec<(i32, Vec<i32>)> =
        oldest_first.iter().map(|session| (session.pid, session.blocked_by.clone())).collect();
    tree::draw(&waits)
        .into_iter()
        .filter_map(|placed| {
            let mut session = found.remove(&placed.pid)?;
            session.depth = placed.depth;
            session.blocks = placed.blocks;
            Some(session)
        })
        .collect()
}

fn read(identifier: &str, row: &Row) -> Result<Session, ActionError> {
    Ok(Session {
        identifier: identifier.to_owned(),
        pid: row.try_get("pid")?,
        depth: 0,
        user: row.try_get("username")?,
        application: row.try_get::<_, Option<String>>("application")?.filter(|name| !name.is_empty()),
        database: row.try_get("database")?,
        client: row.try_get("client")?,
        kind: row.try_get("kind")?,
        state: row.try_get("state")?,
        wait: row.try_get("wait")?,
        transaction_seconds: tenths(row.try_get("transaction_seconds")?),
        query_seconds: tenths(row.try_get("query_seconds")?),
        blocked_by: row.try_get("blocked_by")?,
        blocks: 0,
        query: one_line(row.try_get("query")?, QUERY_LENGTH),
    })
}

/// Locks of transactions that were prepared for two-phase commit: PostgreSQL reports their holder as pid 0.
async fn prepared_transactions(endpoint: &Endpoint) -> Result<Session, ActionError> {
    let sql = "SELECT coalesce(string_agg(gid, ', ' ORDER BY prepared), '') AS names,
                      extract(epoch FROM clock_timestamp() - min(prepared))::float8 AS seconds
               FROM pg_prepared_xacts";
    let rows = endpoint.ask(sql, &[]).await?;
    let row = rows.first().ok_or_else(|| ActionError::failed("an aggregate without a row"))?;
    let names: &str = row.try_get("names")?;
    Ok(Session {
        identifier: endpoint.identifier().to_owned(),
        pid: 0,
        depth: 0,
        user: None,
        application: None,
        database: None,
        client: None,
        kind: Some("prepared transaction".to_owned()),
        state: Some("prepared".to_owned()),
        wait: None,
        transaction_seconds: tenths(row.try_get("seconds")?),
        query_seconds: None,
        blocked_by: Vec::new(),
        blocks: 0,
        query: one_line(&format!("COMMIT PREPARED or ROLLBACK PREPARED ends it: {names}"), QUERY_LENGTH),
    })
}
