//! `rds locks`: who holds or awaits which lock.

use guichet_provider_sdk::{ActionError, Context};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    instances::Instances,
    session::{one_line, tenths},
};

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct LocksOf {
    /// The instance or replica.
    identifier: String,
    /// Only locks that someone awaits.
    #[serde(default)]
    awaited: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Locks {
    /// Awaited locks first; at most 500.
    locks: Vec<Lock>,
}

/// One lock, held or awaited.
#[derive(Debug, Serialize, JsonSchema)]
struct Lock {
    identifier: String,
    pid: Option<i32>,
    user: Option<String>,
    application: Option<String>,
    database: Option<String>,
    /// `relation`, `transactionid`, `advisory` …
    kind: Option<String>,
    /// The table or index, where it is one of the database that Guichet is connected to; else its number.
    object: Option<String>,
    mode: Option<String>,
    /// Held, or still awaited.
    granted: bool,
    waiting_seconds: Option<f64>,
    query: String,
}

const LOCKS: &str = "
WITH awaited AS (
    SELECT DISTINCT unnest(pg_blocking_pids(pid)) AS pid FROM pg_locks WHERE NOT granted
)
SELECT l.pid, a.usename::text AS username, nullif(a.application_name, '') AS application,
       coalesce(d.datname, a.datname)::text AS database, l.locktype AS kind,
       CASE WHEN l.relation IS NOT NULL AND d.datname = current_database()
            THEN coalesce(l.relation::regclass::text, l.relation::text)
            ELSE coalesce(l.relation::text, l.transactionid::text, l.objid::text) END AS object,
       l.mode, l.granted,
       extract(epoch FROM clock_timestamp() - l.waitstart)::float8 AS waiting_seconds,
       coalesce(left(a.query, 2000), '') AS query
FROM pg_locks l
LEFT JOIN pg_stat_activity a ON a.pid = l.pid
LEFT JOIN pg_database d ON d.oid = l.database
WHERE l.pid IS DISTINCT FROM pg_backend_pid() AND l.locktype <> 'virtualxid'
  AND (NOT $1 OR NOT l.granted OR l.pid IN (SELECT pid FROM awaited))
ORDER BY l.granted, l.waitstart, l.pid, l.locktype, l.relation
LIMIT 500";

pub(crate) async fn list(instances: Instances, _: Context, of: LocksOf) -> Result<Locks, ActionError> {
    let endpoint = instances.find(&of.identifier)?;
    let rows = endpoint.ask(LOCKS, &[&of.awaited]).await?;
    let locks: Result<Vec<Lock>, ActionError> = rows
        .iter()
        .map(|row| {
            Ok(Lock {
                identifier: of.identifier.clone(),
                pid: row.try_get("pid")?,
                user: row.try_get("username")?,
                application: row.try_get("application")?,
                database: row.try_get("database")?,
                kind: row.try_get("kind")?,
                object: row.try_get("object")?,
                mode: row.try_get("mode")?,
                granted: row.try_get("granted")?,
                waiting_seconds: tenths(row.try_get("waiting_seconds")?),
                query: one_line(row.try_get("query")?, 300),
            })
        })
        .collect();
    Ok(Locks { locks: locks? })
}
