use core::cmp::Ordering;
use std::collections::BinaryHeap;

use rtmfp_base::{Ecn, Time};

use super::Direction;
use super::datagrams::FlowId;

/// Datagrams on their way, by the time at which they arrive.
#[derive(Debug)]
pub(super) struct Held {
    heap: BinaryHeap<Datagram>,
    count: u64,
    bytes: usize,
    limit: usize,
    /// Buffers to use again.
    buffers: Vec<Vec<u8>>,
}

#[derive(Debug)]
pub(super) struct Datagram {
    at: Time,
    number: u64,
    pub(super) flow: FlowId,
    pub(super) direction: Direction,
    pub(super) ecn: Ecn,
    pub(super) bytes: Vec<u8>,
}

impl Held {
    pub(super) const fn new(limit: usize) -> Self {
        Self { heap: BinaryHeap::new(), count: 0, bytes: 0, limit, buffers: Vec::new() }
    }

    /// Takes a datagram; `false`: there is no room for it.
    pub(super) fn push(
        &mut self,
        at: Time,
        flow: FlowId,
        direction: Direction,
        ecn: Ecn,
        bytes: &[u8],
    ) -> bool {
        let cost = bytes.len() + OVERHEAD;
        if self.bytes + cost > self.limit {
            return false;
        }
        self.bytes += cost;
        self.count += 1;
        let mut buffer = self.buffers.pop().unwrap_or_default();
        buffer.extend_from_slice(bytes);
        self.heap.push(Datagram { at, number: self.count, flow, direction, ecn, bytes: buffer });
        true
    }

    /// When the next one arrives.
    pub(super) fn next_time(&self) -> Option<Time> {
        self.heap.peek().map(|datagram| datagram.at)
    }

    /// The next one if it has arrived. Its buffer is to be given back.
    pub(super) fn pop_due(&mut self, now: Time) -> Option<Datagram> {
        if self.next_time()? > now {
            return None;
        }
        let datagram = self.heap.pop()?;
        self.bytes -= datagram.bytes.len() + OVERHEAD;
        Some(datagram)
    }

    /// Takes a buffer back.
    pub(super) fn recycle(&mut self, mut buffer: Vec<u8>) {
        if self.buffers.len() < MAX_BUFFERS && buffer.capacity() <= MAX_BUFFER {
            buffer.clear();
            self.buffers.push(buffer);
        }
    }
}

/// What a datagram costs beside its bytes.
const OVERHEAD: usize = size_of::<Datagram>();
/// Buffers that are kept for reuse, and how large one may be: what most paths carry.
const MAX_BUFFERS: usize = 4096;
const MAX_BUFFER: usize = 2048;

impl Ord for Datagram {
    /// The heap gives the greatest first: the earliest is the greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl PartialOrd for Datagram {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Eq for Datagram {}

impl PartialEq for Datagram {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}
