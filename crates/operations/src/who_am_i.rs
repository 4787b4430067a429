//! Who the gateway takes the caller for.

use std::sync::Arc;

use guichet_admission::{Call, Caller, Refusal, door::GatewayVerb};
use guichet_contract::Verb;

use crate::platform::Platform;

/// The caller, with teams.
///
/// # Errors
/// Not signed in.
pub async fn who_am_i(platform: &Arc<Platform>, call: &Call) -> Result<Caller, Refusal> {
    let caller = look_around(platform, call).await?;
    platform.note_shown(&caller, Verb::WhoAmI, |_| {}).await;
    Ok(caller)
}

/// Someone who is signed in. What they then look at, the caller of this function records.
pub(crate) async fn look_around(platform: &Platform, call: &Call) -> Result<Caller, Refusal> {
    let caller = platform.door.identify(call).await?;
    platform
        .door
        .admit_gateway(caller, GatewayVerb::LookAround)
        .await
        .map(|admitted| admitted.caller().clone())
}
