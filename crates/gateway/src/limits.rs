//! How often one token may call, and how often one address may be turned away.
//!
//! Whoever is not known costs the gateway more than somebody who is: each refusal is a record on the disk. So those who
//! are turned away are counted by their address, and told to wait. A token that was good lately passes beside that
//! count: colleagues behind one address do not suffer for the stranger among them.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::{PoisonError, RwLock},
};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

/// Beyond so many tokens or addresses those not seen lately are forgotten.
const REMEMBERED: usize = 50_000;

/// Who asks, as far as can be told before the door.
pub struct Asked {
    token: Option<u64>,
    peer: IpAddr,
}

impl Asked {
    /// With this token, from this address. Who has one IPv6 address has a whole network of them (/64), so that network
    /// counts as one; an IPv4 address that is written as an IPv6 one counts as itself.
    pub fn by(bearer: Option<&str>, peer: IpAddr) -> Self {
        let token = bearer.map(|bearer| {
            let mut hasher = DefaultHasher::new();
            bearer.hash(&mut hasher);
            hasher.finish()
        });
        let peer = match peer.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & NETWORK)),
            address @ IpAddr::V4(_) => address,
        };
        Self { token, peer }
    }
}

/// The bits of an IPv6 address that name the network.
const NETWORK: u128 = !0 << 64;

/// What an answer told of who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// Somebody whose credentials held.
    Known,
    /// Nobody: the credentials do not hold, or there were none (401).
    Nobody,
    /// Nothing, and it was refused: counted, because else strangers could fill the audit trail with what they invent.
    /// Never taken for a proof of a token, good or bad.
    Refused,
    /// Nothing: what everybody may see was shown.
    Nothing,
}

/// What was asked too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooOften {
    /// With one token.
    ThisToken,
    /// From one address, without being known.
    ThisAddress,
}

/// Counts calls.
pub struct RateLimit {
    tokens: Option<DefaultKeyedRateLimiter<u64>>,
    strangers: Option<Strangers>,
}

/// Counts refusals by address.
struct Strangers {
    refusals: DefaultKeyedRateLimiter<IpAddr>,
    /// Addresses that have used up their refusals; asked again each time, so they are let in again by themselves.
    barred: RwLock<HashSet<IpAddr>>,
    /// Tokens that were let in lately.
    good: RwLock<HashSet<u64>>,
}

impl RateLimit {
    /// So many calls a second with one token, so many refusals a second from one address, each with bursts of as many;
    /// 0 for no limit.
    pub fn new(per_token: u32, strangers: u32) -> Self {
        Self {
            tokens: NonZeroU32::new(per_token).map(|quota| RateLimiter::keyed(Quota::per_second(quota))),
            strangers: NonZeroU32::new(strangers).map(|quota| Strangers {
                refusals: RateLimiter::keyed(Quota::per_second(quota)),
                barred: RwLock::default(),
                good: RwLock::default(),
            }),
        }
    }

    /// Whether this call may go on to the door.
    ///
    /// # Errors
    /// What was asked too often.
    pub fn admit(&self, asked: &Asked) -> Result<(), TooOften> {
        let known = match &self.strangers {
            Some(strangers) => strangers.admit(asked)?,
            None => true,
        };
        // What no good token comes with is counted as a refusal, if it is one, and not as a caller of its own: else each
        // invented token would have a quota of its own.
        if let (Some(tokens), Some(token), true) = (&self.tokens, asked.token, known) {
            if tokens.len() > REMEMBERED {
                tokens.retain_recent();
            }
            tokens.check_key(&token).map_err(|_| TooOften::ThisToken)?;
        }
        Ok(())
    }

    /// Notes what the answer told of the caller.
    pub fn note(&self, asked: &Asked, told: Told) {
        if let Some(strangers) = &self.strangers {
            strangers.note(asked, told);
        }
    }
}

impl Strangers {
    /// Whether the token is known to be good.
    fn admit(&self, asked: &Asked) -> Result<bool, TooOften> {
        let known = self.is_good(asked);
        if known || !read(&self.barred).contains(&asked.peer) {
            return Ok(known);
        }
        // One that is let in here has used one of its refusals ahead.
        self.refusals.check_key(&asked.peer).map_err(|_| TooOften::ThisAddress)?;
        write(&self.barred).remove(&asked.peer);
        Ok(known)
    }

    fn is_good(&self, asked: &Asked) -> bool {
        asked.token.is_some_and(|token| read(&self.good).contains(&token))
    }

    fn note(&self, asked: &Asked, told: Told) {
        match (told, asked.token) {
            (Told::Known, Some(token)) => {
                if !self.is_good(asked) {
                    insert(&self.good, token);
                }
                return;
            }
            (Told::Known, None) | (Told::Nothing, _) => return,
            (Told::Nobody, Some(token)) => {
                write(&self.good).remove(&token);
            }
            (Told::Refused, _) if self.is_good(asked) => return,
            (Told::Nobody | Told::Refused, _) => {}
        }
        if self.refusals.len() > REMEMBERED {
            self.refusals.retain_recent();
        }
        if self.refusals.check_key(&asked.peer).is_err() {
            insert(&self.barred, asked.peer);
        }
    }
}

fn insert<T: Eq + Hash>(set: &RwLock<HashSet<T>>, item: T) {
    let mut set = write(set);
    if set.len() >= REMEMBERED {
        set.clear();
    }
    set.insert(item);
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const ELSEWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn a_stranger_is_turned_away_after_its_refusals_and_nobody_else_is() {
        let limit = RateLimit::new(1_000, 5);
        let good = Asked::by(Some("good"), HOME);
        assert_eq!(limit.admit(&good), Ok(()));
        limit.note(&good, Told::Known);
        let mut let_through = 0;
        for number in 0..100 {
            // A new token each time: inventing tokens is no way around.
            let invented = Asked::by(Some(&format!("invented-{number}")), HOME);
            if limit.admit(&invented).is_ok() {
                let_through += 1;
                limit.note(&invented, Told::Nobody);
            }
        }
        assert!((5..20).contains(&let_through), "{let_through}");
        assert_eq!(limit.admit(&Asked::by(None, HOME)), Err(TooOften::ThisAddress));
        assert_eq!(limit.admit(&good), Ok(()), "known, so it passes although it comes from the same address");
        assert_eq!(limit.admit(&Asked::by(None, ELSEWHERE)), Ok(()));
    }

    #[test]
    fn a_token_that_is_good_no_longer_counts_as_a_stranger() {
        let limit = RateLimit::new(1_000, 1);
        let revoked = Asked::by(Some("revoked"), HOME);
        limit.note(&revoked, Told::Known);
        for _ in 0..3 {
            limit.note(&revoked, Told::Nobody);
        }
        assert_eq!(limit.admit(&revoked), Err(TooOften::ThisAddress));
    }

    #[test]
    fn only_an_identity_that_held_makes_a_token_good() {
        for told in [Told::Nobody, Told::Refused, Told::Nothing] {
            let limit = RateLimit::new(1_000, 1);
            limit.note(&Asked::by(Some("invented"), HOME), told);
            for _ in 0..3 {
                limit.note(&Asked::by(None, HOME), Told::Refused);
            }
            let refused = limit.admit(&Asked::by(Some("invented"), HOME));
            assert_eq!(refused, Err(TooOften::ThisAddress), "{told:?}");
        }
    }

    #[test]
    fn what_is_refused_before_anybody_looked_takes_nothing_from_a_good_token() {
        let limit = RateLimit::new(1_000, 1);
        let good = Asked::by(Some("good"), HOME);
        limit.note(&good, Told::Known);
        for _ in 0..10 {
            limit.note(&good, Told::Refused);
            limit.note(&good, Told::Nothing);
        }
        assert_eq!(limit.admit(&good), Ok(()));
        assert_eq!(limit.admit(&Asked::by(None, HOME)), Ok(()), "nor from its neighbours");
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let limit = RateLimit::new(1_000, 2);
        let from = |text: &str| Asked::by(None, text.parse().unwrap());
        for number in 0..5 {
            limit.note(&from(&format!("2001:db8:0:1:{number}::1")), Told::Nobody);
        }
        assert_eq!(limit.admit(&from("2001:db8:0:1:ffff::9")), Err(TooOften::ThisAddress));
        assert_eq!(limit.admit(&from("2001:db8:0:2::1")), Ok(()), "another network");
        for _ in 0..5 {
            limit.note(&from("::ffff:192.0.2.1"), Told::Nobody);
        }
        assert_eq!(limit.admit(&from("192.0.2.1")), Err(TooOften::ThisAddress), "the same in other words");
        assert_eq!(limit.admit(&from("::ffff:192.0.2.2")), Ok(()));
    }

    #[test]
    fn one_token_has_its_quota_and_zero_is_no_limit() {
        let limit = RateLimit::new(2, 10);
        let (one, other) = (Asked::by(Some("one"), HOME), Asked::by(Some("other"), HOME));
        limit.note(&one, Told::Known);
        limit.note(&other, Told::Known);
        let results: Vec<_> = (0..10).map(|_| limit.admit(&one)).collect();
        assert!(results.contains(&Err(TooOften::ThisToken)), "{results:?}");
        assert_eq!(limit.admit(&other), Ok(()));
        let none = RateLimit::new(0, 0);
        for _ in 0..1_000 {
            assert_eq!(none.admit(&one), Ok(()));
            none.note(&one, Told::Nobody);
        }
    }
}
