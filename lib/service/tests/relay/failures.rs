//! Destinations that can't be reached, or are lost.

use std::time::Duration;

use rtmfp_base::Time;
use rtmfp_netsim::HostId;

use crate::clip::Clip;
use crate::encoder::{Client, End, Task};
use crate::server::{Manner, Server};
use crate::world::{Chain, SERVER, at, destination, ip};

const FAILED: &str = "NetConnection.Connect.Failed";

fn assert_failed(chain: &Chain, client: HostId, asked: Time, within: Duration, because: &str) {
    let client = chain.client(client);
    let codes = client.codes();
    let (when, _) = codes.iter().find(|(_, code)| code == FAILED).unwrap_or_else(|| panic!("{codes:?}"));
    assert!(*when <= asked + within, "told at {when}, asked at {asked}");
    let description = client.description(FAILED).unwrap_or_default();
    assert!(description.contains(because), "{description:?} doesn't say {because:?}");
    assert!(client.end_of_stream.is_some(), "the connection has to end in order: {:?}", client.closed);
    for relay in 0..chain.relays.len() {
        assert_eq!(chain.relay(relay).client_count(), 0);
    }
}

/// Connects to a destination that does not work; how long it takes at most, and what the status says.
fn fails(protocols: &[&str], to: &str, server: Server, within: Duration, because: &str) -> Chain {
    let last = protocols.len() - 2;
    let mut chain = Chain::with(1, protocols, server, |number, config| {
        if number == last {
            config.to = destination(to);
        }
    });
    chain.network.add_name("twins.test", &[ip(201), ip(SERVER)]);
    let client = chain.add_client(Task::Publish(Clip::new(10), End::Delete));
    let asked = chain.network.now();
    chain.network.run_for(Duration::from_secs(25));
    assert_failed(&chain, client, asked, within, because);
    chain
}

#[test]
fn a_destination_that_refuses_gives_a_status_at_once() {
    for protocols in [&["rtmp", "rtmp"][..], &["rtmp", "rtmfp", "rtmp"]] {
        let to = "rtmp://10.0.0.200:9";
        fails(protocols, to, Chain::friendly(), Duration::from_secs(2), "rtmp://10.0.0.200:9");
    }
}

#[test]
fn a_name_that_does_not_resolve_gives_a_status_at_once() {
    for protocols in [&["rtmp", "rtmp"][..], &["rtmp", "rtmfp"], &["rtmp", "rtmfp", "rtmp"]] {
        let to = format!("{}://nowhere.test", protocols[protocols.len() - 1]);
        fails(protocols, &to, Chain::friendly(), Duration::from_secs(2), "nowhere.test");
    }
}

#[test]
fn a_destination_that_does_not_answer_gives_a_status_within_ten_seconds() {
    let ten = Duration::from_secs(10);
    // Nobody has this address.
    fails(&["rtmp", "rtmp"], "rtmp://10.0.0.77", Chain::friendly(), ten, "10.0.0.77");
    fails(&["rtmp", "rtmfp"], "rtmfp://10.0.0.77", Chain::friendly(), ten, "10.0.0.77");
    fails(&["rtmp", "rtmfp", "rtmp"], "rtmp://10.0.0.77", Chain::friendly(), ten, "10.0.0.77");
    // Somebody takes the connection and keeps silent.
    let silent = || Server::new(at(SERVER), Manner::Silent);
    fails(&["rtmp", "rtmp"], "rtmp://10.0.0.200", silent(), ten, "does not answer");
    fails(&["rtmp", "rtmfp", "rtmp"], "rtmp://10.0.0.200", silent(), ten, "does not answer");
}

#[test]
fn a_rejection_passes_through() {
    for protocols in [&["rtmp", "rtmp"][..], &["rtmp", "rtmfp", "rtmp"]] {
        let mut chain = Chain::new(1, protocols, Server::new(at(SERVER), Manner::Rejecting));
        let client = chain.add_client(Task::Idle);
        chain.network.run_for(Duration::from_secs(20));
        let client = chain.client(client);
        assert!(client.has_code("NetConnection.Connect.Rejected"), "{:?}", client.codes());
        assert!(!client.has_code(FAILED), "{:?}", client.codes());
        assert!(client.end_of_stream.is_some(), "{:?}", client.closed);
        assert_eq!(chain.relay(0).client_count(), 0);
    }
}

#[test]
fn the_next_address_of_a_name_is_tried_when_one_does_not_answer() {
    let mut chain = Chain::with(1, &["rtmp", "rtmp"], Chain::friendly(), |_, config| {
        config.to = destination("rtmp://twins.test");
    });
    chain.network.add_name("twins.test", &[ip(201), ip(SERVER)]);
    let client = chain.add_client(Task::Idle);
    chain.network.run_for(Duration::from_secs(4));
    assert!(chain.client(client).has_code("NetConnection.Connect.Success"));
}

#[test]
fn all_addresses_of_an_rtmfp_name_are_tried_at_once() {
    let mut chain = Chain::with(1, &["rtmp", "rtmfp", "rtmp"], Chain::friendly(), |number, config| {
        if number == 0 {
            config.to = destination("rtmfp://twins.test");
        }
    });
    chain.network.add_name("twins.test", &[ip(201), ip(101)]);
    let client = chain.add_client(Task::Idle);
    chain.network.run_for(Duration::from_secs(1));
    assert!(chain.client(client).has_code("NetConnection.Connect.Success"));
}

#[test]
fn a_destination_that_is_lost_is_told_and_others_are_served_on() {
    for protocols in [&["rtmp", "rtmp"][..], &["rtmp", "rtmfp", "rtmp"]] {
        let mut chain = Chain::new(1, protocols, Chain::friendly());
        let client = chain.add_client(Task::Publish(Clip::new(600), End::Delete));
        chain.network.run_for(Duration::from_secs(5));
        chain.network.service::<Server>(chain.server).reset();
        chain.network.run_for(Duration::from_secs(10));
        let lost = chain.client(client);
        assert!(lost.has_code("NetConnection.Connect.Closed"), "{:?}", lost.codes());
        assert!(lost.end_of_stream.is_some(), "{:?}", lost.closed);
        let next = chain.add_client(Task::Publish(Clip::new(30), End::Delete));
        chain.network.run_for(Duration::from_secs(10));
        assert!(chain.client(next).has_code("NetStream.Publish.Start"));
        for relay in 0..chain.relays.len() {
            assert_eq!(chain.relay(relay).client_count(), 0);
        }
    }
}

#[test]
fn a_far_relay_that_vanishes_is_noticed_within_thirty_seconds() {
    let mut chain = Chain::new(1, &["rtmp", "rtmfp", "rtmp"], Chain::friendly());
    let active = chain.add_client(Task::Publish(Clip::new(3000), End::Delete));
    let idle = chain.add_client(Task::Idle);
    chain.network.run_for(Duration::from_secs(20));
    let far = chain.relays[1];
    chain.network.vanish(far);
    chain.network.run_for(Duration::from_secs(30));
    for client in [active, idle] {
        let client: &Client = chain.client(client);
        let description = client.description("NetConnection.Connect.Closed");
        let because = description.unwrap_or_else(|| panic!("{:?}", client.codes()));
        assert!(because.contains("stopped answering"), "{because}");
    }
    chain.network.run_for(Duration::from_secs(15));
    assert_eq!(chain.relay(0).client_count(), 0);
}

#[test]
fn a_near_relay_that_vanishes_frees_everything_within_thirty_seconds() {
    let mut chain = Chain::new(1, &["rtmp", "rtmfp", "rtmp"], Chain::friendly());
    chain.add_client(Task::Publish(Clip::new(3000), End::Delete));
    chain.add_client(Task::Idle);
    chain.network.run_for(Duration::from_secs(20));
    let near = chain.relays[0];
    chain.network.vanish(near);
    chain.network.run_for(Duration::from_secs(30));
    assert!(chain.server().all().all(|session| session.end_of_stream.is_some()));
    chain.network.run_for(Duration::from_secs(10));
    assert_eq!(chain.relay(1).client_count(), 0);
}
