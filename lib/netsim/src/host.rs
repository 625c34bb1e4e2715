use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::collections::BTreeMap;

use rtmfp_base::{ListenerId, Service, SocketId, StreamId, Time};

use crate::conn::{ConnId, Side};
use crate::event::{Life, SegmentId};
use crate::link::Link;
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
    pub(crate) service: Box<dyn Service>,
    pub(crate) state: State,
    pub(crate) timer: Timer,
    /// Whether it is to be polled.
    pub(crate) touched: bool,
    pub(crate) work: Work,
    pub(crate) sockets: Ports<SocketId>,
    pub(crate) listeners: Ports<ListenerId>,
    pub(crate) streams: Streams,
    pub(crate) jobs: JobModel,
    pub(crate) dice: Dice,
    /// What it shares for all that it sends and receives.
    pub(crate) uplink: Option<Link>,
    pub(crate) downlink: Option<Link>,
    /// Stream segments that wait for it to come back.
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

/// When the service wants to be called.
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
