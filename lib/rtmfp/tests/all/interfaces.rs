//! Interfaces that come and go at run time, and what the network says about paths.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::common::{A as A_IP, B as B_IP, PORT, Pair, endpoint, link, numbered};
use crate::hand::{A, B, Hands, transmits, v4};
use bytes::Bytes;
use rtmfp::wire::kind;
use rtmfp::{CloseReason, Config, Endpoint, Event, FlowSpec, Limits, Mobility, Priority, SendFlowId};
use rtmfp_base::{InterfaceId, Message, Tag, Time, WriteOptions};
use rtmfp_netsim::Network;

const SECOND: Duration = Duration::from_secs(1);
const OTHER: SocketAddr = v4(9);

fn config() -> Config {
    let session = rtmfp::SessionConfig { mobility: Mobility::Always, ..rtmfp::SessionConfig::default() };
    Config { session, ..Config::default() }
}

fn open_flow(endpoint: &mut Endpoint, now: Time, candidates: &[SocketAddr]) -> SendFlowId {
    let spec = FlowSpec { metadata: Bytes::new(), priority: Priority::Routine };
    let id = endpoint.open_flow(now, b"b", spec, Tag(7)).expect("a flow");
    for &to in candidates {
        endpoint.send_flow(id).expect("it").add_candidate(now, to);
    }
    id
}

fn write(hands: &mut Hands, flow: SendFlowId) {
    let now = hands.now;
    let mut flow = hands.ends[0].send_flow(flow).expect("it");
    flow.write(now, Message::from(vec![1; 100]), &WriteOptions::default()).expect("room");
}

fn open() -> (Hands, SendFlowId) {
    let mut hands = Hands::new(endpoint("a", 1, config()), endpoint("b", 2, config()));
    let now = hands.now;
    let flow = open_flow(&mut hands.ends[0], now, &[B]);
    write(&mut hands, flow);
    hands.run(SECOND);
    assert_eq!(hands.opened(1), 1);
    (hands, flow)
}

fn far_address(hands: &mut Hands, end: usize) -> SocketAddr {
    let endpoint = &mut hands.ends[end];
    let session = endpoint.open_sessions()[0];
    endpoint.session(session).expect("open").info().far_address
}

fn changed(hands: &Hands, end: usize) -> Vec<(SocketAddr, InterfaceId)> {
    let events = hands.events[end].iter();
    let changed = events.filter_map(|event| match event {
        Event::AddressChanged { to, interface, .. } => Some((*to, *interface)),
        _ => None,
    });
    changed.collect()
}

#[test]
fn a_session_whose_interface_goes_takes_another_one_and_has_the_far_end_learn_it_at_once() {
    let (mut hands, _) = open();
    hands.ends[0].add_interface(InterfaceId(1), OTHER);
    hands.run(SECOND);
    assert_eq!(changed(&hands, 0), [], "it has one");
    let (now, sent) = (hands.now, hands.sent.len());
    hands.ends[0].remove_interface(now, InterfaceId(0));
    hands.addresses[0] = OTHER;
    hands.run(SECOND);
    assert_eq!(hands.times(0, kind::PING).iter().filter(|at| **at == now).count(), 1);
    assert!(hands.sent.len() > sent);
    assert_eq!(changed(&hands, 0), [(B, InterfaceId(1))]);
    assert_eq!(changed(&hands, 1), [(OTHER, InterfaceId(0))]);
    assert_eq!(far_address(&mut hands, 1), OTHER);
}

#[test]
fn a_session_without_an_interface_waits_for_the_next_one_of_its_family() {
    let (mut hands, flow) = open();
    hands.ends[0].remove_interface(hands.now, InterfaceId(0));
    write(&mut hands, flow);
    hands.network = Box::new(|end, _| {
        if end == 0 { crate::hand::Fate::Lost } else { crate::hand::Fate::After(crate::hand::DELAY) }
    });
    hands.run(SECOND * 20);
    assert_eq!(far_address(&mut hands, 1), A);
    hands.network = Box::new(|_, _| crate::hand::Fate::After(crate::hand::DELAY));
    hands.ends[0].add_interface(InterfaceId(5), "[2001:db8::1]:1935".parse().expect("an address"));
    hands.run(SECOND);
    assert_eq!(changed(&hands, 0), []);
    hands.addresses[0] = OTHER;
    hands.ends[0].add_interface(InterfaceId(0), OTHER);
    hands.run(SECOND);
    assert_eq!(changed(&hands, 0), [(B, InterfaceId(0))], "the same number, but another interface");
    assert_eq!(far_address(&mut hands, 1), OTHER);
    assert_eq!(hands.received[1].values().map(Vec::len).sum::<usize>(), 2);
}

#[test]
fn an_opening_goes_on_from_an_interface_that_is_added() {
    let mut hands = Hands::new(endpoint("a", 1, config()), endpoint("b", 2, config()));
    let now = hands.now;
    hands.ends[0].remove_interface(now, InterfaceId(0));
    open_flow(&mut hands.ends[0], now, &[B]);
    hands.run(Duration::from_millis(100));
    assert_eq!(hands.sent.len(), 0, "from where?");
    hands.ends[0].add_interface(InterfaceId(3), A);
    hands.run(Duration::from_millis(200));
    assert_eq!((hands.opened(0), hands.opened(1)), (1, 1), "at once, not with the next repetition");
}

#[test]
fn a_keying_whose_interface_goes_is_repeated_from_another_one() {
    let mut hands = Hands::new(endpoint("a", 1, config()), endpoint("b", 2, config()));
    let now = hands.now;
    hands.ends[0].add_interface(InterfaceId(1), OTHER);
    open_flow(&mut hands.ends[0], now, &[B]);
    // The keying packet of the first interface does not come through.
    hands.network = Box::new(|_, datagram| {
        let keying = crate::hand::kinds(&datagram.bytes).contains(&kind::IIKEYING);
        if keying && datagram.from == A {
            crate::hand::Fate::Lost
        } else {
            crate::hand::Fate::After(crate::hand::DELAY)
        }
    });
    hands.run(Duration::from_millis(100));
    hands.ends[0].remove_interface(hands.now, InterfaceId(0));
    hands.ends[0].remove_interface(hands.now, InterfaceId(7));
    hands.addresses[0] = OTHER;
    hands.run(SECOND * 3);
    assert_eq!((hands.opened(0), hands.opened(1)), (1, 1));
    assert_eq!(far_address(&mut hands, 1), OTHER);
}

// ---- errors from the network ----

#[test]
fn an_opening_ends_soon_when_every_address_is_said_to_be_closed_and_nobody_answers() {
    let mut hands = Hands::new(endpoint("a", 1, config()), endpoint("b", 2, config()));
    let (began, error) = (hands.now, "connection refused");
    open_flow(&mut hands.ends[0], began, &[v4(7), v4(8)]);
    hands.run(SECOND);
    let now = hands.now;
    // One of two, and one that it has not asked.
    for to in [v4(7), v4(7), B] {
        hands.ends[0].handle_path_error(now, to, InterfaceId(0), error);
    }
    hands.run(SECOND * 10);
    assert!(hands.events[0].is_empty(), "{:?}", hands.events[0]);
    hands.ends[0].handle_path_error(hands.now, v4(8), InterfaceId(0), error);
    hands.run(Duration::from_millis(999));
    assert!(hands.events[0].is_empty());
    hands.run(Duration::from_millis(1));
    let unreachable =
        |event: &Event| matches!(event, Event::SessionClosed { reason: CloseReason::Unreachable, .. });
    assert_eq!(hands.count(0, unreachable), 1);
    assert_eq!(hands.ends[0].holdings(), rtmfp::Holdings::default());
}

#[test]
fn an_address_is_closed_only_when_it_is_for_each_interface() {
    let mut hands = Hands::new(endpoint("a", 1, config()), endpoint("b", 2, config()));
    hands.ends[0].add_interface(InterfaceId(1), OTHER);
    let now = hands.now;
    open_flow(&mut hands.ends[0], now, &[v4(7)]);
    hands.run(SECOND);
    for _ in 0..3 {
        hands.ends[0].handle_path_error(hands.now, v4(7), InterfaceId(0), "refused");
    }
    hands.run(SECOND * 5);
    assert!(hands.events[0].is_empty());
    hands.ends[0].handle_path_error(hands.now, v4(7), InterfaceId(1), "refused");
    hands.run(SECOND * 2);
    assert_eq!(hands.count(0, |event| matches!(event, Event::SessionClosed { .. })), 1);
}

#[test]
fn forged_errors_neither_prevent_nor_end_a_session() {
    let mut hands = Hands::new(endpoint("a", 1, config()), endpoint("b", 2, config()));
    let now = hands.now;
    let flow = open_flow(&mut hands.ends[0], now, &[B]);
    write(&mut hands, flow);
    for _ in 0..500 {
        hands.run(Duration::from_millis(10));
        for end in [0, 1] {
            let far = hands.addresses[1 - end];
            hands.ends[end].handle_path_error(hands.now, far, InterfaceId(0), "forged");
        }
    }
    assert_eq!((hands.opened(0), hands.opened(1)), (1, 1));
    assert_eq!(hands.count(0, |event| matches!(event, Event::SessionClosed { .. })), 0);
    let pings = hands.times(0, kind::PING);
    assert!((3..=5).contains(&pings.len()), "one a second in five seconds: {pings:?}");
    let stats = hands.ends[0].stats();
    assert_eq!((stats.path_errors, stats.limited_path_errors), (500, 0));
}

#[test]
fn errors_are_looked_at_up_to_a_limit() {
    let limits = Limits { path_errors: 3, ..Limits::default() };
    let mut a = endpoint("a", 1, Config { limits, ..config() });
    for _ in 0..10 {
        a.handle_path_error(Time::from_secs(1), B, InterfaceId(0), "forged");
    }
    assert_eq!((a.stats().path_errors, a.stats().limited_path_errors), (10, 7));
    assert!(transmits(&mut a, Time::from_secs(1)).is_empty());
}

#[test]
fn a_closed_port_on_a_network_ends_an_opening_in_a_second_and_a_bit() {
    let config = rtmfp_netsim::Config { report_closed_ports: true, ..rtmfp_netsim::Config::default() };
    let mut net = Network::with_config(5, config);
    net.set_default_link(link(20));
    let a = net.add_host("a", &[IpAddr::from(A_IP)], crate::common::node("a", 5, Config::default()));
    let b = net.add_host("b", &[IpAddr::from(B_IP)], Box::new(Nothing));
    net.run_for(Duration::from_millis(1));
    let mut pair = Pair { net, a, b };
    pair.open(b"to a closed port", Priority::Routine);
    pair.run(1.0);
    assert_eq!(pair.peer(a).events, []);
    pair.run(0.1);
    let refused =
        |event: &Event| matches!(event, Event::SessionClosed { reason: CloseReason::Unreachable, .. });
    assert_eq!(pair.peer(a).count(refused), 1);
}

/// A service that opens no socket.
#[derive(Debug)]
struct Nothing;

impl rtmfp_base::Service for Nothing {
    fn handle(&mut self, _: Time, _: rtmfp_base::Input<'_>) {}
    fn poll_action(&mut self, _: Time) -> Option<rtmfp_base::Action> {
        None
    }
    fn poll_transmit(&mut self, _: Time, _: &mut rtmfp_base::Batch) {}
    fn fill_stream(&mut self, _: Time, _: rtmfp_base::StreamId, _: usize, _: &mut Vec<u8>) {}
    fn poll_timeout(&mut self) -> Option<Time> {
        None
    }
}

#[test]
fn a_host_with_two_interfaces_loses_one_in_mid_stream_and_nothing_else() {
    let mut net = Network::new(6);
    net.set_default_link(link(20));
    let one = |last| IpAddr::from([10, 0, 0, last]);
    let addresses = [SocketAddr::new(one(1), PORT), SocketAddr::new(one(3), PORT)];
    let node = crate::common::node("b", 7, config());
    let a = rtmfp::driver::Node::new(endpoint("a", 6, config()), &addresses, crate::common::Peer::new());
    let a = net.add_host("a", &[one(1), one(3)], Box::new(a));
    let b = net.add_host("b", &[IpAddr::from(B_IP)], node);
    net.run_for(Duration::from_millis(1));
    let mut pair = Pair { net, a, b };
    let flow = pair.open(b"forth", Priority::Routine);
    pair.write(flow, numbered(0, 5000));
    pair.run(1.0);
    for number in 1..200 {
        pair.write(flow, numbered(number, 5000));
    }
    pair.run(0.3);
    let session = pair.session(a);
    let (now, used) = (pair.now(), pair.node(a).endpoint().session(session).expect("open").info().interface);
    pair.node(a).endpoint().remove_interface(now, used);
    pair.net.set_addresses(a, &[one(if used.0 == 0 { 3 } else { 1 })]);
    pair.run(10.0);
    assert_eq!(pair.peer(b).messages(b"forth"), (0..200).map(|n| numbered(n, 5000)).collect::<Vec<_>>());
    assert_eq!(pair.peer(b).count(|event| matches!(event, Event::AddressChanged { .. })), 1);
}
