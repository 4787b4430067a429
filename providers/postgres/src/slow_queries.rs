//! `rds slow-queries`: which queries cost most, from `pg_stat_statements`.

use guichet_provider_sdk::{ActionError, Context};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{endpoint::Endpoint, instances::Instances, session::one_line};

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct SlowOf {
    /// The instance or replica.
    identifier: String,
    /// How many.
    #[schemars(range(min = 1, max = 100))]
    #[serde(default = "twenty")]
    limit: i64,
    /// What costs: the time of all calls together, or of one.
    #[serde(default)]
    by: By,
}

fn twenty() -> i64 {
    20
}

#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum By {
    #[default]
    Total,
    Mean,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Slow {
    queries: Vec<Statement>,
}

/// One kind of query, its constants replaced by `$1`.
#[derive(Debug, Serialize, JsonSchema)]
struct Statement {
    user: Option<String>,
    database: Option<String>,
    calls: i64,
    /// Seconds of all calls together.
    total_seconds: f64,
    /// Share of the time of all queries, percent.
    share_percent: f64,
    mean_ms: f64,
    max_ms: f64,
    rows: i64,
    query: String,
}

const LIBRARY: &str = "in postgresql.conf (or the parameter group): shared_preload_libraries = 'pg_stat_statements', \
                       and restart; then, as superuser, in this database: CREATE EXTENSION pg_stat_statements";

pub(crate) async fn list(instances: Instances, _: Context, of: SlowOf) -> Result<Slow, ActionError> {
    let endpoint = instances.find(&of.identifier)?;
    let view = view(endpoint).await?;
    let order = match of.by {
        By::Total => "s.total_exec_time",
        By::Mean => "s.mean_exec_time",
    };
    let sql = format!(
        "SELECT r.rolname::text AS username, d.datname::text AS database, s.calls, s.total_exec_time / 1000 AS total,
                coalesce(100 * s.total_exec_time / nullif(sum(s.total_exec_time) OVER (), 0), 0) AS share,
                s.mean_exec_time AS mean, s.max_exec_time AS max, s.rows, left(s.query, 2000) AS query
         FROM {view} s LEFT JOIN pg_roles r ON r.oid = s.userid LEFT JOIN pg_database d ON d.oid = s.dbid
         ORDER BY {order} DESC LIMIT $1"
    );
    let rows = endpoint.ask(&sql, &[&of.limit]).await.map_err(|error| {
        // The extension is there, but the server was started without the library.
        if error.problem().detail.contains("shared_preload_libraries") { missing(endpoint) } else { error }
    })?;
    let queries: Result<Vec<Statement>, ActionError> = rows
        .iter()
        .map(|row| {
            Ok(Statement {
                user: row.try_get("username")?,
                database: row.try_get("database")?,
                calls: row.try_get("calls")?,
                total_seconds: rounded(row.try_get("total")?),
                share_percent: rounded(row.try_get("share")?),
                mean_ms: rounded(row.try_get("mean")?),
                max_ms: rounded(row.try_get("max")?),
                rows: row.try_get("rows")?,
                query: one_line(row.try_get::<_, Option<&str>>("query")?.unwrap_or_default(), 300),
            })
        })
        .collect();
    Ok(Slow { queries: queries? })
}

/// The view with its schema: an extension can be created in any.
async fn view(endpoint: &Endpoint) -> Result<String, ActionError> {
    let sql = "SELECT quote_ident(n.nspname) || '.pg_stat_statements' AS name
               FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
               WHERE e.extname = 'pg_stat_statements'";
    let rows = endpoint.ask(sql, &[]).await?;
    let row = rows.first().ok_or_else(|| missing(endpoint))?;
    Ok(row.try_get("name")?)
}

fn missing(endpoint: &Endpoint) -> ActionError {
    let identifier = endpoint.identifier();
    ActionError::unavailable(format!(
        "instance `{identifier}` does not measure queries: pg_stat_statements is not set up"
    ))
    .next(LIBRARY)
}

fn rounded(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}
