//! Networks of redirectors, servers that echo, and clients.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use rtmfp::driver::{Application, Node};
use rtmfp::{Config, Endpoint, Event, FlowSpec, Priority, ReceiveOrder, RecvFlowId, SendFlowId};
use rtmfp_base::{Message, Tag, Time, WriteOptions};
use rtmfp_netsim::{HostId, LinkConfig, Network};
use rtmfp_plain::PlainProfile;
use rtmfp_redirect::{Redirector as Spec, Registrant, RegistrantConfig, ServerConfig, Users};
use rtmfp_service::{Redirector, RedirectorConfig, RedirectorMode};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) fn ip(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

pub(crate) fn at(last: u8) -> SocketAddr {
    SocketAddr::new(ip(last), 1935)
}

fn key(seed: u64, number: u16) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    bytes[8..10].copy_from_slice(&number.to_be_bytes());
    bytes
}

// With the plain profile a certificate is a name, and an Endpoint Discriminator that ends in `*` selects all names that
// begin so. These names are read as discriminators and certificates of the Flash profile as well.

/// What clients ask for: a URI that ends in `*`.
pub(crate) const CLIENT_EPD: &[u8] = b"\x0f\x0artmfp://h/app*";
/// What selects all redirectors.
pub(crate) const REDIRECTOR_EPD: &[u8] = b"\x05\0red*";

/// The certificate of a server: the URI, a fingerprint, a group.
fn server_name(number: u8) -> Vec<u8> {
    let mut name = CLIENT_EPD.to_vec();
    *name.last_mut().unwrap() = b'+';
    name.extend([33, 0x0f]);
    name.extend([number; 32]);
    name.extend([2, 0x15, 14]);
    name
}

/// A server that registers and echoes.
pub(crate) struct EchoServer {
    pub(crate) registrant: Registrant,
    pub(crate) clients: usize,
    flows: Vec<(RecvFlowId, SendFlowId)>,
}

impl Application for EchoServer {
    fn on_ready(&mut self, now: Time, endpoint: &mut Endpoint) {
        self.registrant.start(now, endpoint);
    }

    fn on_event(&mut self, now: Time, endpoint: &mut Endpoint, event: Event) {
        if self.registrant.on_event(now, endpoint, &event) {
            while self.registrant.poll_event().is_some() {}
            return;
        }
        match event {
            Event::FlowOffered { flow, .. } => {
                self.clients += 1;
                endpoint.accept(now, flow, Tag(0));
                let mut offered = endpoint.recv_flow(flow).expect("the flow");
                offered.set_order(now, ReceiveOrder::Sequence);
                let spec = FlowSpec { metadata: Bytes::from_static(b"echo"), priority: Priority::Routine };
                let back = offered.open_return_flow(now, spec, Tag(0)).expect("room for a flow");
                self.flows.push((flow, back));
                self.registrant.set_load(now, endpoint, self.clients as u64);
            }
            Event::Readable { flow, .. } => {
                let back = self.flows.iter().find(|(there, _)| *there == flow).expect("its flow").1;
                while let Some(message) = endpoint.recv_flow(flow).and_then(|mut flow| flow.read(now)) {
                    if let Some(mut back) = endpoint.send_flow(back) {
                        let _ = back.write(now, Message::from(message.bytes), &WriteOptions::default());
                    }
                }
            }
            _ => {}
        }
    }

    fn poll_timeout(&mut self) -> Option<Time> {
        self.registrant.poll_timeout()
    }

    fn on_timeout(&mut self, now: Time, endpoint: &mut Endpoint) {
        self.registrant.handle_timeout(now, endpoint);
        while self.registrant.poll_event().is_some() {}
    }
}

/// A client that says something every second.
pub(crate) struct Client {
    redirectors: Vec<SocketAddr>,
    flow: Option<SendFlowId>,
    next: Time,
    /// Where it has landed, and when.
    pub(crate) landed: Option<(SocketAddr, Time)>,
    pub(crate) echoes: usize,
}

impl Application for Client {
    fn on_ready(&mut self, now: Time, endpoint: &mut Endpoint) {
        let spec = FlowSpec { metadata: Bytes::from_static(b"client"), priority: Priority::Routine };
        let flow = endpoint.open_flow(now, CLIENT_EPD, spec, Tag(1)).expect("room for a flow");
        let mut sending = endpoint.send_flow(flow).expect("the flow");
        self.redirectors.iter().for_each(|&to| sending.add_candidate(now, to));
        self.flow = Some(flow);
    }

    fn on_event(&mut self, now: Time, endpoint: &mut Endpoint, event: Event) {
        match event {
            Event::FlowBound { session, .. } => {
                let to = endpoint.session(session).expect("an open session").info().far_address;
                self.landed = Some((to, now));
            }
            Event::FlowOffered { flow, .. } => endpoint.accept(now, flow, Tag(2)),
            Event::Readable { flow, .. } => {
                while endpoint.recv_flow(flow).and_then(|mut flow| flow.read(now)).is_some() {
                    self.echoes += 1;
                }
            }
            _ => {}
        }
    }

    fn poll_timeout(&mut self) -> Option<Time> {
        Some(self.next)
    }

    fn on_timeout(&mut self, now: Time, endpoint: &mut Endpoint) {
        self.next = now + SECOND;
        if let Some(mut flow) = self.flow.and_then(|flow| endpoint.send_flow(flow)) {
            let _ = flow.write(now, Message::from(b"ping".to_vec()), &WriteOptions::default());
        }
    }
}

pub(crate) struct World {
    pub(crate) network: Network,
    seed: u64,
    numbers: u16,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut network = Network::new(seed);
        network.set_default_link(LinkConfig::with_delay(Duration::from_millis(10)));
        Self { network, seed, numbers: 0 }
    }

    pub(crate) fn run(&mut self, duration: Duration) {
        self.network.run_for(duration);
    }

    fn key(&mut self) -> [u8; 32] {
        self.numbers += 1;
        key(self.seed, self.numbers)
    }

    pub(crate) fn make_redirector(
        &mut self,
        last: u8,
        listen: &[SocketAddr],
        mode: RedirectorMode,
    ) -> Redirector {
        let config = RedirectorConfig::new(listen.to_vec(), mode, self.key());
        let name = [&REDIRECTOR_EPD[..5], &[last]].concat();
        Redirector::new(config, Box::new(PlainProfile::new(name)))
    }

    /// A redirector at an address of which the last byte is given.
    pub(crate) fn redirector(&mut self, last: u8, mode: RedirectorMode) -> HostId {
        let redirector = self.make_redirector(last, &[at(last)], mode);
        self.network.add_host(&format!("redirector {last}"), &[ip(last)], Box::new(redirector))
    }

    /// A server that registers with redirectors.
    pub(crate) fn server(&mut self, last: u8, redirectors: &[SocketAddr], users: Users) -> HostId {
        let config = RegistrantConfig { users, reconnect: 5 * SECOND, ..RegistrantConfig::default() };
        let mut registrant = Registrant::new(config);
        for &redirector in redirectors {
            registrant.add(Spec { epd: Bytes::from_static(REDIRECTOR_EPD), addresses: vec![redirector] });
        }
        let profile = Box::new(PlainProfile::new(server_name(last)));
        let endpoint = Endpoint::new(Config::default(), profile, self.key(), self.network.now());
        let app = EchoServer { registrant, clients: 0, flows: Vec::new() };
        let node = Node::new(endpoint, &[at(last)], app);
        self.network.add_host(&format!("server {last}"), &[ip(last)], Box::new(node))
    }

    /// A client that knows redirectors.
    pub(crate) fn client(&mut self, redirectors: &[SocketAddr]) -> HostId {
        let key = self.key();
        let [high, low] = self.numbers.to_be_bytes();
        let address = IpAddr::from([10, 1, high, low]);
        let profile = Box::new(PlainProfile::new(format!("client {}", self.numbers)));
        let endpoint = Endpoint::new(Config::default(), profile, key, self.network.now());
        let next = self.network.now();
        let redirectors = redirectors.to_vec();
        let app = Client { redirectors, flow: None, next, landed: None, echoes: 0 };
        let node = Node::new(endpoint, &[(address, 1000).into()], app);
        self.network.add_host("client", &[address], Box::new(node))
    }

    pub(crate) fn look(&self, redirector: HostId) -> &Redirector {
        self.network.peek(redirector)
    }

    pub(crate) fn app(&self, client: HostId) -> &Client {
        &self.network.peek::<Node<Client>>(client).application
    }

    pub(crate) fn clients_of(&self, server: HostId) -> usize {
        self.network.peek::<Node<EchoServer>>(server).application.clients
    }
}

pub(crate) fn targets(server: ServerConfig, users: Users) -> RedirectorMode {
    RedirectorMode::Targets { server: Box::new(server), users }
}

pub(crate) fn one_each() -> RedirectorMode {
    targets(ServerConfig { targets: Some(1), ..ServerConfig::default() }, Users::new())
}
