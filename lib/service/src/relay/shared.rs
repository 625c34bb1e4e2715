use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use rand::rngs::ChaCha20Rng;
use rand::{Rng, SeedableRng};
use rtmfp::{RecvFlowId, SessionId};
use rtmfp_base::{Action, NameId, StreamId, Time};
use rtmfp_netconn::{Cx, EndpointId, Endpoints, Link, LinkConfig, LinkId, Role, RtmfpLink, RtmpLink};

use super::counters::RelayCounters;
use super::dial::Outgoing;
use super::notices::Notices;
use super::own::Own;
use super::{Profiles, Protocol, RelayConfig};

/// What all clients share.
pub(super) struct Shared {
    pub(super) config: RelayConfig,
    pub(super) links: Arc<LinkConfig>,
    pub(super) profiles: Box<dyn Profiles>,
    rng: ChaCha20Rng,
    pub(super) endpoints: Endpoints,
    pub(super) actions: VecDeque<Action>,
    pub(super) streams: HashMap<StreamId, LinkId>,
    pub(super) names: HashMap<NameId, LinkId>,
    /// Endpoints by which clients are relayed.
    pub(super) outgoing: HashMap<EndpointId, Outgoing>,
    /// The links of clients in the sessions of listeners.
    pub(super) sessions: BTreeMap<(EndpointId, SessionId), Vec<LinkId>>,
    pub(super) counters: RelayCounters,
    pub(super) notices: Notices,
    pub(super) own: Own,
    next_stream: u64,
    next_name: u64,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("endpoints", &self.endpoints.len()).finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new(config: RelayConfig, profiles: Box<dyn Profiles>) -> Self {
        let mut links = config.link.clone();
        // MonaServer 2 frees a session twice when its control flow ends before it.
        links.keeps_control_flow |= config.to.legacy;
        Self {
            links: Arc::new(links),
            profiles,
            rng: ChaCha20Rng::from_seed(config.seed),
            own: Own::new(&config.listen),
            config,
            endpoints: Endpoints::new(),
            actions: VecDeque::new(),
            streams: HashMap::new(),
            names: HashMap::new(),
            outgoing: HashMap::new(),
            sessions: BTreeMap::new(),
            counters: RelayCounters::default(),
            notices: Notices::default(),
            next_stream: 0,
            next_name: 0,
        }
    }

    pub(super) fn cx(&mut self, now: Time) -> Cx<'_> {
        Cx { now, endpoints: &mut self.endpoints, actions: &mut self.actions }
    }

    /// The seed of something.
    pub(super) fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        seed
    }

    /// Settings of a new endpoint. Sessions begin as strangers'.
    pub(super) fn endpoint_config(&self, outgoing: bool) -> rtmfp::Config {
        let (link, timeouts) = (&self.config.link, &self.config.timeouts);
        let mut config = rtmfp::Config::default();
        config.session.keepalive = link.keepalive;
        config.session.retransmit_limit = timeouts.retransmit;
        // Strangers have to complete the handshake and open a flow in time; once accepted, they may be without one for
        // longer.
        config.session.idle_limit = self.config.rtmp.handshake_timeout + timeouts.connect;
        config.session.dscp = self.config.dscp;
        link.untrusted.grant(&mut config.session);
        config.receive_capacity = link.untrusted.message_bytes;
        config.max_message = link.untrusted.message_bytes + TC_HEAD;
        config.limits.send_queue = link.max_queued_bytes;
        // Those of clients, and some that are new or take leave.
        config.limits.sessions = self.config.max_clients.saturating_add(1024);
        // Clients of a network with more than half of them come to half, unless a single address may have as many.
        config.limits.prefix_sessions =
            self.config.max_clients_per_address.saturating_add(1024).max(config.limits.sessions / 2);
        if outgoing {
            // The client's own deadline comes first.
            config.open_timeout = timeouts.open + Duration::from_secs(1);
            config.limits.sessions = 1;
        }
        config
    }

    pub(super) fn accept_rtmp(
        &mut self,
        now: Time,
        link: LinkId,
        stream: StreamId,
        protocol: Protocol,
    ) -> Link {
        self.streams.insert(stream, link);
        if self.config.dscp != 0 {
            self.actions.push_back(Action::StreamDscp { stream, dscp: self.config.dscp });
        }
        self.rtmp_link(now, link, Role::Server, stream, protocol)
    }

    pub(super) fn connected_rtmp(&mut self, now: Time, link: LinkId, stream: StreamId) -> Link {
        self.rtmp_link(now, link, Role::Client, stream, self.config.to.protocol)
    }

    fn rtmp_link(
        &mut self,
        now: Time,
        link: LinkId,
        role: Role,
        stream: StreamId,
        protocol: Protocol,
    ) -> Link {
        let (links, rtmp, seed) = (Arc::clone(&self.links), self.config.rtmp.clone(), self.rng.next_u64());
        let rtmp = if protocol == Protocol::RtmpSimple { rtmp.simplified() } else { rtmp };
        Link::Rtmp(Box::new(RtmpLink::new(&mut self.cx(now), link, role, stream, links, rtmp, seed)))
    }

    /// A client's link, if the flow is one's.
    pub(super) fn accept_rtmfp(
        &mut self,
        now: Time,
        link: LinkId,
        endpoint: EndpointId,
        session: SessionId,
        flow: RecvFlowId,
        metadata: &[u8],
    ) -> Option<Link> {
        let links = Arc::clone(&self.links);
        let accepted = RtmfpLink::accept(&mut self.cx(now), link, endpoint, session, flow, metadata, links)?;
        self.sessions.entry((endpoint, session)).or_default().push(link);
        Some(Link::Rtmfp(Box::new(accepted)))
    }

    /// Looks the destination's name up.
    pub(super) fn resolve(&mut self, link: LinkId) -> NameId {
        self.next_name += 1;
        let name = NameId(self.next_name);
        self.names.insert(name, link);
        let (host, port) = (self.config.to.host.clone(), self.config.to.port);
        self.actions.push_back(Action::Resolve { name, host, port });
        name
    }

    /// Leaves out those addresses of the destination that are listeners of this very relay.
    pub(super) fn leave_out_own(&mut self, now: Time, addresses: &mut Vec<SocketAddr>) {
        let Self { own, actions, config, .. } = self;
        addresses.retain(|&address| !own.has(actions, now, config.to.protocol, address));
    }

    /// Opens a byte stream.
    pub(super) fn connect(&mut self, link: LinkId, to: SocketAddr) -> StreamId {
        self.next_stream += 1;
        let stream = StreamId::opened(self.next_stream);
        self.streams.insert(stream, link);
        self.actions.push_back(Action::Connect { stream, to, dscp: self.config.dscp });
        stream
    }

    /// Forgets what belongs to a link that has closed.
    pub(super) fn release(&mut self, now: Time, link: &Link) {
        match link {
            Link::Rtmp(rtmp) => {
                self.streams.remove(&rtmp.stream());
            }
            Link::Rtmfp(rtmfp) => {
                if self.outgoing.remove(&rtmfp.endpoint()).is_some() {
                    self.endpoints.retire(now, rtmfp.endpoint());
                }
                if let Some(session) = rtmfp.session()
                    && let Some(links) = self.sessions.get_mut(&(rtmfp.endpoint(), session))
                {
                    links.retain(|other| *other != link.id());
                    if links.is_empty() {
                        self.sessions.remove(&(rtmfp.endpoint(), session));
                    }
                }
            }
        }
    }
}

/// Bytes of a message over RTMFP before its payload.
const TC_HEAD: usize = 5;
