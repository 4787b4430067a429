//! Providers that registered themselves, each as one value that is replaced as a whole.

use async_trait::async_trait;
use guichet_contract::Registration;

use super::{
    MemoryStore,
    writing::{Writing, conflict},
};
use crate::{CommitError, Registrations, StoreError};

/// The registration as it is now. Conflict unless the one that is kept has the revision before; for the first, unless
/// there is none.
pub(super) fn put(writing: &mut Writing<'_>, registration: Registration) -> Result<(), CommitError> {
    seen(writing, &registration.provider, registration.revision.saturating_sub(1))?;
    writing.put(|state| &mut state.registrations, registration.provider.clone(), Some(registration));
    writing.wake_registration();
    Ok(())
}

/// The name is nobody's again. Conflict unless the registration has this revision.
pub(super) fn delete(writing: &mut Writing<'_>, provider: String, revision: u64) -> Result<(), CommitError> {
    seen(writing, &provider, revision)?;
    writing.put(|state| &mut state.registrations, provider, None);
    writing.wake_registration();
    Ok(())
}

/// What is kept has this revision; 0 for none.
fn seen(writing: &Writing<'_>, provider: &str, revision: u64) -> Result<(), CommitError> {
    let kept = writing.state.registrations.get(provider).map_or(0, |kept| kept.revision);
    if kept == revision {
        return Ok(());
    }
    Err(conflict(format!("the registration of {provider} (changed meanwhile)")))
}

#[async_trait]
impl Registrations for MemoryStore {
    async fn registration(&self, provider: &str) -> Result<Option<Registration>, StoreError> {
        self.read(|state| Ok(state.registrations.get(provider).cloned()))
    }

    async fn registrations(&self, limit: usize) -> Result<Vec<Registration>, StoreError> {
        self.read(|state| Ok(state.registrations.values().take(limit).cloned().collect()))
    }
}
