use core::cmp::Ordering;
use core::fmt;
use core::net::SocketAddr;
use std::collections::BinaryHeap;

use rtmfp_base::{Ecn, Id, IdKind, Input, Job, SocketId, Time};

use crate::HostId;
use crate::conn::{ConnId, Side};
use crate::path::{Path, Stage};

#[derive(Debug)]
pub(crate) enum PacketKind {}

impl IdKind for PacketKind {
    const PREFIX: &'static str = "packet";
}

pub(crate) type PacketId = Id<PacketKind>;

/// A datagram on its way.
#[derive(Debug)]
pub(crate) struct Packet {
    pub(crate) path: Path,
    /// For captures.
    pub(crate) number: u32,
    /// The socket that it was sent from.
    pub(crate) socket: SocketId,
    /// The address that it was sent to.
    pub(crate) sent_to: SocketAddr,
    /// Where it comes from and goes to, as NAT boxes translated it so far.
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) dscp: u8,
    pub(crate) ecn: Ecn,
    pub(crate) bytes: Vec<u8>,
}

impl Packet {
    /// The same with other bytes.
    pub(crate) fn copy(&self, bytes: Vec<u8>) -> Self {
        Self { bytes, ..*self }
    }
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} > {}: {} bytes", self.from, self.to, self.bytes.len())
    }
}

#[derive(Debug)]
pub(crate) enum SegmentKind {}

impl IdKind for SegmentKind {
    const PREFIX: &'static str = "segment";
}

pub(crate) type SegmentId = Id<SegmentKind>;

/// A piece of a byte stream on its way.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) path: Path,
    pub(crate) conn: ConnId,
    /// The side that it goes to.
    pub(crate) to: Side,
    pub(crate) content: Content,
}

/// What a segment says.
#[derive(Debug)]
pub(crate) enum Content {
    /// "I want to connect."
    Syn,
    /// "Nobody listens here."
    Refused,
    /// "There is no such connection (any more)."
    Reset,
    /// Something that the receiver handles in the order of the numbers.
    Ordered(u64, Ordered),
    /// "Are you there?"
    KeepAlive,
    /// So many bytes more have arrived, so many more have been read, and whether the end has arrived.
    Ack { arrived: usize, read: usize, end: bool },
}

impl Content {
    /// Bytes of the stream that it carries.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Ordered(_, Ordered::Data(bytes)) => bytes.len(),
            _ => 0,
        }
    }
}

/// What has its place in the order of a stream.
#[derive(Debug)]
pub(crate) enum Ordered {
    /// The connection is accepted.
    Accepted,
    Data(Vec<u8>),
    /// No data follow.
    End,
}

/// A host in one of its lives: what was meant for an earlier one does not reach a restarted host.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Life {
    pub(crate) host: HostId,
    pub(crate) number: u32,
}

#[derive(Debug)]
pub(crate) enum Event {
    /// A datagram comes to this stage of its route.
    Packet(PacketId, Stage),
    /// A segment comes to this stage of its route.
    Segment(SegmentId, Stage),
    /// The service's timeout.
    Timer(HostId),
    /// Something for the service.
    Input(Life, Box<Input<'static>>),
    /// A job ends.
    Job(Life, Box<Job>),
    /// What a stream received while it was not read.
    Unread(ConnId, Side),
    /// The deadline of a stream's end.
    Check(ConnId, Side),
}

/// What will happen, by time; things of the same time in the order in which they were put in.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Entry>,
    count: u64,
}

impl Queue {
    pub(crate) fn push(&mut self, at: Time, event: Event) {
        self.count += 1;
        self.heap.push(Entry { at, number: self.count, event });
    }

    pub(crate) fn peek(&self) -> Option<(Time, &Event)> {
        self.heap.peek().map(|entry| (entry.at, &entry.event))
    }

    pub(crate) fn pop(&mut self) -> Option<Event> {
        self.heap.pop().map(|entry| entry.event)
    }
}

#[derive(Debug)]
struct Entry {
    at: Time,
    number: u64,
    event: Event,
}

impl Ord for Entry {
    /// The heap gives the greatest first: the earliest is the greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Eq for Entry {}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}
