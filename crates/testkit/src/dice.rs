//! Chance that is the same for one seed everywhere, without a dependency.

use std::{
    hash::{BuildHasher as _, RandomState},
    ops::Range,
    time::Duration,
};

/// splitmix64: a number is all there is to it.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Those of this seed.
    pub fn new(seed: u64) -> Self {
        let mut dice = Self(seed);
        dice.throw();
        dice
    }

    /// Others each time, and for each salt.
    pub fn of_the_moment(salt: u64) -> Self {
        Self::new(RandomState::new().hash_one(salt))
    }

    /// Any number.
    pub fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Others that go their own way, so that one more throw here changes nothing there.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self::new(self.throw())
    }

    /// Any number less than this; 0 when there is none.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.throw() % limit.max(1)
    }

    /// Yes, so often in a thousand.
    pub fn chance(&mut self, in_a_thousand: u64) -> bool {
        self.below(1_000) < in_a_thousand
    }

    /// Any of these; none of none.
    pub fn one_of<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(usize::try_from(self.below(of.len() as u64)).unwrap_or(0))
    }

    /// So many milliseconds.
    pub fn millis(&mut self, within: Range<u64>) -> Duration {
        Duration::from_millis(within.start + self.below(within.end - within.start))
    }
}
