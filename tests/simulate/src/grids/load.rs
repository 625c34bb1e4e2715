//! Ends of a measurement: a source that always has more to send, and time-critical messages now and then; a sink that
//! reads everything at once.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use rtmfp::driver::Driver;
use rtmfp::{Config, Endpoint, Event, FlowSpec, Priority, SendFlowId, SessionConfig, SessionId};
use rtmfp_base::{
    Action, Batch, Input, InterfaceId, Message, ReceiptId, Service, StreamId, Tag, Time, UdpOptions,
    WriteOptions,
};
use rtmfp_netsim::Dice;
use rtmfp_plain::PlainProfile;

/// The port of all.
pub(super) const PORT: u16 = 1935;

/// Room for more than any window, with a threshold of congestion by delay.
fn roomy(delay: Option<Duration>) -> Config {
    let session =
        SessionConfig { receive_limit: 256 << 20, congestion_delay: delay, ..SessionConfig::default() };
    Config { receive_capacity: 8 << 20, session, ..Config::default() }
}

/// Hands an endpoint what the host has for it.
fn feed(driver: &mut Driver, now: Time, input: Input<'_>) {
    match input {
        Input::Timeout => driver.endpoint.handle_timeout(now),
        Input::Datagram { meta, bytes } => {
            driver.datagram(now, &meta, bytes);
        }
        Input::UdpReady { socket, result } => {
            driver.endpoint.add_interface(socket, result.expect("a socket"));
        }
        Input::JobDone(done) => driver.job_done(now, done),
        _ => {}
    }
}

fn driver(name: &str, seed: u64, delay: Option<Duration>) -> Driver {
    let profile = Box::new(PlainProfile::new(name));
    Driver::new(Endpoint::new(roomy(delay), profile, Dice::new(seed, 9).bytes(), Time::ZERO), 0)
}

fn open_udp() -> Action {
    let options = UdpOptions::from(SocketAddr::from(([0, 0, 0, 0], PORT)));
    Action::OpenUdp { socket: InterfaceId(0), options }
}

/// What a flow carries.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Load {
    /// Always so many bytes unsent, or more.
    Bulk(usize),
    /// A time-critical message of so many bytes, each so many microseconds.
    Critical(usize, u64),
}

/// A flow of a source.
#[derive(Debug)]
struct Stream {
    /// The sink's name and address.
    to: (String, SocketAddr),
    name: Bytes,
    load: Load,
    starts_at: Time,
    flow: Option<SendFlowId>,
    next: Time,
}

/// A time-critical message and when it was written.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    receipt: ReceiptId,
    since: Time,
    /// Its session recovered from a loss meanwhile.
    recovering: bool,
}

/// How long a time-critical message waited for its first transmission.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wait {
    pub(super) micros: u64,
    pub(super) recovering: bool,
    pub(super) at: Time,
}

/// An endpoint that sends.
pub(super) struct Source {
    driver: Driver,
    actions: VecDeque<Action>,
    streams: Vec<Stream>,
    waiting: Vec<Waiting>,
    pub(super) waits: Vec<Wait>,
    /// Of all datagrams.
    pub(super) longest: usize,
    lost: u64,
    /// Sessions that recover: more is under way than their window allows since something was lost.
    recovering: BTreeMap<SessionId, ()>,
    last: Time,
}

impl Source {
    pub(super) fn new(name: &str, seed: u64, delay: Option<Duration>) -> Self {
        Self {
            driver: driver(name, seed, delay),
            actions: [open_udp()].into(),
            streams: Vec::new(),
            waiting: Vec::new(),
            waits: Vec::new(),
            longest: 0,
            lost: 0,
            recovering: BTreeMap::new(),
            last: Time::ZERO,
        }
    }

    /// Adds a flow to a sink from some time on.
    pub(super) fn add(&mut self, to: (&str, SocketAddr), name: &str, load: Load, starts_at: Time) {
        let to = (to.0.to_owned(), to.1);
        let name = Bytes::copy_from_slice(name.as_bytes());
        self.streams.push(Stream { to, name, load, starts_at, flow: None, next: starts_at });
    }

    fn feed(&mut self, now: Time) {
        let endpoint = &mut self.driver.endpoint;
        for stream in &mut self.streams {
            if now < stream.starts_at {
                continue;
            }
            let flow = *stream.flow.get_or_insert_with(|| {
                let priority =
                    if matches!(stream.load, Load::Bulk(_)) { Priority::Bulk } else { Priority::Immediate };
                let spec = FlowSpec { metadata: stream.name.clone(), priority };
                let flow = endpoint.open_flow(now, stream.to.0.as_bytes(), spec, Tag(0)).expect("a flow");
                endpoint.send_flow(flow).expect("the flow").add_candidate(now, stream.to.1);
                flow
            });
            let Some(mut flow) = endpoint.send_flow(flow) else { continue };
            match stream.load {
                Load::Bulk(unsent) => {
                    while flow.unsent() < unsent {
                        let message = Message::from(Bytes::from_static(&[0x5a; 8000]));
                        flow.write(now, message, &WriteOptions::default()).expect("room");
                    }
                }
                Load::Critical(len, every) => {
                    while stream.next <= now {
                        stream.next += Duration::from_micros(every);
                        let message =
                            Message::new(&now.as_micros().to_be_bytes(), Bytes::from(vec![1; len - 8]));
                        let options = WriteOptions { notify: true, ..WriteOptions::default() };
                        let receipt = flow.write(now, message, &options).expect("room").expect("a receipt");
                        self.waiting.push(Waiting { receipt, since: now, recovering: false });
                    }
                }
            }
        }
    }

    /// Sees which time-critical messages have begun to be sent, and whether a loss held them up.
    fn watch(&mut self, now: Time) {
        let endpoint = &mut self.driver.endpoint;
        let lost = endpoint.stats().lost_fragments;
        let sessions = if lost > self.lost || !self.recovering.is_empty() {
            endpoint.open_sessions()
        } else {
            Vec::new()
        };
        for id in sessions {
            let Some(session) = endpoint.session(id) else { continue };
            let info = session.info();
            if info.outstanding < info.window {
                self.recovering.remove(&id);
            } else if lost > self.lost {
                self.recovering.insert(id, ());
            }
        }
        self.lost = lost;
        let recovers = !self.recovering.is_empty();
        self.waiting.retain_mut(|waiting| {
            waiting.recovering |= recovers;
            let started = endpoint.receipt(waiting.receipt).is_none_or(|mut receipt| receipt.is_started());
            if started {
                let micros = now.since(waiting.since).as_micros() as u64;
                self.waits.push(Wait { micros, recovering: waiting.recovering, at: now });
            }
            !started
        });
    }
}

impl Service for Source {
    fn handle(&mut self, now: Time, input: Input<'_>) {
        self.last = now;
        feed(&mut self.driver, now, input);
    }

    fn poll_action(&mut self, now: Time) -> Option<Action> {
        while let Some(event) = self.driver.endpoint.poll_event(now) {
            assert!(!matches!(event, Event::SessionClosed { .. }), "no session is to end: {event:?}");
        }
        // What a loss did is seen before anything is sent again.
        self.watch(now);
        self.feed(now);
        self.actions.pop_front().or_else(|| self.driver.poll_job())
    }

    fn poll_transmit(&mut self, now: Time, batch: &mut Batch) {
        self.driver.endpoint.poll_transmit(now, batch);
        self.longest =
            batch.datagrams().map(|(_, bytes)| bytes.len()).max().unwrap_or_default().max(self.longest);
        self.watch(now);
        self.feed(now);
    }

    fn fill_stream(&mut self, _now: Time, _stream: StreamId, _limit: usize, _out: &mut Vec<u8>) {}

    fn poll_timeout(&mut self) -> Option<Time> {
        let endpoint = self.driver.endpoint.poll_timeout().map(|(at, _)| at);
        let last = self.last;
        let next = |stream: &Stream| match stream.load {
            Load::Bulk(_) => stream.starts_at,
            Load::Critical(..) => stream.next,
        };
        let own = self.streams.iter().map(next).filter(|at| *at > last).min();
        [endpoint, own].into_iter().flatten().min()
    }
}

/// An endpoint that receives.
pub(super) struct Sink {
    driver: Driver,
    actions: VecDeque<Action>,
    names: Vec<Bytes>,
    /// Bytes of messages by the name of their flow.
    pub(super) bytes: BTreeMap<Bytes, u64>,
    /// How long time-critical messages took from being written to being read, in microseconds.
    pub(super) deliveries: Vec<(Time, u64)>,
}

impl Sink {
    pub(super) fn new(name: &str, seed: u64, delay: Option<Duration>) -> Self {
        Self {
            driver: driver(name, seed, delay),
            actions: [open_udp()].into(),
            names: Vec::new(),
            bytes: BTreeMap::new(),
            deliveries: Vec::new(),
        }
    }
}

impl Service for Sink {
    fn handle(&mut self, now: Time, input: Input<'_>) {
        feed(&mut self.driver, now, input);
    }

    fn poll_action(&mut self, now: Time) -> Option<Action> {
        while let Some(event) = self.driver.endpoint.poll_event(now) {
            match event {
                Event::FlowOffered { flow, metadata, .. } => {
                    let number = self.names.len() as u64;
                    self.names.push(metadata);
                    self.driver.endpoint.accept(now, flow, Tag(number));
                }
                Event::Readable { flow, tag } => {
                    let name = self.names[tag.0 as usize].clone();
                    let critical = name.starts_with(b"critical");
                    let total = self.bytes.entry(name).or_default();
                    let mut flow = self.driver.endpoint.recv_flow(flow);
                    while let Some(message) = flow.as_mut().and_then(|flow| flow.read(now)) {
                        *total += message.bytes.len() as u64;
                        if critical && let Some(written) = message.bytes.first_chunk() {
                            let written = Time::from_micros(u64::from_be_bytes(*written));
                            self.deliveries.push((now, now.since(written).as_micros() as u64));
                        }
                    }
                }
                _ => {}
            }
        }
        self.actions.pop_front().or_else(|| self.driver.poll_job())
    }

    fn poll_transmit(&mut self, now: Time, batch: &mut Batch) {
        self.driver.endpoint.poll_transmit(now, batch);
    }

    fn fill_stream(&mut self, _now: Time, _stream: StreamId, _limit: usize, _out: &mut Vec<u8>) {}

    fn poll_timeout(&mut self) -> Option<Time> {
        self.driver.endpoint.poll_timeout().map(|(at, _)| at)
    }
}
