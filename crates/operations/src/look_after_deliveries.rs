//! Looks after the log of deliveries every few minutes: says which channels there are, gives up what waits for one that no gateway
//! has any more, and forgets what is old.

use std::{sync::Arc, time::Duration};

use guichet_store::{CommitError, FORGOTTEN_AT_ONCE, Lane, Room, StoreError};
use jiff::{SignedDuration, Timestamp};
use tokio::time;
use tokio_util::sync::CancellationToken;

use crate::{deliver_notice::deliver_notice, platform::Platform};

/// How long a delivery is remembered, from what happened on.
pub const REMEMBERED: SignedDuration = SignedDuration::from_hours(30 * 24);
/// So many deliveries are remembered, the newest, and those of the same moment as the last of them.
pub const REMEMBERED_MOST: u64 = 100_000;
/// A channel of a store that others use too is gone when no gateway had it for so long: those that are being changed one
/// after the other have not all the same, and one that is stopped for a night has it in the morning.
pub const GONE_AFTER: SignedDuration = SignedDuration::from_hours(24);

const EVERY: Duration = Duration::from_mins(10);
/// How long a look holds what it gives up.
const HELD_FOR: SignedDuration = SignedDuration::from_mins(2);

/// Looks at once and then every ten minutes, until `stop`.
pub async fn work(platform: Arc<Platform>, stop: CancellationToken) {
    loop {
        let looked = tokio::select! {
            () = stop.cancelled() => return,
            looked = look_after_deliveries(&platform) => looked,
        };
        if let Err(error) = looked {
            tracing::warn!(%error, "the log of deliveries could not be looked after; it is tried again");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = time::sleep(EVERY) => {}
        }
    }
}

/// One look.
///
/// # Errors
/// The store's; the next look does what is left.
pub async fn look_after_deliveries(platform: &Arc<Platform>) -> Result<(), StoreError> {
    let (store, now) = (&platform.store, platform.clock.now());
    let channels = platform.messages.messenger.channels();
    let names: Vec<String> = channels.iter().map(|channel| channel.name.clone()).collect();
    // While all gateways were down nobody could say what there is: the time without a channel ends with the last sign of any.
    let last_sign = store.channels_noted_at().await?;
    if !names.is_empty() {
        store.note_channels(&names, now).await?;
    }
    give_up_gone(platform, &names, now, last_sign).await?;
    let oldest = store.oldest_kept_delivery(REMEMBERED_MOST).await?;
    let before = oldest.max(now.checked_sub(REMEMBERED).ok()).unwrap_or(Timestamp::MIN);
    while store.forget_deliveries(before).await? >= FORGOTTEN_AT_ONCE {}
    Ok(())
}

/// What waits for a channel that nobody has: of a store that is ours alone, that we have not; of one that others use too, that
/// nobody had for [`GONE_AFTER`] while there were gateways to say so, and what was due by then.
async fn give_up_gone(
    platform: &Arc<Platform>,
    names: &[String],
    now: Timestamp,
    last_sign: Option<Timestamp>,
) -> Result<(), StoreError> {
    let store = &platform.store;
    let (seen_before, due) = if store.is_shared() {
        let Some(last_sign) = last_sign else { return Ok(()) };
        let since = last_sign.min(now).checked_sub(GONE_AFTER).unwrap_or(Timestamp::MIN);
        (since, since)
    } else {
        (Timestamp::MAX, Timestamp::MAX)
    };
    let lease = platform.clock.new_uuid().to_string();
    for name in store.gone_channels(names, seen_before).await? {
        let lane = Lane::Channel(name.clone());
        let mut given_up = 0_usize;
        // One after the other: what is held and not given up would be taken for a try.
        while let Some(job) =
            store.claim_jobs(&lane, &lease, due, now + HELD_FOR, &Room::any(1)).await?.into_iter().next()
        {
            match deliver_notice(platform, &job, &lease).await {
                Ok(()) => given_up += 1,
                // Somebody else took it up after all; what is left is for the next look, lest this one go round.
                Err(CommitError::Conflict { .. }) => break,
                Err(CommitError::Store(error)) => return Err(error),
            }
        }
        if given_up > 0 {
            tracing::warn!(
                channel = name,
                given_up,
                "no gateway has this channel any more; what waited for it is given up"
            );
        }
    }
    Ok(())
}
