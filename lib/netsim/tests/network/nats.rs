use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rtmfp_base::{Ecn, InterfaceId, SocketId, Time};
use rtmfp_netsim::{
    Config, Fault, HostId, LinkConfig, Loss, NatConfig, NatId, NatKind, NatPorts, Network, for_each_seed,
};

use crate::services::{PORT, Probe, SOCKET, Seen, address, ip, probe};

const SECOND: Duration = Duration::from_secs(1);
const KINDS: [NatKind; 4] =
    [NatKind::FullCone, NatKind::Restricted, NatKind::PortRestricted, NatKind::Symmetric];
/// A second socket of the public hosts, and its port.
const OTHER: SocketId = InterfaceId(2);
const OTHER_PORT: u16 = 1001;

/// The address of a host `192.168.0.n` behind a NAT box.
pub(crate) fn inner(n: u8) -> IpAddr {
    IpAddr::from([192, 168, 0, n])
}

/// The socket of a host `192.168.0.n`.
fn inside(n: u8) -> SocketAddr {
    SocketAddr::new(inner(n), PORT)
}

fn of_kind(kind: NatKind) -> NatConfig {
    NatConfig { kind, ..NatConfig::default() }
}

/// Public hosts `b` and `c`, 10.0.0.1 and 10.0.0.2, with two sockets each; a NAT box 10.0.0.9, and behind it a
/// host `a`, 192.168.0.1.
struct Net {
    network: Network,
    a: HostId,
    b: HostId,
    c: HostId,
    nat: NatId,
}

impl Net {
    fn new(seed: u64, config: NatConfig) -> Self {
        let mut network = Network::new(seed);
        let [b, c] = [1, 2].map(|n| {
            let mut service = Probe::open();
            service.open_udp(OTHER, SocketAddr::from(([0, 0, 0, 0], OTHER_PORT)));
            network.add_host("public", &[ip(n)], Box::new(service))
        });
        let nat = network.add_nat("nat", ip(9), config);
        let a = network.add_host_behind(nat, "a", &[inner(1)], Box::new(Probe::open()));
        network.step();
        Self { network, a, b, c, nat }
    }

    /// Another host behind the NAT box, 192.168.0.n.
    fn add_inside(&mut self, n: u8) -> HostId {
        let host = self.network.add_host_behind(self.nat, "inside", &[inner(n)], Box::new(Probe::open()));
        self.network.step();
        host
    }

    /// Another NAT box, 10.0.0.10, and a host behind it with the same address as `a` has.
    fn add_other_site(&mut self, config: NatConfig) -> (NatId, HostId) {
        let nat = self.network.add_nat("other nat", ip(10), config);
        let host = self.network.add_host_behind(nat, "other", &[inner(1)], Box::new(Probe::open()));
        self.network.step();
        (nat, host)
    }

    fn send(&mut self, from: HostId, to: SocketAddr) {
        self.send_by(from, SOCKET, to);
    }

    fn send_by(&mut self, from: HostId, socket: SocketId, to: SocketAddr) {
        probe(&mut self.network, from).out.push_back((socket, None, to, Ecn::NotEct, b"x".to_vec()));
        self.network.run_for(SECOND);
    }

    /// The senders of what a host got.
    fn senders(&self, host: HostId) -> Vec<SocketAddr> {
        self.network.peek::<Probe>(host).datagrams().map(|(_, meta, _)| meta.from).collect()
    }

    /// The public address of `a` as `b` sees it.
    fn public(&mut self) -> SocketAddr {
        self.send(self.a, address(1));
        *self.senders(self.b).last().expect("a datagram")
    }
}

#[test]
fn each_kind_lets_in_whom_it_should() {
    let [same, other_port, other_host] = [address(1), SocketAddr::new(ip(1), OTHER_PORT), address(2)];
    for (kind, let_in) in KINDS.into_iter().zip([
        vec![same, other_port, other_host],
        vec![same, other_port],
        vec![same],
        vec![same],
    ]) {
        let mut net = Net::new(1, of_kind(kind));
        let public = net.public();
        net.send(net.b, public);
        net.send_by(net.b, OTHER, public);
        net.send(net.c, public);
        assert_eq!(net.senders(net.a), let_in, "{kind:?}");
        let counters = net.network.nat(net.nat);
        let refused = 3 - let_in.len() as u64;
        assert_eq!((counters.outbound, counters.inbound, counters.refused), (1, 3 - refused, refused));
        assert_eq!(net.network.faults().count(Fault::NatRefused), refused);
    }
}

#[test]
fn only_symmetric_boxes_have_another_address_for_each_far_one() {
    for kind in KINDS {
        let mut net = Net::new(1, of_kind(kind));
        let first = net.public();
        assert_eq!(first, SocketAddr::new(ip(9), PORT), "the port is free, and kept");
        net.send(net.a, address(2));
        net.send(net.a, SocketAddr::new(ip(1), OTHER_PORT));
        let to_c = net.senders(net.c)[0];
        let to_other_port = net.senders(net.b)[1];
        if kind == NatKind::Symmetric {
            assert!(to_c != first && to_other_port != first && to_c != to_other_port);
            assert!([to_c, to_other_port].iter().all(|address| address.ip() == ip(9)));
        } else {
            assert_eq!([to_c, to_other_port], [first, first]);
        }
        assert_eq!(net.public(), first);
    }
}

#[test]
fn a_mapping_ends_its_time_after_the_last_datagram_from_inside() {
    let timeout = Duration::from_secs(30);
    let config = NatConfig { timeout, ports: NatPorts::Random, ..of_kind(NatKind::FullCone) };
    let mut net = Net::new(1, config);
    let first = net.public();
    // Kept by sending, by nothing else.
    for _ in 0..3 {
        net.network.run_for(Duration::from_secs(20));
        assert_eq!(net.public(), first);
    }
    net.network.run_for(Duration::from_secs(20));
    net.send(net.c, first);
    net.network.run_for(Duration::from_secs(7));
    net.send(net.c, first);
    assert_eq!(net.senders(net.a).len(), 2);
    net.send(net.c, first);
    assert_eq!(net.senders(net.a).len(), 2);
    let second = net.public();
    assert_ne!(second, first);
    assert_eq!(net.network.faults().count(Fault::NatExpired), 1);
}

#[test]
fn a_permission_ends_on_its_own() {
    for kind in [NatKind::Restricted, NatKind::PortRestricted] {
        let mut net = Net::new(1, NatConfig { timeout: Duration::from_secs(30), ..of_kind(kind) });
        let public = net.public();
        net.network.run_for(Duration::from_secs(20));
        net.send(net.a, address(2));
        net.network.run_for(Duration::from_secs(20));
        net.send(net.b, public);
        net.send(net.c, public);
        assert_eq!(net.senders(net.a), [address(2)], "{kind:?}");
    }
}

#[test]
fn ports_are_kept_or_random_and_never_shared() {
    let mut net = Net::new(1, NatConfig::default());
    let hosts: Vec<_> = (2..40).map(|n| net.add_inside(n)).collect();
    assert_eq!(net.public().port(), PORT);
    for host in hosts {
        net.send(host, address(1));
    }
    let mut ports: Vec<_> = net.senders(net.b).iter().map(SocketAddr::port).collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 39);

    let random = NatConfig { ports: NatPorts::Random, ..NatConfig::default() };
    let port = |seed| Net::new(seed, random).public().port();
    assert!(port(1) != PORT && port(1) != port(2));
    assert_eq!(port(1), port(1));
}

#[test]
fn a_rebinding_changes_all_mappings_and_refuses_the_old_ones() {
    for (kind, ports) in
        KINDS.into_iter().flat_map(|kind| [(kind, NatPorts::Preserve), (kind, NatPorts::Random)])
    {
        let mut net = Net::new(1, NatConfig { ports, ..of_kind(kind) });
        let second = net.add_inside(2);
        let before = [net.public(), {
            net.send(second, address(1));
            net.senders(net.b)[1]
        }];
        for _ in 0..3 {
            net.network.rebind_nat(net.nat);
            for old in before {
                net.send(net.b, old);
            }
            assert_eq!(net.senders(net.a).len() + net.senders(second).len(), 0, "{kind:?}");
        }
        net.network.rebind_nat(net.nat);
        let first = net.public();
        net.network.rebind_nat(net.nat);
        let next = net.public();
        assert_ne!(next, first);
        net.send(net.b, next);
        net.send(net.b, first);
        assert_eq!(net.senders(net.a), [address(1)]);
        assert_eq!(net.network.nat(net.nat).rebound, 3);
        assert_eq!(net.network.faults().count(Fault::NatRebound), 3);
    }
}

#[test]
fn a_box_with_another_address_is_reached_by_that_only() {
    let mut net = Net::new(1, of_kind(NatKind::FullCone));
    let before = net.public();
    net.network.move_nat(net.nat, ip(11));
    let after = net.public();
    assert_eq!(after.ip(), ip(11));
    net.send(net.c, before);
    net.send(net.c, SocketAddr::new(ip(9), after.port()));
    assert_eq!(net.senders(net.a), []);
    net.send(net.c, after);
    assert_eq!(net.senders(net.a), [address(2)]);
}

#[test]
fn hairpins_work_where_the_box_allows_them() {
    for hairpin in [false, true] {
        let mut net = Net::new(1, NatConfig { hairpin, ..of_kind(NatKind::FullCone) });
        // Those on the public side of the box are not passed.
        net.network.set_uplink(net.nat, LinkConfig { loss: Loss::Independent(1.0), ..LinkConfig::default() });
        net.network
            .set_downlink(net.nat, LinkConfig { loss: Loss::Independent(1.0), ..LinkConfig::default() });
        net.network.set_uplink(net.a, LinkConfig::with_delay(Duration::from_millis(3)));
        let second = net.add_inside(2);
        net.network.set_downlink(second, LinkConfig::with_delay(Duration::from_millis(4)));
        // Makes a mapping, with nobody to get it.
        net.send(second, address(1));
        let sent = net.network.now();
        net.send(net.a, SocketAddr::new(ip(9), PORT));
        let got: Vec<_> = net.network.peek::<Probe>(second).datagrams().collect();
        if hairpin {
            let [(at, meta, _)] = got[..] else { panic!("{got:?}") };
            assert_eq!(at, sent + Duration::from_millis(7));
            assert!(meta.from.ip() == ip(9) && meta.from.port() != PORT, "{meta:?}");
            assert_eq!(meta.dst_ip, Some(inner(2)));
        } else {
            assert_eq!(got.len(), 0);
        }
        let counters = net.network.nat(net.nat);
        assert_eq!((counters.hairpins, counters.hairpins_refused), (hairpin.into(), (!hairpin).into()));
        assert_eq!(net.network.faults().count(Fault::HairpinRefused), (!hairpin).into());
    }
}

#[test]
fn hosts_behind_one_box_reach_each_other_directly_and_those_behind_others_not() {
    let mut net = Net::new(1, of_kind(NatKind::FullCone));
    let second = net.add_inside(2);
    let (_, other) = net.add_other_site(of_kind(NatKind::FullCone));
    net.send(net.a, inside(2));
    assert_eq!(net.senders(second), [inside(1)]);
    net.send(second, inside(1));
    assert_eq!(net.senders(net.a), [inside(2)]);
    // From elsewhere there is nobody with such an address, or somebody else.
    net.send(net.b, inside(1));
    net.send(other, inside(2));
    net.send(other, inside(1));
    assert_eq!((net.senders(net.a).len(), net.senders(second).len()), (1, 1));
    assert_eq!(net.senders(other), [inside(1)]);
    assert_eq!(net.network.nat(net.nat).outbound, 0);
}

#[test]
fn two_boxes_are_passed_from_both_sides_at_once_unless_one_is_symmetric_and_the_other_looks_at_ports() {
    for (near, far) in KINDS.into_iter().flat_map(|near| KINDS.map(|far| (near, far))) {
        let mut net = Net::new(1, of_kind(near));
        let (_, other) = net.add_other_site(of_kind(far));
        let near_address = net.public();
        net.send(other, address(1));
        let far_address = *net.senders(net.b).last().expect("a datagram");
        for _ in 0..2 {
            net.send(net.a, far_address);
            net.send(other, near_address);
        }
        let through = !net.senders(net.a).is_empty() || !net.senders(other).is_empty();
        let strict = |kind| matches!(kind, NatKind::PortRestricted | NatKind::Symmetric);
        let hopeless = |one, another| one == NatKind::Symmetric && strict(another);
        assert_eq!(through, !hopeless(near, far) && !hopeless(far, near), "{near:?}, {far:?}");
    }
}

#[test]
fn what_passes_a_box_passes_its_links_and_those_of_the_host() {
    let mut net = Net::new(1, of_kind(NatKind::FullCone));
    let delay = |millis| LinkConfig::with_delay(Duration::from_millis(millis));
    net.network.set_uplink(net.a, delay(1));
    net.network.set_downlink(net.a, delay(2));
    net.network.set_uplink(net.nat, delay(10));
    net.network.set_downlink(net.nat, delay(20));
    net.network.set_link(net.nat, net.b, delay(100));
    net.network.set_link(net.b, net.nat, delay(200));
    // Not on the way.
    net.network.set_links(net.a, net.b, delay(5000));
    let public = net.public();
    net.send(net.b, public);
    let at = |host| net.network.peek::<Probe>(host).datagrams().map(|(at, ..)| at).collect::<Vec<_>>();
    assert_eq!(at(net.b), [Time::from_millis(111)]);
    assert_eq!(at(net.a), [Time::from_millis(1222)]);
    assert_eq!(net.network.link(net.nat, net.b).passed, 1);
    assert_eq!((net.network.uplink(net.nat).passed, net.network.downlink(net.nat).passed), (1, 1));
    net.network.partition(net.nat, net.b);
    net.send(net.a, address(1));
    assert_eq!(net.network.link(net.nat, net.b).blocked, 1);
    net.network.heal(net.nat, net.b);
    net.send(net.a, address(1));
    assert_eq!(net.senders(net.b).len(), 2);
}

#[test]
fn a_host_that_moves_behind_another_box_gets_what_comes_there() {
    let mut net = Net::new(1, of_kind(NatKind::FullCone));
    let before = net.public();
    let nat = net.network.add_nat("other nat", ip(10), of_kind(NatKind::FullCone));
    net.network.set_default_link(LinkConfig::with_delay(Duration::from_millis(10)));
    // Its address there is the same, and yet this is for nobody.
    probe(&mut net.network, net.b).send(before, b"too late");
    net.network.move_host(net.a, Some(nat), &[inner(1)]);
    let after = net.public();
    assert_eq!(after.ip(), ip(10));
    net.send(net.c, before);
    net.send(net.c, after);
    assert_eq!(net.senders(net.a), [address(2)]);
    net.network.move_host(net.a, None, &[ip(3)]);
    assert_eq!(net.public(), address(3));
    assert_eq!(net.network.faults().count(Fault::Moved), 2);
}

#[test]
fn an_error_names_the_address_that_the_sender_knows() {
    let config = Config { report_closed_ports: true, ..Config::default() };
    let mut network = Network::with_config(1, config);
    let a = network.add_host("a", &[ip(1)], Box::new(Probe::open()));
    let nat = network.add_nat("nat", ip(9), of_kind(NatKind::FullCone));
    let b = network.add_host_behind(nat, "b", &[inner(1)], Box::new(Probe::open()));
    network.set_default_link(LinkConfig::with_delay(Duration::from_millis(10)));
    network.step();
    let closed = SocketAddr::new(ip(1), 7);
    probe(&mut network, b).send(address(1), b"x");
    probe(&mut network, b).send(closed, b"x");
    network.run_for(SECOND);
    let error = |to| Seen::PathError(SOCKET, to, "connection refused".to_owned());
    assert_eq!(network.peek::<Probe>(b).when(&error(closed)), Some(Time::from_millis(20)));
    let public = network.peek::<Probe>(a).datagrams().next().expect("a datagram").1.from;
    probe(&mut network, b).actions.push_back(rtmfp_base::Action::CloseUdp { socket: SOCKET });
    network.run_for(SECOND);
    probe(&mut network, a).send(public, b"x");
    network.run_for(SECOND);
    assert!(network.peek::<Probe>(a).saw(&error(public)));
}

#[test]
fn the_same_seed_gives_the_same_ports() {
    for_each_seed(5, |seed| {
        let run = || {
            let mut net =
                Net::new(seed, NatConfig { ports: NatPorts::Random, ..of_kind(NatKind::Symmetric) });
            for n in 0..10 {
                net.send(net.a, SocketAddr::new(ip(1), OTHER_PORT - n % 2));
                net.network.rebind_nat(net.nat);
            }
            (net.senders(net.b), net.network.trace_hash())
        };
        assert_eq!(run(), run());
    });
}
