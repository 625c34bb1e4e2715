use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rtmfp_base::{Action, Ecn, InterfaceId, Time};
use rtmfp_netsim::{Config, LinkConfig, Network};

use crate::services::{PORT, Probe, SOCKET, Seen, address, ip, pair, probe};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_datagram_arrives_with_its_addresses_and_mark_after_the_delay() {
    let mut network = Network::new(1);
    let (a, b) = pair(&mut network);
    network.set_link(a, b, LinkConfig::with_delay(Duration::from_millis(30)));
    probe(&mut network, a).out.push_back((SOCKET, None, address(2), Ecn::Ect0, b"hello".to_vec()));
    network.run_for(SECOND);
    let got: Vec<_> = network.peek::<Probe>(b).datagrams().collect();
    let [(at, meta, bytes)] = got[..] else { panic!("{got:?}") };
    assert_eq!((at, bytes), (Time::from_millis(30), &b"hello"[..]));
    assert_eq!(
        (meta.interface, meta.from, meta.dst_ip, meta.ecn),
        (SOCKET, address(1), Some(ip(2)), Ecn::Ect0)
    );
}

#[test]
fn joined_datagrams_arrive_one_by_one_and_batches_are_asked_for_until_one_is_empty() {
    let mut network = Network::new(1);
    let (a, b) = pair(&mut network);
    let service = probe(&mut network, a);
    service.per_batch = 3;
    for len in [100, 100, 60, 60, 100, 7, 7] {
        service.send(address(2), &vec![1; len]);
    }
    network.run_for(SECOND);
    let lens: Vec<_> = network.peek::<Probe>(b).datagrams().map(|(_, _, bytes)| bytes.len()).collect();
    assert_eq!(lens, [100, 100, 60, 60, 100, 7, 7]);
}

#[test]
fn an_echo_comes_back_from_the_address_that_was_asked() {
    let mut network = Network::new(1);
    let a = network.add_host("a", &[ip(1)], Box::new(Probe::open()));
    network.add_host("b", &[ip(2), ip(3)], Box::new(Probe::echo()));
    network.set_default_link(LinkConfig::with_delay(Duration::from_millis(10)));
    network.step();
    probe(&mut network, a).send(address(3), b"x");
    network.run_for(SECOND);
    let got: Vec<_> = network.peek::<Probe>(a).datagrams().map(|(at, meta, _)| (at, meta.from)).collect();
    assert_eq!(got, [(Time::from_millis(20), address(3))]);
}

#[test]
fn sockets_bind_what_is_free_and_ports_are_given_out_in_order() {
    let mut network = Network::new(1);
    let (a, _) = pair(&mut network);
    let service = probe(&mut network, a);
    let wanted: [(u32, SocketAddr); 6] = [
        (2, SocketAddr::new(ip(1), 0)),
        (3, "0.0.0.0:0".parse().expect("address")),
        (4, SocketAddr::new(ip(1), PORT)),
        (5, SocketAddr::new(ip(2), 0)),
        (6, SocketAddr::new("::".parse().expect("ip"), PORT)),
        (7, SocketAddr::from(([127, 0, 0, 1], 2000))),
    ];
    for (socket, address) in wanted {
        service.open_udp(InterfaceId(socket), address);
    }
    network.run_for(SECOND);
    let ready: Vec<_> = network.peek::<Probe>(a).seen[1..]
        .iter()
        .map(|(_, seen)| match seen {
            Seen::UdpReady(socket, result) => (socket.0, result.as_ref().map(SocketAddr::port)),
            other => panic!("{other:?}"),
        })
        .collect();
    let in_use = "address in use".to_owned();
    let foreign = "cannot assign requested address".to_owned();
    assert_eq!(
        ready,
        [
            (2, Ok(49_152)),
            (3, Ok(49_153)),
            (4, Err(&in_use)),
            (5, Err(&foreign)),
            (6, Ok(PORT)),
            (7, Ok(2000))
        ]
    );
}

#[test]
fn a_closed_socket_sends_what_is_queued_and_gets_nothing_more() {
    let mut network = Network::new(1);
    let (a, b) = pair(&mut network);
    let service = probe(&mut network, a);
    service.send(address(2), b"last words");
    service.actions.push_back(Action::CloseUdp { socket: SOCKET });
    probe(&mut network, b).send(address(1), b"too late");
    network.run_for(SECOND);
    assert_eq!(network.peek::<Probe>(b).datagrams().count(), 1);
    assert_eq!(network.peek::<Probe>(a).datagrams().count(), 0);
    // Its port is free again.
    probe(&mut network, a).open_udp(SOCKET, address(1));
    network.run_for(SECOND);
    assert!(network.peek::<Probe>(a).saw(&Seen::UdpReady(SOCKET, Ok(address(1)))));
}

#[test]
fn datagrams_to_nowhere_vanish_and_closed_ports_are_reported_only_if_wanted() {
    for report_closed_ports in [false, true] {
        let config = Config { report_closed_ports, ..Config::default() };
        let mut network = Network::with_config(1, config);
        let (a, _) = pair(&mut network);
        network.set_default_link(LinkConfig::with_delay(Duration::from_millis(5)));
        let closed = SocketAddr::new(ip(2), 9);
        let service = probe(&mut network, a);
        service.send(closed, b"?");
        service.send(address(99), b"?");
        network.run_for(SECOND);
        let error = Seen::PathError(SOCKET, closed, "connection refused".to_owned());
        let at = network.peek::<Probe>(a).when(&error);
        assert_eq!(at, report_closed_ports.then(|| Time::from_millis(10)));
        assert_eq!(network.peek::<Probe>(a).seen.len(), 1 + usize::from(report_closed_ports));
    }
}

#[test]
fn a_host_reaches_itself_without_any_link() {
    let mut network = Network::new(1);
    let (a, _) = pair(&mut network);
    network.set_default_link(LinkConfig::with_delay(SECOND));
    network.set_uplink(a, LinkConfig::with_delay(SECOND));
    let service = probe(&mut network, a);
    let local = SocketAddr::from(([127, 0, 0, 1], PORT));
    service.send(local, b"x");
    service.send(address(1), b"y");
    network.run_for(Duration::ZERO);
    let from: Vec<_> = network.peek::<Probe>(a).datagrams().map(|(_, meta, _)| meta.from).collect();
    assert_eq!(from, [local, address(1)]);
}

#[test]
fn a_host_that_moves_keeps_its_wildcard_socket() {
    let mut network = Network::new(1);
    let (a, b) = pair(&mut network);
    network.set_default_link(LinkConfig::with_delay(Duration::from_millis(10)));
    probe(&mut network, b).send(address(1), b"on its way");
    network.run_for(Duration::from_millis(5));
    network.set_addresses(a, &[ip(7)]);
    probe(&mut network, a).send(address(2), b"from the new place");
    probe(&mut network, b).send(address(7), b"to the new place");
    network.run_for(SECOND);
    let at_a: Vec<_> = network.peek::<Probe>(a).datagrams().map(|(_, meta, _)| meta.dst_ip).collect();
    let at_b: Vec<_> = network.peek::<Probe>(b).datagrams().map(|(_, meta, _)| meta.from).collect();
    assert_eq!((at_a, at_b), (vec![Some(ip(7))], vec![address(7)]));
}

#[test]
fn both_families_work_side_by_side() {
    let six = |n: u16| IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, n]);
    let mut network = Network::new(1);
    let a = network.add_host("a", &[ip(1), six(1)], Box::new(Probe::default()));
    let b = network.add_host("b", &[six(2)], Box::new(Probe::default()));
    for host in [a, b] {
        probe(&mut network, host).open_udp(SOCKET, "[::]:1000".parse().expect("address"));
    }
    network.step();
    let service = probe(&mut network, a);
    service.send(SocketAddr::new(six(2), PORT), b"six");
    // A socket of the other family cannot send this.
    service.send(address(1), b"four");
    network.run_for(SECOND);
    let from: Vec<_> = network.peek::<Probe>(b).datagrams().map(|(_, meta, _)| meta.from).collect();
    assert_eq!(from, [SocketAddr::new(six(1), PORT)]);
    assert_eq!(network.peek::<Probe>(a).datagrams().count(), 0);
}
