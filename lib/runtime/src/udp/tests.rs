use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use mio::{Events, Poll};
use rtmfp_base::InterfaceId;

use super::*;

const GUARD: Duration = Duration::from_secs(20);

fn bind(ip: impl Into<IpAddr>) -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind(&(ip.into(), 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

fn transmit(to: SocketAddr) -> Transmit {
    Transmit {
        interface: InterfaceId(0),
        to,
        src_ip: None,
        ecn: Ecn::NotEct,
        dscp: 0,
        dont_fragment: false,
        bytes: 0..0,
        segment_size: None,
    }
}

fn send_all(socket: &mut UdpSocket, transmit: &Transmit, bytes: &[u8]) -> io::Result<usize> {
    let (mut sent, mut calls) = (0, 0);
    while sent < bytes.len() {
        sent += socket.send(transmit, &bytes[sent..])?;
        calls += 1;
    }
    Ok(calls)
}

#[derive(Debug, PartialEq)]
struct Got {
    from: SocketAddr,
    dst_ip: Option<IpAddr>,
    ecn: Ecn,
    bytes: Vec<u8>,
}

/// Receives until there are `count` datagrams, not counting on any number of them coming together.
fn receive(socket: &mut UdpSocket, count: usize) -> Vec<Got> {
    let mut poll = Poll::new().unwrap();
    poll.registry().register(socket, Token(0), Interest::READABLE).unwrap();
    let mut buffers = RecvBuffers::new();
    let mut got = Vec::new();
    while got.len() < count {
        let result = socket.recv(&mut buffers, &mut |received| {
            let Received { from, dst_ip, ecn, bytes } = received;
            got.push(Got { from, dst_ip, ecn, bytes: bytes.to_vec() });
        });
        match result {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let mut events = Events::with_capacity(1);
                poll.poll(&mut events, Some(GUARD)).unwrap();
                assert!(!events.is_empty(), "only {} of {count} datagrams came", got.len());
            }
            Err(error) => panic!("{error}"),
        }
    }
    poll.registry().deregister(socket).unwrap();
    got
}

fn a_run_keeps_its_mark(ip: IpAddr) {
    let (mut sender, from) = bind(ip);
    let (mut receiver, to) = bind(ip);
    for ecn in [Ecn::Ce, Ecn::Ect0, Ecn::Ect1, Ecn::NotEct] {
        let run = Transmit { ecn, segment_size: Some(1200), ..transmit(to) };
        let bytes: Vec<u8> = (0..10 * 1200 + 77).map(|i| (i / 1200) as u8).collect();
        send_all(&mut sender, &run, &bytes).unwrap();
        for (i, got) in receive(&mut receiver, 11).into_iter().enumerate() {
            let len = if i == 10 { 77 } else { 1200 };
            assert_eq!(got, Got { from, dst_ip: Some(ip), ecn, bytes: vec![i as u8; len] });
        }
    }
}

#[test]
fn a_run_over_ipv4_arrives_split_and_keeps_its_ecn_mark() {
    a_run_keeps_its_mark(Ipv4Addr::LOCALHOST.into());
}

#[test]
fn a_run_over_ipv6_arrives_split_and_keeps_its_ecn_mark() {
    a_run_keeps_its_mark(Ipv6Addr::LOCALHOST.into());
}

#[test]
fn a_run_arrives_without_segmentation_offload_too() {
    let (mut sender, from) = bind(Ipv4Addr::LOCALHOST);
    let (mut receiver, to) = bind(Ipv4Addr::LOCALHOST);
    sender.max_segments = 1;
    let run = Transmit { ecn: Ecn::Ect0, segment_size: Some(500), ..transmit(to) };
    assert_eq!(send_all(&mut sender, &run, &[5; 1300]).unwrap(), 3);
    let dst_ip = Some(Ipv4Addr::LOCALHOST.into());
    for (got, len) in receive(&mut receiver, 3).into_iter().zip([500, 500, 300]) {
        assert_eq!(got, Got { from, dst_ip, ecn: Ecn::Ect0, bytes: vec![5; len] });
    }
}

#[test]
fn a_run_longer_than_one_call_takes_goes_in_several() {
    let (mut sender, _) = bind(Ipv4Addr::LOCALHOST);
    let (mut receiver, to) = bind(Ipv4Addr::LOCALHOST);
    let run = Transmit { segment_size: Some(100), ..transmit(to) };
    let calls = send_all(&mut sender, &run, &[1; 100 * 150]).unwrap();
    assert!(calls >= 3, "{calls}");
    assert_eq!(receive(&mut receiver, 150).len(), 150);
}

#[test]
fn a_wildcard_socket_sends_from_the_address_it_is_told_and_says_where_it_was_reached() {
    let (mut sender, address) = bind(Ipv4Addr::UNSPECIFIED);
    let (mut receiver, to) = bind(Ipv4Addr::LOCALHOST);
    let pinned = IpAddr::from([127, 0, 0, 9]);
    for segment_size in [None, Some(10)] {
        let pin = Transmit { src_ip: Some(pinned), ecn: Ecn::Ect0, segment_size, ..transmit(to) };
        send_all(&mut sender, &pin, &[1; 20]).unwrap();
        let from = SocketAddr::new(pinned, address.port());
        assert!(
            receive(&mut receiver, if segment_size.is_some() { 2 } else { 1 })
                .iter()
                .all(|got| got.from == from)
        );
    }
    let back = SocketAddr::from(([127, 0, 0, 7], address.port()));
    receiver.send(&transmit(back), b"back").unwrap();
    assert_eq!(receive(&mut sender, 1)[0].dst_ip, Some(back.ip()));
}

#[test]
fn a_datagram_that_is_too_long_fails_and_the_next_one_passes() {
    for ip in [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)] {
        let (mut sender, _) = bind(ip);
        let (mut receiver, to) = bind(ip);
        let error = sender.send(&transmit(to), &vec![0; 70_000]).unwrap_err();
        assert!(quinn_udp::is_msg_size_err(&error), "{error:?}");
        sender.send(&transmit(to), b"next").unwrap();
        assert_eq!(receive(&mut receiver, 1)[0].bytes, b"next");
    }
}

#[test]
fn addresses_that_cannot_be_sent_to_cost_the_socket_neither_marks_nor_offload() {
    let (mut sender, _) = bind(Ipv4Addr::LOCALHOST);
    let (mut receiver, to) = bind(Ipv4Addr::LOCALHOST);
    let offload = sender.max_segments;
    let bad = ["127.0.0.1:0", "0.0.0.0:1935", "0.1.2.3:1935", "255.255.255.255:1935", "[::1]:1935"];
    for bad in bad {
        for segment_size in [None, Some(2)] {
            let run = Transmit { segment_size, ecn: Ecn::Ect0, ..transmit(bad.parse().unwrap()) };
            assert!(sender.send(&run, b"lost").is_err(), "{bad}");
        }
    }
    let not_ours = Transmit { src_ip: Some([192, 0, 2, 1].into()), segment_size: Some(2), ..transmit(to) };
    assert!(sender.send(&not_ours, b"lost").is_err());
    let run = Transmit { ecn: Ecn::Ce, segment_size: Some(2), ..transmit(to) };
    let calls = send_all(&mut sender, &run, b"kept").unwrap();
    assert!(calls == 1 || offload == 1);
    assert!(receive(&mut receiver, 2).iter().all(|got| got.ecn == Ecn::Ce));
    assert_eq!(sender.max_segments, offload);
}

#[test]
fn empty_datagrams_are_left_out() {
    let (mut sender, _) = bind(Ipv4Addr::LOCALHOST);
    let (mut receiver, to) = bind(Ipv4Addr::LOCALHOST);
    sender.send(&transmit(to), b"").unwrap();
    sender.send(&transmit(to), b"full").unwrap();
    assert_eq!(receive(&mut receiver, 1)[0].bytes, b"full");
}

#[test]
fn an_ipv6_socket_leaves_the_port_of_ipv4_free() {
    let (_v6, address) = bind(Ipv6Addr::UNSPECIFIED);
    UdpSocket::bind(&(IpAddr::from(Ipv4Addr::UNSPECIFIED), address.port()).into()).unwrap();
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io::IoSliceMut;
    use std::os::fd::AsRawFd;

    use nix::sys::socket::{self as sys, ControlMessageOwned, MsgFlags, SockaddrStorage};
    use rustix::net::sockopt::{Ipv4PathMtuDiscovery, ip_mtu_discover};

    use super::*;

    /// The whole byte of traffic class that arrives, as a plain receiver sees it.
    fn traffic_class(receiver: &std::net::UdpSocket) -> u8 {
        receiver.set_read_timeout(Some(GUARD)).unwrap();
        let mut control = nix::cmsg_space!(i32);
        let mut bytes = [0; 100];
        let mut buffers = [IoSliceMut::new(&mut bytes)];
        let message = sys::recvmsg::<SockaddrStorage>(
            receiver.as_raw_fd(),
            &mut buffers,
            Some(&mut control),
            MsgFlags::empty(),
        )
        .unwrap();
        let class = message.cmsgs().unwrap().find_map(|message| match message {
            ControlMessageOwned::Ipv4Tos(tos) => Some(tos),
            ControlMessageOwned::Ipv6TClass(class) => u8::try_from(class).ok(),
            _ => None,
        });
        class.expect("a traffic class")
    }

    #[test]
    fn code_point_and_ecn_mark_share_the_traffic_class() {
        for ip in [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)] {
            let receiver = std::net::UdpSocket::bind((ip, 0)).unwrap();
            if ip.is_ipv4() {
                SockRef::from(&receiver).set_recv_tos_v4(true).unwrap();
            } else {
                SockRef::from(&receiver).set_recv_tclass_v6(true).unwrap();
            }
            let (mut sender, _) = bind(ip);
            let to = receiver.local_addr().unwrap();
            for (dscp, ecn, segment_size, class) in [
                (46, Ecn::Ect0, None, 0xba),
                (46, Ecn::NotEct, Some(3), 0xb8),
                (0, Ecn::Ce, None, 0x03),
                (0, Ecn::NotEct, None, 0),
            ] {
                let run = Transmit { dscp, ecn, segment_size, ..transmit(to) };
                send_all(&mut sender, &run, b"segment").unwrap();
                for _ in 0..if segment_size.is_some() { 3 } else { 1 } {
                    assert_eq!(traffic_class(&receiver), class, "{run:?}");
                }
            }
        }
    }

    #[test]
    fn the_network_says_which_address_is_not_reached() {
        for ip in [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)] {
            let (mut sender, from) = bind(ip);
            let (closed, to) = bind(ip);
            drop(closed);
            let (mut receiver, open) = bind(ip);
            sender.send(&transmit(to), b"nobody").unwrap();
            // The refusal is told in place of the next send, which must pass all the same.
            sender.send(&transmit(open), b"somebody").unwrap();
            assert_eq!(receive(&mut receiver, 1)[0].from, from);
            let error = sender.path_error().unwrap();
            assert_eq!(error, PathError { to, error: "Connection refused".to_owned() });
            assert_eq!(sender.path_error(), None);
        }
    }

    #[test]
    fn long_datagrams_may_be_fragmented() {
        for ip in [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)] {
            let (socket, _) = bind(ip);
            assert_eq!(ip_mtu_discover(&socket.socket).unwrap(), Ipv4PathMtuDiscovery::WANT);
            if ip.is_ipv6() {
                assert!(!sys::getsockopt(&socket.socket, sys::sockopt::Ipv6DontFrag).unwrap());
            }
        }
    }

    #[test]
    fn buffers_grow_as_asked() {
        let mut options = UdpOptions::from((IpAddr::from(Ipv4Addr::LOCALHOST), 0));
        options.buffer = Some(100_000);
        let socket = UdpSocket::bind(&options).unwrap();
        assert!(SockRef::from(&socket.socket).send_buffer_size().unwrap() >= 100_000);
        assert!(SockRef::from(&socket.socket).recv_buffer_size().unwrap() >= 100_000);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_probe_that_is_too_long_for_the_path_is_not_sent_in_parts() {
    let (mut sender, _) = bind(Ipv6Addr::LOCALHOST);
    let (mut receiver, to) = bind(Ipv6Addr::LOCALHOST);
    // With its headers, the longest datagram of IPv6 is longer than the 65,536 bytes that the loopback device takes.
    let (fits, long) = (vec![1; 65_000], vec![2; 65_500]);
    let probe = Transmit { dont_fragment: true, ..transmit(to) };
    for _ in 0..2 {
        assert_eq!(sender.send(&probe, &fits).unwrap(), fits.len());
        assert_eq!(receive(&mut receiver, 1)[0].bytes, fits);
        let error = sender.send(&probe, &long).unwrap_err();
        assert!(quinn_udp::is_msg_size_err(&error), "{error}");
        // Others go out as before.
        assert_eq!(sender.send(&transmit(to), &long).unwrap(), long.len());
        assert_eq!(receive(&mut receiver, 1)[0].bytes, long);
    }
}
