//! A provider that fails again and again is left in peace for a while. Pure: time is handed in.

use jiff::{SignedDuration, Timestamp};

/// So many failures in a row open the circuit.
const FAILURES: u32 = 5;
/// How long it rests at first; doubled each time a trial fails, up to the limit.
const REST: (SignedDuration, SignedDuration) = (SignedDuration::from_secs(5), SignedDuration::from_secs(60));

/// Closed: calls pass. Open: calls are held back. After the rest one call tries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Breaker {
    /// Calls pass; so many have failed in a row.
    #[default]
    Closed,
    /// As `Closed`, after some failures in a row.
    Failing(u32),
    /// Calls are held back until then.
    Open {
        /// Until when.
        until: Timestamp,
        /// How long this rest is.
        rest: SignedDuration,
    },
    /// One call is trying.
    Trying {
        /// How long the next rest would be.
        rest: SignedDuration,
        /// When it began; a trial that never came back does not hold the circuit for ever.
        since: Timestamp,
    },
}

impl Breaker {
    /// Whether a call may go now; when not, until when it is held back.
    pub fn may_call(&mut self, now: Timestamp) -> Result<(), Timestamp> {
        match *self {
            Self::Closed | Self::Failing(_) => Ok(()),
            Self::Open { until, rest } if now >= until => {
                *self = Self::Trying { rest, since: now };
                Ok(())
            }
            Self::Open { until, .. } => Err(until),
            Self::Trying { rest, since } if now.duration_since(since) > REST.1 => {
                *self = Self::Trying { rest, since: now };
                Ok(())
            }
            Self::Trying { .. } => Err(now + SignedDuration::from_secs(1)),
        }
    }

    /// A call came back.
    pub fn succeeded(&mut self) {
        *self = Self::Closed;
    }

    /// A call did not come back, or said that the provider is down.
    pub fn failed(&mut self, now: Timestamp) {
        *self = match *self {
            Self::Closed => Self::Failing(1),
            Self::Failing(count) if count + 1 < FAILURES => Self::Failing(count + 1),
            Self::Failing(_) => Self::Open { until: now + REST.0, rest: REST.0 },
            Self::Trying { rest, .. } => {
                let rest = (rest * 2).min(REST.1);
                Self::Open { until: now + rest, rest }
            }
            Self::Open { until, rest } => Self::Open { until, rest },
        };
    }

    /// A call was not made after all: it tells nothing of the provider, and the next one tries.
    pub fn not_tried(&mut self, now: Timestamp) {
        if let Self::Trying { rest, .. } = *self {
            *self = Self::Open { until: now, rest };
        }
    }

    /// Whether calls are held back.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Open { .. } | Self::Trying { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn opens_after_five_in_a_row_tries_once_and_closes() {
        let mut breaker = Breaker::default();
        for _ in 0..4 {
            breaker.failed(at(0));
        }
        breaker.succeeded();
        for _ in 0..4 {
            breaker.failed(at(0));
        }
        assert_eq!(breaker.may_call(at(0)), Ok(()), "not five in a row");
        breaker.failed(at(0));
        assert_eq!(breaker.may_call(at(4)), Err(at(5)));
        assert_eq!(breaker.may_call(at(5)), Ok(()), "one tries");
        assert!(breaker.may_call(at(5)).is_err(), "only one");
        breaker.failed(at(6));
        assert_eq!(breaker.may_call(at(15)), Err(at(16)), "rests twice as long");
        assert_eq!(breaker.may_call(at(16)), Ok(()));
        breaker.succeeded();
        assert_eq!(breaker.may_call(at(16)), Ok(()));
    }

    #[test]
    fn a_trial_that_was_not_made_leaves_it_to_the_next_call() {
        let mut breaker = Breaker::Open { until: at(5), rest: REST.0 };
        assert!(breaker.may_call(at(5)).is_ok());
        breaker.not_tried(at(6));
        assert!(breaker.is_open());
        assert_eq!(breaker.may_call(at(6)), Ok(()), "another one tries");
        assert!(breaker.may_call(at(6)).is_err(), "only one");
        let mut closed = Breaker::Failing(3);
        closed.not_tried(at(6));
        assert_eq!(closed, Breaker::Failing(3));
    }

    #[test]
    fn a_trial_that_never_came_back_does_not_hold_it_for_ever() {
        let mut breaker = Breaker::Open { until: at(5), rest: REST.0 };
        assert!(breaker.may_call(at(5)).is_ok());
        assert!(breaker.may_call(at(60)).is_err());
        assert!(breaker.may_call(at(66)).is_ok());
    }
}
