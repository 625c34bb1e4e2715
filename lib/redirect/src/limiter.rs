//! Rates, of all and of each part of the network.

use core::hash::{Hash, Hasher};
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::collections::HashMap;
use std::hash::DefaultHasher;

use rtmfp_base::{Time, TokenBucket};

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

/// Between looks for prefixes that need not be remembered any more.
const SWEEP: Duration = Duration::from_millis(100);

/// A rate for all, and one for each /24 or /56 prefix: what one stranger may have to himself. Prefixes beyond those that are
/// remembered share one bucket.
#[derive(Debug)]
pub(crate) struct Limiter {
    total: TokenBucket,
    prefix: Rate,
    prefixes: HashMap<u64, TokenBucket>,
    overflow: TokenBucket,
    capacity: usize,
    swept: Time,
}

impl Limiter {
    pub(crate) fn new(total: Rate, prefix: Rate, capacity: usize) -> Self {
        let (prefixes, overflow) = (HashMap::new(), prefix.bucket());
        Self { total: total.bucket(), prefix, prefixes, overflow, capacity, swept: Time::ZERO }
    }

    /// Whether one more may be had from there.
    pub(crate) fn take(&mut self, now: Time, from: IpAddr) -> bool {
        self.take_of_prefix(now, from) && self.total.take(now, 1)
    }

    /// The same, whatever all the others have had.
    fn take_of_prefix(&mut self, now: Time, from: IpAddr) -> bool {
        let key = prefix_of(from);
        let is_full = self.prefixes.len() >= self.capacity;
        if is_full && !self.prefixes.contains_key(&key) && now.since(self.swept) >= SWEEP {
            self.swept = now;
            self.prefixes.retain(|_, bucket| !bucket.is_full(now));
        }
        let room = self.prefixes.len() < self.capacity;
        let bucket = if room || self.prefixes.contains_key(&key) {
            self.prefixes.entry(key).or_insert_with(|| self.prefix.bucket())
        } else {
            &mut self.overflow
        };
        bucket.take(now, 1)
    }
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

    /// Whether a hello from there, with this tag, may be answered.
    pub(crate) fn take(&mut self, now: Time, from: SocketAddr, tag: &[u8]) -> bool {
        if !self.first.take_of_prefix(now, from.ip()) {
            return false;
        }
        self.first.total.take(now, 1) || (self.is_known(from, tag) && self.again.take(now, 1))
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

fn prefix_of(ip: IpAddr) -> u64 {
    match ip.to_canonical() {
        IpAddr::V4(ip) => u64::from(u32::from(ip) >> 8),
        IpAddr::V6(ip) => 1 << 63 | (u128::from(ip) >> 72) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_has_its_rate_and_all_together_theirs() {
        let mut limiter = Limiter::new(Rate::new(25, 1), Rate::new(10, 1), 100);
        let now = Time::from_secs(1);
        let mut from =
            |net: u8| (0..50).filter(|&host| limiter.take(now, [192, 0, net, host].into())).count();
        assert_eq!([from(1), from(2), from(3), from(4)], [10, 10, 5, 0]);
    }

    #[test]
    fn a_hello_that_comes_again_has_another_chance_when_all_are_too_many() {
        let limits = Limiter::new(Rate::new(10, 1), Rate::new(1000, 1), 1000);
        let mut limiter = HelloLimiter::new(limits, Rate::new(5, 1), 7);
        let now = Time::from_secs(1);
        let mut taken = |tags: core::ops::Range<u32>| {
            let take = |tag: &u32| limiter.take(now, ([192, 0, 2, 1], 1).into(), &tag.to_be_bytes());
            tags.filter(take).count()
        };
        assert_eq!([taken(0..20), taken(20..30), taken(10..14), taken(0..10)], [10, 0, 4, 0]);
        assert_eq!([taken(0..10), taken(20..30)], [1, 0], "that rate has an end too");
    }

    #[test]
    fn prefixes_that_are_not_remembered_share_one_rate() {
        let mut limiter = Limiter::new(Rate::new(1_000_000, 1), Rate::new(10, 1), 100);
        let now = Time::from_secs(1);
        let taken = (0..10_000u32).filter(|n| limiter.take(now, (n << 8).to_be_bytes().into())).count();
        assert_eq!((taken, limiter.prefixes.len()), (110, 100));
        assert!(
            limiter.take(now + Duration::from_secs(60), [200, 0, 0, 1].into()),
            "the old ones are forgotten"
        );
    }
}
