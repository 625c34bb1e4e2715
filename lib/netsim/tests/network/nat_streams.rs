//! Byte streams through NAT boxes, of hosts that move, and reset on the way.

use std::net::SocketAddr;
use std::time::Duration;

use rtmfp_base::{Action, ListenerId, StreamId, Time};
use rtmfp_netsim::{Config, Fault, HostId, LinkConfig, NatConfig, NatId, Network, StreamConfig};

use crate::nats::inner;
use crate::services::{Probe, Seen, address, ip, probe};

const SECOND: Duration = Duration::from_secs(1);
const OUT: StreamId = StreamId::opened(1);
const IN: StreamId = StreamId::accepted(0);

struct Net {
    network: Network,
    server: HostId,
    nat: NatId,
    client: HostId,
}

/// An echo server 10.0.0.1, and a client 192.168.0.1 behind a NAT box 10.0.0.9 with a stream to it; 10 ms from
/// the box to the server.
fn connected(streams: StreamConfig) -> Net {
    let mut network = Network::with_config(1, Config { streams, ..Config::default() });
    network.set_default_link(LinkConfig::with_delay(Duration::from_millis(10)));
    let mut service = Probe { echo: true, ..Probe::default() };
    service.actions.push_back(Action::Listen { listener: ListenerId(1), address: address(1) });
    let server = network.add_host("server", &[ip(1)], Box::new(service));
    let nat = network.add_nat("nat", ip(9), NatConfig::default());
    let client = network.add_host_behind(nat, "client", &[inner(1)], Box::new(Probe::default()));
    network.step();
    let mut net = Net { network, server, nat, client };
    net.connect(client, address(1));
    net.network.run_for(SECOND);
    net
}

impl Net {
    fn connect(&mut self, host: HostId, to: SocketAddr) {
        probe(&mut self.network, host).actions.push_back(Action::Connect { stream: OUT, to, dscp: 0 });
    }

    fn closed(&self, host: HostId, stream: StreamId, error: &str) -> Option<Time> {
        self.network.peek::<Probe>(host).when(&Seen::Closed(stream, Some(error.to_owned())))
    }

    /// The client's addresses as the server saw them.
    fn peers(&self) -> Vec<SocketAddr> {
        let seen = self.network.peek::<Probe>(self.server).seen.iter();
        let peers = seen.filter_map(|(_, seen)| match seen {
            Seen::Accepted(_, _, peer) => Some(*peer),
            _ => None,
        });
        peers.collect()
    }
}

const RESET: &str = "connection reset by peer";
const TIMED_OUT: &str = "connection timed out";

#[test]
fn a_stream_opened_from_inside_carries_bytes_both_ways() {
    let mut net = connected(StreamConfig::default());
    let bytes: Vec<_> = (0..100_000u32).map(|n| n as u8).collect();
    probe(&mut net.network, net.client).write(OUT, &bytes);
    net.network.run_for(SECOND);
    let client = net.network.peek::<Probe>(net.client);
    assert_eq!(client.when(&Seen::Connected(OUT, address(1))), Some(Time::from_millis(20)));
    assert!(client.received(OUT) == bytes);
    assert_eq!(net.peers()[0].ip(), ip(9));
    assert_eq!(net.network.streams(net.client).collect::<Vec<_>>(), [OUT]);
    assert_eq!(net.network.streams(net.server).collect::<Vec<_>>(), [IN]);
}

#[test]
fn streams_of_several_hosts_have_ports_of_their_own_until_they_end() {
    let mut net = connected(StreamConfig::default());
    let other = net.network.add_host_behind(net.nat, "other", &[inner(2)], Box::new(Probe::default()));
    net.connect(other, address(1));
    net.network.run_for(SECOND);
    let peers = net.peers();
    assert!(peers[0].port() != peers[1].port() && peers.iter().all(|peer| peer.ip() == ip(9)), "{peers:?}");
    // Both hosts take the same port of their own first. That of the first one is kept, and free when it ends.
    probe(&mut net.network, net.client).actions.push_back(Action::Finish { stream: OUT });
    net.network.run_for(SECOND);
    let third = net.network.add_host_behind(net.nat, "third", &[inner(3)], Box::new(Probe::default()));
    net.connect(third, address(1));
    net.network.run_for(SECOND);
    assert_eq!(net.peers()[2], peers[0]);
}

#[test]
fn nobody_is_reached_behind_a_box_from_outside_and_all_within() {
    let mut net = connected(StreamConfig::default());
    let to = SocketAddr::new(inner(1), 80);
    let listen = Action::Listen { listener: ListenerId(1), address: to };
    probe(&mut net.network, net.client).actions.push_back(listen);
    let other = net.network.add_host_behind(net.nat, "other", &[inner(2)], Box::new(Probe::default()));
    let outside = net.network.add_host("outside", &[ip(2)], Box::new(Probe::default()));
    net.network.step();
    net.connect(outside, SocketAddr::new(ip(9), 80));
    net.connect(other, to);
    net.network.run_for(Duration::from_secs(11));
    assert!(net.closed(outside, OUT, "connecting timed out").is_some());
    assert!(net.network.peek::<Probe>(other).saw(&Seen::Connected(OUT, to)));
}

#[test]
fn a_rebinding_breaks_streams_at_once_for_who_sends_inside_and_late_for_the_other_end() {
    let mut net = connected(StreamConfig::default());
    net.network.rebind_nat(net.nat);
    assert_eq!(net.network.faults().count(Fault::StreamSevered), 1);
    probe(&mut net.network, net.server).write(IN, b"lost");
    net.network.run_for(SECOND);
    assert_eq!(net.network.peek::<Probe>(net.client).received(OUT), []);
    probe(&mut net.network, net.client).write(OUT, b"x");
    net.network.run_for(Duration::from_secs(60));
    assert_eq!(net.closed(net.client, OUT, RESET), Some(Time::from_millis(2020)));
    assert_eq!(net.closed(net.server, IN, TIMED_OUT), Some(Time::from_secs(31)));
    assert_eq!(net.network.peek::<Probe>(net.server).received(IN), []);
    // The next one is another one.
    net.connect(net.client, address(1));
    net.network.run_for(SECOND);
    assert_ne!(net.peers()[1], net.peers()[0]);
}

#[test]
fn a_rebinding_is_found_out_by_probing_if_that_is_on() {
    for keep_alive in [true, false] {
        let mut net = connected(StreamConfig { keep_alive, ..StreamConfig::default() });
        net.network.rebind_nat(net.nat);
        net.network.run_for(Duration::from_secs(100));
        let at = net.closed(net.client, OUT, RESET);
        assert_eq!(at, keep_alive.then(|| Time::from_millis(11_020)));
        assert_eq!(net.closed(net.server, IN, TIMED_OUT).is_some(), keep_alive);
    }
}

#[test]
fn streams_of_a_host_that_moves_stand_still_and_die_unless_it_comes_back() {
    for away in [Duration::from_secs(20), Duration::from_secs(40)] {
        let mut net = connected(StreamConfig::default());
        net.network.move_host(net.client, None, &[ip(7)]);
        probe(&mut net.network, net.client).write(OUT, b"hello");
        net.network.run_for(away);
        assert_eq!(net.network.peek::<Probe>(net.server).received(IN), []);
        net.network.move_host(net.client, Some(net.nat), &[inner(1)]);
        net.network.run_for(SECOND);
        let stays = away < Duration::from_secs(30);
        assert_eq!(net.network.peek::<Probe>(net.client).received(OUT) == b"hello", stays);
        assert_eq!(net.closed(net.client, OUT, TIMED_OUT).is_none(), stays);
        assert_eq!(net.closed(net.server, IN, TIMED_OUT).is_none(), stays);
        assert_eq!(net.network.faults().count(Fault::StreamTimedOut), if stays { 0 } else { 2 });
    }
}

#[test]
fn a_stream_that_is_reset_ends_for_both_at_once() {
    let mut net = connected(StreamConfig::default());
    probe(&mut net.network, net.client).write(OUT, b"on its way");
    net.network.run_for(Duration::from_millis(5));
    assert!(net.network.reset_stream(net.server, IN));
    assert!(!net.network.reset_stream(net.server, IN));
    assert!(!net.network.reset_stream(net.client, OUT));
    net.network.run_for(SECOND);
    let at = Some(Time::from_millis(1005));
    assert_eq!([net.closed(net.client, OUT, RESET), net.closed(net.server, IN, RESET)], [at, at]);
    assert_eq!(net.network.peek::<Probe>(net.server).received(IN), []);
    assert_eq!(net.network.faults().count(Fault::StreamReset), 1);
    assert_eq!(net.network.streams(net.client).count(), 0);
}
