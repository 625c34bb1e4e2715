//! A set of sequence numbers as ranges.

use core::ops::RangeInclusive;
use std::collections::VecDeque;

/// A set of numbers, kept as sorted ranges that neither touch nor overlap.
///
/// Sequence numbers arrive nearly in order, so changes are near the end and a sorted deque is fast.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct RangeSet {
    ranges: VecDeque<(u64, u64)>,
}

impl RangeSet {
    /// How many ranges there are.
    pub(crate) fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether a number is in the set.
    pub(crate) fn contains(&self, number: u64) -> bool {
        let after = self.ranges.partition_point(|&(start, _)| start <= number);
        after > 0 && self.ranges[after - 1].1 >= number
    }

    /// The end of the range that begins at 0, 0 if there is none.
    pub(crate) fn cumulative(&self) -> u64 {
        match self.ranges.front() {
            Some(&(0, end)) => end,
            _ => 0,
        }
    }

    /// Whether the set is exactly `0..=n` for some n, or empty.
    pub(crate) fn is_gapless(&self) -> bool {
        match self.ranges.len() {
            0 => true,
            1 => self.ranges[0].0 == 0,
            _ => false,
        }
    }

    /// Whether inserting a number would begin a new range.
    pub(crate) fn would_split(&self, number: u64) -> bool {
        let after = self.ranges.partition_point(|&(start, _)| start <= number);
        let joins_before = after > 0 && self.ranges[after - 1].1.saturating_add(1) >= number;
        let joins_after = self.ranges.get(after).is_some_and(|&(start, _)| start - 1 == number);
        !joins_before && !joins_after
    }

    /// Puts a range of numbers in.
    pub(crate) fn insert(&mut self, numbers: RangeInclusive<u64>) {
        let (mut start, mut end) = numbers.into_inner();
        if start > end {
            return;
        }
        // The first range that reaches `start - 1` or beyond, and the first that begins after `end + 1`.
        let first = self.ranges.partition_point(|&(_, last)| last.saturating_add(1) < start);
        let after = self.ranges.partition_point(|&(begin, _)| begin <= end.saturating_add(1));
        if first < after {
            start = start.min(self.ranges[first].0);
            end = end.max(self.ranges[after - 1].1);
            self.ranges[first] = (start, end);
            self.ranges.drain(first + 1..after);
        } else {
            self.ranges.insert(first, (start, end));
        }
    }

    /// The ranges behind the first one that begins at 0, in order.
    pub(crate) fn beyond_cumulative(&self) -> impl Iterator<Item = RangeInclusive<u64>> {
        let skip = usize::from(matches!(self.ranges.front(), Some(&(0, _))));
        self.ranges.iter().skip(skip).map(|&(start, end)| start..=end)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn naive_ranges(numbers: &BTreeSet<u64>) -> Vec<(u64, u64)> {
        let mut out: Vec<(u64, u64)> = Vec::new();
        for &number in numbers {
            match out.last_mut() {
                Some(last) if last.1 + 1 == number => last.1 = number,
                _ => out.push((number, number)),
            }
        }
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn agrees_with_a_plain_set(inserts in proptest::collection::vec((0u64..60, 0u64..6), 0..60)) {
            let mut set = RangeSet::default();
            let mut naive = BTreeSet::new();
            for (start, len) in inserts {
                for number in 0..70 {
                    let mut with = naive.clone();
                    with.insert(number);
                    let grows = naive_ranges(&with).len() > naive_ranges(&naive).len();
                    prop_assert_eq!(set.would_split(number), grows, "{}", number);
                }
                set.insert(start..=start + len);
                naive.extend(start..=start + len);
                prop_assert_eq!(set.ranges.iter().copied().collect::<Vec<_>>(), naive_ranges(&naive));
                for number in 0..70 {
                    prop_assert_eq!(set.contains(number), naive.contains(&number));
                }
                let first = naive_ranges(&naive).first().copied().filter(|range| range.0 == 0);
                prop_assert_eq!(set.cumulative(), first.map_or(0, |range| range.1));
            }
        }
    }

    #[test]
    fn the_ends_of_the_number_space_do_not_overflow() {
        let mut set = RangeSet::default();
        set.insert(u64::MAX..=u64::MAX);
        set.insert(u64::MAX - 1..=u64::MAX - 1);
        set.insert(0..=0);
        assert_eq!(set.len(), 2);
        assert!(set.contains(u64::MAX));
        assert!(!set.would_split(u64::MAX - 2));
    }
}
