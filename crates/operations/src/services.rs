//! How the verbs look at a service before it is added as a provider. The room `server` implements it.

use std::sync::Arc;

use async_trait::async_trait;
use guichet_contract::{Digest, Problem, Service};

use crate::offer::Offer;

/// What a service would offer.
#[derive(Debug, Clone)]
pub struct Looked {
    /// As its document was read, with the overlay.
    pub offer: Arc<Offer>,
    /// Digest of its document, without the overlay.
    pub document: Digest,
}

/// Whoever can look at a service that nobody has configured.
#[async_trait]
pub trait Services: Send + Sync + 'static {
    /// Asks a service for its document and reads it, as it would be read were it added under this name. Nothing is kept.
    ///
    /// # Errors
    /// A credential that it may not be shown, an overlay that cannot be understood, no answer in time, a document that is too large or
    /// cannot be used.
    async fn look_at(&self, provider: &str, service: &Service) -> Result<Looked, Problem>;
}

/// Nobody: where no service can be added.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoServices;

#[async_trait]
impl Services for NoServices {
    async fn look_at(&self, provider: &str, _: &Service) -> Result<Looked, Problem> {
        let detail = format!("provider {provider} cannot be added: this gateway looks at no services");
        Err(Problem::new(guichet_contract::code::NOT_OFFERED, detail)
            .next("have it put into the gateway's configuration"))
    }
}
