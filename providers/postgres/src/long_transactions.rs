//! `rds long-transactions`: transactions that keep locks and old row versions for too long.

use guichet_provider_sdk::{ActionError, Context};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    instances::Instances,
    session::{one_line, tenths},
};

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct LongOf {
    /// The instance or replica.
    identifier: String,
    /// Seconds.
    #[schemars(range(min = 0, max = 31_536_000))]
    #[serde(default = "minute")]
    longer_than: u32,
}

fn minute() -> u32 {
    60
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct LongTransactions {
    /// The oldest first; at most 500.
    transactions: Vec<Open>,
}

/// One transaction.
#[derive(Debug, Serialize, JsonSchema)]
struct Open {
    identifier: String,
    pid: i32,
    user: Option<String>,
    application: Option<String>,
    database: Option<String>,
    state: Option<String>,
    transaction_seconds: Option<f64>,
    /// Seconds since its state last changed: how long it has been idle, or how long its query runs.
    state_seconds: Option<f64>,
    /// Transactions since its snapshot: vacuum cannot remove rows that were dead for less.
    holds_back_vacuum_by: Option<i32>,
    query: String,
}

const LONG: &str = "
SELECT pid, usename::text AS username, nullif(application_name, '') AS application, datname::text AS database, state,
       extract(epoch FROM clock_timestamp() - xact_start)::float8 AS transaction_seconds,
       extract(epoch FROM clock_timestamp() - state_change)::float8 AS state_seconds,
       age(backend_xmin) AS holds_back, coalesce(left(query, 2000), '') AS query
FROM pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
  AND xact_start < clock_timestamp() - make_interval(secs => $1)
ORDER BY xact_start
LIMIT 500";

pub(crate) async fn list(
    instances: Instances,
    _: Context,
    of: LongOf,
) -> Result<LongTransactions, ActionError> {
    let endpoint = instances.find(&of.identifier)?;
    let rows = endpoint.ask(LONG, &[&f64::from(of.longer_than)]).await?;
    let transactions: Result<Vec<Open>, ActionError> = rows
        .iter()
        .map(|row| {
            Ok(Open {
                identifier: of.identifier.clone(),
                pid: row.try_get("pid")?,
                user: row.try_get("username")?,
                application: row.try_get("application")?,
                database: row.try_get("database")?,
                state: row.try_get("state")?,
                transaction_seconds: tenths(row.try_get("transaction_seconds")?),
                state_seconds: tenths(row.try_get("state_seconds")?),
                holds_back_vacuum_by: row.try_get("holds_back")?,
                query: one_line(row.try_get("query")?, 300),
            })
        })
        .collect();
    Ok(LongTransactions { transactions: transactions? })
}
