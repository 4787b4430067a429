//! A session ends at its owner's wish.

use std::sync::Arc;

use guichet_admission::{Call, Refusal, door::GatewayVerb};
use guichet_contract::{RecordVerdict, Verb};
use guichet_store::{Change, UnitOfWork};

use crate::platform::Platform;

/// Ends the session the call came with.
///
/// # Errors
/// Not signed in.
pub async fn sign_out(platform: &Arc<Platform>, call: &Call) -> Result<(), Refusal> {
    let caller = platform.door.identify(call).await?;
    let admitted = platform.door.admit_gateway(caller, GatewayVerb::SignOut).await?;
    let token = admitted.caller().identified.token;
    let mut record = platform.door.record_of(admitted.caller(), Verb::SignOut, RecordVerdict::Allowed);
    record.detail = Some(format!("session {token}"));
    let at = platform.clock.now();
    let work = UnitOfWork::new().with(Change::RevokeToken { token, at }).append_record(record.clone());
    platform.door.identity().forget(token);
    match platform.store.commit(work).await {
        Ok(()) => {
            platform.door.identity().forget(token);
            Ok(())
        }
        Err(error) => {
            record.verdict = RecordVerdict::Refused;
            Err(platform.store_refusal(record, error).await)
        }
    }
}
