mod actions;
mod datagrams;
mod hosts;
mod nats;
mod paths;
mod run;
mod segments;
mod streams;

use core::any::Any;
use core::net::IpAddr;
use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::thread;

use rtmfp_base::{Arena, Batch, Input, Service, StreamId, Time};

use crate::capture::Captures;
use crate::conn::{Conn, ConnKind};
use crate::event::{Packet, PacketKind, Queue, Segment, SegmentKind};
use crate::host::{Host, State};
use crate::links::Links;
use crate::nat::Nat;
use crate::path::{NatId, Node};
use crate::trace::{Log, Trace};
use crate::{Config, Fault, Faults, HostId, seeds};

/// Hosts, the links between them, and virtual time.
///
/// Methods that take a [`HostId`] or a [`NatId`] expect one that the same network gave.
///
/// A network that is dropped while its thread panics prints its seed and time.
#[derive(Debug)]
pub struct Network {
    seed: u64,
    config: Config,
    now: Time,
    queue: Queue,
    hosts: Vec<Host>,
    nats: Vec<Nat>,
    /// Those to be polled.
    touched: VecDeque<HostId>,
    /// Who has an address in the network behind a NAT box, or in the public one.
    by_ip: BTreeMap<(Option<NatId>, IpAddr), Node>,
    names: BTreeMap<String, Vec<IpAddr>>,
    links: Links,
    packets: Arena<PacketKind, Packet>,
    /// Datagrams sent so far.
    sent: u32,
    segments: Arena<SegmentKind, Segment>,
    conns: Arena<ConnKind, Conn>,
    /// Buffers to use again.
    buffers: Vec<Vec<u8>>,
    batch: Batch,
    /// Those that did not happen on links.
    faults: Faults,
    trace: Trace,
    log: Log,
    captures: Captures,
}

/// Buffers that are kept for reuse.
const MAX_BUFFERS: usize = 256;

impl Network {
    /// An empty network with the default configuration.
    pub fn new(seed: u64) -> Self {
        Self::with_config(seed, Config::default())
    }

    /// An empty network.
    ///
    /// # Panics
    /// When byte streams would have no buffers or segments of no length.
    pub fn with_config(seed: u64, config: Config) -> Self {
        let streams = &config.streams;
        assert!(streams.send_buffer > 0 && streams.receive_buffer > 0 && streams.segment > 0, "{streams:?}");
        let mut network = Self {
            seed,
            config,
            now: Time::ZERO,
            queue: Queue::default(),
            hosts: Vec::new(),
            nats: Vec::new(),
            touched: VecDeque::new(),
            by_ip: BTreeMap::new(),
            names: BTreeMap::new(),
            links: Links::new(seed),
            packets: Arena::new(),
            sent: 0,
            segments: Arena::new(),
            conns: Arena::new(),
            buffers: Vec::new(),
            batch: Batch::default(),
            faults: Faults::default(),
            trace: Trace::new(),
            log: Log::default(),
            captures: Captures::default(),
        };
        seeds::watch(&mut network);
        network
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The time. A host's clock shows another one if its [pace](Self::set_clock_pace) was changed.
    pub fn now(&self) -> Time {
        self.now
    }

    /// A hash of all that services were told so far. Equal after equal runs.
    pub fn trace_hash(&self) -> u64 {
        self.trace.hash()
    }

    /// How often each kind of fault fired so far, everywhere.
    pub fn faults(&self) -> Faults {
        let mut faults = self.faults.clone();
        self.links.add_faults(&mut faults);
        for nat in &self.nats {
            faults.add(Fault::NatRefused, nat.counters.refused);
            faults.add(Fault::HairpinRefused, nat.counters.hairpins_refused);
            faults.add(Fault::NatExpired, nat.counters.expired);
            faults.add(Fault::NatRebound, nat.counters.rebound);
        }
        faults
    }

    /// Writes a line of text for each thing that happens from now on.
    pub fn log_to(&mut self, sink: impl FnMut(Time, &str) + 'static) {
        self.log.add(Box::new(sink));
    }

    /// Writes a packet capture of all datagrams from now on, to be opened with Wireshark or tshark: in the
    /// format of libpcap, with IP and UDP headers made up for it. Byte streams are not in it.
    ///
    /// Each datagram is in it as it leaves the sender's host, and again as it reaches the receiver's, if it
    /// does. The filters `ip.ttl == 64` and `ip.ttl < 64` (with IPv6 `ipv6.hlim`) tell the two apart: links
    /// between hosts are one hop, and NAT boxes another one each. Both, and copies, have the same
    /// identification (with IPv6: flow label), the number of the datagram. Checksums are those of the bytes as
    /// they are at that place, damaged or not. A datagram that arrives is in the capture even if it does not
    /// fit the receive buffer or its port is closed.
    ///
    /// The network writes in small pieces and flushes nothing: a file wants a [`BufWriter`](std::io::BufWriter),
    /// and is complete when the network is dropped.
    ///
    /// # Panics
    /// When writing fails, also later.
    pub fn capture_to(&mut self, sink: impl Write + 'static) {
        self.captures.add(Box::new(sink));
    }

    /// Makes an address known under a name. No addresses: the name is unknown again.
    pub fn add_name(&mut self, name: &str, ips: &[IpAddr]) {
        self.names.insert(name.to_ascii_lowercase(), ips.to_vec());
    }

    /// A host's service, to call or to look at. The host is polled when the network runs next.
    ///
    /// # Panics
    /// When it is not an `S`.
    pub fn service<S: Service>(&mut self, host: HostId) -> &mut S {
        self.touch(host);
        let host = &mut self.hosts[host.0 as usize];
        let service: &mut dyn Any = host.service.as_mut();
        match service.downcast_mut() {
            Some(service) => service,
            None => panic!("{} runs no {}", host.name, core::any::type_name::<S>()),
        }
    }

    /// A host's service, to look at only.
    ///
    /// # Panics
    /// When it is not an `S`.
    pub fn peek<S: Service>(&self, host: HostId) -> &S {
        let host = self.host(host);
        let service: &dyn Any = host.service.as_ref();
        match service.downcast_ref() {
            Some(service) => service,
            None => panic!("{} runs no {}", host.name, core::any::type_name::<S>()),
        }
    }

    /// Asks a host's service to end in its own time.
    pub fn drain(&mut self, host: HostId) {
        self.queue_input(self.now, host, Input::Drain);
    }

    /// Asks a host's service to end now.
    pub fn stop(&mut self, host: HostId) {
        self.queue_input(self.now, host, Input::Stop);
    }

    /// What a host's service announced so far.
    pub fn announcements(&self, host: HostId) -> &[String] {
        &self.host(host).announcements
    }

    /// How a host's service ended, if it has.
    pub fn finished(&self, host: HostId) -> Option<&Result<(), String>> {
        match &self.host(host).state {
            State::Finished(result) => Some(result),
            State::Running | State::Vanished => None,
        }
    }

    /// The byte streams that a host's service has, in the order of their numbers.
    pub fn streams(&self, host: HostId) -> impl Iterator<Item = StreamId> {
        self.host(host).streams.by_id.keys().copied()
    }

    fn host(&self, id: HostId) -> &Host {
        &self.hosts[id.0 as usize]
    }

    fn host_mut(&mut self, id: HostId) -> &mut Host {
        &mut self.hosts[id.0 as usize]
    }

    fn nat_box(&self, id: NatId) -> &Nat {
        &self.nats[id.0 as usize]
    }

    fn nat_box_mut(&mut self, id: NatId) -> &mut Nat {
        &mut self.nats[id.0 as usize]
    }

    fn fault(&mut self, fault: Fault) {
        self.faults.add(fault, 1);
    }

    fn buffer(&mut self) -> Vec<u8> {
        self.buffers.pop().unwrap_or_default()
    }

    fn recycle(&mut self, mut buffer: Vec<u8>) {
        if self.buffers.len() < MAX_BUFFERS {
            buffer.clear();
            self.buffers.push(buffer);
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("network: seed {}, time {}, trace {:016x}", self.seed, self.now, self.trace.hash());
        }
    }
}
