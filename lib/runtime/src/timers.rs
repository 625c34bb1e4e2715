use std::collections::BTreeMap;

use rtmfp_base::Time;

/// A timer that has been set and neither fired nor been cancelled.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct TimerId {
    at: Time,
    number: u64,
}

impl TimerId {
    /// When it fires.
    pub const fn at(self) -> Time {
        self.at
    }
}

/// What is to happen when, in order of time, then of setting.
///
/// A search tree instead of a heap: owners move their deadline at nearly every turn, and a heap with lazy
/// removal would collect the old ones.
#[derive(Debug)]
pub(crate) struct Timers<T> {
    timers: BTreeMap<TimerId, T>,
    next_number: u64,
}

impl<T> Timers<T> {
    pub(crate) const fn new() -> Self {
        Self { timers: BTreeMap::new(), next_number: 0 }
    }

    pub(crate) fn insert(&mut self, at: Time, value: T) -> TimerId {
        let id = TimerId { at, number: self.next_number };
        self.next_number += 1;
        self.timers.insert(id, value);
        id
    }

    pub(crate) fn remove(&mut self, id: TimerId) -> Option<T> {
        self.timers.remove(&id)
    }

    /// When the first one fires.
    pub(crate) fn next_time(&self) -> Option<Time> {
        self.timers.first_key_value().map(|(id, _)| id.at)
    }

    /// Marks the timers set up to now, for [`Timers::pop_due`].
    pub(crate) const fn mark(&self) -> u64 {
        self.next_number
    }

    /// Takes the first timer out if its time has come. Those set after `mark` wait for the next turn, so that
    /// a timer that sets itself again at once cannot hold the loop.
    pub(crate) fn pop_due(&mut self, now: Time, mark: u64) -> Option<T> {
        let due = self.timers.keys().take_while(|id| id.at <= now).find(|id| id.number < mark).copied()?;
        self.timers.remove(&due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_come_in_order_of_time_then_of_setting() {
        let mut timers = Timers::new();
        for (at, name) in [(30, "c"), (10, "a"), (30, "d"), (20, "b"), (40, "e")] {
            timers.insert(Time::from_micros(at), name);
        }
        let mark = timers.mark();
        let mut fired = Vec::new();
        while let Some(name) = timers.pop_due(Time::from_micros(30), mark) {
            fired.push(name);
        }
        assert_eq!(fired, ["a", "b", "c", "d"]);
        assert_eq!(timers.next_time(), Some(Time::from_micros(40)));
    }

    #[test]
    fn a_timer_that_sets_itself_again_at_once_waits_for_the_next_turn() {
        let mut timers = Timers::new();
        timers.insert(Time::ZERO, 1);
        let mark = timers.mark();
        assert_eq!(timers.pop_due(Time::ZERO, mark), Some(1));
        timers.insert(Time::ZERO, 2);
        assert_eq!(timers.pop_due(Time::ZERO, mark), None);
        assert_eq!(timers.pop_due(Time::ZERO, timers.mark()), Some(2));
    }

    #[test]
    fn a_cancelled_timer_is_gone_and_others_of_its_time_stay() {
        let mut timers = Timers::new();
        let at = Time::from_secs(1);
        let a = timers.insert(at, "a");
        timers.insert(at, "b");
        assert_eq!(timers.remove(a), Some("a"));
        assert_eq!(timers.remove(a), None);
        assert_eq!(timers.pop_due(at, timers.mark()), Some("b"));
        assert_eq!(timers.next_time(), None);
    }
}
