//! Where a schedule goes, and what becomes of a time that has come.

use guichet_contract::{Missed, ScheduleState};
use jiff::{SignedDuration, Timestamp};

use crate::calendar::Calendar;

/// What can happen to a schedule, beside its times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Move {
    /// Enough people said yes to every condition.
    Lifted,
    /// An approver said no.
    Rejected,
    /// Somebody halted it, or its owner may no longer do this.
    Paused,
    /// Somebody let it go on.
    Resumed,
    /// It has no more times, or nobody decided in time.
    Ended,
}

impl Move {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Lifted, Self::Rejected, Self::Paused, Self::Resumed, Self::Ended];

    /// The state that follows; none when the state does not allow it.
    ///
    /// ```text
    ///   awaiting_approval ──► rejected | ended
    ///          lifted │
    ///                 ▼   paused
    ///               active ────────► paused
    ///                 │  ◄──────────   │
    ///                 ▼   resumed      ▼
    ///               ended            ended
    /// ```
    pub fn from(self, state: ScheduleState) -> Option<ScheduleState> {
        use ScheduleState as S;
        match (state, self) {
            (S::AwaitingApproval, Self::Lifted) | (S::Paused, Self::Resumed) => Some(S::Active),
            (S::AwaitingApproval, Self::Rejected) => Some(S::Rejected),
            (S::Active, Self::Paused) => Some(S::Paused),
            (S::AwaitingApproval | S::Active | S::Paused, Self::Ended) => Some(S::Ended),
            (S::AwaitingApproval, Self::Paused | Self::Resumed)
            | (S::Active, Self::Lifted | Self::Rejected | Self::Resumed)
            | (S::Paused, Self::Lifted | Self::Rejected | Self::Paused)
            | (S::Ended | S::Rejected, _) => None,
        }
    }
}

/// A time that a gateway comes to within this is not missed: a restart takes a moment.
pub const GRACE: SignedDuration = SignedDuration::from_mins(5);
/// So many missed times are counted, and no more.
const COUNTED: usize = 1_000;

/// What becomes of the time that a schedule is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// It has not come: look again then.
    NotYet,
    /// A run is to be made for this time.
    Fire {
        /// Which.
        at: Timestamp,
        /// So many times before it were missed.
        missed: usize,
        /// The next one; none when it was the last.
        next: Option<Timestamp>,
    },
    /// Its times are too long ago and are left out.
    Skip {
        /// The last of them.
        at: Timestamp,
        /// How many.
        missed: usize,
        /// The next one; none when it was the last.
        next: Option<Timestamp>,
    },
}

/// What becomes of the time `at`, seen at `now`. Of several that have passed only the last can still be done. The next one is
/// always after both: a clock that is set back brings no time again.
pub fn due(
    calendar: &Calendar,
    at: Timestamp,
    now: Timestamp,
    missed: Missed,
    until: Option<Timestamp>,
) -> Due {
    if now < at {
        return Due::NotYet;
    }
    let within = |time: &Timestamp| until.is_none_or(|until| *time <= until);
    let (mut last, mut passed) = (at, 0);
    while passed < COUNTED
        && let Some(later) = calendar.after(last).filter(|later| *later <= now && within(later))
    {
        last = later;
        passed += 1;
    }
    let next = calendar.after(last.max(now)).filter(within);
    let late = now.duration_since(last) > GRACE;
    match (late, missed) {
        (true, Missed::Skip) => Due::Skip { at: last, missed: passed + 1, next },
        (true, Missed::Once) => Due::Fire { at: last, missed: passed + 1, next },
        (false, _) => Due::Fire { at: last, missed: passed, next },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        format!("2026-11-{text}:00Z").parse().unwrap()
    }

    fn seen(now: &str, missed: Missed, until: Option<&str>) -> Due {
        let calendar = Calendar::read("0 3 * * *", "UTC").unwrap();
        due(&calendar, at("21T03:00"), at(now), missed, until.map(at))
    }

    #[test]
    fn a_time_is_done_when_it_has_come() {
        assert_eq!(seen("21T02:59", Missed::Skip, None), Due::NotYet);
        for now in ["21T03:00", "21T03:05"] {
            let fire = Due::Fire { at: at("21T03:00"), missed: 0, next: Some(at("22T03:00")) };
            assert_eq!(seen(now, Missed::Skip, None), fire);
        }
    }

    #[test]
    fn missed_times_are_left_out_or_made_up_for_once() {
        let next = Some(at("24T03:00"));
        assert_eq!(seen("23T09:00", Missed::Skip, None), Due::Skip { at: at("23T03:00"), missed: 3, next });
        assert_eq!(seen("23T09:00", Missed::Once, None), Due::Fire { at: at("23T03:00"), missed: 3, next });
        // The last of them is on time.
        assert_eq!(seen("23T03:01", Missed::Skip, None), Due::Fire { at: at("23T03:00"), missed: 2, next });
    }

    #[test]
    fn the_last_time_has_no_next() {
        let (until, last) = (Some("22T03:00"), at("22T03:00"));
        assert_eq!(seen("22T03:00", Missed::Skip, until), Due::Fire { at: last, missed: 1, next: None });
        assert_eq!(seen("25T00:00", Missed::Skip, until), Due::Skip { at: last, missed: 2, next: None });
        assert_eq!(seen("25T00:00", Missed::Once, until), Due::Fire { at: last, missed: 2, next: None });
    }

    #[test]
    fn what_is_over_never_moves_and_others_can_end() {
        for state in ScheduleState::ALL {
            let over = matches!(state, ScheduleState::Ended | ScheduleState::Rejected);
            assert_eq!(Move::ALL.iter().all(|one| one.from(state).is_none()), over, "{state}");
            assert_eq!(Move::Ended.from(state).is_some(), !over, "{state}");
        }
    }
}
