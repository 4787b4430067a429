//! The audit trail, for those whom policy lets read it.

use std::sync::Arc;

use guichet_admission::{Call, Refusal, door::GatewayVerb};
use guichet_contract::{Problem, RecordVerdict, Verb, code, record::LedgerRecord};
use guichet_ledger as ledger;
use guichet_store::{Page, PageRequest, RecordsFilter};

use crate::platform::{Platform, store_problem};

/// A page of records, newest first.
///
/// # Errors
/// Policy; a cursor that is not ours; the store.
pub async fn list_records(
    platform: &Arc<Platform>,
    call: &Call,
    filter: &RecordsFilter,
    page: &PageRequest,
) -> Result<Page<LedgerRecord>, Refusal> {
    admit(platform, call, Some(&format!("list {}", asked_for(filter)))).await?;
    platform.store.records(filter, page).await.map_err(|error| store_problem(&error).into())
}

/// Leaves from this index, exactly as they are hashed, at most `limit`.
///
/// # Errors
/// Policy; the store.
pub async fn export_leaves(
    platform: &Arc<Platform>,
    call: &Call,
    from: u64,
    limit: usize,
    begins: bool,
) -> Result<Vec<(u64, String)>, Refusal> {
    // An export is read in parts; its beginning is what is recorded.
    admit(platform, call, begins.then(|| format!("export from {from}")).as_deref()).await?;
    platform.store.leaves(from, limit).await.map_err(|error| store_problem(&error).into())
}

/// The latest signed checkpoint.
///
/// # Errors
/// Policy; the store.
pub async fn read_checkpoint(
    platform: &Arc<Platform>,
    call: &Call,
) -> Result<Option<(u64, String)>, Refusal> {
    admit(platform, call, Some("checkpoint")).await?;
    platform.store.latest_checkpoint().await.map_err(|error| store_problem(&error).into())
}

/// A tile of the Merkle log by its C2SP path (`0/x001/234`, `0/000.p/5`), as wide as the path says.
///
/// # Errors
/// A path that names no tile; policy; the store.
pub async fn read_tile(
    platform: &Arc<Platform>,
    call: &Call,
    path: &str,
) -> Result<Option<Vec<u8>>, Refusal> {
    let shown: String = path.chars().take(40).collect();
    admit(platform, call, Some(&format!("tile {shown}"))).await?;
    let wanted = ledger::parse_tile_path(&format!("tile/{path}")).map_err(|error| {
        Refusal::from(
            Problem::new(code::BAD_REQUEST, error.to_string()).next("see https://c2sp.org/tlog-tiles"),
        )
    })?;
    let tile = platform
        .store
        .tile(wanted.level, wanted.index)
        .await
        .map_err(|error| Refusal::from(store_problem(&error)))?;
    Ok(tile.and_then(|hashes| hashes.get(..usize::from(wanted.width) * 32).map(<[u8]>::to_vec)))
}

/// Which filters were used, and their values: an auditor of auditors wants to see what was looked for.
fn asked_for(filter: &RecordsFilter) -> String {
    let RecordsFilter { principal, action, resource, owner, run, trace, text, verb, verdict, since, until } =
        filter;
    let filters = [
        ("principal", principal.clone()),
        ("action", action.as_ref().map(ToString::to_string)),
        ("resource", resource.clone()),
        ("owner", owner.clone()),
        ("run", run.map(|run| run.to_string())),
        ("trace", trace.clone()),
        ("text", text.clone()),
        ("verb", verb.clone()),
        ("verdict", verdict.clone()),
        ("since", since.map(|at| at.to_string())),
        ("until", until.map(|at| at.to_string())),
    ];
    let used = filters.into_iter().filter_map(|(name, value)| value.map(|value| format!("{name}={value}")));
    used.collect::<Vec<_>>().join(" ").chars().take(500).collect()
}

async fn admit(platform: &Arc<Platform>, call: &Call, recorded_as: Option<&str>) -> Result<(), Refusal> {
    let caller = platform.door.identify(call).await?;
    let admitted = platform.door.admit_gateway(caller, GatewayVerb::ReadRecords).await?;
    if let Some(what) = recorded_as {
        let mut record =
            platform.door.record_of(admitted.caller(), Verb::ReadRecords, RecordVerdict::Allowed);
        record.detail = Some(what.trim_end().to_owned());
        platform.store.append_soon(record).await.map_err(|error| Refusal::from(store_problem(&error)))?;
    }
    Ok(())
}
