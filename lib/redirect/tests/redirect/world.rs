//! Networks of redirectors, targets and clients.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use rtmfp::driver::{Application, Node};
use rtmfp::{Config, Endpoint, Event, FlowSpec, Mobility, Priority, SendFlowId};
use rtmfp_base::{InterfaceId, Message, Tag, Time, WriteOptions};
use rtmfp_netsim::{HostId, LinkConfig, Network};
use rtmfp_plain::PlainProfile;
use rtmfp_redirect::{
    Redirector, Registrant, RegistrantConfig, RegistrantEvent, RegistrantState, Server, ServerConfig,
    ServerEvent, TargetId, TargetInfo, TargetState, Users,
};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) fn ip(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

pub(crate) fn at(last: u8) -> SocketAddr {
    SocketAddr::new(ip(last), 1935)
}

fn seed(seed: u64, number: u8) -> [u8; 32] {
    let mut bytes = [number; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    bytes
}

// With the plain profile a certificate is a name, and an Endpoint Discriminator that ends in `*` selects all names that
// begin so. These names are read as discriminators and certificates of the Flash profile as well.

/// The certificate of a redirector: its host name is `red` and one more byte.
pub(crate) fn redirector_name(number: u8) -> Vec<u8> {
    vec![5, 0x00, b'r', b'e', b'd', number]
}

/// What selects all redirectors.
pub(crate) fn redirector_epd() -> Bytes {
    Bytes::from_static(b"\x05\0red*")
}

/// What a client asks for: a URI that ends in `*`.
pub(crate) fn client_epd(uri: &str) -> Vec<u8> {
    [&[uri.len() as u8 + 1, 0x0a], uri.as_bytes()].concat()
}

/// The certificate of a target that clients of a URI that ends in `*` find: the URI, a fingerprint, a group.
pub(crate) fn target_name(uri: &str, number: u8) -> Vec<u8> {
    let mut name = client_epd(uri);
    *name.last_mut().unwrap() = b'+';
    name.extend([33, 0x0f]);
    name.extend([number; 32]);
    name.extend([2, 0x15, 14]);
    name
}

pub(crate) const URI: &str = "rtmfp://h/app*";

// ---- the redirector ----

pub(crate) struct RedirectorApp {
    pub(crate) server: Server,
    pub(crate) events: Vec<ServerEvent>,
}

impl Application for RedirectorApp {
    fn on_ready(&mut self, _now: Time, endpoint: &mut Endpoint) {
        self.server.start(endpoint);
    }

    fn on_event(&mut self, now: Time, endpoint: &mut Endpoint, event: Event) {
        self.server.on_event(now, endpoint, &event);
        self.events.extend(std::iter::from_fn(|| self.server.poll_event()));
    }

    fn poll_timeout(&mut self) -> Option<Time> {
        self.server.poll_timeout()
    }

    fn on_timeout(&mut self, now: Time, endpoint: &mut Endpoint) {
        self.server.handle_timeout(now, endpoint);
        self.events.extend(std::iter::from_fn(|| self.server.poll_event()));
    }
}

// ---- a target ----

pub(crate) struct TargetApp {
    pub(crate) registrant: Registrant,
    pub(crate) events: Vec<RegistrantEvent>,
    /// Sessions that clients have opened.
    pub(crate) clients: usize,
    started: bool,
}

impl TargetApp {
    fn collect(&mut self) {
        self.events.extend(std::iter::from_fn(|| self.registrant.poll_event()));
    }

    pub(crate) fn states(&self) -> Vec<RegistrantState> {
        let states = self.events.iter().filter_map(|event| match event {
            RegistrantEvent::State { state, .. } => Some(*state),
            _ => None,
        });
        states.collect()
    }
}

impl Application for TargetApp {
    fn on_ready(&mut self, now: Time, endpoint: &mut Endpoint) {
        if !std::mem::replace(&mut self.started, true) {
            self.registrant.start(now, endpoint);
        }
        self.collect();
    }

    fn on_event(&mut self, now: Time, endpoint: &mut Endpoint, event: Event) {
        if !self.registrant.on_event(now, endpoint, &event) {
            match event {
                Event::FlowOffered { flow, .. } => {
                    self.clients += 1;
                    endpoint.accept(now, flow, Tag(0));
                }
                Event::Readable { flow, .. } => {
                    while endpoint.recv_flow(flow).and_then(|mut flow| flow.read(now)).is_some() {}
                }
                _ => {}
            }
        }
        self.collect();
    }

    fn poll_timeout(&mut self) -> Option<Time> {
        self.registrant.poll_timeout()
    }

    fn on_timeout(&mut self, now: Time, endpoint: &mut Endpoint) {
        self.registrant.handle_timeout(now, endpoint);
        self.collect();
    }
}

// ---- a client ----

#[derive(Default)]
pub(crate) struct ClientApp {
    epd: Vec<u8>,
    redirectors: Vec<SocketAddr>,
    flow: Option<SendFlowId>,
    /// Where it has landed, and when.
    pub(crate) landed: Option<(SocketAddr, Time)>,
    pub(crate) lost: bool,
}

impl Application for ClientApp {
    fn on_ready(&mut self, now: Time, endpoint: &mut Endpoint) {
        if self.flow.is_some() {
            return;
        }
        let spec = FlowSpec { metadata: Bytes::from_static(b"client"), priority: Priority::Routine };
        let flow = endpoint.open_flow(now, &self.epd, spec, Tag(1)).expect("room for a flow");
        self.flow = Some(flow);
        let mut sending = endpoint.send_flow(flow).expect("the flow");
        self.redirectors.iter().for_each(|&to| sending.add_candidate(now, to));
        sending.write(now, Message::from(vec![1]), &WriteOptions::default()).expect("room");
    }

    fn on_event(&mut self, now: Time, endpoint: &mut Endpoint, event: Event) {
        match event {
            Event::FlowBound { session, .. } => {
                let to = endpoint.session(session).expect("an open session").info().far_address;
                self.landed = Some((to, now));
            }
            Event::FlowException { .. } => self.lost = true,
            _ => {}
        }
    }
}

// ---- the network ----

pub(crate) struct World {
    pub(crate) network: Network,
    seed: u64,
    clients: u16,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut network = Network::new(seed);
        network.set_default_link(LinkConfig::with_delay(Duration::from_millis(10)));
        Self { network, seed, clients: 0 }
    }

    pub(crate) fn run(&mut self, duration: Duration) {
        self.network.run_for(duration);
    }

    fn redirector_node(&self, last: u8, config: ServerConfig, users: Users) -> Node<RedirectorApp> {
        let mut settings = Config::default();
        config.configure_sessions(&mut settings.session);
        // The plain profile has no authentication codes.
        settings.session.mobility = Mobility::Always;
        let profile = PlainProfile::new(redirector_name(last));
        let endpoint = Endpoint::new(settings, Box::new(profile), seed(self.seed, last), self.network.now());
        let server = Server::new(config, users, seed(self.seed, last));
        Node::new(endpoint, &[at(last)], RedirectorApp { server, events: Vec::new() })
    }

    /// A redirector at an address of which the last byte is given.
    pub(crate) fn redirector(&mut self, last: u8, config: ServerConfig, users: Users) -> HostId {
        let node = self.redirector_node(last, config, users);
        self.network.add_host(&format!("redirector {last}"), &[ip(last)], Box::new(node))
    }

    pub(crate) fn restart_redirector(&mut self, host: HostId, last: u8, config: ServerConfig) {
        self.seed += 1000;
        let node = self.redirector_node(last, config, Users::new());
        self.network.restart(host, Box::new(node));
    }

    fn target_node(
        &self,
        (last, uri, number): (u8, &str, u8),
        addresses: &[SocketAddr],
        redirectors: &[u8],
        config: RegistrantConfig,
    ) -> Node<TargetApp> {
        let profile = PlainProfile::new(target_name(uri, number));
        let seed = seed(self.seed, last);
        let mut settings = Config::default();
        settings.session.mobility = Mobility::Always;
        let endpoint = Endpoint::new(settings, Box::new(profile), seed, self.network.now());
        let mut registrant = Registrant::new(config);
        for &redirector in redirectors {
            registrant.add(Redirector { epd: redirector_epd(), addresses: vec![at(redirector)] });
        }
        let app = TargetApp { registrant, events: Vec::new(), clients: 0, started: false };
        Node::new(endpoint, addresses, app)
    }

    /// A target that registers with redirectors.
    pub(crate) fn target(&mut self, last: u8, redirectors: &[u8], config: RegistrantConfig) -> HostId {
        self.target_as((last, URI, last), redirectors, config)
    }

    /// A target with a URI and a fingerprint.
    pub(crate) fn target_as(
        &mut self,
        who: (u8, &str, u8),
        redirectors: &[u8],
        config: RegistrantConfig,
    ) -> HostId {
        let node = self.target_node(who, &[at(who.0)], redirectors, config);
        self.network.add_host(&format!("target {}", who.0), &[ip(who.0)], Box::new(node))
    }

    /// A target at any address.
    pub(crate) fn target_at(
        &mut self,
        address: SocketAddr,
        number: u8,
        redirectors: &[u8],
        config: RegistrantConfig,
    ) -> HostId {
        let node = self.target_node((number, URI, number), &[address], redirectors, config);
        self.network.add_host(&format!("target {address}"), &[address.ip()], Box::new(node))
    }

    /// Kills a target and starts it anew, as somebody else perhaps.
    pub(crate) fn restart_target(&mut self, host: HostId, who: (u8, &str, u8), redirectors: &[u8]) {
        self.seed += 1000;
        let node = self.target_node(who, &[at(who.0)], redirectors, quick());
        self.network.restart(host, Box::new(node));
    }

    /// A target whose host may move to another address.
    pub(crate) fn moving_target(&mut self, last: u8, redirectors: &[u8], config: RegistrantConfig) -> HostId {
        let any = "0.0.0.0:1935".parse().unwrap();
        let node = self.target_node((last, URI, last), &[any], redirectors, config);
        self.network.add_host(&format!("target {last}"), &[ip(last)], Box::new(node))
    }

    /// A client that asks redirectors for whoever a discriminator selects.
    pub(crate) fn client_of(&mut self, epd: Vec<u8>, redirectors: &[u8]) -> HostId {
        self.clients += 1;
        let [high, low] = self.clients.to_be_bytes();
        let address = IpAddr::from([10, 1, high, low]);
        let mut key = seed(self.seed, 255);
        key[8..10].copy_from_slice(&[high, low]);
        let profile = PlainProfile::new(format!("client {}", self.clients));
        let endpoint = Endpoint::new(Config::default(), Box::new(profile), key, self.network.now());
        let redirectors = redirectors.iter().map(|&last| at(last)).collect();
        let app = ClientApp { epd, redirectors, ..ClientApp::default() };
        let node = Node::new(endpoint, &[(address, 1000).into()], app);
        self.network.add_host(&format!("client {}", self.clients), &[address], Box::new(node))
    }

    pub(crate) fn client(&mut self, redirectors: &[u8]) -> HostId {
        self.client_of(client_epd(URI), redirectors)
    }

    pub(crate) fn landed(&self, client: HostId) -> Option<SocketAddr> {
        self.network.peek::<Node<ClientApp>>(client).application.landed.map(|(to, _)| to)
    }

    pub(crate) fn server(&self, host: HostId) -> &Server {
        &self.network.peek::<Node<RedirectorApp>>(host).application.server
    }

    /// The registrants of a redirector, in the order of their addresses.
    pub(crate) fn targets(&self, host: HostId) -> Vec<(TargetId, TargetInfo)> {
        let mut targets: Vec<_> = self.server(host).targets().collect();
        targets.sort_by_key(|(_, info)| info.address);
        targets
    }

    pub(crate) fn target_states(&self, host: HostId) -> Vec<TargetState> {
        self.targets(host).iter().map(|(_, info)| info.state).collect()
    }

    pub(crate) fn app(&self, host: HostId) -> &TargetApp {
        &self.network.peek::<Node<TargetApp>>(host).application
    }

    /// Does something to a registrant.
    pub(crate) fn with(&mut self, host: HostId, act: impl FnOnce(&mut Registrant, Time, &mut Endpoint)) {
        let now = self.network.now();
        let (endpoint, app) = self.network.service::<Node<TargetApp>>(host).parts();
        act(&mut app.registrant, now, endpoint);
        app.collect();
    }

    /// Does something to a redirector.
    pub(crate) fn with_server(&mut self, host: HostId, act: impl FnOnce(&mut Server, Time, &mut Endpoint)) {
        let now = self.network.now();
        let (endpoint, app) = self.network.service::<Node<RedirectorApp>>(host).parts();
        act(&mut app.server, now, endpoint);
        app.events.extend(std::iter::from_fn(|| app.server.poll_event()));
    }

    /// How many clients landed at each of some targets.
    pub(crate) fn counts(&self, targets: &[HostId]) -> Vec<usize> {
        targets.iter().map(|&target| self.app(target).clients).collect()
    }

    /// A hello for a redirector, as if it had come from somewhere.
    pub(crate) fn hello(&mut self, host: HostId, epd: &[u8], from: SocketAddr) {
        self.hello_of(1000, host, epd, from);
    }

    /// The same, in a datagram of so many bytes.
    pub(crate) fn hello_of(&mut self, len: usize, host: HostId, epd: &[u8], from: SocketAddr) {
        let event = Event::UnmatchedIHello {
            epd: Bytes::copy_from_slice(epd),
            tag: Bytes::from_static(b"tag of 16 bytes!"),
            from,
            via: Some(InterfaceId(0).into()),
            len,
        };
        self.with_server(host, |server, now, endpoint| {
            server.on_event(now, endpoint, &event);
        });
    }
}

pub(crate) fn quick() -> RegistrantConfig {
    RegistrantConfig { reconnect: 5 * SECOND, ..RegistrantConfig::default() }
}

pub(crate) fn users(list: &[(&str, &str)]) -> Users {
    list.iter().copied().collect()
}
