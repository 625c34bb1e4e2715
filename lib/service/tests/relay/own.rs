//! Relays that are their own destination.

use std::time::Duration;

use rtmfp_netsim::{HostId, LinkConfig, Network};
use rtmfp_service::Relay;

use crate::encoder::{Client, Task};
use crate::journal;
use crate::limits::{counter, counter_of};
use crate::world::{Chain, add_relay, at, config, destination, ip};

const OWN: &str = "--to is this relay's own --listen";

/// A relay with its own address, or a name of it, for its destination; and a client of it.
fn circle(listen: &str, to: &str) -> (Network, HostId, HostId) {
    let mut network = Network::new(1);
    network.set_default_link(LinkConfig::with_delay(Duration::from_millis(10)));
    network.add_name("own.test", &[ip(100)]);
    let relay = add_relay(&mut network, 100, config(1, listen, to));
    network.run_for(Duration::from_millis(1));
    let client = Box::new(Client::new(at(100), Task::Idle));
    let client = network.add_host("client", &[[10, 1, 0, 1].into()], client);
    network.run_for(Duration::from_secs(5));
    (network, relay, client)
}

#[test]
fn a_client_of_a_relay_that_is_its_own_destination_is_told_so_and_does_not_come_again_and_again() {
    for (listen, to, most) in [
        ("rtmp://10.0.0.100:1935", "rtmp://10.0.0.100:1935", 1),
        ("rtmp://10.0.0.100:1935", "rtmp://own.test:1935", 1),
        ("rtmp://0.0.0.0:1935", "rtmp-simple://own.test:1935", 2),
    ] {
        journal::begin();
        let (network, relay, client) = circle(listen, to);
        let relay: &Relay = network.peek(relay);
        let client: &Client = network.peek(client);
        assert_eq!(counter_of(relay, "clients_accepted"), most, "{listen} {to}");
        assert_eq!(counter_of(relay, "clients"), 0);
        let told = client.description("NetConnection.Connect.Failed");
        assert!(told.as_ref().is_some_and(|told| told.ends_with(OWN)), "{told:?}");
        let warnings = journal::warnings();
        assert!(warnings[0].ends_with(OWN) && warnings.len() as u64 == most, "{warnings:#?}");
    }
}

#[test]
fn once_it_is_known_nobody_goes_round() {
    let (mut network, relay, _) = circle("rtmp://0.0.0.0:1935", "rtmp://own.test:1935");
    for last in 2..12 {
        let client = Box::new(Client::new(at(100), Task::Idle));
        network.add_host("client", &[[10, 1, 0, last].into()], client);
    }
    network.run_for(Duration::from_secs(2));
    assert_eq!(counter_of(network.peek::<Relay>(relay), "clients_accepted"), 12);
}

#[test]
fn it_is_the_same_with_rtmfp() {
    let mut chain = Chain::with(1, &["rtmp", "rtmfp", "rtmp"], Chain::friendly(), |number, config| {
        if number == 1 {
            config.to = destination("rtmfp://10.0.0.101:1935");
        }
    });
    let client = chain.add_client(Task::Idle);
    chain.network.run_for(Duration::from_secs(5));
    assert_eq!(counter(&chain, 1, "clients_accepted"), 1);
    let told = chain.client(client).description("NetConnection.Connect.Failed");
    assert!(told.as_ref().is_some_and(|told| told.ends_with(OWN)), "{told:?}");
}

#[test]
fn a_port_of_the_same_number_of_the_other_protocol_or_elsewhere_is_no_circle() {
    for protocols in [&["rtmp", "rtmp"][..], &["rtmfp", "rtmp"], &["rtmp", "rtmfp", "rtmp"]] {
        let mut chain = Chain::with(1, protocols, Chain::friendly(), |_, config| {
            config.listen[0].address.set_ip([0, 0, 0, 0].into());
        });
        let client = chain.add_client(Task::Idle);
        chain.network.run_for(Duration::from_secs(2));
        if protocols[0] == "rtmp" {
            assert!(chain.client(client).has_code("NetConnection.Connect.Success"), "{protocols:?}");
        }
        assert_eq!(counter(&chain, 0, "clients_failed"), 0);
    }
}
