//! The round-trip time of a path whose queues are empty, as far as that is known.

use core::time::Duration;

use rtmfp_base::Time;

/// How long a sample counts: paths change, and clocks drift.
const HISTORY: Duration = Duration::from_secs(180);
/// The minimum of this time is one entry of the history.
const ENTRY: Duration = Duration::from_secs(30);
const ENTRIES: usize = 6;

/// The least round-trip time of at most three minutes.
#[derive(Clone, Debug, Default)]
pub(super) struct BaseRtt {
    /// Since when, and the minimum; the newest one first.
    entries: [Option<(Time, Duration)>; ENTRIES],
    least: Option<Duration>,
}

impl BaseRtt {
    /// Takes a sample.
    pub(super) fn note(&mut self, now: Time, sample: Duration) {
        match &mut self.entries[0] {
            Some((since, least)) if now.since(*since) <= ENTRY => *least = sample.min(*least),
            _ => {
                self.entries.rotate_right(1);
                self.entries[0] = Some((now, sample));
            }
        }
        let fresh =
            |entry: &Option<(Time, Duration)>| entry.filter(|(since, _)| now.since(*since) <= HISTORY);
        self.least = self.entries.iter().filter_map(fresh).map(|(_, least)| least).min();
    }

    /// Forgets all samples: from the next one on, nothing before it counts. Until then the minimum stays.
    pub(super) fn forget(&mut self) {
        self.entries = [None; ENTRIES];
    }

    /// The minimum; `None` before the first sample.
    pub(super) fn get(&self) -> Option<Duration> {
        self.least
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    #[test]
    fn the_base_is_the_minimum_of_at_most_three_minutes() {
        let mut base = BaseRtt::default();
        assert_eq!(base.get(), None);
        base.note(Time::from_secs(10), MILLI * 20);
        for second in 11..=190 {
            base.note(Time::from_secs(second), MILLI * 50);
            assert_eq!(base.get(), Some(MILLI * 20), "after {second} s");
        }
        base.note(Time::from_secs(191), MILLI * 50);
        assert_eq!(base.get(), Some(MILLI * 50));
        base.note(Time::from_secs(192), MILLI * 30);
        assert_eq!(base.get(), Some(MILLI * 30));
    }

    #[test]
    fn what_was_forgotten_counts_until_the_next_sample() {
        let mut base = BaseRtt::default();
        base.note(Time::from_secs(1), MILLI * 20);
        base.forget();
        assert_eq!(base.get(), Some(MILLI * 20));
        base.note(Time::from_secs(2), MILLI * 90);
        assert_eq!(base.get(), Some(MILLI * 90));
    }
}
