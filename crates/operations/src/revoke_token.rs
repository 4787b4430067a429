//! A token is taken back; the next call with it is refused.

use std::sync::Arc;

use guichet_admission::{Call, Refusal, door::GatewayVerb};
use guichet_contract::{Problem, RecordVerdict, TokenId, Verb, code};
use guichet_store::{Change, CommitError, UnitOfWork};

use crate::platform::{Platform, store_problem};

/// Revokes one of one's own tokens.
///
/// # Errors
/// No such token of the caller's; revoked already.
pub async fn revoke_token(platform: &Arc<Platform>, call: &Call, token: &str) -> Result<(), Refusal> {
    let caller = platform.door.identify(call).await?;
    let admitted = platform.door.admit_gateway(caller, GatewayVerb::ManageOwnTokens).await?;
    let caller = admitted.caller();
    let mut record = platform.door.record_of(caller, Verb::RevokeToken, RecordVerdict::Refused);
    record.detail = Some(format!("token {}", token.chars().take(64).collect::<String>()));
    let unknown = || {
        Problem::new(code::UNKNOWN_TOKEN, "you have no such token").next("`guichet tokens list` shows yours")
    };
    let found = match token.parse::<TokenId>() {
        Ok(id) => platform.store.token(id).await,
        Err(_) => Ok(None),
    };
    let found = match found {
        Ok(Some(found)) if found.principal == caller.principal.name => found,
        Ok(_) => return Err(platform.door.refuse(record, unknown()).await),
        Err(error) => return Err(platform.door.refuse(record, store_problem(&error)).await),
    };
    record.verdict = RecordVerdict::Allowed;
    let change = Change::RevokeToken { token: found.id, at: platform.clock.now() };
    let committed = platform.store.commit(UnitOfWork::new().with(change).append_record(record.clone())).await;
    platform.door.identity().forget(found.id);
    match committed {
        Ok(()) => Ok(()),
        Err(CommitError::Conflict { .. }) => {
            record.verdict = RecordVerdict::Refused;
            Err(platform.door.refuse(record, unknown()).await)
        }
        Err(error) => {
            record.verdict = RecordVerdict::Refused;
            Err(platform.store_refusal(record, error).await)
        }
    }
}
