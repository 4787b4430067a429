//! Time and chance, handed in so that decisions stay functions of values.

use jiff::Timestamp;
use uuid::Uuid;

/// Where the present moment and new ids come from.
pub trait Clock: Send + Sync + 'static {
    /// The present moment, UTC.
    fn now(&self) -> Timestamp;
    /// A new UUID version 7 (RFC 9562), ordered by time of making.
    fn new_uuid(&self) -> Uuid;
}

/// The machine's own clock and randomness.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the machine")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the machine")]
    fn new_uuid(&self) -> Uuid {
        Uuid::now_v7()
    }
}
