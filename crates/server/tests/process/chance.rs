//! Chance enough to choose instants, without a dependency.

use std::hash::{BuildHasher as _, RandomState};

/// Marsaglia's xorshift64.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(salt: u64) -> Self {
        Self(RandomState::new().hash_one(salt) | 1)
    }

    /// Any number less than this.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
