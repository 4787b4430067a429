//! A person signs in with a password and gets a session.

use std::sync::Arc;

use guichet_admission::{Call, Refusal, door};
use guichet_contract::{Principal, RecordVerdict, Verb};
use guichet_identity::{IssuedToken, session};
use guichet_store::{Change, UnitOfWork};

use crate::platform::Platform;

/// Signs in.
///
/// # Errors
/// Wrong name or password, too many attempts; recorded.
pub async fn sign_in(
    platform: &Arc<Platform>,
    call: &Call,
    user: &str,
    password: &str,
) -> Result<(IssuedToken, Principal), Refusal> {
    let identity = platform.door.identity();
    let mut record = platform.door.record(Verb::SignIn, RecordVerdict::Refused, call.surface);
    record.trace_id = call.trace_id();
    let made = match identity.check_password(user, password).await {
        Ok(user) => session::new_session(&*platform.clock, &user.name).map(|issued| (issued, user)),
        Err(error) => Err(error),
    };
    let (issued, user) = match made {
        Ok(made) => made,
        Err(error) => {
            // The name as given: an auditor wants to see whom someone tried to be.
            record.detail = Some(format!("user {}", user.chars().take(100).collect::<String>()));
            return Err(platform.door.refuse(record, door::sign_in_problem(&error)).await);
        }
    };
    let mut principal = Principal { kind: user.kind, ..Principal::person(&user.name) };
    principal.teams = platform.door.world().registry.teams_of(&user.name);
    record.verdict = RecordVerdict::Allowed;
    record.principal = Some(principal.clone());
    record.detail = Some(format!("session {}", issued.token.id));
    let work =
        UnitOfWork::new().with(Change::InsertToken(issued.token.clone())).append_record(record.clone());
    match platform.store.commit(work).await {
        Ok(()) => Ok((issued, principal)),
        Err(error) => {
            record.verdict = RecordVerdict::Refused;
            Err(platform.store_refusal(record, error).await)
        }
    }
}
