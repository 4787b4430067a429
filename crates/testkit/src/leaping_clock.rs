//! The machine's clock, as far ahead or behind as a test sets it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime},
};

use guichet_contract::{Clock, SystemClock};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

/// A clock that leaps. Copies leap together, so that one machine can be played whose clock was set.
#[derive(Debug, Clone, Default)]
pub struct LeapingClock(Arc<AtomicI64>);

impl LeapingClock {
    /// Leaps by so many seconds; backwards when negative.
    pub fn leap(&self, seconds: i64) {
        let _before = self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for LeapingClock {
    fn now(&self) -> Timestamp {
        SystemClock.now() + SignedDuration::from_secs(self.0.load(Ordering::SeqCst))
    }

    /// Its time is the clock's own, so ids made after a leap backwards come before those made earlier.
    fn new_uuid(&self) -> Uuid {
        let since = SystemTime::from(self.now()).duration_since(SystemTime::UNIX_EPOCH);
        let chance = *SystemClock.new_uuid().as_bytes();
        let mut random = [0; 10];
        random.copy_from_slice(&chance[6..]);
        let millis = since.unwrap_or(Duration::ZERO).as_millis();
        uuid::Builder::from_unix_timestamp_millis(u64::try_from(millis).unwrap_or(u64::MAX), &random)
            .into_uuid()
    }
}
