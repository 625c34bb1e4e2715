//! Two endpoints with the plain profile on a simulated network.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

pub mod bottleneck;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use rtmfp::driver::{Application, Node};
use rtmfp::{
    Config, Endpoint, Event, FlowSpec, Priority, Received, RecvFlowId, SendFlowId, SessionId, WriteError,
};
use rtmfp_base::{Message, ReceiptId, Tag, Time, WriteOptions};
use rtmfp_netsim::{HostId, LinkConfig, Loss, Network, Reorder};
use rtmfp_plain::PlainProfile;

pub const PORT: u16 = 1935;
pub const A: [u8; 4] = [10, 0, 0, 1];
pub const B: [u8; 4] = [10, 0, 0, 2];

/// An application that takes every flow and reads everything, unless told otherwise.
#[derive(Debug)]
pub struct Peer {
    pub events: Vec<Event>,
    pub received: BTreeMap<RecvFlowId, Vec<Received>>,
    /// When each of them was read.
    pub read_at: BTreeMap<RecvFlowId, Vec<Time>>,
    pub metadata: BTreeMap<RecvFlowId, Bytes>,
    pub accepts: bool,
    pub reads: bool,
}

impl Peer {
    pub fn new() -> Self {
        Self {
            events: Vec::new(),
            received: BTreeMap::new(),
            read_at: BTreeMap::new(),
            metadata: BTreeMap::new(),
            accepts: true,
            reads: true,
        }
    }

    /// Messages of the only flow with this metadata.
    pub fn messages(&self, metadata: &[u8]) -> Vec<Vec<u8>> {
        let flow = self.metadata.iter().find(|(_, m)| *m == metadata).map(|(flow, _)| *flow);
        let received = flow.and_then(|flow| self.received.get(&flow));
        received.into_iter().flatten().map(|message| message.bytes.to_vec()).collect()
    }

    pub fn count(&self, matches: impl Fn(&Event) -> bool) -> usize {
        self.events.iter().filter(|event| matches(event)).count()
    }
}

impl Application for Peer {
    fn on_event(&mut self, now: Time, endpoint: &mut Endpoint, event: Event) {
        match &event {
            Event::FlowOffered { flow, metadata, .. } => {
                self.metadata.insert(*flow, metadata.clone());
                if self.accepts {
                    endpoint.accept(now, *flow, Tag(flow.index().into()));
                }
            }
            Event::Readable { flow, .. } if self.reads => {
                while let Some(message) = endpoint.recv_flow(*flow).and_then(|mut f| f.read(now)) {
                    self.received.entry(*flow).or_default().push(message);
                    self.read_at.entry(*flow).or_default().push(now);
                }
            }
            _ => {}
        }
        self.events.push(event);
    }
}

pub struct Pair {
    pub net: Network,
    pub a: HostId,
    pub b: HostId,
}

pub fn endpoint(name: &str, seed: u64, config: Config) -> Endpoint {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    bytes[8..8 + name.len()].copy_from_slice(name.as_bytes());
    Endpoint::new(config, Box::new(PlainProfile::new(name)), bytes, Time::ZERO)
}

pub fn node(name: &str, seed: u64, config: Config) -> Box<Node<Peer>> {
    let address = SocketAddr::from(([0, 0, 0, 0], PORT));
    Box::new(Node::new(endpoint(name, seed, config), &[address], Peer::new()))
}

impl Pair {
    pub fn new(seed: u64, link: LinkConfig) -> Self {
        Self::with(seed, link, Config::default(), Config::default())
    }

    pub fn with(seed: u64, link: LinkConfig, config_a: Config, config_b: Config) -> Self {
        let mut net = Network::new(seed);
        net.set_default_link(link);
        let a = net.add_host("a", &[IpAddr::from(A)], node("a", seed, config_a));
        let b = net.add_host("b", &[IpAddr::from(B)], node("b", seed + 1, config_b));
        net.run_for(Duration::from_millis(1));
        Self { net, a, b }
    }

    pub fn now(&self) -> Time {
        self.net.now()
    }

    pub fn node(&mut self, host: HostId) -> &mut Node<Peer> {
        self.net.service::<Node<Peer>>(host)
    }

    pub fn peer(&self, host: HostId) -> &Peer {
        &self.net.peek::<Node<Peer>>(host).application
    }

    /// Opens a flow from a to b.
    pub fn open(&mut self, metadata: &'static [u8], priority: Priority) -> SendFlowId {
        let (now, a) = (self.now(), self.a);
        let spec = FlowSpec { metadata: Bytes::from_static(metadata), priority };
        let endpoint = self.node(a).endpoint();
        let flow = endpoint.open_flow(now, b"b", spec, Tag(7)).expect("a flow");
        let to = SocketAddr::from((B, PORT));
        endpoint.send_flow(flow).expect("the flow").add_candidate(now, to);
        flow
    }

    pub fn write(&mut self, flow: SendFlowId, message: impl Into<Message>) {
        self.write_with(flow, message, &WriteOptions::default()).expect("the flow takes it");
    }

    pub fn write_with(
        &mut self,
        flow: SendFlowId,
        message: impl Into<Message>,
        options: &WriteOptions,
    ) -> Result<Option<ReceiptId>, WriteError> {
        let (now, a) = (self.now(), self.a);
        let endpoint = self.node(a).endpoint();
        endpoint.send_flow(flow).expect("the flow").write(now, message.into(), options)
    }

    pub fn close(&mut self, flow: SendFlowId) {
        let (now, a) = (self.now(), self.a);
        if let Some(flow) = self.node(a).endpoint().send_flow(flow) {
            flow.close(now);
        }
    }

    pub fn run(&mut self, seconds: f64) {
        self.net.run_for(Duration::from_secs_f64(seconds));
    }

    /// The open session of a host.
    pub fn session(&mut self, host: HostId) -> SessionId {
        let sessions = self.node(host).endpoint().open_sessions();
        assert_eq!(sessions.len(), 1, "{sessions:?}");
        sessions[0]
    }
}

pub fn link(millis: u64) -> LinkConfig {
    LinkConfig { delay: Duration::from_millis(millis), ..LinkConfig::default() }
}

/// What issue and README call a bad network: 5 % loss, reordering and duplication.
pub fn bad_link() -> LinkConfig {
    LinkConfig {
        delay: Duration::from_millis(20),
        jitter: Duration::from_millis(5),
        loss: Loss::Independent(0.05),
        duplicate: 0.02,
        reorder: Reorder { probability: 0.05, extra: Duration::from_millis(15) },
        ..LinkConfig::default()
    }
}

/// A message that says which one it is.
pub fn numbered(number: u64, len: usize) -> Vec<u8> {
    let mut message: Vec<u8> = (0..len.max(8)).map(|i| (i as u64 * 31 + number) as u8).collect();
    message[..8].copy_from_slice(&number.to_be_bytes());
    message
}
