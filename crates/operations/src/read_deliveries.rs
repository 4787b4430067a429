//! What became of notices, for those who may see it.

use std::sync::Arc;

use guichet_admission::{Call, Caller, Refusal};
use guichet_contract::{Delivery, DeliveryId, Problem, RecordVerdict, Verb, code};
use guichet_store::{DeliveriesFilter, Page, PageRequest};

use crate::{
    look_after_deliveries::REMEMBERED,
    platform::{Platform, store_problem},
};

/// As much of what a caller sent is recorded, characters.
const SHOWN: usize = 64;

/// A page of deliveries, newest first, each with its latest try. None is older than [`REMEMBERED`].
///
/// # Errors
/// Not signed in; policy; a cursor that is not ours; the store.
pub async fn list_deliveries(
    platform: &Arc<Platform>,
    call: &Call,
    filter: &DeliveriesFilter,
    page: &PageRequest,
) -> Result<Page<Delivery>, Refusal> {
    let caller = platform.door.identify(call).await?;
    platform.door.admit_deliveries(&caller, Verb::ReadDeliveries, "list").await?;
    platform
        .note_shown(&caller, Verb::ReadDeliveries, |record| record.detail = Some("list".to_owned()))
        .await;
    let oldest = platform.clock.now().checked_sub(REMEMBERED).ok();
    let filter = DeliveriesFilter { since: filter.since.max(oldest), ..filter.clone() };
    let found = platform.store.deliveries(&filter, page).await;
    found.map_err(|error| Refusal::from(store_problem(&error)))
}

/// One delivery with all its tries.
///
/// # Errors
/// Not signed in; policy; unknown; the store.
pub async fn read_delivery(platform: &Arc<Platform>, call: &Call, id: &str) -> Result<Delivery, Refusal> {
    let caller = platform.door.identify(call).await?;
    platform.door.admit_deliveries(&caller, Verb::ReadDeliveries, &detail(id)).await?;
    let delivery = find(platform, &caller, id, Verb::ReadDeliveries).await?;
    platform.note_shown(&caller, Verb::ReadDeliveries, |record| record.detail = Some(detail(id))).await;
    Ok(delivery)
}

/// What a record says of it.
pub(crate) fn detail(id: &str) -> String {
    format!("delivery {}", id.chars().take(SHOWN).collect::<String>())
}

/// The delivery of this id.
pub(crate) async fn find(
    platform: &Platform,
    caller: &Caller,
    id: &str,
    verb: Verb,
) -> Result<Delivery, Refusal> {
    let found = match id.parse::<DeliveryId>() {
        Ok(id) => platform.store.delivery(id).await,
        Err(_) => Ok(None),
    };
    let problem = match found {
        Ok(Some(delivery)) => return Ok(delivery),
        Ok(None) => Problem::new(code::UNKNOWN_DELIVERY, format!("there is no {}", detail(id))).next(
            "`guichet deliveries list` shows their ids; what happened 30 days ago or earlier is forgotten",
        ),
        Err(error) => store_problem(&error),
    };
    let mut record = platform.door.record_of(caller, verb, RecordVerdict::Refused);
    record.detail = Some(detail(id));
    Err(platform.door.refuse(record, problem).await)
}
