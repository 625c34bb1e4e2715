use core::net::IpAddr;
use core::time::Duration;
use std::collections::HashMap;

use crate::{Time, TokenBucket};

/// Between looks for prefixes that need not be remembered any more.
const SWEEP: Duration = Duration::from_millis(100);

/// The /24 of an IPv4 address, the /56 of an IPv6 address: what one stranger may have to himself.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Prefix(u64);

impl From<IpAddr> for Prefix {
    fn from(ip: IpAddr) -> Self {
        Self(match ip.to_canonical() {
            IpAddr::V4(ip) => u64::from(u32::from(ip) >> 8),
            IpAddr::V6(ip) => 1 << 63 | (u128::from(ip) >> 72) as u64,
        })
    }
}

/// A rate for all, and one for each prefix. Prefixes beyond those that are remembered share one bucket.
#[derive(Debug)]
pub struct Limiter {
    total: TokenBucket,
    rate: (u32, u32),
    prefixes: HashMap<Prefix, TokenBucket>,
    overflow: TokenBucket,
    capacity: usize,
    swept: Time,
}

impl Limiter {
    /// Rates of all and of each prefix: so many at once, so many a second. `capacity` prefixes are remembered.
    pub fn new(total: (u32, u32), prefix: (u32, u32), capacity: usize) -> Self {
        Self {
            total: TokenBucket::new(total.0, total.1),
            rate: prefix,
            prefixes: HashMap::new(),
            overflow: TokenBucket::new(prefix.0, prefix.1),
            capacity,
            swept: Time::ZERO,
        }
    }

    /// Whether one more may be had from there.
    pub fn take(&mut self, now: Time, from: IpAddr) -> bool {
        self.take_of_prefix(now, from) && self.take_of_all(now)
    }

    /// The first half of it: what there is for the prefix, whatever all the others have had.
    pub fn take_of_prefix(&mut self, now: Time, from: IpAddr) -> bool {
        let prefix = Prefix::from(from);
        let known = self.prefixes.contains_key(&prefix);
        if !known && self.prefixes.len() >= self.capacity && now.since(self.swept) >= SWEEP {
            self.swept = now;
            self.prefixes.retain(|_, bucket| !bucket.is_full(now));
        }
        let full = self.prefixes.len() >= self.capacity;
        let bucket = match self.prefixes.get_mut(&prefix) {
            Some(bucket) => bucket,
            None if full => &mut self.overflow,
            None => self.prefixes.entry(prefix).or_insert_with(|| TokenBucket::new(self.rate.0, self.rate.1)),
        };
        bucket.take(now, 1)
    }

    /// The second half: what there is for all together.
    pub fn take_of_all(&mut self, now: Time) -> bool {
        self.total.take(now, 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_prefix_can_not_use_up_what_others_need() {
        let mut limiter = Limiter::new((1000, 100), (10, 1), 100);
        let now = Time::from_secs(1);
        let flood = (0..500u32).filter(|n| limiter.take(now, IpAddr::from([10, 0, 0, *n as u8]))).count();
        assert_eq!(flood, 10);
        assert!(limiter.take(now, IpAddr::from([10, 0, 1, 1])));
    }

    #[test]
    fn a_prefix_has_its_rate_and_all_together_theirs() {
        let mut limiter = Limiter::new((25, 1), (10, 1), 100);
        let now = Time::from_secs(1);
        let mut from =
            |net: u8| (0..50).filter(|&host| limiter.take(now, [192, 0, net, host].into())).count();
        assert_eq!([from(1), from(2), from(3), from(4)], [10, 10, 5, 0]);
    }

    #[test]
    fn more_prefixes_than_can_be_remembered_share_one_rate_and_bounded_memory() {
        let mut limiter = Limiter::new((1_000_000, 100), (10, 1), 100);
        let now = Time::from_secs(1);
        let answered =
            (0..10_000u32).filter(|n| limiter.take(now, IpAddr::from((n << 8).to_be_bytes()))).count();
        assert_eq!(answered, 110);
        assert_eq!(limiter.prefixes.len(), 100);
        assert!(limiter.take(now + Duration::from_secs(60), IpAddr::from([200, 0, 0, 1])));
    }
    #[test]
    fn a_prefix_is_a_24_of_ipv4_however_it_is_written_and_a_56_of_ipv6() {
        let prefix = |text: &str| Prefix::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(prefix("192.0.2.1"), prefix("192.0.2.255"));
        assert_eq!(prefix("192.0.2.1"), prefix("::ffff:192.0.2.9"));
        assert_ne!(prefix("192.0.2.1"), prefix("192.0.3.1"));
        assert_eq!(prefix("2001:db8:0:ff00::1"), prefix("2001:db8:0:ffff:1::"));
        assert_ne!(prefix("2001:db8:0:ff00::1"), prefix("2001:db8:0:fe00::1"));
        // The same bits in the other family.
        assert_ne!(prefix("192.0.2.1"), prefix("0:0:c0:2::"));
        assert_ne!(prefix("192.0.2.1"), prefix("0:c0:0:200::"));
    }

    #[test]
    fn prefixes_that_have_rested_make_room_and_others_stay_as_they_are() {
        let mut limiter = Limiter::new((1000, 100), (2, 1), 2);
        let mut now = Time::from_secs(1);
        let mut take = |now, net: u8| limiter.take(now, [192, 0, net, 1].into());
        assert_eq!([1, 2, 2, 3, 4, 5].map(|net| take(now, net)), [true, true, true, true, true, false]);
        // The first one is full again, the second one is not.
        now += Duration::from_secs(1);
        assert_eq!([3, 3, 3, 2, 2].map(|net| take(now, net)), [true, true, false, true, false]);
    }
}
