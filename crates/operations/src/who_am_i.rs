//! Who the gateway takes the caller for.

use std::sync::Arc;

use guichet_admission::{Call, Caller, Refusal, door::GatewayVerb};

use crate::platform::Platform;

/// The caller, with teams.
///
/// # Errors
/// Not signed in.
pub async fn who_am_i(platform: &Arc<Platform>, call: &Call) -> Result<Caller, Refusal> {
    let caller = platform.door.identify(call).await?;
    platform
        .door
        .admit_gateway(caller, GatewayVerb::LookAround)
        .await
        .map(|admitted| admitted.caller().clone())
}
