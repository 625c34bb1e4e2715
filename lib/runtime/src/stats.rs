//! How long things take, kept while they run and summed up for people.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

/// Durations by frequency, in microseconds, up to an hour, to two significant digits.
#[derive(Clone, Debug)]
pub struct Latencies {
    histogram: Histogram<u64>,
}

impl Default for Latencies {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, 3_600_000_000, 2).expect("the bounds are legal");
        Self { histogram }
    }
}

impl Latencies {
    /// Counts one.
    pub fn record(&mut self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.histogram.saturating_record(micros);
    }

    /// Adds those that others have counted.
    pub fn add(&mut self, others: &Self) {
        if self.histogram.add(&others.histogram).is_err() {
            log::error!("distributions of different ranges");
        }
    }

    /// Their count and distribution.
    pub fn summary(&self) -> Summary {
        let at = |quantile| Duration::from_micros(self.histogram.value_at_quantile(quantile));
        Summary {
            count: self.histogram.len(),
            p50: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
            max: Duration::from_micros(self.histogram.max()),
        }
    }
}

/// A distribution of durations in a few figures.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Summary {
    /// How many there are.
    pub count: u64,
    /// Half of them are at most this.
    pub p50: Duration,
    /// 99 % of them are at most this.
    pub p99: Duration,
    /// 99.9 % of them are at most this.
    pub p999: Duration,
    /// The longest.
    pub max: Duration,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, p50, p99, p999, max } = self;
        write!(f, "{count}, p50 {p50:?}, p99 {p99:?}, p99.9 {p999:?}, max {max:?}")
    }
}

/// What a [`RunLoop`](crate::RunLoop) measures of itself.
#[derive(Clone, Debug, Default)]
pub struct LoopStats {
    turns: Latencies,
    slow_turns: u64,
    jobs: Latencies,
    /// The turns since somebody asked last.
    recent: Latencies,
}

impl LoopStats {
    /// A turn of at least this is slow: whatever waits for the loop has waited too long.
    pub const SLOW_TURN: Duration = Duration::from_millis(5);

    /// Counts a turn, without the time that it waited for something to happen.
    pub(crate) fn record_turn(&mut self, duration: Duration) {
        self.turns.record(duration);
        self.recent.record(duration);
        self.slow_turns += u64::from(duration >= Self::SLOW_TURN);
    }

    /// Counts a job, from its being asked for to its result being back in the loop.
    pub fn record_job(&mut self, duration: Duration) {
        self.jobs.record(duration);
    }

    /// The 99th percentile of the turns since the last call; `None` if there were none.
    pub(crate) fn take_recent(&mut self) -> Option<Duration> {
        let summary = self.recent.summary();
        self.recent.histogram.reset();
        (summary.count > 0).then_some(summary.p99)
    }

    /// Adds what others have measured.
    pub fn add(&mut self, others: &Self) {
        self.turns.add(&others.turns);
        self.slow_turns += others.slow_turns;
        self.jobs.add(&others.jobs);
    }

    /// How long turns took.
    pub fn turns(&self) -> Summary {
        self.turns.summary()
    }

    /// How long jobs took, from their being asked for to their results being back in the loop.
    pub fn jobs(&self) -> Summary {
        self.jobs.summary()
    }

    /// The share of turns that took less than [`LoopStats::SLOW_TURN`], 0 to 1; 1 if there was none.
    pub fn share_of_quick_turns(&self) -> f64 {
        let turns = self.turns.histogram.len();
        if turns == 0 { 1.0 } else { 1.0 - self.slow_turns as f64 / turns as f64 }
    }
}

impl fmt::Display for LoopStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quick = 100.0 * self.share_of_quick_turns();
        writeln!(f, "turns: {}, {quick:.3} % under {:?}", self.turns(), Self::SLOW_TURN)?;
        write!(f, "jobs: {}", self.jobs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_quick_turns_leaves_out_those_of_five_milliseconds() {
        let mut stats = LoopStats::default();
        assert_eq!(stats.share_of_quick_turns(), 1.0);
        for micros in [10, 4_999, 5_000, 50_000] {
            stats.record_turn(Duration::from_micros(micros));
        }
        assert_eq!(stats.share_of_quick_turns(), 0.5);
        assert_eq!(stats.turns().count, 4);
        let text = stats.to_string();
        assert!(text.starts_with("turns: 4, p50 "), "{text}");
        assert!(text.contains("50.000 % under 5ms"), "{text}");
    }

    #[test]
    fn durations_beyond_the_range_are_counted_at_its_end() {
        let mut latencies = Latencies::default();
        latencies.record(Duration::MAX);
        latencies.record(Duration::ZERO);
        assert_eq!(latencies.summary().count, 2);
        assert!(latencies.summary().max >= Duration::from_secs(3590));
    }
}
