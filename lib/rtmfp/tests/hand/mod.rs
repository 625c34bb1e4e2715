//! Endpoints driven by hand: each datagram, job and timeout can be looked at, lost, delayed or forged.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

pub mod flows;
pub mod forged;
pub mod stranger;
pub mod writes;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rtmfp::crypto::{DEFAULT_KEY, InitiatorSecret, KeyId, Profile, Sealing};
use rtmfp::wire::{
    Chunk, Chunks, IHello, IIKeying, Mode, PacketHeader, RHello, RIKeying, scramble, unscramble,
};
use rtmfp::{Disposition, Endpoint, Event, Received, RecvFlowId};
use rtmfp_base::{Batch, Ecn, InterfaceId, Job, RecvMeta, Tag, Time};
use rtmfp_plain::PlainProfile;

pub const A: SocketAddr = v4(1);
pub const B: SocketAddr = v4(2);

/// The address of a host by its last number.
pub const fn v4(last: u8) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, last)), 1935)
}

/// A datagram on its way.
#[derive(Clone, Debug)]
pub struct Datagram {
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub ecn: Ecn,
    pub bytes: Vec<u8>,
}

/// The kinds of the chunks in a datagram that the plain profile has sealed.
pub fn kinds(datagram: &[u8]) -> Vec<u8> {
    let clear = datagram.get(8..datagram.len().saturating_sub(2)).unwrap_or_default();
    let chunks = PacketHeader::parse(clear).map_or(&[][..], |(_, chunks)| chunks);
    Chunks::new(chunks).map(|(kind, _)| kind).collect()
}

pub fn deliver(endpoint: &mut Endpoint, now: Time, from: SocketAddr, bytes: &[u8]) -> Disposition {
    deliver_marked(endpoint, now, from, Ecn::NotEct, bytes)
}

pub fn deliver_marked(
    endpoint: &mut Endpoint,
    now: Time,
    from: SocketAddr,
    ecn: Ecn,
    bytes: &[u8],
) -> Disposition {
    let meta = RecvMeta { interface: InterfaceId(0), from, dst_ip: None, ecn };
    endpoint.handle_datagram(now, &meta, &mut bytes.to_vec())
}

/// Runs all jobs at once.
pub fn run_jobs(endpoint: &mut Endpoint, now: Time) {
    while let Some(job) = endpoint.poll_job() {
        endpoint.complete_job(now, job.run());
    }
}

pub fn events(endpoint: &mut Endpoint, now: Time) -> Vec<Event> {
    core::iter::from_fn(|| endpoint.poll_event(now)).collect()
}

/// Takes every flow, in time.
pub fn events_accepting(endpoint: &mut Endpoint, now: Time) -> Vec<Event> {
    let mut all = Vec::new();
    while let Some(event) = endpoint.poll_event(now) {
        if let Event::FlowOffered { flow, .. } = event {
            endpoint.accept(now, flow, Tag(1));
        }
        all.push(event);
    }
    all
}

/// What an endpoint sends, as (interface, destination, bytes).
pub fn transmits(endpoint: &mut Endpoint, now: Time) -> Vec<(InterfaceId, SocketAddr, Vec<u8>)> {
    let marked = transmits_marked(endpoint, now).into_iter();
    marked.map(|(interface, to, _, bytes)| (interface, to, bytes)).collect()
}

/// The same with the mark of each datagram.
pub fn transmits_marked(endpoint: &mut Endpoint, now: Time) -> Vec<(InterfaceId, SocketAddr, Ecn, Vec<u8>)> {
    let mut all = Vec::new();
    let mut batch = Batch::default();
    loop {
        batch.clear();
        endpoint.poll_transmit(now, &mut batch);
        if batch.is_empty() {
            return all;
        }
        all.extend(
            batch.datagrams().map(|(sent, bytes)| (sent.interface, sent.to, sent.ecn, bytes.to_vec())),
        );
    }
}

/// What happens to a datagram or a job.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fate {
    After(Duration),
    Lost,
}

type Network = Box<dyn FnMut(usize, &Datagram) -> Fate>;

/// Two endpoints, `a` (at [`A`], the initiator in most tests) and `b` (at [`B`]).
pub struct Hands {
    pub now: Time,
    pub ends: [Endpoint; 2],
    pub addresses: [SocketAddr; 2],
    pub events: [Vec<Event>; 2],
    /// All that was sent: when, by which end, what.
    pub sent: Vec<(Time, usize, Datagram)>,
    /// Decides by the sending end and the datagram, asked once for each.
    pub network: Network,
    /// Changes the mark of a datagram on its way, by the time it is sent.
    pub marks: Box<dyn FnMut(Time, Ecn) -> Ecn>,
    /// Decides how long a job of an end takes.
    pub jobs: Box<dyn FnMut(usize) -> Fate>,
    pub accepts: bool,
    /// Everything that can be read is, at once.
    pub reads: bool,
    /// What an end has read.
    pub received: [BTreeMap<RecvFlowId, Vec<Received>>; 2],
    /// The session ids that the packets of an end were last sent to.
    pub far_ids: [Option<u32>; 2],
    flying: Vec<(Time, Datagram)>,
    running: Vec<(Time, usize, Job)>,
}

pub const DELAY: Duration = Duration::from_millis(20);

impl Hands {
    pub fn new(mut a: Endpoint, mut b: Endpoint) -> Self {
        a.add_interface(InterfaceId(0), A);
        b.add_interface(InterfaceId(0), B);
        Self {
            now: Time::from_secs(1),
            ends: [a, b],
            addresses: [A, B],
            events: [Vec::new(), Vec::new()],
            sent: Vec::new(),
            network: Box::new(|_, _| Fate::After(DELAY)),
            marks: Box::new(|_, ecn| ecn),
            jobs: Box::new(|_| Fate::After(Duration::ZERO)),
            accepts: true,
            reads: true,
            received: Default::default(),
            far_ids: [None; 2],
            flying: Vec::new(),
            running: Vec::new(),
        }
    }

    /// Polls both endpoints in the order of their contract.
    pub fn poll(&mut self) {
        let now = self.now;
        for (end, endpoint) in self.ends.iter_mut().enumerate() {
            while let Some(event) = endpoint.poll_event(now) {
                if let Event::FlowOffered { flow, .. } = event
                    && self.accepts
                {
                    endpoint.accept(now, flow, Tag(1));
                }
                if let Event::Readable { flow, .. } = event
                    && self.reads
                {
                    let read = || endpoint.recv_flow(flow)?.read(now);
                    self.received[end].entry(flow).or_default().extend(core::iter::from_fn(read));
                }
                self.events[end].push(event);
            }
            while let Some(job) = endpoint.poll_job() {
                if let Fate::After(delay) = (self.jobs)(end) {
                    self.running.push((now + delay, end, job));
                }
            }
            for (_, to, ecn, bytes) in transmits_marked(endpoint, now) {
                let datagram = Datagram { from: self.addresses[end], to, ecn, bytes };
                let far_id = unscramble(&datagram.bytes).filter(|&id| id != 0);
                self.far_ids[end] = far_id.or(self.far_ids[end]);
                if let Fate::After(delay) = (self.network)(end, &datagram) {
                    let ecn = (self.marks)(now, ecn);
                    self.flying.push((now + delay, Datagram { ecn, ..datagram.clone() }));
                }
                self.sent.push((now, end, datagram));
            }
        }
    }

    /// Lets time pass.
    pub fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        let mut steps = 0;
        loop {
            self.poll();
            let timeouts = [0, 1].map(|end| self.ends[end].poll_timeout().map_or(Time::MAX, |(at, _)| at));
            let flying = self.flying.iter().map(|(at, _)| *at);
            let running = self.running.iter().map(|(at, ..)| *at);
            let next = timeouts.into_iter().chain(flying).chain(running).min().unwrap_or(Time::MAX);
            if next > end {
                self.now = end;
                return;
            }
            steps = if next > self.now { 0 } else { steps + 1 };
            assert!(steps < 10_000, "time stands still at {next}");
            self.now = self.now.max(next);
            self.happen(timeouts);
        }
    }

    fn happen(&mut self, timeouts: [Time; 2]) {
        let now = self.now;
        let (due, later) = self.flying.drain(..).partition(|(at, _)| *at <= now);
        self.flying = later;
        for (_, datagram) in due {
            if let Some(end) = self.addresses.iter().position(|address| *address == datagram.to) {
                deliver_marked(&mut self.ends[end], now, datagram.from, datagram.ecn, &datagram.bytes);
            }
        }
        let (due, later) = self.running.drain(..).partition::<Vec<_>, _>(|(at, ..)| *at <= now);
        self.running = later;
        for (_, end, job) in due {
            self.ends[end].complete_job(now, job.run());
        }
        for (end, at) in timeouts.into_iter().enumerate() {
            if at <= now {
                self.ends[end].handle_timeout(now);
            }
        }
    }

    /// When an end sent packets with a chunk of a kind.
    pub fn times(&self, end: usize, kind: u8) -> Vec<Time> {
        let own = self.sent.iter().filter(|(_, from, d)| *from == end && kinds(&d.bytes).contains(&kind));
        own.map(|(at, ..)| *at).collect()
    }

    pub fn count(&self, end: usize, matches: impl Fn(&Event) -> bool) -> usize {
        self.events[end].iter().filter(|event| matches(event)).count()
    }

    pub fn opened(&self, end: usize) -> usize {
        self.count(end, |event| matches!(event, Event::SessionOpened { .. }))
    }
}

/// A peer that says what it likes: it has a profile, and later keys of a session, but no endpoint.
#[derive(Debug)]
pub struct Forger {
    pub profile: PlainProfile,
    pub address: SocketAddr,
    /// The session id that it asks for.
    pub near_id: u32,
    /// Its session: the far end's id and the key.
    pub far_id: u32,
    pub key: KeyId,
    pub mode: Mode,
}

impl Forger {
    pub fn new(name: &str, address: SocketAddr) -> Self {
        let profile = PlainProfile::new(name);
        Self { profile, address, near_id: 0x1234_5678, far_id: 0, key: DEFAULT_KEY, mode: Mode::Initiator }
    }

    /// Seals a clear packet.
    pub fn seal_clear(&mut self, key: KeyId, far_id: u32, clear: &[u8]) -> Vec<u8> {
        let room = self.profile.reserve(key, clear.len());
        let mut bytes = vec![0; 4 + room.sealed_len];
        bytes[4 + room.front..4 + room.front + clear.len()].copy_from_slice(clear);
        self.profile.seal(&mut bytes, &mut [Sealing { key, room, clear_len: clear.len(), start: 4 }]);
        scramble(far_id, &mut bytes);
        bytes
    }

    /// A packet with the default key.
    pub fn startup(&mut self, far_id: u32, chunks: &[Chunk<'_>]) -> Vec<u8> {
        let clear = clear(Mode::Startup, chunks);
        self.seal_clear(DEFAULT_KEY, far_id, &clear)
    }

    /// Takes the keys of somebody else's session from one of its packets: of the plain profile, all it takes is the salt.
    pub fn steal(&mut self, datagram: &[u8]) -> KeyId {
        let secret: InitiatorSecret = Arc::new([0u8; 4]);
        let keys = self.profile.conclude(&secret, &datagram[4..8])().expect("a salt");
        self.profile.install(keys)
    }

    /// A packet of the session.
    pub fn packet(&mut self, chunks: &[Chunk<'_>]) -> Vec<u8> {
        let clear = clear(self.mode, chunks);
        self.seal_clear(self.key, self.far_id, &clear)
    }

    /// Opens a datagram; answers its session id and its chunks.
    pub fn open(&mut self, key: KeyId, datagram: &[u8]) -> (u32, Vec<u8>) {
        let mut bytes = datagram.to_vec();
        let id = unscramble(&bytes).expect("an id");
        let clear = self.profile.open(key, &mut bytes[4..]).expect("an authentic packet");
        let (_, chunks) = PacketHeader::parse(&bytes[4..][clear]).expect("a header");
        (id, chunks.to_vec())
    }

    /// A hello to the holder of a certificate, padded to a datagram of so many bytes.
    pub fn hello_of(&mut self, to: &[u8], len: usize) -> Vec<u8> {
        let mut clear = clear(Mode::Startup, &[Chunk::IHello(IHello { epd: to, tag: &[7; 16] })]);
        clear.resize(clear.len().max(len - 10), 0xff);
        self.seal_clear(DEFAULT_KEY, 0, &clear)
    }

    /// A hello that is long enough to be answered at the full rate.
    pub fn hello(&mut self, to: &[u8]) -> Vec<u8> {
        self.hello_of(to, 64)
    }

    /// Gets a cookie for its address.
    pub fn cookie(&mut self, now: Time, victim: &mut Endpoint, name: &[u8]) -> Vec<u8> {
        let hello = self.hello(name);
        deliver(victim, now, self.address, &hello);
        let answer = transmits(victim, now).pop().expect("an answer");
        let (_, chunks) = self.open(DEFAULT_KEY, &answer.2);
        match parse(&chunks).first() {
            Some(Chunk::RHello(hello)) => hello.cookie.to_vec(),
            other => panic!("{other:?} instead of an RHello"),
        }
    }

    /// The keying packet for a cookie; its component is the salt of packets to this end.
    pub fn keying(&mut self, cookie: &[u8], component: [u8; 4]) -> Vec<u8> {
        let mut parameters = Vec::new();
        let certificate = self.profile.certificate();
        IIKeying::write_parameters(self.near_id, cookie, certificate, &component, &mut parameters);
        let signature = self.profile.signatures().sign(&parameters);
        let mut chunk = Vec::new();
        IIKeying::write_to(&parameters, &signature, &mut chunk);
        let clear = [&[3], &chunk[..]].concat();
        self.seal_clear(DEFAULT_KEY, 0, &clear)
    }

    /// As responder: the answer to a hello.
    pub fn rhello(&mut self, tag: &[u8], cookie: &[u8]) -> Vec<u8> {
        let certificate = self.profile.certificate().to_vec();
        let hello = RHello { tag_echo: tag, cookie, certificate: &certificate };
        self.startup(0, &[Chunk::RHello(hello)])
    }

    /// As responder: takes the initiator's keying and answers it.
    pub fn rikeying(&mut self, keying: &IIKeying<'_>) -> Vec<u8> {
        let component = keying.component;
        let work = self.profile.respond(keying.certificate, component, &mut |bytes| bytes.fill(8));
        let answer = work.expect("work")().expect("an answer");
        self.far_id = keying.session_id;
        self.key = self.profile.install(answer.keys);
        let mut parameters = Vec::new();
        RIKeying::write_parameters(self.near_id, &answer.component, &mut parameters);
        let signature = self.profile.signatures().sign(&[&parameters[..], component].concat());
        self.rikeying_with(&parameters, &signature)
    }

    /// The same with parameters and signature as they come.
    pub fn rikeying_with(&mut self, parameters: &[u8], signature: &[u8]) -> Vec<u8> {
        let mut chunk = Vec::new();
        RIKeying::write_to(parameters, signature, &mut chunk);
        let clear = [&[3], &chunk[..]].concat();
        self.seal_clear(DEFAULT_KEY, self.far_id, &clear)
    }

    /// Opens a session as initiator.
    pub fn connect(&mut self, now: Time, victim: &mut Endpoint, name: &[u8]) {
        let cookie = self.cookie(now, victim, name);
        let offer =
            self.profile.initiate(name, &mut |bytes| bytes.fill(9)).expect("an offer")().expect("one");
        let keying = self.keying(&cookie, offer.component.clone().try_into().expect("a salt"));
        deliver(victim, now, self.address, &keying);
        run_jobs(victim, now);
        // A ping may come with it.
        let answer = transmits(victim, now).into_iter().find(|(.., bytes)| bytes[4..8] == *b"open");
        let answer = answer.expect("an answer");
        let (id, chunks) = self.open(DEFAULT_KEY, &answer.2);
        assert_eq!(id, self.near_id);
        match parse(&chunks).first() {
            Some(Chunk::RIKeying(keying)) => {
                let keys = self.profile.conclude(&offer.secret, keying.component)().expect("keys");
                self.far_id = keying.session_id;
                self.key = self.profile.install(keys);
            }
            other => panic!("{other:?} instead of an RIKeying"),
        }
    }
}

/// A clear packet.
pub fn clear(mode: Mode, chunks: &[Chunk<'_>]) -> Vec<u8> {
    let mut clear = vec![mode as u8];
    for chunk in chunks {
        chunk.write(&mut clear);
    }
    clear
}

/// The chunks of a packet that can be parsed.
pub fn parse(chunks: &[u8]) -> Vec<Chunk<'_>> {
    Chunks::new(chunks).filter_map(|(kind, payload)| Chunk::parse(kind, payload).ok()).collect()
}
