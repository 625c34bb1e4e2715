//! Packets of a session that came in fragments (RFC 7016 section 3.4), put together again.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use rtmfp_base::Time;

use crate::wire::{Mode, PacketFragment};

/// A packet must be complete after this.
const LIFETIME: Duration = Duration::from_secs(60);
/// And go on after this.
const PATIENCE: Duration = Duration::from_secs(1);
/// What a fragment costs beside its bytes.
const OVERHEAD: usize = 64;

#[derive(Debug)]
struct Partial {
    packet_id: u64,
    mode: Mode,
    parts: BTreeMap<u64, Vec<u8>>,
    /// How many parts there are, once the last one has come.
    count: Option<u64>,
    cost: usize,
    begun: Time,
    progressed: Time,
}

impl Partial {
    fn is_complete(&self) -> bool {
        self.count == Some(self.parts.len() as u64)
    }

    fn is_stale(&self, now: Time) -> bool {
        now.since(self.progressed) > PATIENCE || now.since(self.begun) > LIFETIME
    }
}

/// What became of a fragment.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Taken {
    /// It completes this packet.
    Packet(Vec<u8>),
    /// Others are missing, or it was there before.
    Waits,
    /// It does not fit the limit, or the others of its packet.
    Refused,
}

/// The packets of one session of which some fragments have come, the oldest one first.
#[derive(Debug, Default)]
pub(crate) struct Reassembly {
    partials: VecDeque<Partial>,
    cost: usize,
}

impl Reassembly {
    /// Takes a fragment that came in a packet of some mode. All fragments together cost at most `limit` bytes, 64 each
    /// beside their data; where there is no room, older packets have to go.
    pub(crate) fn take(
        &mut self,
        now: Time,
        mode: Mode,
        fragment: &PacketFragment<'_>,
        limit: usize,
    ) -> Taken {
        self.forget(|partial| partial.is_stale(now));
        let index = self.partials.iter().position(|partial| partial.packet_id == fragment.packet_id);
        // What is being added to stays the youngest.
        let mut partial = match index.and_then(|index| self.partials.remove(index)) {
            Some(partial) => partial,
            None => Partial {
                packet_id: fragment.packet_id,
                mode,
                parts: BTreeMap::new(),
                count: None,
                cost: 0,
                begun: now,
                progressed: now,
            },
        };
        self.cost -= partial.cost;
        let taken = add(&mut partial, now, mode, fragment, limit);
        if partial.is_complete() {
            return Taken::Packet(partial.parts.into_values().flatten().collect());
        }
        if !partial.parts.is_empty() {
            while self.cost + partial.cost > limit
                && let Some(oldest) = self.partials.pop_front()
            {
                self.cost -= oldest.cost;
            }
            self.cost += partial.cost;
            self.partials.push_back(partial);
        }
        taken
    }

    fn forget(&mut self, unwanted: impl Fn(&Partial) -> bool) {
        self.partials.retain(|partial| !unwanted(partial));
        self.cost = self.partials.iter().map(|partial| partial.cost).sum();
    }
}

/// Puts a fragment among the others of its packet, unless it contradicts them.
fn add(partial: &mut Partial, now: Time, mode: Mode, fragment: &PacketFragment<'_>, limit: usize) -> Taken {
    let cost = fragment.data.len() + OVERHEAD;
    let ends = (!fragment.more).then(|| fragment.index.saturating_add(1));
    let beyond = partial.count.is_some_and(|count| fragment.index >= count);
    let too_early = ends.is_some_and(|end| partial.parts.keys().next_back().is_some_and(|last| *last >= end));
    let another_end = ends.is_some() && partial.count.is_some() && ends != partial.count;
    if partial.mode != mode || beyond || too_early || another_end || partial.cost + cost > limit {
        return Taken::Refused;
    }
    if partial.parts.contains_key(&fragment.index) {
        return Taken::Waits;
    }
    partial.parts.insert(fragment.index, fragment.data.to_vec());
    partial.count = partial.count.or(ends);
    partial.cost += cost;
    partial.progressed = now;
    Taken::Waits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(all: &mut Reassembly, at: u64, packet_id: u64, index: u64, more: bool, data: &[u8]) -> Taken {
        let fragment = PacketFragment { more, packet_id, index, data };
        all.take(Time::from_millis(at), Mode::Initiator, &fragment, 1000)
    }

    #[test]
    fn fragments_make_a_packet_in_any_order_and_however_often_they_come() {
        let mut all = Reassembly::default();
        assert_eq!(take(&mut all, 0, 7, 2, false, b"three"), Taken::Waits);
        assert_eq!(take(&mut all, 0, 7, 2, false, b"three"), Taken::Waits);
        assert_eq!(take(&mut all, 0, 7, 0, true, b"one"), Taken::Waits);
        assert_eq!(take(&mut all, 0, 8, 0, true, b"another"), Taken::Waits);
        assert_eq!(take(&mut all, 0, 7, 1, true, b"two"), Taken::Packet(b"onetwothree".to_vec()));
        assert_eq!(take(&mut all, 0, 8, 1, false, b"'s"), Taken::Packet(b"another's".to_vec()));
        assert_eq!((all.cost, all.partials.len()), (0, 0));
        assert_eq!(take(&mut all, 0, 9, 0, false, b"single"), Taken::Packet(b"single".to_vec()));
    }

    #[test]
    fn fragments_that_contradict_each_other_are_refused() {
        let mut all = Reassembly::default();
        assert_eq!(take(&mut all, 0, 7, 1, false, b"b"), Taken::Waits);
        for (index, more) in [(2, true), (2, false), (u64::MAX, false), (0, false)] {
            assert_eq!(take(&mut all, 0, 7, index, more, b"x"), Taken::Refused, "{index} {more}");
        }
        let other = PacketFragment { more: true, packet_id: 7, index: 0, data: b"a" };
        assert_eq!(all.take(Time::ZERO, Mode::Responder, &other, 1000), Taken::Refused);
        assert_eq!(take(&mut all, 0, 7, 0, true, b"a"), Taken::Packet(b"ab".to_vec()));
    }

    #[test]
    fn memory_is_bounded_and_older_packets_give_way() {
        let mut all = Reassembly::default();
        assert_eq!(take(&mut all, 0, 1, 0, true, &[1; 400]), Taken::Waits);
        assert_eq!(take(&mut all, 0, 2, 0, true, &[1; 400]), Taken::Waits);
        assert_eq!(take(&mut all, 0, 3, 0, true, &[1; 400]), Taken::Waits);
        assert_eq!(all.partials.iter().map(|partial| partial.packet_id).collect::<Vec<_>>(), [2, 3]);
        assert!(all.cost <= 1000);
        assert_eq!(take(&mut all, 0, 2, 1, true, &[1; 500]), Taken::Refused, "too long by itself");
        for index in 0..100 {
            take(&mut all, 0, 4, index, true, b"1");
        }
        assert!(all.cost <= 1000 && all.partials.back().is_some_and(|last| last.parts.len() == 15));
        assert_eq!(take(&mut all, 0, 5, 0, true, &[1; 937]), Taken::Refused);
    }

    #[test]
    fn what_makes_no_progress_is_forgotten() {
        let mut all = Reassembly::default();
        for second in 0..60 {
            assert_eq!(take(&mut all, second * 1000, 1, second, true, b""), Taken::Waits, "{second}");
            all.cost = 0;
            all.partials.iter_mut().for_each(|partial| partial.cost = 0);
        }
        assert_eq!(all.partials[0].parts.len(), 60);
        assert_eq!(take(&mut all, 60_001, 2, 0, true, b"2"), Taken::Waits);
        assert_eq!(all.partials.len(), 1);
        assert_eq!(take(&mut all, 61_002, 3, 0, true, b"3"), Taken::Waits);
        assert_eq!(all.partials.len(), 1);
    }
}
