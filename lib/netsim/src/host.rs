use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::collections::{BTreeMap, VecDeque};

use rtmfp_base::{Input, ListenerId, RecvMeta, Service, SocketId, StreamId, Time};

use crate::clock::Clock;
use crate::conn::{ConnId, Side};
use crate::event::{Life, SegmentId};
use crate::path::NatId;
use crate::ports::Ports;
use crate::{Dice, JobModel};

/// A host of a [`Network`](crate::Network).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct HostId(pub(crate) u32);

/// Whether a host does anything.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum State {
    Running,
    /// The service has ended, the machine is still there.
    Finished(Result<(), String>),
    /// Switched off: it answers nothing, and nobody is told.
    Vanished,
}

/// A machine with one service.
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) life: Life,
    pub(crate) ips: Vec<IpAddr>,
    /// The network that it is in: that behind a NAT box, or the public one.
    pub(crate) site: Option<NatId>,
    pub(crate) service: Box<dyn Service>,
    pub(crate) state: State,
    pub(crate) sleep: Sleep,
    pub(crate) clock: Clock,
    pub(crate) timer: Timer,
    /// Whether it is to be polled.
    pub(crate) touched: bool,
    pub(crate) work: Work,
    pub(crate) sockets: Ports<SocketId>,
    pub(crate) receive_buffers: BTreeMap<SocketId, ReceiveBuffer>,
    pub(crate) listeners: Ports<ListenerId>,
    pub(crate) streams: Streams,
    pub(crate) jobs: JobModel,
    /// When the last of its jobs so far ends.
    pub(crate) jobs_end: Time,
    pub(crate) dice: Dice,
    /// Stream segments that wait for it, or for whoever sent them, to come back.
    pub(crate) parked: Vec<SegmentId>,
    pub(crate) announcements: Vec<String>,
}

impl Host {
    /// Whether packets to this address reach this host.
    pub(crate) fn has(&self, ip: IpAddr) -> bool {
        ip.is_loopback() || self.ips.contains(&ip)
    }

    pub(crate) fn may_bind(&self, ip: IpAddr) -> bool {
        ip.is_unspecified() || self.has(ip)
    }

    /// The address that a packet to `to` comes from, if nothing else is said.
    pub(crate) fn source_for(&self, to: IpAddr) -> Option<IpAddr> {
        match to {
            IpAddr::V4(ip) if ip.is_loopback() => Some(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(ip) if ip.is_loopback() => Some(Ipv6Addr::LOCALHOST.into()),
            _ => self.ips.iter().copied().find(|ip| ip.is_ipv4() == to.is_ipv4()),
        }
    }

    pub(crate) fn runs(&self) -> bool {
        self.state == State::Running
    }

    pub(crate) fn is_off(&self) -> bool {
        self.state == State::Vanished
    }

    /// Where a datagram from this socket comes from: the address it is bound to, or else the one asked for.
    pub(crate) fn source(
        &self,
        socket: SocketId,
        asked: Option<IpAddr>,
        to: SocketAddr,
    ) -> Option<SocketAddr> {
        let bound = self.sockets.address(socket)?;
        let ip = if !bound.ip().is_unspecified() {
            bound.ip()
        } else if let Some(ip) = asked {
            ip
        } else {
            self.source_for(to.ip())?
        };
        let fits = ip.is_ipv4() == to.is_ipv4() && bound.is_ipv4() == to.is_ipv4();
        (fits && self.has(ip)).then(|| SocketAddr::new(ip, bound.port()))
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host")
            .field("name", &self.name)
            .field("ips", &self.ips)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// Whether the service is stopped for a while, and what waits for it meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Sleep {
    pub(crate) asleep: bool,
    pub(crate) inbox: VecDeque<Waiting>,
}

/// Something for a service that sleeps.
#[derive(Debug)]
pub(crate) enum Waiting {
    Input(Input<'static>),
    Datagram(RecvMeta, Vec<u8>),
}

/// What a socket holds for its service.
#[derive(Debug)]
pub(crate) struct ReceiveBuffer {
    limit: Option<usize>,
    bytes: usize,
    /// When its service last had taken all.
    since: Time,
}

impl ReceiveBuffer {
    pub(crate) const fn new(limit: Option<usize>) -> Self {
        Self { limit, bytes: 0, since: Time::ZERO }
    }

    /// Takes a datagram in; `false`: it does not fit.
    pub(crate) fn take(&mut self, now: Time, asleep: bool, len: usize) -> bool {
        if !asleep && self.since != now {
            self.bytes = 0;
            self.since = now;
        }
        let fits = self.bytes == 0 || self.limit.is_none_or(|limit| self.bytes + len <= limit);
        if fits {
            self.bytes += len;
        }
        fits
    }
}

/// When the service wants to be called, by the network's clock.
#[derive(Debug, Default)]
pub(crate) struct Timer {
    /// What it said last.
    pub(crate) deadline: Option<Time>,
    /// The time of the one event in the queue that counts.
    pub(crate) armed: Option<Time>,
}

/// How much the service did without time passing.
#[derive(Debug, Default)]
pub(crate) struct Work {
    pub(crate) since: Time,
    pub(crate) done: u32,
}

/// The byte streams of a host.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    pub(crate) by_id: BTreeMap<StreamId, (ConnId, Side)>,
    pub(crate) accepted: u64,
    /// Those that can take bytes which the service has.
    pub(crate) to_fill: Vec<(ConnId, Side)>,
}
