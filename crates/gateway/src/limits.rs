//! How often one token may call.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    num::NonZeroU32,
};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

/// Calls per second of one token; without a token, of all such callers together.
pub struct RateLimit {
    limiter: Option<DefaultKeyedRateLimiter<u64>>,
}

/// Beyond so many tokens those not seen lately are forgotten.
const REMEMBERED: usize = 50_000;

impl RateLimit {
    /// So many calls a second, with bursts of as many; 0 for no limit.
    pub fn new(per_second: u32) -> Self {
        Self {
            limiter: NonZeroU32::new(per_second)
                .map(|per_second| RateLimiter::keyed(Quota::per_second(per_second))),
        }
    }

    /// Whether this caller may call now.
    pub fn allows(&self, bearer: Option<&str>) -> bool {
        let Some(limiter) = &self.limiter else { return true };
        if limiter.len() > REMEMBERED {
            limiter.retain_recent();
        }
        let mut hasher = DefaultHasher::new();
        bearer.hash(&mut hasher);
        limiter.check_key(&hasher.finish()).is_ok()
    }
}
