//! Figures of a set of durations.

use core::time::Duration;

/// A distribution in a few figures.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Figures {
    /// How many there are.
    pub count: usize,
    /// Half of them are at most this.
    pub median: Duration,
    /// 95 % of them are at most this.
    pub p95: Duration,
    /// 99 % of them are at most this.
    pub p99: Duration,
    /// The longest.
    pub max: Duration,
}

impl Figures {
    /// Those of these durations, which get sorted; all zero if there are none.
    pub fn of(durations: &mut [Duration]) -> Self {
        durations.sort_unstable();
        // The smallest that at least so many per cent are not above.
        let at = |percent: usize| {
            let rank = (durations.len() * percent).div_ceil(100).saturating_sub(1);
            durations.get(rank).copied().unwrap_or_default()
        };
        Self { count: durations.len(), median: at(50), p95: at(95), p99: at(99), max: at(100) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_durations_that_occurred() {
        let millis = Duration::from_millis;
        let mut durations: Vec<_> = (1..=200).rev().map(millis).collect();
        let figures = Figures::of(&mut durations);
        let expected =
            Figures { count: 200, median: millis(100), p95: millis(190), p99: millis(198), max: millis(200) };
        assert_eq!(figures, expected);
        assert_eq!(Figures::of(&mut [millis(7)]).p99, millis(7));
        assert_eq!(Figures::of(&mut []), Figures::default());
    }
}
