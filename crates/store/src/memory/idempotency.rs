//! Keys against double submission.

use async_trait::async_trait;
use guichet_contract::{Digest, RunId};

use super::{
    MemoryStore,
    writing::{Writing, conflict},
};
use crate::{CommitError, Idempotency, StoreError};

/// Ties a key to a run. Conflict when the key is taken.
pub(super) fn insert(
    writing: &mut Writing<'_>,
    principal: String,
    key: String,
    request: Digest,
    run: RunId,
) -> Result<(), CommitError> {
    let place = (principal, key);
    if writing.state.idempotency_keys.contains_key(&place) {
        let (principal, key) = place;
        return Err(conflict(format!("idempotency key `{key}` of {principal} (it is taken)")));
    }
    writing.put(|state| &mut state.idempotency_keys, place, Some((request, run)));
    Ok(())
}

#[async_trait]
impl Idempotency for MemoryStore {
    async fn idempotent_run(
        &self,
        principal: &str,
        key: &str,
    ) -> Result<Option<(Digest, RunId)>, StoreError> {
        let place = (principal.to_owned(), key.to_owned());
        self.read(|state| Ok(state.idempotency_keys.get(&place).cloned()))
    }
}
