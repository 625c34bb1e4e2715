mod actions;
mod datagrams;
mod run;
mod segments;
mod streams;

use core::any::Any;
use core::net::IpAddr;
use std::collections::{BTreeMap, VecDeque};
use std::thread;

use rtmfp_base::{Arena, Batch, Input, Service, Time};

use crate::conn::{Conn, ConnKind};
use crate::event::{Event, Life, Packet, PacketKind, Queue, Route, Segment, SegmentKind, Stage};
use crate::host::{Host, State, Streams, Timer, Work};
use crate::link::Link;
use crate::links::{DiceOf, Links, dice};
use crate::ports::Ports;
use crate::trace::{Log, Trace};
use crate::{Config, HostId, JobModel, LinkConfig, LinkCounters};

/// Hosts, the links between them, and virtual time.
///
/// Methods that take a [`HostId`] expect one that [`Network::add_host`] of the same network gave.
///
/// A network that is dropped while its thread panics prints its seed and time.
#[derive(Debug)]
pub struct Network {
    seed: u64,
    config: Config,
    now: Time,
    queue: Queue,
    hosts: Vec<Host>,
    /// Those to be polled.
    touched: VecDeque<HostId>,
    by_ip: BTreeMap<IpAddr, HostId>,
    names: BTreeMap<String, Vec<IpAddr>>,
    links: Links,
    packets: Arena<PacketKind, Packet>,
    segments: Arena<SegmentKind, Segment>,
    conns: Arena<ConnKind, Conn>,
    /// Buffers to use again.
    buffers: Vec<Vec<u8>>,
    batch: Batch,
    trace: Trace,
    log: Log,
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
        Self {
            seed,
            config,
            now: Time::ZERO,
            queue: Queue::default(),
            hosts: Vec::new(),
            touched: VecDeque::new(),
            by_ip: BTreeMap::new(),
            names: BTreeMap::new(),
            links: Links::new(seed),
            packets: Arena::new(),
            segments: Arena::new(),
            conns: Arena::new(),
            buffers: Vec::new(),
            batch: Batch::default(),
            trace: Trace::new(),
            log: Log::default(),
        }
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The time.
    pub fn now(&self) -> Time {
        self.now
    }

    /// A hash of all that services were told so far. Equal after equal runs.
    pub fn trace_hash(&self) -> u64 {
        self.trace.hash()
    }

    /// Writes a line of text for each thing that happens from now on.
    pub fn log_to(&mut self, sink: impl FnMut(Time, &str) + 'static) {
        self.log.set(Box::new(sink));
    }

    // Hosts.

    /// Adds a host that runs a service. It is polled for the first time when the network runs next.
    ///
    /// # Panics
    /// When another host has one of the addresses.
    pub fn add_host(&mut self, name: &str, ips: &[IpAddr], service: Box<dyn Service>) -> HostId {
        let id = HostId(u32::try_from(self.hosts.len()).expect("fewer than 2^32 hosts"));
        self.hosts.push(Host {
            name: name.to_owned(),
            life: Life { host: id, number: 0 },
            ips: Vec::new(),
            service,
            state: State::Running,
            timer: Timer::default(),
            touched: false,
            work: Work::default(),
            sockets: Ports::new(),
            listeners: Ports::new(),
            streams: Streams::default(),
            jobs: self.config.jobs,
            dice: dice(self.seed, DiceOf::Host, id.0, 0),
            uplink: None,
            downlink: None,
            parked: Vec::new(),
            announcements: Vec::new(),
        });
        self.set_addresses(id, ips);
        self.touch(id);
        id
    }

    /// Gives a host other addresses, as when it moves to another network. Sockets bound to a wildcard address
    /// go on with the new ones; those bound to an old one get nothing any more.
    ///
    /// # Panics
    /// When another host has one of the addresses.
    pub fn set_addresses(&mut self, host: HostId, ips: &[IpAddr]) {
        self.by_ip.retain(|_, owner| *owner != host);
        for ip in ips {
            assert!(!ip.is_loopback() && !ip.is_unspecified(), "{ip} is no address of its own");
            let before = self.by_ip.insert(*ip, host);
            assert_eq!(before, None, "{ip} has a host already");
        }
        self.host_mut(host).ips = ips.to_vec();
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

    /// Switches a host off. It answers nothing any more, and the peers of its byte streams are not told: they
    /// hold streams that are half open until [`StreamConfig::dead_after`](crate::StreamConfig::dead_after).
    pub fn vanish(&mut self, host: HostId) {
        let now = self.now;
        self.log.line(now, || format!("{} vanishes", self.hosts[host.0 as usize].name));
        self.drop_ends(host);
        let host = self.host_mut(host);
        host.state = State::Vanished;
        host.life.number += 1;
        host.timer = Timer::default();
        host.sockets.clear();
        host.listeners.clear();
        host.streams.by_id.clear();
        host.streams.to_fill.clear();
        self.find_cuts();
    }

    /// Switches a host on again, with a new service that knows nothing of the old one. A host that was running
    /// [vanishes](Self::vanish) first. Peers that send, or probe, on streams of its former life learn that
    /// these are gone.
    pub fn restart(&mut self, id: HostId, service: Box<dyn Service>) {
        self.vanish(id);
        let host = self.host_mut(id);
        host.service = service;
        host.state = State::Running;
        let parked = core::mem::take(&mut host.parked);
        self.touch(id);
        self.find_cuts();
        self.probe(id);
        for segment in parked {
            self.queue.push(self.now, Event::Segment(segment, Stage::Arrived));
        }
    }

    /// Sets what becomes of a host's jobs.
    pub fn set_jobs(&mut self, host: HostId, jobs: JobModel) {
        self.host_mut(host).jobs = jobs;
    }

    // Links.

    /// Configures all links between hosts that are not configured by [`Network::set_link`], those of hosts
    /// still to be added too.
    ///
    /// # Panics
    /// As [`Network::set_link`].
    pub fn set_default_link(&mut self, config: LinkConfig) {
        config.check();
        self.links.set_default(config);
    }

    /// Configures the link from one host to another. The other direction has a link of its own. A link may be
    /// changed at any time; what travels on it stays as it is, so a shorter delay lets datagrams overtake.
    ///
    /// # Panics
    /// When a probability is not between 0 and 1, or the rate is zero.
    pub fn set_link(&mut self, from: HostId, to: HostId, config: LinkConfig) {
        config.check();
        self.links.set(Route { from, to }, config);
    }

    /// Configures the links of two hosts in both directions alike.
    ///
    /// # Panics
    /// As [`Network::set_link`].
    pub fn set_links(&mut self, a: HostId, b: HostId, config: LinkConfig) {
        self.set_link(a, b, config);
        self.set_link(b, a, config);
    }

    /// Configures the link that all a host sends passes first.
    ///
    /// # Panics
    /// As [`Network::set_link`].
    pub fn set_uplink(&mut self, host: HostId, config: LinkConfig) {
        config.check();
        let seed = self.seed;
        let link = &mut self.host_mut(host).uplink;
        link.get_or_insert_with(|| Link::new(config, dice(seed, DiceOf::Uplink, host.0, 0)))
            .configure(config);
    }

    /// Configures the link that all a host receives passes last.
    ///
    /// # Panics
    /// As [`Network::set_link`].
    pub fn set_downlink(&mut self, host: HostId, config: LinkConfig) {
        config.check();
        let seed = self.seed;
        let link = &mut self.host_mut(host).downlink;
        link.get_or_insert_with(|| Link::new(config, dice(seed, DiceOf::Downlink, host.0, 0)))
            .configure(config);
    }

    /// Blocks the link from one host to another: datagrams vanish, byte streams stand still and die if it
    /// lasts.
    pub fn block(&mut self, from: HostId, to: HostId) {
        self.links.get(Route { from, to }).block();
        self.find_cuts();
    }

    /// Ends [`Network::block`].
    pub fn unblock(&mut self, from: HostId, to: HostId) {
        for segment in self.links.get(Route { from, to }).unblock() {
            self.segment_waited(segment, Stage::Between);
        }
        self.find_cuts();
    }

    /// Blocks the links between two hosts in both directions.
    pub fn partition(&mut self, a: HostId, b: HostId) {
        self.block(a, b);
        self.block(b, a);
    }

    /// Ends [`Network::partition`].
    pub fn heal(&mut self, a: HostId, b: HostId) {
        self.unblock(a, b);
        self.unblock(b, a);
    }

    /// What the link from one host to another did.
    pub fn link(&self, from: HostId, to: HostId) -> LinkCounters {
        self.links.find(Route { from, to }).map_or_else(LinkCounters::default, |link| link.counters)
    }

    /// What a host's uplink did.
    pub fn uplink(&self, host: HostId) -> LinkCounters {
        self.host(host).uplink.as_ref().map_or_else(LinkCounters::default, |link| link.counters)
    }

    /// What a host's downlink did.
    pub fn downlink(&self, host: HostId) -> LinkCounters {
        self.host(host).downlink.as_ref().map_or_else(LinkCounters::default, |link| link.counters)
    }

    fn host(&self, id: HostId) -> &Host {
        &self.hosts[id.0 as usize]
    }

    fn host_mut(&mut self, id: HostId) -> &mut Host {
        &mut self.hosts[id.0 as usize]
    }

    /// The first stage from this one on that has a link, and the stage behind it.
    fn next_link(&mut self, route: Route, mut stage: Stage) -> Option<(Stage, Stage)> {
        loop {
            let next = stage.next()?;
            if self.link_at(route, stage).is_some() {
                return Some((stage, next));
            }
            stage = next;
        }
    }

    /// The link at a stage of a route, if there is one.
    fn link_at(&mut self, route: Route, stage: Stage) -> Option<&mut Link> {
        match stage {
            Stage::Uplink if route.from != route.to => self.host_mut(route.from).uplink.as_mut(),
            Stage::Downlink if route.from != route.to => self.host_mut(route.to).downlink.as_mut(),
            Stage::Between => Some(self.links.get(route)),
            Stage::Uplink | Stage::Downlink | Stage::Arrived => None,
        }
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
