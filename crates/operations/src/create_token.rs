//! A person makes a token for a program: named, scoped, expiring.

use std::sync::Arc;

use guichet_admission::{Call, Refusal, door, door::GatewayVerb};
use guichet_contract::{RecordVerdict, Verb};
use guichet_identity::{IssuedToken, session};
use guichet_store::{Change, Token, UnitOfWork};

use crate::{
    platform::{Platform, store_problem},
    who_am_i::look_around,
};

/// Makes a personal token. Its secret is told this once.
///
/// # Errors
/// Name, duration or scopes that are not right; a personal token that tries to make another.
pub async fn create_token(
    platform: &Arc<Platform>,
    call: &Call,
    name: &str,
    expires_in_seconds: i64,
    scopes: Vec<String>,
) -> Result<IssuedToken, Refusal> {
    let caller = platform.door.identify(call).await?;
    let admitted = platform.door.admit_gateway(caller, GatewayVerb::ManageOwnTokens).await?;
    let caller = admitted.caller();
    let mut record = platform.door.record_of(caller, Verb::CreateToken, RecordVerdict::Refused);
    let made = session::new_personal_token(
        &*platform.clock,
        &caller.principal.name,
        name,
        expires_in_seconds,
        scopes,
    );
    let issued = match made {
        Ok(issued) => issued,
        Err(error) => return Err(platform.door.refuse(record, door::sign_in_problem(&error)).await),
    };
    record.verdict = RecordVerdict::Allowed;
    record.detail = Some(format!(
        "token {} `{}` until {:.0}",
        issued.token.id, issued.token.name, issued.token.expires_at
    ));
    let work =
        UnitOfWork::new().with(Change::InsertToken(issued.token.clone())).append_record(record.clone());
    match platform.store.commit(work).await {
        Ok(()) => Ok(issued),
        Err(error) => {
            record.verdict = RecordVerdict::Refused;
            Err(platform.store_refusal(record, error).await)
        }
    }
}

/// One's own personal tokens that were not revoked.
///
/// # Errors
/// Not signed in; the store.
pub async fn list_tokens(platform: &Arc<Platform>, call: &Call) -> Result<Vec<Token>, Refusal> {
    let caller = look_around(platform, call).await?;
    platform.note_shown(&caller, Verb::ListTokens, |_| {}).await;
    platform.store.personal_tokens(&caller.principal.name).await.map_err(|error| store_problem(&error).into())
}
