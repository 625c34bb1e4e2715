//! Packets of a session that came in fragments (RFC 7016 section 3.4), put together again.

use std::collections::VecDeque;

use rtmfp_base::Time;

use super::Blank;
use crate::partial::{Added, Partial};
use crate::wire::{Mode, PacketFragment};

/// One of them.
#[derive(Debug)]
struct InMode {
    packet_id: u64,
    mode: Mode,
    partial: Partial,
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
#[derive(Debug)]
pub(crate) struct Reassembly {
    packets: VecDeque<InMode>,
    cost: usize,
}

impl Blank for Reassembly {
    const NEW: Self = Self { packets: VecDeque::new(), cost: 0 };
    const BLANK: &'static Self = &Self::NEW;
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
        self.forget_stale(now);
        let index = self.packets.iter().position(|packet| packet.packet_id == fragment.packet_id);
        // What is being added to stays the youngest.
        let mut packet = match index.and_then(|index| self.packets.remove(index)) {
            Some(packet) => packet,
            None => InMode { packet_id: fragment.packet_id, mode, partial: Partial::new(now) },
        };
        let partial = &mut packet.partial;
        self.cost -= partial.cost();
        let fits = packet.mode == mode && partial.cost_with(fragment) <= limit;
        let added = if fits { partial.add(now, fragment) } else { Added::Refused };
        if let Some(whole) = partial.packet() {
            return Taken::Packet(whole);
        }
        if partial.len() > 0 {
            while self.cost + partial.cost() > limit
                && let Some(oldest) = self.packets.pop_front()
            {
                self.cost -= oldest.partial.cost();
            }
            self.cost += partial.cost();
            self.packets.push_back(packet);
        }
        if added == Added::Refused { Taken::Refused } else { Taken::Waits }
    }

    fn forget_stale(&mut self, now: Time) {
        self.packets.retain(|packet| packet.partial.ends() > now);
        self.cost = self.packets.iter().map(|packet| packet.partial.cost()).sum();
    }
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
        let mut all = Reassembly::NEW;
        assert_eq!(take(&mut all, 0, 7, 2, false, b"three"), Taken::Waits);
        assert_eq!(take(&mut all, 0, 7, 2, false, b"three"), Taken::Waits);
        assert_eq!(take(&mut all, 0, 7, 0, true, b"one"), Taken::Waits);
        assert_eq!(take(&mut all, 0, 8, 0, true, b"another"), Taken::Waits);
        assert_eq!(take(&mut all, 0, 7, 1, true, b"two"), Taken::Packet(b"onetwothree".to_vec()));
        assert_eq!(take(&mut all, 0, 8, 1, false, b"'s"), Taken::Packet(b"another's".to_vec()));
        assert_eq!((all.cost, all.packets.len()), (0, 0));
        assert_eq!(take(&mut all, 0, 9, 0, false, b"single"), Taken::Packet(b"single".to_vec()));
    }

    #[test]
    fn fragments_that_contradict_each_other_are_refused() {
        let mut all = Reassembly::NEW;
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
        let mut all = Reassembly::NEW;
        assert_eq!(take(&mut all, 0, 1, 0, true, &[1; 400]), Taken::Waits);
        assert_eq!(take(&mut all, 0, 2, 0, true, &[1; 400]), Taken::Waits);
        assert_eq!(take(&mut all, 0, 3, 0, true, &[1; 400]), Taken::Waits);
        assert_eq!(all.packets.iter().map(|packet| packet.packet_id).collect::<Vec<_>>(), [2, 3]);
        assert!(all.cost <= 1000);
        assert_eq!(take(&mut all, 0, 2, 1, true, &[1; 500]), Taken::Refused, "too long by itself");
        for index in 0..100 {
            take(&mut all, 0, 4, index, true, b"1");
        }
        assert!(all.cost <= 1000 && all.packets.back().is_some_and(|last| last.partial.len() == 15));
        assert_eq!(take(&mut all, 0, 5, 0, true, &[1; 937]), Taken::Refused);
    }

    #[test]
    fn what_makes_no_progress_is_forgotten() {
        let mut all = Reassembly::NEW;
        assert_eq!(take(&mut all, 0, 1, 0, true, b"1"), Taken::Waits);
        assert_eq!(take(&mut all, 999, 2, 0, true, b"2"), Taken::Waits);
        assert_eq!(all.packets.len(), 2);
        assert_eq!(take(&mut all, 1000, 3, 0, true, b"3"), Taken::Waits);
        assert_eq!(all.packets.iter().map(|packet| packet.packet_id).collect::<Vec<_>>(), [2, 3]);
    }
}
