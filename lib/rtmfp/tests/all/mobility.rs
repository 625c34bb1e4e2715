//! Far ends that move: verified before use, whatever others try.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::common::{B as B_IP, PORT, Pair, endpoint, link, node, numbered};
use crate::hand::{A, B, Forger, Hands, deliver, transmits, v4};
use bytes::Bytes;
use rtmfp::congestion::{Acknowledgement, Congestion};
use rtmfp::wire::{Chunk, Chunks, PacketHeader, kind};
use rtmfp::{Config, Event, FlowSpec, Limits, Mobility, Priority, SendFlowId, SessionConfig, SessionId};
use rtmfp_base::{InterfaceId, Message, RecvMeta, Tag, Time, WriteOptions};
use rtmfp_netsim::{HostId, NatConfig, NatId, Network};

const SECOND: Duration = Duration::from_secs(1);
const NAT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 1));

fn config(mobility: Mobility) -> Config {
    let session = SessionConfig { mobility, keepalive: SECOND, ..SessionConfig::default() };
    Config { session, ..Config::default() }
}

// ---- on a network ----

/// `a` behind a NAT box, `b` in the public network, with a session that `a` has opened and a flow from `a` to `b`,
/// and one back.
struct Behind {
    pair: Pair,
    nat: NatId,
    flow: SendFlowId,
    back: SendFlowId,
}

impl Behind {
    fn new(seed: u64, config: Config) -> Self {
        let mut net = Network::new(seed);
        net.set_default_link(link(20));
        let nat = net.add_nat("nat", NAT, NatConfig::default());
        let a = net.add_host_behind(nat, "a", &[[192, 168, 0, 2].into()], node("a", seed, config.clone()));
        let b = net.add_host("b", &[B_IP.into()], node("b", seed + 1, config));
        net.run_for(Duration::from_millis(1));
        let mut pair = Pair { net, a, b };
        let flow = pair.open(b"forth", Priority::Routine);
        pair.write(flow, numbered(0, 100));
        pair.run(1.0);
        let session = pair.session(b);
        let now = pair.now();
        let spec = FlowSpec { metadata: Bytes::from_static(b"back"), priority: Priority::Routine };
        let back = pair.node(b).endpoint().session(session).expect("open").open_flow(now, spec, Tag(8));
        let back = back.expect("a flow");
        Self { pair, nat, flow, back }
    }

    fn write(&mut self, host: HostId, flow: SendFlowId, numbers: std::ops::Range<u64>, len: usize) {
        let now = self.pair.now();
        for number in numbers {
            let mut flow = self.pair.node(host).endpoint().send_flow(flow).expect("the flow");
            flow.write(now, numbered(number, len).into(), &WriteOptions::default()).expect("room");
        }
    }

    fn moves(&self, host: HostId) -> Vec<SocketAddr> {
        let events = self.pair.peer(host).events.iter();
        let moved = events.filter_map(|event| match event {
            Event::AddressChanged { to, .. } => Some(*to),
            _ => None,
        });
        moved.collect()
    }

    /// All of these messages have arrived once and in order.
    fn expect(&self, host: HostId, metadata: &[u8], numbers: std::ops::Range<u64>, len: usize) {
        let received = self.pair.peer(host).messages(metadata);
        let expected: Vec<_> = numbers.map(|number| numbered(number, len)).collect();
        assert_eq!(received.len(), expected.len());
        assert_eq!(received, expected);
    }
}

#[test]
fn a_sender_whose_nat_rebinds_under_load_is_followed_and_loses_nothing() {
    let mut net = Behind::new(1, config(Mobility::Always));
    let (a, b) = (net.pair.a, net.pair.b);
    let (flow, nat) = (net.flow, net.nat);
    net.write(a, flow, 1..400, 5000);
    net.pair.run(0.5);
    assert!(net.pair.peer(b).messages(b"forth").len() < 300, "it is under way");
    net.pair.net.rebind_nat(nat);
    net.pair.net.move_nat(nat, [203, 0, 113, 7].into());
    net.pair.run(3.0);
    assert_eq!(net.moves(b).len(), 1);
    assert_eq!(net.moves(b)[0].ip(), IpAddr::from([203, 0, 113, 7]));
    net.pair.run(10.0);
    let received = net.pair.peer(b).messages(b"forth");
    assert_eq!(received[1..], (1..400).map(|n| numbered(n, 5000)).collect::<Vec<_>>());
    let info = |info: rtmfp::SessionInfo| info.far_address.ip();
    let session = net.pair.session(b);
    let far = net.pair.node(b).endpoint().session(session).map(|s| info(s.info()));
    assert_eq!(far, Some([203, 0, 113, 7].into()));
    assert!(net.moves(a).is_empty());
}

#[test]
fn a_receiver_whose_nat_rebinds_under_load_is_followed_by_its_keepalive_and_loses_nothing() {
    let mut net = Behind::new(2, config(Mobility::Always));
    let (a, b, back, nat) = (net.pair.a, net.pair.b, net.back, net.nat);
    net.write(b, back, 1..400, 5000);
    net.pair.run(0.5);
    net.pair.net.move_nat(nat, [203, 0, 113, 7].into());
    net.pair.run(15.0);
    net.expect(a, b"back", 1..400, 5000);
    assert_eq!(net.moves(b).len(), 1);
}

#[test]
fn a_mapping_that_timed_out_while_the_host_slept_is_replaced() {
    let mut net = Behind::new(3, config(Mobility::Always));
    let (a, b, flow, nat) = (net.pair.a, net.pair.b, net.flow, net.nat);
    net.write(a, flow, 1..3, 100);
    net.pair.run(1.0);
    net.pair.net.sleep(a);
    net.pair.run(60.0);
    net.pair.net.move_nat(nat, [203, 0, 113, 7].into());
    net.pair.net.wake(a);
    net.write(a, flow, 3..6, 100);
    net.pair.run(5.0);
    net.expect(b, b"forth", 0..6, 100);
    assert_eq!(net.moves(b).len(), 1);
}

#[test]
fn a_host_that_gets_another_address_is_followed_whichever_end_it_is() {
    for server in [false, true] {
        let mut pair = Pair::with(4, link(20), config(Mobility::Always), config(Mobility::Always));
        let flow = pair.open(b"forth", Priority::Routine);
        pair.write(flow, numbered(0, 100));
        pair.run(1.0);
        for number in 1..200 {
            pair.write(flow, numbered(number, 5000));
        }
        pair.run(0.3);
        let (mover, other) = if server { (pair.b, pair.a) } else { (pair.a, pair.b) };
        pair.net.set_addresses(mover, &[[10, 9, 9, 9].into()]);
        pair.run(20.0);
        let session = pair.session(other);
        let info = pair.node(other).endpoint().session(session).expect("open").info();
        assert_eq!(info.far_address, SocketAddr::from(([10, 9, 9, 9], PORT)), "server: {server}");
        assert_eq!(pair.peer(pair.b).messages(b"forth").len(), 200, "server: {server}");
        let moved = pair.peer(other).count(|event| matches!(event, Event::AddressChanged { .. }));
        assert_eq!(moved, 1, "server: {server}");
    }
}

// ---- by hand ----

/// Two ends with a session, and the endpoints' session ids.
struct Open {
    hands: Hands,
    flow: SendFlowId,
    sessions: [SessionId; 2],
}

impl Open {
    fn new(config: &Config) -> Self {
        let mut hands = Hands::new(endpoint("a", 1, config.clone()), endpoint("b", 2, config.clone()));
        let now = hands.now;
        let spec = FlowSpec { metadata: Bytes::new(), priority: Priority::Routine };
        let flow = hands.ends[0].open_flow(now, b"b", spec, Tag(7)).expect("a flow");
        hands.ends[0].send_flow(flow).expect("it").add_candidate(now, B);
        let mut open = Self { hands, flow, sessions: [SessionId::from_parts(0, 0); 2] };
        open.write();
        open.hands.run(SECOND);
        open.sessions = [0, 1].map(|end| open.hands.ends[end].open_sessions()[0]);
        open
    }

    fn write(&mut self) {
        let now = self.hands.now;
        let mut flow = self.hands.ends[0].send_flow(self.flow).expect("it");
        flow.write(now, Message::from(vec![1; 100]), &WriteOptions::default()).expect("room");
    }

    /// Where `b` takes `a` to be.
    fn far_address(&mut self) -> SocketAddr {
        self.hands.ends[1].session(self.sessions[1]).expect("open").info().far_address
    }

    /// The last packet that `a` has sent.
    fn last_of_a(&self) -> Vec<u8> {
        let sent = self.hands.sent.iter().rev().find(|(_, end, _)| *end == 0);
        sent.expect("a packet").2.bytes.clone()
    }

    fn reach_b(&mut self, from: SocketAddr, bytes: &[u8]) {
        deliver(&mut self.hands.ends[1], self.hands.now, from, bytes);
    }

    /// What `b` sends now to an address that is not `a`'s: messages of pings.
    fn checks(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        let sent = transmits(&mut self.hands.ends[1], self.hands.now);
        let pings = sent.into_iter().filter_map(|(_, to, bytes)| Some((to, ping(&bytes)?)));
        pings.filter(|(to, _)| *to != A).collect()
    }

    /// Somebody with `a`'s keys.
    fn double_of_a(&self, from: SocketAddr) -> Forger {
        let bytes = self.last_of_a();
        let mut forger = Forger::new("a", from);
        forger.key = forger.steal(&bytes);
        forger.far_id = rtmfp::wire::unscramble(&bytes).expect("an id");
        forger
    }
}

/// The message of a ping in a datagram of the plain profile.
fn ping(datagram: &[u8]) -> Option<Vec<u8>> {
    let (_, chunks) = PacketHeader::parse(&datagram[8..datagram.len() - 2]).ok()?;
    let found = Chunks::new(chunks).find(|(kind, _)| *kind == kind::PING);
    found.map(|(_, message)| message.to_vec())
}

#[test]
fn a_packet_from_elsewhere_has_that_address_asked_and_the_answer_moves_the_session() {
    let mut open = Open::new(&config(Mobility::Always));
    let new = v4(9);
    open.hands.addresses[0] = new;
    let before = open.hands.sent.len();
    open.write();
    let began = open.hands.now;
    open.hands.run(SECOND);
    assert_eq!(open.far_address(), new);
    let check = open.hands.sent[before..].iter().find(|(_, end, d)| *end == 1 && d.to == new);
    let (at, _, check) = check.expect("a check");
    assert_eq!(at.since(began), crate::hand::DELAY);
    let message = ping(&check.bytes).expect("a ping");
    assert_eq!((message[0], message.len()), (b'M', 1 + 1 + 32));
    let moved = Event::AddressChanged { session: open.sessions[1], to: new, interface: InterfaceId(0) };
    assert_eq!(open.hands.count(1, |event| *event == moved), 1);
    let stats = open.hands.ends[1].stats();
    assert_eq!((stats.mobility_checks, stats.moved_sessions, stats.bad_mobility), (1, 1, 0));
    // A repeated keying chunk would be answered at the new address; and the session ends without a trace.
    open.hands.ends[0].shutdown(open.hands.now, rtmfp::Shutdown::Abrupt);
    open.hands.run(SECOND * 30);
    assert_eq!(open.hands.ends[1].holdings(), rtmfp::Holdings::default());
}

#[test]
fn one_address_a_second_is_asked_and_all_sessions_share_a_limit() {
    let mut open = Open::new(&config(Mobility::Always));
    let packet = open.last_of_a();
    for from in 10..100 {
        open.reach_b(v4(from), &packet);
    }
    assert_eq!(open.checks().len(), 1);
    open.hands.now += SECOND;
    open.reach_b(v4(100), &packet);
    assert_eq!(open.checks().len(), 1);

    let limits = Limits { mobility_checks: 0, ..Limits::default() };
    let mut open = Open::new(&Config { limits, ..config(Mobility::Always) });
    let packet = open.last_of_a();
    open.reach_b(v4(9), &packet);
    assert_eq!(open.checks().len(), 1, "the bucket's first");
    open.hands.now += SECOND;
    open.reach_b(v4(9), &packet);
    assert_eq!(open.checks().len(), 0);
    assert_eq!(open.hands.ends[1].stats().limited_mobility, 1);
}

#[test]
fn an_old_packet_repeated_from_elsewhere_moves_nothing() {
    let mut open = Open::new(&config(Mobility::Always));
    let packet = open.last_of_a();
    for _ in 0..5 {
        open.reach_b(v4(66), &packet);
        assert_eq!(open.checks().len(), 1);
        open.write();
        open.hands.run(SECOND);
        assert_eq!(open.far_address(), A);
    }
    assert_eq!(open.hands.ends[1].stats().moved_sessions, 0);
}

#[test]
fn an_answer_counts_only_from_the_address_that_was_asked_by_the_interface_that_was_asked() {
    let mut open = Open::new(&config(Mobility::Always));
    let mut double = open.double_of_a(v4(9));
    let packet = open.last_of_a();
    open.reach_b(v4(9), &packet);
    let (_, message) = open.checks().remove(0);
    let answer = double.packet(&[Chunk::PingReply(&message)]);
    for (interface, from) in [(0, v4(10)), (0, A), (0, SocketAddr::new(v4(9).ip(), 7)), (1, v4(9))] {
        let meta =
            RecvMeta { interface: InterfaceId(interface), from, dst_ip: None, ecn: rtmfp_base::Ecn::NotEct };
        open.hands.ends[1].handle_datagram(open.hands.now, &meta, &mut answer.clone());
        assert_eq!(open.far_address(), A, "from {from} at {interface}");
    }
    assert_eq!(open.hands.ends[1].stats().bad_mobility, 4);
    open.reach_b(v4(9), &answer);
    assert_eq!(open.far_address(), v4(9));
}

#[test]
fn forged_late_and_repeated_answers_move_nothing() {
    let mut open = Open::new(&config(Mobility::Always));
    let mut double = open.double_of_a(v4(9));
    let packet = open.last_of_a();
    open.reach_b(v4(9), &packet);
    let (_, message) = open.checks().remove(0);
    // Each bit counts.
    for bit in 0..message.len() * 8 {
        let mut forged = message.clone();
        forged[bit / 8] ^= 1 << (bit % 8);
        let answer = double.packet(&[Chunk::PingReply(&forged)]);
        open.reach_b(v4(9), &answer);
        assert_eq!(open.far_address(), A, "bit {bit}");
    }
    for len in 0..message.len() {
        let answer = double.packet(&[Chunk::PingReply(&message[..len])]);
        open.reach_b(v4(9), &answer);
    }
    assert_eq!(open.far_address(), A);
    // Too late.
    open.hands.run(SECOND * 121);
    let late = double.packet(&[Chunk::PingReply(&message)]);
    open.reach_b(v4(9), &late);
    assert_eq!(open.far_address(), A);
    // In time; and again, after the far end has moved on.
    open.reach_b(v4(9), &packet);
    let (_, message) = open.checks().remove(0);
    let first = double.packet(&[Chunk::PingReply(&message)]);
    open.reach_b(v4(9), &first);
    assert_eq!(open.far_address(), v4(9));
    open.hands.now += SECOND;
    open.reach_b(v4(10), &packet);
    let (_, message) = open.checks().remove(0);
    let second = double.packet(&[Chunk::PingReply(&message)]);
    open.reach_b(v4(10), &second);
    assert_eq!(open.far_address(), v4(10));
    open.reach_b(v4(9), &first);
    assert_eq!(open.far_address(), v4(10));
}

#[test]
fn an_answer_stolen_from_one_session_moves_no_other() {
    let mut open = Open::new(&config(Mobility::Always));
    let mut thief = Forger::new("thief", v4(66));
    thief.connect(open.hands.now, &mut open.hands.ends[1], b"b");
    // The thief's own session has its address asked, and it puts the answer into the session of `a`, whose keys it
    // has here.
    let hello = thief.packet(&[Chunk::Ping(&[])]);
    open.reach_b(v4(67), &hello);
    let (to, message) = open.checks().into_iter().find(|(_, m)| m.first() == Some(&b'M')).expect("a check");
    assert_eq!(to, v4(67));
    let mut double = open.double_of_a(v4(67));
    let answer = double.packet(&[Chunk::PingReply(&message)]);
    open.reach_b(v4(67), &answer);
    assert_eq!(open.far_address(), A);
    assert_eq!(open.hands.ends[1].stats().bad_mobility, 1);
}

#[test]
fn without_authentication_codes_a_session_stays_unless_it_was_told_otherwise() {
    for mobility in [Mobility::Authenticated, Mobility::Never] {
        let mut open = Open::new(&config(mobility));
        open.hands.addresses[0] = v4(9);
        open.write();
        open.hands.run(SECOND * 3);
        assert_eq!(open.far_address(), A);
        assert_eq!(open.hands.ends[1].stats().mobility_checks, 0);
    }
}

static PATH_CHANGES: AtomicU32 = AtomicU32::new(0);

/// Counts what it is told of paths.
#[derive(Debug)]
struct Counting;

impl Congestion for Counting {
    fn window(&self) -> usize {
        10_000
    }
    fn on_acknowledgement(&mut self, _: &Acknowledgement) {}
    fn on_timeout(&mut self, _: Time, _: bool) {}
    fn on_path_change(&mut self, _: Time) {
        PATH_CHANGES.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn congestion_control_hears_of_a_move_and_of_a_check_by_the_far_end() {
    let mut open = Open::new(&Config { congestion: || Box::new(Counting), ..config(Mobility::Always) });
    let mut double = open.double_of_a(A);
    let changes = || PATH_CHANGES.swap(0, Ordering::Relaxed);
    changes();
    for (message, expected) in [(&b""[..], 0), (b"M", 1), (b"another format", 1)] {
        let packet = double.packet(&[Chunk::Ping(message)]);
        open.reach_b(A, &packet);
        assert_eq!(changes(), expected, "{message:?}");
    }
    open.hands.addresses[0] = v4(9);
    open.write();
    open.hands.run(SECOND);
    assert_eq!(open.far_address(), v4(9));
    assert_eq!(changes(), 2, "each end once");
}
