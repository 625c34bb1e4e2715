//! Datagrams over loopback, through whole hosts.

mod common;

use std::collections::HashSet;
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::channel;

use common::{GUARD, Out, own_address, start};
use rtmfp_base::{Action, Input, InterfaceId, Time};
use rtmfp_runtime::Config;

/// Opens `count` sockets that send back what they receive; answers with their addresses.
fn echo_sockets(count: u32) -> (rtmfp_runtime::Handle, Vec<SocketAddr>) {
    let (ready, is_ready) = channel();
    let handle = start(Config { udp_buffer: Some(1 << 20), ..Config::default() }, move |out| {
        (0..count).for_each(|number| out.open_udp(number));
        move |out: &mut Out, _, input: Input<'_>| match input {
            Input::UdpReady { socket, result } => ready.send((socket.0, result.unwrap())).unwrap(),
            Input::Datagram { meta, bytes } => out.send(meta.interface.0, meta.from, bytes),
            Input::Stop => out.finished(),
            _ => {}
        }
    });
    let mut addresses: Vec<_> = (0..count).map(|_| is_ready.recv_timeout(GUARD).unwrap()).collect();
    addresses.sort_unstable();
    (handle, addresses.into_iter().map(|(_, address)| address).collect())
}

#[test]
fn each_of_hundreds_of_sockets_answers_from_its_own_address() {
    let (handle, addresses) = echo_sockets(300);
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(GUARD)).unwrap();
    let mut buffer = [0; 2000];
    for few in addresses.chunks(50) {
        for address in few {
            client.send_to(address.to_string().as_bytes(), address).unwrap();
        }
        let mut missing: HashSet<_> = few.iter().copied().collect();
        while !missing.is_empty() {
            let (len, from) = client.recv_from(&mut buffer).unwrap();
            assert_eq!(&buffer[..len], from.to_string().as_bytes());
            assert!(missing.remove(&from));
        }
    }
    handle.stop();
    let report = handle.join().unwrap();
    assert!(report.counters.contains(&("udp_received", 300)), "{report}");
    assert!(report.stats.turns().count > 0);
}

#[test]
fn many_datagrams_at_once_come_back_once_each() {
    let (handle, addresses) = echo_sockets(1);
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(GUARD)).unwrap();
    let mut buffer = [0; 2000];
    for round in 0..20_u32 {
        for i in 0..100_u32 {
            client.send_to(&(round * 100 + i).to_be_bytes(), addresses[0]).unwrap();
        }
        for i in 0..100_u32 {
            let (len, _) = client.recv_from(&mut buffer).unwrap();
            assert_eq!(buffer[..len], (round * 100 + i).to_be_bytes());
        }
    }
    handle.stop();
    handle.join().unwrap();
}

#[test]
fn a_socket_that_cannot_be_opened_says_why_and_a_closed_one_frees_its_port() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let handle = start(Config::default(), move |out| {
        out.act(Action::OpenUdp { socket: InterfaceId(1), options: address.into() });
        out.act(Action::OpenUdp { socket: InterfaceId(2), options: own_address().into() });
        let mut reopening = None;
        move |out: &mut Out, _, input: Input<'_>| match input {
            Input::UdpReady { socket: InterfaceId(1), result } => {
                let error = result.unwrap_err();
                assert!(error.starts_with(&address.to_string()), "{error}");
            }
            Input::UdpReady { socket, result } => {
                let address = result.unwrap();
                match reopening.replace(address) {
                    None => {
                        // What is to be sent by a socket that closes still leaves.
                        out.send(socket.0, address, b"last");
                        out.act(Action::CloseUdp { socket });
                        out.timeout = Some(Time::ZERO);
                    }
                    Some(before) => {
                        assert_eq!(address, before);
                        out.finished();
                    }
                }
            }
            Input::Timeout => {
                out.timeout = None;
                let options = reopening.unwrap().into();
                out.act(Action::OpenUdp { socket: InterfaceId(3), options });
            }
            _ => {}
        }
    });
    let report = handle.join().unwrap();
    assert!(report.counters.contains(&("udp_sends", 1)), "{report}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_service_hears_that_nobody_is_there() {
    let nobody = own_address();
    let (seen, has_seen) = channel();
    let handle = start(Config::default(), move |out| {
        out.open_udp(7);
        move |out: &mut Out, _, input: Input<'_>| match input {
            Input::UdpReady { .. } => out.send(7, nobody, b"anybody?"),
            Input::PathError { socket, to, error } => {
                seen.send((socket, to, error)).unwrap();
                out.finished();
            }
            _ => {}
        }
    });
    let (socket, to, error) = has_seen.recv_timeout(GUARD).unwrap();
    assert_eq!((socket, to), (InterfaceId(7), nobody));
    assert!(error.contains("refused"), "{error}");
    handle.join().unwrap();
}

#[test]
fn time_outs_come_in_time_and_not_before() {
    let handle = start(Config::default(), |out| {
        let mut left = 20;
        out.timeout = Some(Time::ZERO);
        move |out: &mut Out, now, input: Input<'_>| {
            if let Input::Timeout = input {
                assert!(now >= out.timeout.unwrap(), "{now} is before {:?}", out.timeout);
                left -= 1;
                if left == 0 {
                    out.timeout = None;
                    out.finished();
                } else {
                    out.timeout = Some(now + std::time::Duration::from_micros(700));
                }
            }
        }
    });
    let report = handle.join().unwrap();
    // One turn for each, and none that looks whether it is time yet.
    assert!(report.stats.turns().count <= 25, "{report}");
}
