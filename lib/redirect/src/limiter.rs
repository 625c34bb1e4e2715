//! Rates, and hellos that come again.

use core::hash::{Hash, Hasher};
use core::net::SocketAddr;
use std::hash::DefaultHasher;

use rtmfp_base::{Limiter, Time, TokenBucket};

/// So many at once, and so many a second.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rate {
    /// At once.
    pub burst: u32,
    /// A second, on average.
    pub per_second: u32,
}

impl Rate {
    /// So many at once, and so many a second.
    pub const fn new(burst: u32, per_second: u32) -> Self {
        Self { burst, per_second }
    }

    pub(crate) const fn bucket(self) -> TokenBucket {
        TokenBucket::new(self.burst, self.per_second)
    }
}

/// A rate for all, and one for each prefix.
pub(crate) fn limiter(total: Rate, prefix: Rate, capacity: usize) -> Limiter {
    Limiter::new((total.burst, total.per_second), (prefix.burst, prefix.per_second), capacity)
}

/// How many hellos that were not answered are remembered, a power of two; 4 bytes each. At 100,000 a second nine of ten
/// are still there when they come again after a second.
const REMEMBERED: usize = 1 << 20;

/// A [`Limiter`] of hellos. When all together are too many, as when somebody sends them from addresses that are forged, few of
/// them are from clients; but those come again, and for hellos that do there is a rate of its own.
#[derive(Debug)]
pub(crate) struct HelloLimiter {
    first: Limiter,
    again: TokenBucket,
    secret: u128,
    /// What is left of the hellos that were not answered, where there were any.
    remembered: Vec<u32>,
}

impl HelloLimiter {
    pub(crate) fn new(first: Limiter, again: Rate, secret: u128) -> Self {
        Self { first, again: again.bucket(), secret, remembered: Vec::new() }
    }

    /// Whether a hello from there, with this tag, may be answered. Short ones are no worse than others: their answers are as
    /// short.
    pub(crate) fn take(&mut self, now: Time, from: SocketAddr, tag: &[u8]) -> bool {
        if !self.first.take_of_prefix(now, from.ip()) {
            return false;
        }
        self.first.take_of_all(now) || (self.is_known(from, tag) && self.again.take(now, 1))
    }

    /// Whether it has come before; it has from now on.
    fn is_known(&mut self, from: SocketAddr, tag: &[u8]) -> bool {
        let mut hasher = DefaultHasher::new();
        (self.secret, from, tag).hash(&mut hasher);
        let hash = hasher.finish();
        if self.remembered.is_empty() {
            self.remembered = vec![0; REMEMBERED];
        }
        let slot = self.remembered.get_mut(hash as usize % REMEMBERED);
        let mark = (hash >> 32) as u32;
        slot.is_some_and(|slot| core::mem::replace(slot, mark) == mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_that_comes_again_has_another_chance_when_all_are_too_many() {
        let limits = || limiter(Rate::new(10, 1), Rate::new(1000, 1), 1000);
        let mut limiter = HelloLimiter::new(limits(), Rate::new(5, 1), 7);
        let now = Time::from_secs(1);
        let mut taken = |tags: core::ops::Range<u32>| {
            let take = |tag: &u32| limiter.take(now, ([192, 0, 2, 1], 1).into(), &tag.to_be_bytes());
            tags.filter(take).count()
        };
        assert_eq!([taken(0..20), taken(20..30), taken(10..14), taken(0..10)], [10, 0, 4, 0]);
        assert_eq!([taken(0..10), taken(20..30)], [1, 0], "that rate has an end too");
    }
}
