use crate::Time;

/// A token bucket: so many at once, so many a second.
#[derive(Clone, Copy, Debug)]
pub struct TokenBucket {
    /// Tokens, in millionths.
    level: u64,
    capacity: u64,
    per_second: u64,
    at: Time,
}

impl TokenBucket {
    /// A full bucket that holds `burst` tokens and gains `per_second`.
    pub const fn new(burst: u32, per_second: u32) -> Self {
        let capacity = burst as u64 * 1_000_000;
        Self { level: capacity, capacity, per_second: per_second as u64, at: Time::ZERO }
    }

    /// Takes `count` tokens if they are there.
    pub fn take(&mut self, now: Time, count: u32) -> bool {
        self.refill(now);
        let cost = u64::from(count) * 1_000_000;
        if self.level < cost {
            return false;
        }
        self.level -= cost;
        true
    }

    /// Whether the bucket is full, so that it need not be remembered.
    pub fn is_full(&mut self, now: Time) -> bool {
        self.refill(now);
        self.level == self.capacity
    }

    fn refill(&mut self, now: Time) {
        let gained = (now.since(self.at).as_micros() as u64).saturating_mul(self.per_second);
        self.level = self.level.saturating_add(gained).min(self.capacity);
        self.at = self.at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_its_burst_then_its_rate() {
        let mut bucket = TokenBucket::new(3, 10);
        let mut now = Time::from_secs(5);
        assert_eq!((0..9).filter(|_| bucket.take(now, 1)).count(), 3);
        let mut given = 0;
        for _ in 0..1000 {
            now += core::time::Duration::from_millis(1);
            given += u32::from(bucket.take(now, 1));
        }
        assert_eq!(given, 10);
        assert!(!bucket.is_full(now));
        assert!(bucket.is_full(now + core::time::Duration::from_secs(1)));
    }
    #[test]
    fn a_clock_that_goes_back_brings_nothing() {
        let mut bucket = TokenBucket::new(1, 1);
        let late = Time::from_secs(10);
        assert!(bucket.take(late, 1));
        assert!(!bucket.take(Time::from_secs(5), 1) && !bucket.take(late, 1));
        assert!(bucket.take(Time::from_secs(11), 1));
    }
}
