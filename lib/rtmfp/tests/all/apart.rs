//! Several ends that share a name, each with a session of its own.

use std::net::SocketAddr;
use std::time::Duration;

use crate::common::endpoint;
use bytes::Bytes;
use rtmfp::driver::{Application, Node};
use rtmfp::{Config, Endpoint, Event, FlowSpec, Priority, SendFlowId};
use rtmfp_base::{Message, Tag, Time, WriteOptions};
use rtmfp_netsim::{HostId, LinkConfig, Network, for_each_seed};

fn at(last: u8) -> SocketAddr {
    ([10, 0, 0, last], 1935).into()
}

/// Takes all flows.
struct Taker;

impl Application for Taker {
    fn on_event(&mut self, now: Time, endpoint: &mut Endpoint, event: Event) {
        if let Event::FlowOffered { flow, .. } = event {
            endpoint.accept(now, flow, Tag(0));
        }
    }
}

/// Opens flows to whoever is called `name*`, one to each address, and writes to them once they have a session.
struct Opener {
    addresses: Vec<SocketAddr>,
    apart: bool,
    /// Where the flows have landed.
    landed: Vec<(SendFlowId, SocketAddr)>,
}

impl Application for Opener {
    fn on_ready(&mut self, now: Time, endpoint: &mut Endpoint) {
        for &to in &self.addresses {
            let spec = FlowSpec { metadata: Bytes::from_static(b"flow"), priority: Priority::Routine };
            let flow = match self.apart {
                true => endpoint.open_flow_apart(now, b"name*", spec, Tag(1)),
                false => endpoint.open_flow(now, b"name*", spec, Tag(1)),
            };
            endpoint.send_flow(flow.expect("room")).expect("the flow").add_candidate(now, to);
        }
    }

    fn on_event(&mut self, now: Time, endpoint: &mut Endpoint, event: Event) {
        if let Event::FlowBound { flow, session, .. } = event {
            let to = endpoint.session(session).expect("an open one").info().far_address;
            self.landed.push((flow, to));
            let mut flow = endpoint.send_flow(flow).expect("the flow");
            flow.write(now, Message::from(vec![1]), &WriteOptions::default()).expect("room");
        }
    }
}

fn scene(seed: u64, addresses: &[u8], apart: bool) -> (Network, HostId) {
    let mut network = Network::new(seed);
    network.set_default_link(LinkConfig::with_delay(Duration::from_millis(10)));
    for last in [1, 2, 3] {
        let taker = endpoint(&format!("name {last}"), seed + u64::from(last), Config::default());
        let node = Node::new(taker, &[at(last)], Taker);
        network.add_host(&format!("taker {last}"), &[at(last).ip()], Box::new(node));
    }
    let addresses = addresses.iter().map(|&last| at(last)).collect();
    let opener = Opener { addresses, apart, landed: Vec::new() };
    let node = Node::new(endpoint("opener", seed, Config::default()), &[at(9)], opener);
    let host = network.add_host("opener", &[at(9).ip()], Box::new(node));
    (network, host)
}

fn landed(network: &mut Network, host: HostId) -> (Vec<SocketAddr>, usize) {
    let node = network.service::<Node<Opener>>(host);
    let mut landed: Vec<_> = node.application.landed.iter().map(|(_, to)| *to).collect();
    landed.sort_unstable();
    (landed, node.endpoint().session_count())
}

#[test]
fn flows_that_are_opened_apart_reach_the_end_at_their_own_address_whoever_answers_first() {
    for_each_seed(20, |seed| {
        let (mut network, host) = scene(seed, &[1, 2, 3], true);
        network.run_for(Duration::from_secs(3));
        assert_eq!(landed(&mut network, host), (vec![at(1), at(2), at(3)], 3));
    });
}

#[test]
fn flows_that_are_not_opened_apart_share_a_session_with_the_first_end_of_that_name() {
    let (mut network, host) = scene(1, &[1, 2, 3], false);
    network.run_for(Duration::from_secs(3));
    let (landed, sessions) = landed(&mut network, host);
    assert_eq!((landed.len(), sessions), (3, 1));
}

#[test]
fn flows_that_are_opened_apart_to_one_end_share_its_session() {
    for_each_seed(20, |seed| {
        let (mut network, host) = scene(seed, &[1, 1, 2], true);
        network.run_for(Duration::from_secs(5));
        assert_eq!(landed(&mut network, host), (vec![at(1), at(1), at(2)], 2));
    });
}
