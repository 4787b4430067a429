//! What a call carries, and who it turns out to be.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use guichet_contract::{Principal, Surface};
use guichet_identity::Identified;

/// What every call carries, whatever it wants.
#[derive(Default)]
pub struct Call {
    /// The secret from `Authorization: Bearer …`.
    pub bearer: Option<String>,
    /// Where the call met the gateway.
    pub surface: Surface,
    /// W3C `traceparent` of this call's span, for whoever is called next.
    pub traceparent: Option<String>,
    held: AtomicBool,
}

impl Call {
    /// What a call carries.
    pub fn new(bearer: Option<String>, surface: Surface, traceparent: Option<String>) -> Self {
        Self { bearer, surface, traceparent, held: AtomicBool::new(false) }
    }

    /// Whether somebody looked who calls, and the credentials held. Says nothing of what they may.
    pub fn has_held(&self) -> bool {
        self.held.load(Ordering::Relaxed)
    }

    /// Notes that the credentials held; for whoever looked.
    pub fn note_held(&self) {
        self.held.store(true, Ordering::Relaxed);
    }

    /// The 32 hexadecimal digits of the trace id.
    pub fn trace_id(&self) -> Option<String> {
        self.traceparent.as_deref().and_then(trace_id_of)
    }
}

/// The trace id within a `traceparent` (W3C Trace Context, section 3.2).
pub fn trace_id_of(traceparent: &str) -> Option<String> {
    let id = traceparent.split('-').nth(1)?;
    (id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| id.to_ascii_lowercase())
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("bearer", &self.bearer.as_ref().map(|_| "[redacted]"))
            .field("surface", &self.surface)
            .field("traceparent", &self.traceparent)
            .field("held", &self.held)
            .finish()
    }
}

/// Who makes a call, with the teams the registry knows.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The actor, with teams.
    pub principal: Principal,
    /// The session or token it came with.
    pub identified: Arc<Identified>,
    /// Where the call met the gateway.
    pub surface: Surface,
    /// W3C `traceparent` of this call's span.
    pub traceparent: Option<String>,
}

impl Caller {
    /// The 32 hexadecimal digits of the trace id.
    pub fn trace_id(&self) -> Option<String> {
        self.traceparent.as_deref().and_then(trace_id_of)
    }
}
