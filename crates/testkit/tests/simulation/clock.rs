//! A machine's clock: the story's virtual time, ahead or behind by so much.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use guichet_contract::Clock;
use guichet_testkit::Dice;
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::told::Told;

/// 2025-01-01, seconds since 1970: when every story begins.
const BEGIN: i64 = 1_735_689_600;

/// The true time when a story has gone on for so long.
pub(crate) fn moment_of(passed: Duration) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(BEGIN) + passed
}

/// One machine's clock.
pub(crate) struct VirtualClock {
    told: Arc<Told>,
    /// Milliseconds ahead.
    ahead: AtomicI64,
    dice: Mutex<Dice>,
}

impl VirtualClock {
    pub(crate) fn new(told: &Arc<Told>, ahead: i64, dice: Dice) -> Self {
        Self { told: Arc::clone(told), ahead: AtomicI64::new(ahead), dice: Mutex::new(dice) }
    }

    /// From now on so many milliseconds ahead.
    pub(crate) fn set_ahead(&self, millis: i64) {
        self.ahead.store(millis, Ordering::Relaxed);
    }

    fn since_begin(&self) -> Duration {
        let ahead = SignedDuration::from_millis(self.ahead.load(Ordering::Relaxed));
        let passed = SignedDuration::try_from(self.told.now()).unwrap_or(SignedDuration::MAX);
        // Clocks that are behind begin a little after the story.
        Duration::try_from(passed.saturating_add(ahead)).unwrap_or(Duration::ZERO)
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        moment_of(self.since_begin())
    }

    fn new_uuid(&self) -> Uuid {
        let millis = u64::try_from(BEGIN * 1_000).unwrap_or(0)
            + u64::try_from(self.since_begin().as_millis()).unwrap_or(0);
        let mut dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner);
        let mut random = [0; 10];
        random[..8].copy_from_slice(&dice.throw().to_le_bytes());
        random[8..].copy_from_slice(&dice.throw().to_le_bytes()[..2]);
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }
}
