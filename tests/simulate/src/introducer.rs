//! Nodes that find each other through a redirector, with which all of them register: it forwards their hellos. It comes and
//! goes like everybody else, and in the end all find each other who can.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use rtmfp::Endpoint;
use rtmfp_base::{Service, Time};
use rtmfp_netsim::{Dice, HostId, NatConfig, NatKind, Network};
use rtmfp_plain::PlainProfile;
use rtmfp_redirect::{Redirector as Spec, Registrant, RegistrantConfig, ServerConfig, TargetState, Users};
use rtmfp_service::{Redirector, RedirectorConfig, RedirectorMode};

use crate::node::Node;
use crate::trial::Trial;

/// Where it is.
pub(crate) const ADDRESS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 255, 0, 1)), 1935);
/// What selects it, in any of its lives: with the plain profile a discriminator that ends in `*` selects all names that begin
/// so. The names are read as discriminators and certificates of the Flash profile as well.
const EPD: &[u8] = b"\x05\0red*";
/// Registrants ping it so often, and so their mappings last in boxes that keep them for longer.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// By then all have registered once nothing is in the way any more.
const REGISTER: Duration = Duration::from_secs(300);
/// By then sessions of which the other end is not there any more have been given up: a keep-alive period, and what a session
/// waits for an answer.
const FORGET: Duration = Duration::from_secs(60 + 125);
/// By then they have found each other.
const REUNION: Duration = Duration::from_secs(200);

/// Whether a certificate is the introducer's.
pub(crate) fn is_introducer(certificate: &[u8]) -> bool {
    certificate.starts_with(&EPD[..EPD.len() - 1])
}

/// The name of a node that registers: a fingerprint, that discriminators with URIs are accepted, and a group of keys.
pub(crate) fn node_name(node: usize, life: u8) -> Vec<u8> {
    let mut name = vec![33, 0x0f];
    name.extend([node as u8; 31]);
    name.extend([life, 1, 0x0a, 2, 0x15, 14]);
    name
}

/// What registers a node. Its own address is told where that is another one than it is seen at.
pub(crate) fn registrant(now: Time, endpoint: &mut Endpoint, private: Option<SocketAddr>) -> Registrant {
    let config = RegistrantConfig { keepalive: KEEPALIVE, ..RegistrantConfig::default() };
    let mut registrant = Registrant::new(config);
    registrant.add(Spec { epd: Bytes::from_static(EPD), addresses: vec![ADDRESS] });
    registrant.set_additional_addresses(now, endpoint, private.as_slice());
    registrant
}

fn service(dice: &mut Dice, life: u8) -> Box<dyn Service> {
    let mode = RedirectorMode::Targets { server: Box::new(ServerConfig::default()), users: Users::new() };
    let config = RedirectorConfig::new(vec![ADDRESS], mode, dice.bytes());
    let name = [&EPD[..EPD.len() - 1], &[life]].concat();
    Box::new(Redirector::new(config, Box::new(PlainProfile::new(name).guarded())))
}

/// The introducer's host.
#[derive(Debug)]
pub(crate) struct Introducer {
    pub(crate) host: HostId,
    life: u8,
}

impl Introducer {
    pub(crate) fn new(network: &mut Network, dice: &mut Dice) -> Self {
        let service = service(dice, 0);
        let host = network.add_host("introducer", &[ADDRESS.ip()], service);
        Self { host, life: 0 }
    }
}

impl Trial {
    /// It knows nobody any more.
    pub(crate) fn restart_introducer(&mut self) {
        let Some(introducer) = &mut self.introducer else { return };
        introducer.life = introducer.life.wrapping_add(1);
        let service = service(&mut self.dice, introducer.life);
        self.network.restart(introducer.host, service);
    }

    /// Nodes that are there and have nothing against it find each other, by nothing but the introducer.
    pub(crate) fn reunite(&mut self) {
        let Some(introducer) = self.introducer.as_ref().map(|introducer| introducer.host) else { return };
        let stays =
            |&node: &usize| self.is_up(node) && !self.network.peek::<Node>(self.hosts[node]).talker.shut_down;
        let nodes: Vec<usize> = (0..self.hosts.len()).filter(stays).collect();
        let epds: Vec<Bytes> = {
            let ledger = self.ledger.borrow();
            nodes.iter().filter(|&&node| self.lasts(node)).map(|&node| ledger.nodes[node].epd()).collect()
        };
        let missing = |network: &Network| {
            let server = network.peek::<Redirector>(introducer).server().expect("it has targets");
            let mut missing = epds.clone();
            for (_, info) in server.targets().filter(|(_, info)| info.state == TargetState::Active) {
                missing.retain(|epd| epd[2..34] != info.identity[..]);
            }
            missing
        };
        self.network.run_while(REGISTER, |network| !missing(network).is_empty());
        self.network.run_for(FORGET);
        assert_eq!(missing(&self.network), Vec::<Bytes>::new(), "nodes that have not registered");
        let mut flows = Vec::new();
        for &from in &nodes {
            // Of two only one looks for the other: when both do, each opens its own box, and nobody need forward hellos.
            let others: Vec<usize> =
                nodes.iter().copied().filter(|&to| to > from && self.can_meet(from, to)).collect();
            for to in others {
                let (from, to) = if self.dice.chance(0.5) { (from, to) } else { (to, from) };
                let host = self.hosts[from];
                let now = self.network.now_at(host);
                flows.extend(self.network.service::<Node>(host).visit(now, to));
            }
        }
        let hosts: Vec<HostId> = nodes.iter().map(|&node| self.hosts[node]).collect();
        self.network
            .run_while(REUNION, |network| !hosts.iter().all(|&host| network.peek::<Node>(host).is_done()));
        let mut ledger = self.ledger.borrow_mut();
        ledger.check_the_end();
        for key in flows {
            let flow = ledger.flow(key);
            let (from, to, sending) = (flow.from, flow.to, flow.sending);
            assert!(
                sending == crate::ledger::Sending::Closed,
                "node {from} does not find node {to} by the introducer: {sending:?}"
            );
            ledger.did("reunited");
        }
    }

    fn nat_config(&self, node: usize) -> Option<NatConfig> {
        let nat = self.nat_of[node]?;
        self.nats.iter().position(|&other| other == nat).map(|number| self.nat_configs[number])
    }

    /// Whether the box that a node is behind does not forget the introducer between two pings, nor gives its port to another
    /// node.
    fn lasts(&self, node: usize) -> bool {
        self.nat_config(node).is_none_or(|nat| nat.timeout > 3 * KEEPALIVE)
    }

    /// Whether the boxes between two nodes let them meet (RFC 7016 section 3.5.1.6).
    fn can_meet(&self, from: usize, to: usize) -> bool {
        let tight = {
            let ledger = self.ledger.borrow();
            ledger.nodes[from].tight || ledger.nodes[to].tight
        };
        let strict = |nat: NatConfig| matches!(nat.kind, NatKind::PortRestricted | NatKind::Symmetric);
        let symmetric = |nat: NatConfig| nat.kind == NatKind::Symmetric;
        let meet = match (self.nat_config(from), self.nat_config(to)) {
            // They find each other at their own addresses.
            (Some(_), Some(_)) if self.nat_of[from] == self.nat_of[to] => true,
            (Some(near), Some(far)) => !(symmetric(near) && strict(far) || strict(near) && symmetric(far)),
            _ => true,
        };
        meet && !tight && self.lasts(from) && self.lasts(to)
    }
}
