//! `rds replication-lag`: how far copies are behind, seen from both ends.

use guichet_provider_sdk::{ActionError, Context};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    endpoint::Endpoint,
    instances::Instances,
    session::{OfInstance, how_long, tenths},
};

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Lag {
    copies: Vec<Copy>,
}

/// One copy, or one place kept for a copy.
#[derive(Debug, Serialize, JsonSchema)]
struct Copy {
    name: String,
    /// `replica` (asked itself), `standby` (as its source sees it), `slot` (WAL kept for it).
    seen_as: &'static str,
    state: Option<String>,
    /// Seconds behind; absent when that cannot be told.
    lag_seconds: Option<f64>,
    /// Bytes of WAL not yet replayed; for a slot, bytes kept.
    lag_bytes: Option<i64>,
    note: Option<String>,
}

/// What a server in recovery says of itself.
pub(crate) struct Own {
    pub(crate) seconds: Option<f64>,
    bytes: Option<i64>,
    state: String,
    pub(crate) note: Option<String>,
}

const OWN: &str = "
SELECT (SELECT status FROM pg_stat_wal_receiver) AS receiver,
       pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())::int8 AS bytes,
       extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8 AS seconds
WHERE pg_is_in_recovery()";

const STANDBYS: &str = "
SELECT coalesce(nullif(application_name, ''), host(client_addr), 'pid ' || pid) AS name, state, sync_state,
       extract(epoch FROM replay_lag)::float8 AS seconds,
       pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
                       replay_lsn)::int8 AS bytes
FROM pg_stat_replication ORDER BY 1 LIMIT 200";

const SLOTS: &str = "
SELECT slot_name::text AS name, slot_type, active,
       pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
                       restart_lsn)::int8 AS bytes
FROM pg_replication_slots ORDER BY 1 LIMIT 200";

pub(crate) async fn list(instances: Instances, _: Context, of: OfInstance) -> Result<Lag, ActionError> {
    let endpoint = instances.find(&of.identifier)?;
    let mut copies = Vec::new();
    let asked = std::iter::once(endpoint).filter(|endpoint| endpoint.server.replica_of.is_some());
    for replica in asked.chain(instances.replicas_of(&of.identifier)) {
        copies.push(replica_itself(replica).await);
    }
    for row in endpoint.ask(STANDBYS, &[]).await? {
        let sync: Option<String> = row.try_get("sync_state")?;
        copies.push(Copy {
            name: row.try_get("name")?,
            seen_as: "standby",
            state: row.try_get("state")?,
            lag_seconds: tenths(row.try_get("seconds")?),
            lag_bytes: row.try_get("bytes")?,
            note: sync.filter(|sync| sync != "async"),
        });
    }
    for row in endpoint.ask(SLOTS, &[]).await? {
        let active: bool = row.try_get("active")?;
        copies.push(Copy {
            name: row.try_get("name")?,
            seen_as: "slot",
            state: Some(if active { "active" } else { "inactive" }.to_owned()),
            lag_seconds: None,
            lag_bytes: row.try_get("bytes")?,
            note: (!active)
                .then(|| "nobody reads it, and the disk fills with what is kept for it".to_owned()),
        });
    }
    Ok(Lag { copies })
}

async fn replica_itself(replica: &Endpoint) -> Copy {
    let name = replica.identifier().to_owned();
    match own(replica).await {
        Ok(own) => Copy {
            name,
            seen_as: "replica",
            state: Some(own.state),
            lag_seconds: tenths(own.seconds),
            lag_bytes: own.bytes,
            note: own.note,
        },
        Err(error) => Copy {
            name,
            seen_as: "replica",
            state: Some("unreachable".to_owned()),
            lag_seconds: None,
            lag_bytes: None,
            note: Some(error.problem().detail.clone()),
        },
    }
}

/// What a server in recovery says of itself. It knows only what it has received: when it receives nothing,
/// «all replayed» says nothing about its source, and the lag is not told.
pub(crate) async fn own(endpoint: &Endpoint) -> Result<Own, ActionError> {
    let rows = endpoint.ask(OWN, &[]).await?;
    let Some(row) = rows.first() else {
        let note = "it is not in recovery: it takes writes of its own".to_owned();
        return Ok(Own { seconds: None, bytes: None, state: "primary".to_owned(), note: Some(note) });
    };
    let receiver: Option<String> = row.try_get("receiver")?;
    let bytes: Option<i64> = row.try_get("bytes")?;
    let last: Option<f64> = row.try_get("seconds")?;
    if receiver.as_deref() != Some("streaming") {
        let last = last.map(|seconds| format!("; the last change it replayed is {} old", how_long(seconds)));
        let note = format!("it receives nothing from its source{}", last.unwrap_or_default());
        let state = receiver.unwrap_or_else(|| "not receiving".to_owned());
        return Ok(Own { seconds: None, bytes, state, note: Some(note) });
    }
    // With everything replayed, the age of the last change is the source's idleness, not a lag.
    let seconds = if bytes == Some(0) { Some(0.0) } else { last };
    Ok(Own { seconds, bytes, state: "streaming".to_owned(), note: None })
}
