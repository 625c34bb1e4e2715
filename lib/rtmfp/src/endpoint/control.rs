//! Packets that are neither data nor acknowledgements: hellos, keying, pings, closes. Each is a datagram of its own.

use core::net::{IpAddr, SocketAddr};
use std::collections::VecDeque;

use rtmfp_base::InterfaceId;

use crate::SessionId;

/// How a control packet is protected.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Envelope {
    /// The default key, startup mode, to this session id of the far end (0 for hellos); in fragments if it is long.
    Startup { far_id: u32, fragmented: bool },
    /// The keys and mode of a session.
    Session(SessionId),
    /// The same, with padding before the chunk that makes the clear packet, with the profile's front, so many bytes long.
    /// It must not be fragmented on its way.
    Probe(SessionId, usize),
}

/// A control packet that waits.
#[derive(Debug)]
pub(crate) struct ControlPacket {
    pub(crate) envelope: Envelope,
    pub(crate) interface: InterfaceId,
    pub(crate) to: SocketAddr,
    pub(crate) src_ip: Option<IpAddr>,
    pub(crate) dscp: u8,
    /// The chunk, header included.
    pub(crate) chunk: Vec<u8>,
}

#[derive(Debug, Default)]
pub(crate) struct Control {
    waiting: VecDeque<ControlPacket>,
}

impl Control {
    /// Queues a packet.
    pub(crate) fn push(&mut self, packet: ControlPacket) {
        self.waiting.push_back(packet);
    }

    pub(crate) fn extend(&mut self, packets: impl IntoIterator<Item = ControlPacket>) {
        self.waiting.extend(packets);
    }

    pub(crate) fn pop(&mut self) -> Option<ControlPacket> {
        self.waiting.pop_front()
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}
