//! Rates, of all and of each part of the network.

use core::net::IpAddr;
use core::time::Duration;
use std::collections::HashMap;

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
        bucket.take(now, 1) && self.total.take(now, 1)
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
