use std::collections::{BTreeMap, VecDeque};

use core::net::{IpAddr, SocketAddr};

use rtmfp_base::{Id, IdKind, StreamId, Time};

use crate::event::Ordered;
use crate::path::{NatId, Path};
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
    pub(crate) opener: Home,
    /// From the opener to the acceptor; `None`: nobody has the address, so that all that is sent there vanishes.
    way: Option<Path>,
    /// The opener's address, as the acceptor sees it, and the acceptor's.
    pub(crate) addresses: [SocketAddr; 2],
    /// Whether the NAT box on the way has forgotten it.
    pub(crate) severed: bool,
    ends: [Option<End>; 2],
}

/// Where a host was when it had a part in something.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Home {
    pub(crate) host: HostId,
    /// Its network: that behind a NAT box, or the public one.
    pub(crate) site: Option<NatId>,
    pub(crate) ip: IpAddr,
}

impl Conn {
    pub(crate) fn new(opener: Home, way: Option<Path>, addresses: [SocketAddr; 2], end: End) -> Self {
        Self { opener, way, addresses, severed: false, ends: [Some(end), None] }
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
            Side::Opener => Some(self.opener.host),
            Side::Acceptor => self.way?.to,
        }
    }

    /// Where both sides were when it was opened, if there are two.
    pub(crate) fn homes(&self) -> Option<[Home; 2]> {
        let way = self.way?;
        Some([self.opener, Home { host: way.to?, site: way.site, ip: self.addresses[1].ip() }])
    }

    /// The way to a side.
    pub(crate) fn path(&self, to: Side) -> Option<Path> {
        match to {
            Side::Acceptor => self.way,
            Side::Opener => self.way?.back(self.opener.site),
        }
    }

    /// The NAT box on the way and the port that it gave.
    pub(crate) fn mapping(&self) -> Option<(NatId, u16)> {
        let nat = self.way?.out.filter(|_| !self.severed)?;
        Some((nat, self.addresses[0].port()))
    }
}

/// What a host knows of a connection.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) stream: StreamId,
    /// Whether the service no longer knows of it; the host ends it in order.
    pub(crate) orphan: bool,
    pub(crate) established: bool,
    pub(crate) finish: Finish,
    pub(crate) sender: Sender,
    pub(crate) receiver: Receiver,
    /// When the peer last acknowledged anything, or was first asked to.
    pub(crate) progress: Time,
    /// Since when nothing can pass between the hosts.
    pub(crate) cut: Option<Time>,
    /// The time of the one check in the queue that counts.
    pub(crate) check: Option<Time>,
}

/// How far [`Action::Finish`](rtmfp_base::Action::Finish) has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Finish {
    /// Nobody asked for it.
    No,
    /// Asked for before there was a connection.
    Later,
    /// The service still has bytes, which are to be taken until this time.
    Flushing(Time),
    /// The host has all; the other end has until this time to finish as well.
    Closing(Time),
}

/// Why the deadline of an end ends it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Expiry {
    Connecting,
    Dead,
    Flushing,
    Closing,
}

impl End {
    pub(crate) fn new(now: Time, stream: StreamId, established: bool, config: &StreamConfig) -> Self {
        Self {
            stream,
            orphan: false,
            established,
            finish: Finish::No,
            sender: Sender { credit: config.receive_buffer, ..Sender::default() },
            receiver: Receiver::default(),
            progress: now,
            cut: None,
            check: None,
        }
    }

    /// When something about this end has lasted too long, if there is anything, and what.
    pub(crate) fn deadline(&self, config: &StreamConfig) -> Option<(Time, Expiry)> {
        if !self.established {
            return Some((self.progress + config.connect_timeout, Expiry::Connecting));
        }
        let owed = self.sender.unacknowledged > 0 || self.sender.end == SentEnd::Sent;
        let cut = self.cut.filter(|_| config.keep_alive);
        let finish = match self.finish {
            Finish::No | Finish::Later => None,
            Finish::Flushing(until) => Some((until, Expiry::Flushing)),
            Finish::Closing(until) => Some((until, Expiry::Closing)),
        };
        let dead = [owed.then_some(self.progress), cut].into_iter().flatten();
        let dead = dead.map(|since| (since + config.dead_after, Expiry::Dead));
        dead.chain(finish.filter(|_| !self.orphan)).min()
    }

    /// Whether what arrives is of no interest any more.
    pub(crate) fn discards(&self) -> bool {
        self.finish != Finish::No
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
            let (front, back) = sender.queue.as_slices();
            let in_front = len.min(front.len());
            bytes.extend_from_slice(&front[..in_front]);
            bytes.extend_from_slice(&back[..len - in_front]);
            sender.queue.drain(..len);
            Ordered::Data(bytes)
        } else if sender.queue.is_empty() && sender.end == SentEnd::Due {
            sender.end = SentEnd::Sent;
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
    pub(crate) end: SentEnd,
    /// Whether the end is to follow what the service still has ([`Action::EndWrite`](rtmfp_base::Action::EndWrite)).
    pub(crate) end_wanted: bool,
    next: u64,
}

/// How far the end of what is sent has come.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum SentEnd {
    /// More may be sent.
    #[default]
    No,
    /// It follows what is in the queue.
    Due,
    Sent,
    Acknowledged,
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
    /// Whether the end has arrived.
    pub(crate) ended: bool,
    /// Whether the service has not been told of it.
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
