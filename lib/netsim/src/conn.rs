use std::collections::{BTreeMap, VecDeque};

use core::net::SocketAddr;
use core::time::Duration;

use rtmfp_base::{Id, IdKind, StreamId, Time};

use crate::event::{Ordered, Route};
use crate::{HostId, StreamConfig};

#[derive(Debug)]
pub(crate) enum ConnKind {}

impl IdKind for ConnKind {
    const PREFIX: &'static str = "conn";
}

pub(crate) type ConnId = Id<ConnKind>;

/// One of the two sides of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Side {
    Opener,
    Acceptor,
}

impl Side {
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Opener => Self::Acceptor,
            Self::Acceptor => Self::Opener,
        }
    }
}

/// A connection that carries bytes both ways. It is there as long as one of its ends.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) opener: HostId,
    /// `None`: nobody has the address, so that all that is sent there vanishes.
    pub(crate) acceptor: Option<HostId>,
    /// The opener's and the acceptor's address.
    pub(crate) addresses: [SocketAddr; 2],
    ends: [Option<End>; 2],
}

impl Conn {
    pub(crate) fn new(
        opener: (HostId, SocketAddr),
        acceptor: (Option<HostId>, SocketAddr),
        end: End,
    ) -> Self {
        Self {
            opener: opener.0,
            acceptor: acceptor.0,
            addresses: [opener.1, acceptor.1],
            ends: [Some(end), None],
        }
    }

    pub(crate) fn end(&self, side: Side) -> Option<&End> {
        self.ends[side as usize].as_ref()
    }

    pub(crate) fn end_mut(&mut self, side: Side) -> Option<&mut End> {
        self.ends[side as usize].as_mut()
    }

    pub(crate) fn set_end(&mut self, side: Side, end: Option<End>) -> Option<End> {
        core::mem::replace(&mut self.ends[side as usize], end)
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.ends.iter().all(Option::is_none)
    }

    pub(crate) fn host(&self, side: Side) -> Option<HostId> {
        match side {
            Side::Opener => Some(self.opener),
            Side::Acceptor => self.acceptor,
        }
    }

    /// The way to a side.
    pub(crate) fn route(&self, to: Side) -> Option<Route> {
        Some(Route { from: self.host(to.other())?, to: self.host(to)? })
    }
}

/// What a host knows of a connection.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) stream: StreamId,
    /// Whether the service still knows it; a host ends it in order when not.
    pub(crate) orphan: bool,
    pub(crate) established: bool,
    pub(crate) sender: Sender,
    pub(crate) receiver: Receiver,
    /// When the peer last acknowledged anything, or was first asked to.
    pub(crate) progress: Time,
    /// The time of the one check in the queue that counts.
    pub(crate) check: Option<Time>,
}

impl End {
    pub(crate) fn new(now: Time, stream: StreamId, established: bool, config: &StreamConfig) -> Self {
        Self {
            stream,
            orphan: false,
            established,
            sender: Sender { credit: config.receive_buffer, ..Sender::default() },
            receiver: Receiver::default(),
            progress: now,
            check: None,
        }
    }

    /// When to give the peer up, if it owes an answer.
    pub(crate) fn deadline(&self, timeout: Duration) -> Option<Time> {
        let owes = !self.established || self.sender.unacknowledged > 0 || self.sender.end_sent;
        owes.then(|| self.progress + timeout)
    }

    /// The next thing to put on the wire.
    pub(crate) fn next_to_send(
        &mut self,
        now: Time,
        config: &StreamConfig,
        buffer: impl FnOnce() -> Vec<u8>,
    ) -> Option<(u64, Ordered)> {
        if !self.established {
            return None;
        }
        let sender = &mut self.sender;
        let len = sender.queue.len().min(sender.credit).min(config.segment);
        let ordered = if len > 0 {
            if sender.unacknowledged == 0 {
                self.progress = now;
            }
            sender.credit -= len;
            sender.unacknowledged += len;
            let mut bytes = buffer();
            bytes.extend(sender.queue.drain(..len));
            Ordered::Data(bytes)
        } else if sender.finishing && !sender.wanted && sender.queue.is_empty() && !sender.end_sent {
            sender.end_sent = true;
            self.progress = now;
            Ordered::End
        } else {
            return None;
        };
        Some((self.sender.number(), ordered))
    }
}

/// The sending half of an end.
#[derive(Debug, Default)]
pub(crate) struct Sender {
    /// Whether the service has bytes.
    pub(crate) wanted: bool,
    /// Taken from the service, not yet on the wire.
    pub(crate) queue: VecDeque<u8>,
    /// On the wire, or arrived without our knowing.
    pub(crate) unacknowledged: usize,
    /// Bytes that the receiver has room for.
    pub(crate) credit: usize,
    /// Whether the end follows what is still to be sent.
    pub(crate) finishing: bool,
    pub(crate) end_sent: bool,
    next: u64,
}

impl Sender {
    /// Bytes that the send buffer takes now.
    pub(crate) fn room(&self, config: &StreamConfig) -> usize {
        config.send_buffer.saturating_sub(self.queue.len() + self.unacknowledged)
    }

    /// The next number in the order of what is sent.
    pub(crate) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }
}

/// The receiving half of an end.
#[derive(Debug, Default)]
pub(crate) struct Receiver {
    pub(crate) paused: bool,
    /// Arrived while the service did not read.
    pub(crate) unread: VecDeque<Vec<u8>>,
    /// Whether the end has arrived but the service does not know.
    pub(crate) end_unread: bool,
    /// Arrived before something that goes before it.
    early: BTreeMap<u64, Ordered>,
    next: u64,
}

impl Receiver {
    /// Takes in what has arrived, in any order.
    pub(crate) fn arrived(&mut self, number: u64, ordered: Ordered) {
        self.early.insert(number, ordered);
    }

    /// Gives it out in order.
    pub(crate) fn next_in_order(&mut self) -> Option<Ordered> {
        let ordered = self.early.remove(&self.next)?;
        self.next += 1;
        Some(ordered)
    }

    /// Whether the service has to wait for what arrives now.
    pub(crate) fn is_behind(&self) -> bool {
        self.paused || !self.unread.is_empty()
    }
}
