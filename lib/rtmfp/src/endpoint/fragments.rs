//! Startup packets that are larger than the path takes (RFC 7016 section 3.4).

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{BTreeMap, HashMap, VecDeque};

use rtmfp_base::Time;

use super::Endpoint;
use super::control::{ControlPacket, Envelope};
use super::hello::Prefix;
use crate::config::FragmentLimits;
use crate::wire::{Chunk, Mode, PacketFragment};

/// A clear packet up to here is carried by every path, as the packets of open sessions are.
const WHOLE: usize = 1200;
/// Bytes of the packet in a fragment: four of them hold the longest packet, and are no more than [`BURST`].
const PIECE: usize = 1064;
/// What the header of a fragment and everything around it may take on the wire.
const AROUND: usize = 31;
/// So much goes to one address at once: bytes, packets, in this time.
const BURST: usize = 4380;
const BURST_PACKETS: usize = 4;
const BURST_TIME: Duration = Duration::from_millis(200);
/// A packet of which nothing new came for so long, or that has taken so long in all, is given up.
const STALLED: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);
/// What a piece costs beside its bytes.
const OVERHEAD: usize = 64;
const SWEEP: Duration = Duration::from_millis(100);

/// What became of a fragment.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Taken {
    /// More are missing.
    Held,
    /// There is no room, or it contradicts the others.
    Refused,
    /// The packet is whole: its bytes, and those of the datagrams that it took.
    Whole(Vec<u8>, usize),
}

/// Packets of which some fragments have come.
#[derive(Debug, Default)]
pub(crate) struct Reassembly {
    packets: BTreeMap<(SocketAddr, u64), Partial>,
    by_prefix: HashMap<Prefix, usize>,
    bytes: usize,
    swept: Time,
}

#[derive(Debug)]
struct Partial {
    pieces: BTreeMap<u64, Vec<u8>>,
    last: Option<u64>,
    /// Of the packet, and of the datagrams.
    bytes: usize,
    received: usize,
    began: Time,
    progressed: Time,
}

impl Partial {
    fn ends(&self) -> Time {
        (self.progressed + STALLED).min(self.began + LONGEST)
    }

    fn cost(&self) -> usize {
        self.bytes + OVERHEAD * self.pieces.len()
    }
}

impl Reassembly {
    /// Takes a fragment that came in a datagram of so many bytes.
    pub(crate) fn take(
        &mut self,
        limits: &FragmentLimits,
        now: Time,
        from: SocketAddr,
        len: usize,
        fragment: &PacketFragment<'_>,
    ) -> Taken {
        if now.since(self.swept) >= SWEEP {
            self.expire(now);
        }
        let key = (from, fragment.packet_id);
        let mut partial = match self.remove(key) {
            Some(partial) if partial.ends() > now => partial,
            _ => Partial {
                pieces: BTreeMap::new(),
                last: None,
                bytes: 0,
                received: 0,
                began: now,
                progressed: now,
            },
        };
        partial.received += len;
        if partial.pieces.contains_key(&fragment.index) {
            return self.keep(limits, key, partial);
        }
        let highest = partial.pieces.last_key_value().map(|(&index, _)| index);
        let contradicts = match (partial.last, fragment.more) {
            (Some(last), more) => !more || fragment.index > last,
            (None, true) => false,
            (None, false) => highest.is_some_and(|highest| highest > fragment.index),
        };
        let bytes = partial.bytes + fragment.data.len();
        if contradicts || bytes > limits.packet_bytes || fragment.index >= limits.packet_bytes as u64 {
            if !partial.pieces.is_empty() {
                self.keep(limits, key, partial);
            }
            return Taken::Refused;
        }
        partial.bytes = bytes;
        partial.progressed = now;
        partial.last = partial.last.or_else(|| (!fragment.more).then_some(fragment.index));
        partial.pieces.insert(fragment.index, fragment.data.to_vec());
        if partial.last.is_some_and(|last| partial.pieces.len() as u64 == last + 1) {
            let pieces: Vec<Vec<u8>> = partial.pieces.into_values().collect();
            return Taken::Whole(pieces.concat(), partial.received);
        }
        self.keep(limits, key, partial)
    }

    fn keep(&mut self, limits: &FragmentLimits, key: (SocketAddr, u64), partial: Partial) -> Taken {
        let prefix = Prefix::from(key.0.ip());
        let own = self.by_prefix.get(&prefix).copied().unwrap_or_default();
        let room = self.packets.len() < limits.packets
            && own < limits.prefix_packets
            && self.bytes + partial.cost() <= limits.bytes;
        if !room {
            return Taken::Refused;
        }
        self.bytes += partial.cost();
        *self.by_prefix.entry(prefix).or_default() += 1;
        self.packets.insert(key, partial);
        Taken::Held
    }

    fn remove(&mut self, key: (SocketAddr, u64)) -> Option<Partial> {
        let partial = self.packets.remove(&key)?;
        self.bytes -= partial.cost();
        let prefix = Prefix::from(key.0.ip());
        if let Some(count) = self.by_prefix.get_mut(&prefix) {
            *count -= 1;
            if *count == 0 {
                self.by_prefix.remove(&prefix);
            }
        }
        Some(partial)
    }

    /// Gives up what is not complete in time.
    fn expire(&mut self, now: Time) {
        self.swept = now;
        let late: Vec<_> =
            self.packets.iter().filter(|(_, partial)| partial.ends() <= now).map(|(&key, _)| key).collect();
        for key in late {
            self.remove(key);
        }
    }

    /// How many packets are not complete.
    pub(crate) fn len(&self) -> usize {
        self.packets.len()
    }
}

/// Fragments to be sent, each address at its rate.
#[derive(Debug, Default)]
pub(crate) struct Paced {
    targets: BTreeMap<SocketAddr, Target>,
    waiting: usize,
    next_id: u64,
}

#[derive(Debug)]
struct Target {
    since: Time,
    packets: usize,
    bytes: usize,
    waiting: VecDeque<ControlPacket>,
}

impl Paced {
    /// How many fragments wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting
    }
}

impl Endpoint {
    /// A fragment of a startup packet has come. Answers whether the whole packet is there and for this end.
    pub(super) fn on_fragment(
        &mut self,
        now: Time,
        meta: &rtmfp_base::RecvMeta,
        len: usize,
        fragment: &PacketFragment<'_>,
    ) -> bool {
        match self.reassembly.take(&self.config.limits.startup_fragments, now, meta.from, len, fragment) {
            Taken::Held => false,
            Taken::Refused => {
                self.stats.limited_fragments += 1;
                false
            }
            Taken::Whole(clear, received) => {
                self.stats.reassembled_startups += 1;
                self.fragmented = true;
                let ours = self.on_startup_chunks(now, meta, received, &clear);
                self.fragmented = false;
                ours.unwrap_or(false)
            }
        }
    }

    /// Queues a startup packet to session id 0 in fragments. Answers whether there was room.
    pub(super) fn queue_fragments(&mut self, packet: ControlPacket) -> bool {
        let clear = [&[Mode::Startup as u8], &packet.chunk[..]].concat();
        let pieces = clear.chunks(PIECE);
        let count = pieces.len();
        if self.paced.waiting + self.control.len() + count > self.config.limits.control_queue {
            self.stats.limited_control += 1;
            return false;
        }
        let packet_id = self.paced.next_id;
        self.paced.next_id += 1;
        self.paced.waiting += count;
        let target = self.paced.targets.entry(packet.to).or_insert_with(|| Target {
            since: Time::ZERO,
            packets: 0,
            bytes: 0,
            waiting: VecDeque::new(),
        });
        for (index, data) in pieces.enumerate() {
            let more = index + 1 < count;
            let fragment = PacketFragment { more, packet_id, index: index as u64, data };
            let mut chunk = Vec::new();
            Chunk::PacketFragment(fragment).write(&mut chunk);
            let envelope = Envelope::Startup { far_id: 0, fragmented: false };
            target.waiting.push_back(ControlPacket { envelope, chunk, ..packet });
        }
        self.stats.fragmented_startups += 1;
        true
    }

    /// Whether a startup packet with a chunk is so long that some paths do not take it.
    pub(super) fn is_long(chunk: &[u8]) -> bool {
        chunk.len() + 3 > WHOLE
    }

    /// Lets the fragments go whose turn it is, and gives up packets that are not complete in time.
    pub(super) fn serve_fragments(&mut self, now: Time) {
        if now.since(self.reassembly.swept) >= SWEEP && self.reassembly.len() > 0 {
            self.reassembly.expire(now);
        }
        let (paced, control) = (&mut self.paced, &mut self.control);
        paced.targets.retain(|_, target| {
            if now.since(target.since) >= BURST_TIME {
                (target.since, target.packets, target.bytes) = (now, 0, 0);
            }
            while let Some(next) = target.waiting.front() {
                let bytes = target.bytes + next.chunk.len() + AROUND;
                if target.packets >= BURST_PACKETS || bytes > BURST {
                    break;
                }
                target.bytes = bytes;
                target.packets += 1;
                paced.waiting -= 1;
                control.extend(target.waiting.pop_front());
            }
            !target.waiting.is_empty() || target.packets > 0
        });
    }

    /// When [`Self::serve_fragments`] has something to do.
    pub(super) fn fragments_due(&self) -> Option<Time> {
        let partial = self.reassembly.packets.values().map(Partial::ends);
        let paced = self.paced.targets.values().map(|target| target.since + BURST_TIME);
        partial.map(|at| at.max(self.reassembly.swept + SWEEP)).chain(paced).min()
    }
}
