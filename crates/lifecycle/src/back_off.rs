//! How long to wait before something that came to nothing is tried again: twice as long each time, up to a limit. Pure: chance is
//! handed in.

use jiff::SignedDuration;

/// Pauses that double.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackOff {
    /// After the first failure.
    pub first: SignedDuration,
    /// The longest.
    pub most: SignedDuration,
}

impl BackOff {
    /// From so many seconds to so many.
    pub const fn seconds(first: i64, most: i64) -> Self {
        Self { first: SignedDuration::from_secs(first), most: SignedDuration::from_secs(most) }
    }

    /// The pause after so many failures in a row; 0 counts as 1.
    pub fn after(self, failures: u32) -> SignedDuration {
        let doubled = 1_i32.checked_shl(failures.saturating_sub(1)).filter(|times| *times > 0);
        let pause = doubled.and_then(|times| self.first.checked_mul(times)).unwrap_or(self.most);
        pause.min(self.most)
    }

    /// The same and up to a quarter more, by chance: what failed together is not tried together. Never less than [`Self::after`].
    pub fn apart(self, failures: u32, chance: u8) -> SignedDuration {
        let pause = self.after(failures);
        pause + pause / 4 * i32::from(chance) / 255
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_never_overflow() {
        let pauses = BackOff::seconds(1, 60);
        let seconds: Vec<i64> = (0..9).map(|failures| pauses.after(failures).as_secs()).collect();
        assert_eq!(seconds, [1, 1, 2, 4, 8, 16, 32, 60, 60]);
        for failures in [31, 32, 33, 64, u32::MAX] {
            assert_eq!(pauses.after(failures), pauses.most, "{failures}");
            assert!(BackOff::seconds(1, i64::MAX).after(failures).as_secs() > 0, "{failures}");
        }
    }

    #[test]
    fn those_that_failed_together_come_back_apart_and_none_before_its_time() {
        let pauses = BackOff::seconds(1, 3_600);
        let of = |chance| pauses.apart(3, chance).as_millis();
        assert_eq!((of(0), of(255)), (4_000, 5_000));
        assert!(of(100) > of(99));
    }
}
