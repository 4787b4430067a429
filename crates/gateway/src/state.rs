//! What every route has at hand.

use std::sync::Arc;

use guichet_contract::Clock;
use guichet_operations::Platform;
use tokio_util::sync::CancellationToken;

use crate::{limits::RateLimit, metrics::Metrics, routes::probes::Probed, trace::Tracer};

/// The gateway's HTTP side.
pub struct Gateway {
    /// The verbs' platform.
    pub platform: Arc<Platform>,
    /// What it tells of itself.
    pub info: Info,
    /// Limits.
    pub settings: Settings,
    /// What it counts.
    pub metrics: Metrics,
    /// What the probes found lately.
    pub probed: Probed,
    /// Requests at once.
    pub room: tokio::sync::Semaphore,
    /// Bodies at once that are waited for before it is known who sends them: an eighth of the room, so that whoever
    /// sends them slowly leaves room for all others.
    pub strangers: tokio::sync::Semaphore,
    /// Calls per token, refusals per address.
    pub rate: RateLimit,
    /// How traces begin.
    pub tracer: Arc<dyn Tracer>,
    /// Cancelled when the gateway is about to drain: readiness says no, connections end with their next answer, and
    /// requests are still served, so that whoever sends them here has time to notice.
    pub leaving: CancellationToken,
    /// Cancelled when the gateway drains: streams end, requests are refused.
    pub draining: CancellationToken,
}

/// What the gateway tells of itself to anyone.
#[derive(Debug, Clone, Default)]
pub struct Info {
    /// Its version.
    pub version: String,
    /// Key id and public key (PASERK) of the tokens that providers get; the signing one first.
    pub provider_keys: Vec<(String, String)>,
    /// The ledger's verifier keys (signed-note form), the current one first; several while one replaces another.
    pub ledger_keys: Vec<String>,
}

/// Limits of the HTTP side.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Largest request body, bytes.
    pub body_bytes: usize,
    /// Requests at once, streams not counted; beyond it 429.
    pub requests_at_once: usize,
    /// Requests per second of one token, with bursts of as many; 0 for no limit.
    pub requests_per_second: u32,
    /// Requests per second of one address that may be refused before it is known who calls; beyond it 429, unless they
    /// bear a token that was good lately. 0 for no limit.
    pub refusals_per_second: u32,
    /// Streams (followers of runs) at once.
    pub streams_at_once: usize,
    /// Only probes, metrics and keys are answered: this process performs runs, others answer.
    pub only_probes: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            body_bytes: 1024 * 1024,
            requests_at_once: 1024,
            requests_per_second: 500,
            refusals_per_second: 20,
            streams_at_once: 10_000,
            only_probes: false,
        }
    }
}

impl Gateway {
    /// A gateway over this platform.
    pub fn new(
        platform: Arc<Platform>,
        info: Info,
        settings: Settings,
        tracer: Arc<dyn Tracer>,
        draining: CancellationToken,
    ) -> Self {
        let rate = RateLimit::new(settings.requests_per_second, settings.refusals_per_second);
        let room = settings.requests_at_once;
        Self {
            platform,
            info,
            settings,
            metrics: Metrics::default(),
            probed: Probed::default(),
            room: tokio::sync::Semaphore::new(room),
            strangers: tokio::sync::Semaphore::new((room / 8).max(1)),
            rate,
            tracer,
            leaving: CancellationToken::new(),
            draining,
        }
    }

    /// What time it is.
    pub fn clock(&self) -> &dyn Clock {
        &*self.platform.clock
    }
}
