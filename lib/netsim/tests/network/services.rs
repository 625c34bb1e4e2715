//! Small services that tests put on hosts.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use rtmfp_base::{
    Action, Batch, Ecn, Input, InterfaceId, JobId, ListenerId, NameId, RecvMeta, Service, SocketId, StreamId,
    Time, Transmit,
};
use rtmfp_netsim::{HostId, Network};

/// The UDP socket that services here use.
pub(crate) const SOCKET: SocketId = InterfaceId(1);
/// The port that it is bound to.
pub(crate) const PORT: u16 = 1000;

/// What a service was told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Seen {
    Timeout,
    UdpReady(SocketId, Result<SocketAddr, String>),
    Datagram(RecvMeta, Vec<u8>),
    PathError(SocketId, SocketAddr, String),
    ListenReady(ListenerId, Result<SocketAddr, String>),
    Accepted(ListenerId, StreamId, SocketAddr),
    Connected(StreamId, SocketAddr),
    Data(StreamId, Vec<u8>),
    EndOfStream(StreamId),
    Closed(StreamId, Option<String>),
    Resolved(NameId, Result<Vec<SocketAddr>, String>),
    JobDone(JobId, u64),
    Drain,
    Stop,
}

/// A datagram to send: the socket, the source address, the receiver, the mark, the bytes.
pub(crate) type Outgoing = (SocketId, Option<IpAddr>, SocketAddr, Ecn, Vec<u8>);

/// Does what the test queues and notes what it is told.
#[derive(Default)]
pub(crate) struct Probe {
    pub(crate) seen: Vec<(Time, Seen)>,
    pub(crate) actions: VecDeque<Action>,
    /// Datagrams to send.
    pub(crate) out: VecDeque<Outgoing>,
    /// Bytes to send on streams.
    pub(crate) writes: BTreeMap<StreamId, VecDeque<u8>>,
    pub(crate) timeout: Option<Time>,
    /// Sends datagrams back and writes what it reads.
    pub(crate) echo: bool,
    /// Datagrams that each call gives; the test wants to see one batch after the other. 0: all.
    pub(crate) per_batch: usize,
}

impl Probe {
    /// One that opens its socket on a wildcard address.
    pub(crate) fn open() -> Self {
        let mut probe = Self::default();
        probe.open_udp(SOCKET, SocketAddr::from(([0, 0, 0, 0], PORT)));
        probe
    }

    pub(crate) fn echo() -> Self {
        Self { echo: true, ..Self::open() }
    }

    pub(crate) fn open_udp(&mut self, socket: SocketId, address: SocketAddr) {
        self.actions.push_back(Action::OpenUdp { socket, options: address.into() });
    }

    pub(crate) fn send(&mut self, to: SocketAddr, bytes: &[u8]) {
        self.out.push_back((SOCKET, None, to, Ecn::NotEct, bytes.to_vec()));
    }

    pub(crate) fn write(&mut self, stream: StreamId, bytes: &[u8]) {
        self.writes.entry(stream).or_default().extend(bytes);
        self.actions.push_back(Action::WantWrite { stream });
    }

    /// Datagrams that arrived, without the rest.
    pub(crate) fn datagrams(&self) -> impl Iterator<Item = (Time, &RecvMeta, &[u8])> {
        self.seen.iter().filter_map(|(at, seen)| match seen {
            Seen::Datagram(meta, bytes) => Some((*at, meta, &bytes[..])),
            _ => None,
        })
    }

    /// What arrived on a stream.
    pub(crate) fn received(&self, stream: StreamId) -> Vec<u8> {
        let data = self.seen.iter().filter_map(|(_, seen)| match seen {
            Seen::Data(from, bytes) if *from == stream => Some(&bytes[..]),
            _ => None,
        });
        data.collect::<Vec<_>>().concat()
    }

    /// Whether it was told this.
    pub(crate) fn saw(&self, wanted: &Seen) -> bool {
        self.when(wanted).is_some()
    }

    /// When it was told this first.
    pub(crate) fn when(&self, wanted: &Seen) -> Option<Time> {
        self.seen.iter().find(|(_, seen)| seen == wanted).map(|(at, _)| *at)
    }
}

impl Service for Probe {
    fn handle(&mut self, now: Time, input: Input<'_>) {
        let seen = match input {
            Input::Timeout => {
                self.timeout = None;
                Seen::Timeout
            }
            Input::UdpReady { socket, result } => Seen::UdpReady(socket, result),
            Input::Datagram { meta, bytes } => {
                if self.echo {
                    self.out.push_back((meta.interface, meta.dst_ip, meta.from, meta.ecn, bytes.to_vec()));
                }
                Seen::Datagram(meta, bytes.to_vec())
            }
            Input::PathError { socket, to, error } => Seen::PathError(socket, to, error),
            Input::ListenReady { listener, result } => Seen::ListenReady(listener, result),
            Input::Accepted { listener, stream, peer } => Seen::Accepted(listener, stream, peer),
            Input::Connected { stream, peer } => Seen::Connected(stream, peer),
            Input::Data { stream, bytes } => {
                if self.echo {
                    self.write(stream, bytes);
                }
                Seen::Data(stream, bytes.to_vec())
            }
            Input::EndOfStream { stream } => {
                if self.echo {
                    self.actions.push_back(Action::Finish { stream });
                }
                Seen::EndOfStream(stream)
            }
            Input::Closed { stream, error } => Seen::Closed(stream, error),
            Input::Resolved { name, result } => Seen::Resolved(name, result),
            Input::JobDone(done) => Seen::JobDone(done.id, *done.result.downcast().expect("a number")),
            Input::Drain => Seen::Drain,
            Input::Stop => Seen::Stop,
        };
        self.seen.push((now, seen));
    }

    fn poll_action(&mut self, _: Time) -> Option<Action> {
        self.actions.pop_front()
    }

    fn poll_transmit(&mut self, _: Time, batch: &mut Batch) {
        let mut left = if self.per_batch == 0 { usize::MAX } else { self.per_batch };
        while left > 0
            && !batch.is_full()
            && let Some((interface, src_ip, to, ecn, bytes)) = self.out.pop_front()
        {
            let start = batch.buffer.len();
            batch.buffer.extend_from_slice(&bytes);
            let range = start..batch.buffer.len();
            batch.push(Transmit {
                interface,
                to,
                src_ip,
                ecn,
                dscp: 0,
                dont_fragment: false,
                bytes: range,
                segment_size: None,
            });
            left -= 1;
        }
    }

    fn fill_stream(&mut self, _: Time, stream: StreamId, limit: usize, out: &mut Vec<u8>) {
        if let Some(bytes) = self.writes.get_mut(&stream) {
            out.extend(bytes.drain(..limit.min(bytes.len())));
        }
    }

    fn poll_timeout(&mut self) -> Option<Time> {
        self.timeout
    }
}

/// The address of a host `10.0.0.n`.
pub(crate) fn ip(n: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, n])
}

/// The socket of a host `10.0.0.n`.
pub(crate) fn address(n: u8) -> SocketAddr {
    SocketAddr::new(ip(n), PORT)
}

/// Two hosts, `a` with address 10.0.0.1 and `b` with 10.0.0.2, both with an open socket.
pub(crate) fn pair(network: &mut Network) -> (HostId, HostId) {
    let a = network.add_host("a", &[ip(1)], Box::new(Probe::open()));
    let b = network.add_host("b", &[ip(2)], Box::new(Probe::open()));
    network.step();
    (a, b)
}

/// The probe on a host.
pub(crate) fn probe(network: &mut Network, host: HostId) -> &mut Probe {
    network.service(host)
}
