//! `rds instances list`: which servers there are and how they are.

use futures_util::future::join_all;
use guichet_provider_sdk::{ActionError, Context, NoInput};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{endpoint::Endpoint, instances::Instances, replication_lag, session::tenths};

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct List {
    /// Primaries, each followed by its replicas.
    instances: Vec<Instance>,
}

/// One server.
#[derive(Debug, Serialize, JsonSchema)]
struct Instance {
    identifier: String,
    title: Option<String>,
    environment: Option<String>,
    /// `primary` or `replica`, as configured.
    role: &'static str,
    /// The primary it copies.
    replica_of: Option<String>,
    /// Whether it answers.
    up: bool,
    version: Option<String>,
    in_recovery: Option<bool>,
    /// Seconds a replica is behind; absent when that cannot be told.
    lag_seconds: Option<f64>,
    connections_used: Option<i64>,
    connections_max: Option<i32>,
    /// What deserves a look.
    note: Option<String>,
}

const STATE: &str = "
SELECT split_part(current_setting('server_version'), ' ', 1) AS version, pg_is_in_recovery() AS in_recovery,
       current_setting('max_connections')::int AS connections_max,
       (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections_used";

pub(crate) async fn list(instances: Instances, _: Context, _: NoInput) -> Result<List, ActionError> {
    // All at once: one that does not answer costs its five seconds only once.
    let instances = join_all(instances.all().iter().map(look)).await;
    Ok(List { instances })
}

async fn look(endpoint: &Endpoint) -> Instance {
    let server = &endpoint.server;
    let mut instance = Instance {
        identifier: server.identifier.clone(),
        title: server.title.clone(),
        environment: server.environment.clone(),
        role: if server.replica_of.is_some() { "replica" } else { "primary" },
        replica_of: server.replica_of.clone(),
        up: false,
        version: None,
        in_recovery: None,
        lag_seconds: None,
        connections_used: None,
        connections_max: None,
        note: None,
    };
    if let Err(error) = ask(endpoint, &mut instance).await {
        instance.note = Some(error.problem().detail.clone());
    }
    instance
}

async fn ask(endpoint: &Endpoint, instance: &mut Instance) -> Result<(), ActionError> {
    let rows = endpoint.ask(STATE, &[]).await?;
    let row = rows.first().ok_or_else(|| ActionError::failed("a SELECT without a row"))?;
    instance.up = true;
    let in_recovery: bool = row.try_get("in_recovery")?;
    instance.version = row.try_get("version")?;
    instance.in_recovery = Some(in_recovery);
    instance.connections_max = row.try_get("connections_max")?;
    instance.connections_used = row.try_get("connections_used")?;
    instance.note = match (instance.role, in_recovery) {
        ("primary", true) => {
            Some("configured as primary, but it is in recovery: was there a failover?".to_owned())
        }
        ("replica", false) => {
            Some("configured as replica, but it takes writes: was there a failover?".to_owned())
        }
        _ => None,
    };
    if in_recovery {
        let own = replication_lag::own(endpoint).await?;
        instance.lag_seconds = tenths(own.seconds);
        instance.note = instance.note.take().or(own.note);
    }
    Ok(())
}
