use core::time::Duration;

use rtmfp_base::Time;

/// A host's clock, which may run faster or slower than the network's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// When it last changed its pace, by the network's clock,
    since: Time,
    /// and by this one.
    showed: Time,
    /// Its microseconds in a second of the network.
    pace: u64,
}

const MILLION: u64 = 1_000_000;

impl Clock {
    /// A clock that shows the network's time.
    pub(crate) const fn new() -> Self {
        Self { since: Time::ZERO, showed: Time::ZERO, pace: MILLION }
    }

    /// # Panics
    /// When the pace is not between a thousandth and a thousand.
    pub(crate) fn set_pace(&mut self, now: Time, pace: f64) {
        assert!((0.001..=1000.0).contains(&pace), "{pace} is no pace for a clock");
        *self = Self { since: now, showed: self.local(now), pace: (pace * MILLION as f64).round() as u64 };
    }

    /// What it shows.
    pub(crate) fn local(&self, now: Time) -> Time {
        if self.pace == MILLION && self.since == self.showed {
            return now;
        }
        let passed = now.since(self.since).as_micros() * u128::from(self.pace) / u128::from(MILLION);
        self.showed + micros(passed)
    }

    /// When it will show this time, or has.
    pub(crate) fn global(&self, local: Time) -> Time {
        if local.is_never() {
            return Time::MAX;
        }
        let passed = local.since(self.showed).as_micros() * u128::from(MILLION);
        // Rounded up: whoever waits for a time must not be called before it.
        self.since + micros(passed.div_ceil(u128::from(self.pace)))
    }
}

fn micros(micros: u128) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dice;

    #[test]
    fn a_clock_never_goes_back_and_shows_a_time_first_when_it_says() {
        let mut dice = Dice::new(1, 0);
        for _ in 0..200 {
            let mut clock = Clock::new();
            let (mut now, mut shown) = (Time::ZERO, Time::ZERO);
            for _ in 0..20 {
                now += dice.up_to(Duration::from_secs(100));
                clock.set_pace(now, 0.001 + dice.below(2_000_000) as f64 / 1e6);
                assert!(clock.local(now) >= shown);
                shown = clock.local(now);
                let wanted = shown + dice.up_to(Duration::from_secs(1));
                let at = clock.global(wanted);
                assert!(at >= now && clock.local(at) >= wanted);
                assert!(at == now || clock.local(at - Duration::from_micros(1)) < wanted);
            }
        }
    }

    #[test]
    fn paces_are_kept_to_the_microsecond() {
        let mut clock = Clock::new();
        clock.set_pace(Time::from_secs(10), 1.5);
        assert_eq!(clock.local(Time::from_secs(20)), Time::from_secs(25));
        clock.set_pace(Time::from_secs(20), 0.5);
        assert_eq!(clock.local(Time::from_secs(30)), Time::from_secs(30));
        assert_eq!(clock.global(Time::from_secs(31)), Time::from_secs(32));
        assert_eq!(clock.global(Time::MAX), Time::MAX);
    }
}
