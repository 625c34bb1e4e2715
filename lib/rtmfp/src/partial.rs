//! A packet that comes in fragments (RFC 7016 section 3.4), as far as it has come. Whoever collects them says how many
//! there may be and how large they may get.

use core::time::Duration;
use std::collections::BTreeMap;

use rtmfp_base::Time;

use crate::wire::PacketFragment;

/// A packet of which nothing new came for so long, or that has taken so long in all, is given up.
const STALLED: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);
/// What a fragment costs beside its bytes.
const OVERHEAD: usize = 64;

/// What became of a fragment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Added {
    /// It is among the others.
    New,
    /// It was there before.
    Repeated,
    /// It contradicts the others.
    Refused,
}

/// The fragments of one packet.
#[derive(Debug)]
pub(crate) struct Partial {
    pieces: BTreeMap<u64, Vec<u8>>,
    /// How many there are, once the last one has come.
    count: Option<u64>,
    bytes: usize,
    began: Time,
    progressed: Time,
}

impl Partial {
    pub(crate) fn new(now: Time) -> Self {
        Self { pieces: BTreeMap::new(), count: None, bytes: 0, began: now, progressed: now }
    }

    /// When it is given up.
    pub(crate) fn ends(&self) -> Time {
        (self.progressed + STALLED).min(self.began + LONGEST)
    }

    /// How many fragments have come.
    pub(crate) fn len(&self) -> usize {
        self.pieces.len()
    }

    /// The bytes of the packet with those of another fragment.
    pub(crate) fn bytes_with(&self, fragment: &PacketFragment<'_>) -> usize {
        self.bytes + fragment.data.len()
    }

    /// What it costs.
    pub(crate) fn cost(&self) -> usize {
        self.bytes + OVERHEAD * self.pieces.len()
    }

    /// The same with another fragment.
    pub(crate) fn cost_with(&self, fragment: &PacketFragment<'_>) -> usize {
        self.cost() + fragment.data.len() + OVERHEAD
    }

    /// Puts a fragment among the others, unless it contradicts them.
    pub(crate) fn add(&mut self, now: Time, fragment: &PacketFragment<'_>) -> Added {
        let end = (!fragment.more).then(|| fragment.index.saturating_add(1));
        let highest = self.pieces.last_key_value().map(|(&index, _)| index);
        let contradicts = match (self.count, end) {
            (Some(count), Some(end)) => end != count,
            (Some(count), None) => fragment.index.saturating_add(1) >= count,
            (None, Some(end)) => highest.is_some_and(|highest| highest >= end),
            (None, None) => false,
        };
        if contradicts {
            return Added::Refused;
        }
        if self.pieces.contains_key(&fragment.index) {
            // One that was not the last before is not the last now.
            return if end.is_none() || self.count.is_some() { Added::Repeated } else { Added::Refused };
        }
        self.pieces.insert(fragment.index, fragment.data.to_vec());
        self.bytes += fragment.data.len();
        self.count = self.count.or(end);
        self.progressed = now;
        Added::New
    }

    /// The packet, when nothing is missing.
    pub(crate) fn packet(&self) -> Option<Vec<u8>> {
        let complete = self.count == Some(self.pieces.len() as u64);
        complete.then(|| self.pieces.values().map(Vec::as_slice).collect::<Vec<_>>().concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fragment(index: u64, more: bool) -> PacketFragment<'static> {
        PacketFragment { more, packet_id: 1, index, data: b"ab" }
    }

    #[test]
    fn fragments_that_contradict_the_others_are_refused() {
        let mut packet = Partial::new(Time::ZERO);
        assert_eq!(packet.add(Time::ZERO, &fragment(1, true)), Added::New);
        assert_eq!(packet.add(Time::ZERO, &fragment(1, true)), Added::Repeated);
        assert_eq!(packet.add(Time::ZERO, &fragment(1, false)), Added::Refused, "it was not the last");
        assert_eq!(packet.add(Time::ZERO, &fragment(0, false)), Added::Refused, "there is another behind");
        assert_eq!(packet.add(Time::ZERO, &fragment(2, false)), Added::New);
        assert_eq!(packet.add(Time::ZERO, &fragment(2, false)), Added::Repeated);
        for (index, more) in [(2, true), (3, true), (3, false), (u64::MAX, true), (u64::MAX, false)] {
            assert_eq!(packet.add(Time::ZERO, &fragment(index, more)), Added::Refused, "{index} {more}");
        }
        assert_eq!(packet.packet(), None);
        assert_eq!(packet.add(Time::ZERO, &fragment(0, true)), Added::New);
        assert_eq!(packet.packet().as_deref(), Some(&b"ababab"[..]));
        assert_eq!((packet.len(), packet.cost()), (3, 6 + 3 * OVERHEAD));
    }

    #[test]
    fn a_packet_is_given_up_a_second_after_its_last_progress_and_after_a_minute_in_any_case() {
        let mut packet = Partial::new(Time::ZERO);
        for index in 0..67 {
            assert!(packet.ends() > Time::from_millis(900 * index), "{index}");
            packet.add(Time::from_millis(900 * index), &fragment(index, true));
        }
        assert_eq!(packet.ends(), Time::from_secs(60));
        let mut packet = Partial::new(Time::ZERO);
        packet.add(Time::from_millis(10), &fragment(0, true));
        packet.add(Time::from_millis(500), &fragment(0, true));
        assert_eq!(packet.ends(), Time::from_millis(1010), "a repetition is no progress");
    }
}
