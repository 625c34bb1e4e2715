//! Startup packets that are larger than the path takes (RFC 7016 section 3.4).

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{BTreeMap, HashMap, VecDeque};

use rtmfp_base::{Prefix, Time};

use super::Endpoint;
use super::control::{ControlPacket, Envelope};
use crate::config::FragmentLimits;
use crate::partial::{Added, Partial};
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
    packets: BTreeMap<(SocketAddr, u64), Startup>,
    by_prefix: HashMap<Prefix, usize>,
    bytes: usize,
    swept: Time,
}

/// One of them, and the bytes of the datagrams that it took.
#[derive(Debug)]
struct Startup {
    partial: Partial,
    received: usize,
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
        let mut startup = match self.remove(key) {
            Some(startup) if startup.partial.ends() > now => startup,
            _ => Startup { partial: Partial::new(now), received: 0 },
        };
        startup.received += len;
        let partial = &mut startup.partial;
        let fits = partial.bytes_with(fragment) <= limits.packet_bytes
            && fragment.index < limits.packet_bytes as u64;
        let added = if fits { partial.add(now, fragment) } else { Added::Refused };
        if let Some(packet) = partial.packet() {
            return Taken::Whole(packet, startup.received);
        }
        if partial.len() > 0 && self.keep(limits, key, startup) && added != Added::Refused {
            Taken::Held
        } else {
            Taken::Refused
        }
    }

    /// Answers whether there was room.
    fn keep(&mut self, limits: &FragmentLimits, key: (SocketAddr, u64), startup: Startup) -> bool {
        let prefix = Prefix::from(key.0.ip());
        let own = self.by_prefix.get(&prefix).copied().unwrap_or_default();
        let room = self.packets.len() < limits.packets
            && own < limits.prefix_packets
            && self.bytes + startup.partial.cost() <= limits.bytes;
        if !room {
            return false;
        }
        self.bytes += startup.partial.cost();
        *self.by_prefix.entry(prefix).or_default() += 1;
        self.packets.insert(key, startup);
        true
    }

    fn remove(&mut self, key: (SocketAddr, u64)) -> Option<Startup> {
        let startup = self.packets.remove(&key)?;
        self.bytes -= startup.partial.cost();
        let prefix = Prefix::from(key.0.ip());
        if let Some(count) = self.by_prefix.get_mut(&prefix) {
            *count -= 1;
            if *count == 0 {
                self.by_prefix.remove(&prefix);
            }
        }
        Some(startup)
    }

    /// Gives up what is not complete in time.
    fn expire(&mut self, now: Time) {
        self.swept = now;
        let late: Vec<_> = self
            .packets
            .iter()
            .filter(|(_, startup)| startup.partial.ends() <= now)
            .map(|(&key, _)| key)
            .collect();
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
        let partial = self.reassembly.packets.values().map(|startup| startup.partial.ends());
        let paced = self.paced.targets.values().map(|target| target.since + BURST_TIME);
        partial.map(|at| at.max(self.reassembly.swept + SWEEP)).chain(paced).min()
    }
}
