//! An instance of a provider leaves, or a provider's name is taken back: by whoever registered it, or by whom the policies
//! permit.

use std::sync::Arc;

use guichet_admission::{Call, Caller, Refusal};
use guichet_contract::{Problem, Record, RecordVerdict, Registration, Verb, code};
use guichet_lifecycle::registrations;
use guichet_store::{Change, CommitError, UnitOfWork};

use crate::platform::{Platform, store_problem};

/// So often a registration is looked at again when somebody else was quicker.
const LOOKS: u32 = 30;
/// As much of what a caller sent is recorded, characters.
const SHOWN: usize = 64;

/// An instance is called no more. Calls that are under way are its own to finish.
///
/// # Errors
/// No such instance; neither its owner nor permitted; the store.
pub async fn drain_instance(
    platform: &Arc<Platform>,
    call: &Call,
    provider: &str,
    instance: &str,
) -> Result<(), Refusal> {
    let what = What { verb: Verb::DrainInstance, provider, instance: Some(instance) };
    remove(platform, call, &what).await
}

/// A provider's name is nobody's again, and its actions are offered no more.
///
/// # Errors
/// No such provider among those that registered themselves or were added; neither its owner nor permitted; the store.
pub async fn remove_provider(platform: &Arc<Platform>, call: &Call, provider: &str) -> Result<(), Refusal> {
    remove(platform, call, &What { verb: Verb::RemoveProvider, provider, instance: None }).await
}

struct What<'a> {
    verb: Verb,
    provider: &'a str,
    instance: Option<&'a str>,
}

impl What<'_> {
    fn record(&self, platform: &Platform, caller: &Caller, verdict: RecordVerdict) -> Record {
        let shown = |text: &str| text.chars().take(SHOWN).collect::<String>();
        let mut record = platform.door.record_of(caller, self.verb, verdict);
        let instance = self.instance.map_or_else(String::new, |id| format!(", instance {}", shown(id)));
        record.detail = Some(format!("provider {}{instance}", shown(self.provider)));
        record.resource = Some(shown(self.provider));
        record
    }

    /// What is to be written; none when there is nothing to remove.
    fn change(&self, platform: &Platform, known: &Registration) -> Option<Change> {
        if let Some(instance) = self.instance {
            let left = registrations::leave(known, instance, platform.clock.now())?;
            return Some(Change::PutRegistration(Box::new(left)));
        }
        let (provider, revision) = (known.provider.clone(), known.revision);
        Some(Change::DeleteRegistration { provider, revision })
    }

    fn nothing(&self) -> Problem {
        let shown = |text: &str| text.chars().take(SHOWN).collect::<String>();
        let (provider, next) = (shown(self.provider), "`guichet providers list` shows those there are");
        let Some(instance) = self.instance else {
            let detail = format!("no provider called {provider} has registered itself or was added");
            return Problem::new(code::UNKNOWN_PROVIDER, detail).next(next);
        };
        let detail =
            format!("provider {provider} has no instance {}: it has left, or never came", shown(instance));
        Problem::new(code::UNKNOWN_INSTANCE, detail).next(next)
    }
}

async fn remove(platform: &Arc<Platform>, call: &Call, what: &What<'_>) -> Result<(), Refusal> {
    let caller = platform.door.identify(call).await?;
    let refused = async |problem: Problem| {
        let record = what.record(platform, &caller, RecordVerdict::Refused);
        platform.door.refuse(record, problem).await
    };
    for _ in 0..LOOKS {
        let known = match platform.store.registration(what.provider).await {
            Ok(Some(known)) => known,
            Ok(None) => return Err(refused(what.nothing()).await),
            Err(error) => return Err(refused(store_problem(&error)).await),
        };
        platform.door.admit_removal(&caller, &known, what.verb).await?;
        let Some(change) = what.change(platform, &known) else {
            return Err(refused(what.nothing()).await);
        };
        let record = what.record(platform, &caller, RecordVerdict::Allowed);
        match platform.store.commit(UnitOfWork::new().with(change).append_record(record)).await {
            Ok(()) => return Ok(()),
            Err(CommitError::Conflict { .. }) => {}
            Err(CommitError::Store(error)) => return Err(refused(store_problem(&error)).await),
        }
    }
    let problem = Problem::new(code::WRONG_STATE, "the registration is changed by others at the same time");
    Err(refused(problem.next("try again")).await)
}
