//! A provider's document was read: what it offers from now on, or why it is not taken.

use std::collections::BTreeMap;

use guichet_contract::{Digest, RecordVerdict, Surface, Verb};

use crate::platform::Platform;

/// What became of a provider's document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registered {
    /// Its operations are in the catalogue.
    Offered {
        /// Digest of the document.
        document: Digest,
        /// How many operations.
        operations: usize,
    },
    /// It cannot be used.
    Refused {
        /// Why.
        why: String,
    },
}

/// Records what became of each provider's document, unless it is as it was `before`, which is brought up to date.
pub async fn register_provider(
    platform: &Platform,
    before: &mut BTreeMap<String, Registered>,
    provider: &str,
    now: Registered,
) {
    if before.get(provider) == Some(&now) {
        return;
    }
    let mut record = platform.door.record(Verb::RegisterProvider, RecordVerdict::Allowed, Surface::Gateway);
    record.detail = Some(match &now {
        Registered::Offered { document, operations } => {
            format!("provider {provider}, document {document}, {operations} operations")
        }
        Registered::Refused { why } => {
            record.verdict = RecordVerdict::Failed;
            format!("provider {provider}: {why}").chars().take(1_000).collect()
        }
    });
    match platform.store.append_soon(record).await {
        Ok(()) => {
            before.insert(provider.to_owned(), now);
        }
        Err(error) => tracing::error!(%error, provider, "a provider's registration could not be recorded"),
    }
}
