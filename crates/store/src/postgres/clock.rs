//! The time that all replicas go by: the database's.
//!
//! Leases, expiries and schedules are moments that one replica writes and another one compares with its own present. So
//! all of them take the present from one clock. Between two looks at it, time is measured by what has gone by on this
//! machine, which no setting of its clock moves.

use std::{
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, Instant},
};

use guichet_contract::{Clock, SystemClock};
use jiff::{SignedDuration, Timestamp};
use tokio_postgres::{Client, Error};
use uuid::{ContextV7, Uuid};

use super::columns::moment;

/// This machine's clock may be so far from the database's before that is worth a word.
const APART: SignedDuration = SignedDuration::from_secs(10);
/// An answer that took longer says too little about when it was given.
const TOLD_WITHIN: Duration = Duration::from_secs(2);
const NOW: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";

/// The database's clock, as one replica knows it.
#[derive(Debug, Clone, Default)]
pub(super) struct DatabaseClock {
    told: Arc<RwLock<Option<Told>>>,
    /// Keeps ids of one millisecond apart and in their order.
    ids: Arc<Mutex<ContextV7>>,
}

/// What the database said last, and when that was.
#[derive(Debug, Clone, Copy)]
struct Told {
    moment: Timestamp,
    at: Instant,
}

impl DatabaseClock {
    /// Looks at it. `own` is what this machine believes.
    pub(super) async fn look(&self, client: &Client, own: &dyn Clock) -> Result<(), Error> {
        let asked = Instant::now();
        let row = client.query_one(NOW, &[]).await?;
        let taken = asked.elapsed();
        let Ok(moment) = moment(row.try_get(0)?) else { return Ok(()) };
        let known = self.told().is_some();
        if known && taken > TOLD_WITHIN {
            return Ok(());
        }
        // It was said somewhere on the way.
        let told = Told { moment, at: asked + taken / 2 };
        *self.told.write().unwrap_or_else(PoisonError::into_inner) = Some(told);
        let apart = own.now().duration_since(told.now());
        if apart.abs() > APART {
            tracing::warn!(
                seconds = apart.as_secs(),
                "this machine's clock is not the database's, by which all gateways go: keep the machines' clocks together \
                 (NTP), or providers refuse tokens and logs mislead"
            );
        }
        Ok(())
    }

    fn told(&self) -> Option<Told> {
        *self.told.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Told {
    fn now(&self) -> Timestamp {
        let gone_by = SignedDuration::try_from(self.at.elapsed()).unwrap_or(SignedDuration::MAX);
        self.moment.saturating_add(gone_by).unwrap_or(Timestamp::MAX)
    }
}

impl Clock for DatabaseClock {
    fn now(&self) -> Timestamp {
        self.told().map_or_else(|| SystemClock.now(), |told| told.now())
    }

    /// Its time is this clock's, so that ids of several replicas are in the order of their making.
    fn new_uuid(&self) -> Uuid {
        let now = self.now();
        let seconds = u64::try_from(now.as_second()).unwrap_or_default();
        let nanoseconds = u32::try_from(now.subsec_nanosecond()).unwrap_or_default();
        let ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        Uuid::new_v7(uuid::Timestamp::from_unix(&*ids, seconds, nanoseconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_from_what_was_told() {
        let clock = DatabaseClock::default();
        let moment = Timestamp::from_second(1_000_000_000).unwrap();
        let at = Instant::now().checked_sub(Duration::from_secs(5)).unwrap();
        *clock.told.write().unwrap() = Some(Told { moment, at });
        let now = clock.now();
        assert!(now >= moment + SignedDuration::from_secs(5), "{now}");
        assert!(now < moment + SignedDuration::from_secs(60), "{now}");
        let (first, second) = (clock.new_uuid(), clock.new_uuid());
        assert!(first < second, "in the order of their making");
        let (seconds, _) = first.get_timestamp().unwrap().to_unix();
        assert!((1_000_000_005..1_000_000_060).contains(&seconds));
    }
}
