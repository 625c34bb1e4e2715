//! The impairment proxy between real sockets.

mod common;

use std::collections::HashSet;
use std::io::{ErrorKind, IoSliceMut, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::process::Command;
use std::thread;

use common::server::{Acks, Server};
use common::{Process, Relay, SOON, wait_until};
use nix::sys::signal::Signal;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, sendmsg, setsockopt, sockopt,
};
use rtmfp_service::tools::{Frames, compare};

/// A running proxy with one route.
struct Impair {
    process: Process,
    entrance: SocketAddr,
}

impl Impair {
    fn start(transport: &str, target: SocketAddr, options: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rtmfp"));
        command.args(["impair", &format!("--{transport}"), &format!("0={target}"), "--json", "-v"]);
        command.args(options).env_remove("RUST_LOG");
        let process = Process::start(command);
        let line = process.wait_line("listening on ");
        let (_, rest) = line.split_once(&format!("{transport} ")).expect("the transport");
        let entrance = rest.split(' ').next().expect("an address").parse().expect("an address");
        Self { process, entrance }
    }

    /// Ends it, and gives a counter of its figures.
    fn end(mut self) -> impl Fn(&str, &str) -> u64 {
        self.process.signal(Signal::SIGTERM);
        self.process.succeed(SOON);
        let line = self.process.wait_line("\"last\":true");
        move |direction, name| {
            let (_, rest) = line.split_once(&format!("\"{direction}\":{{")).expect("the direction");
            let (_, rest) = rest.split_once(&format!("\"{name}\":")).expect("the counter");
            rest.split([',', '}']).next().expect("a value").parse().expect("a number")
        }
    }
}

fn udp() -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    setsockopt(&socket, sockopt::IpRecvTos, &true).unwrap();
    setsockopt(&socket, sockopt::RcvBuf, &(4 << 20)).unwrap();
    socket
}

fn send_marked(socket: &UdpSocket, to: SocketAddr, mark: u8, bytes: &[u8]) {
    let SocketAddr::V4(to) = to else { panic!("{to}") };
    let control = [ControlMessage::Ipv4Tos(&mark)];
    let to = SockaddrIn::from(to);
    let slice = [std::io::IoSlice::new(bytes)];
    sendmsg(socket.as_raw_fd(), &slice, &control, MsgFlags::empty(), Some(&to)).unwrap();
}

/// A datagram, its sender and its mark.
fn receive_marked(socket: &UdpSocket) -> (Vec<u8>, SocketAddr, u8) {
    let mut buffer = [0; 2048];
    let mut control = nix::cmsg_space!(u8, i32);
    let mut slices = [IoSliceMut::new(&mut buffer)];
    let flags = MsgFlags::empty();
    let message = recvmsg::<SockaddrIn>(socket.as_raw_fd(), &mut slices, Some(&mut control), flags).unwrap();
    let mark = message.cmsgs().unwrap().find_map(|message| match message {
        ControlMessageOwned::Ipv4Tos(tos) => Some(tos & 3),
        _ => None,
    });
    let (len, from) = (message.bytes, message.address.expect("a sender"));
    (buffer[..len].to_vec(), SocketAddr::V4(from.into()), mark.unwrap_or(0))
}

#[test]
fn marks_are_kept_both_ways_and_congestion_is_marked_where_asked_for() {
    for (options, marks) in
        [(&[][..], [0, 1, 2, 3]), (&["--ce", "0"], [0, 3, 3, 3]), (&["--bleach"], [0, 0, 0, 0])]
    {
        let (client, target) = (udp(), udp());
        let impair = Impair::start("udp", target.local_addr().unwrap(), options);
        for (mark, expected) in (0..4).zip(marks) {
            send_marked(&client, impair.entrance, mark, b"up");
            let (bytes, from, got) = receive_marked(&target);
            assert_eq!((&bytes[..], got), (&b"up"[..], expected), "{options:?}");
            send_marked(&target, from, mark, b"down");
            let (bytes, from, got) = receive_marked(&client);
            assert_eq!((&bytes[..], from, got), (&b"down"[..], impair.entrance, expected), "{options:?}");
        }
        let counter = impair.end();
        assert_eq!((counter("up", "passed"), counter("down", "passed")), (4, 4));
    }
}

/// Sends datagrams in steps, each answered by the last of its step, and gives the numbers of those that came.
fn numbers(client: &UdpSocket, target: &UdpSocket, impair: &Impair) -> HashSet<u32> {
    let mut arrived = HashSet::new();
    target.set_nonblocking(true).unwrap();
    for number in 0..2000u32 {
        client.send_to(&number.to_be_bytes(), impair.entrance).unwrap();
        if number % 100 == 99 {
            let before = arrived.len();
            wait_until("most of them arrive", SOON, || {
                let mut buffer = [0; 64];
                while let Ok((len, _)) = target.recv_from(&mut buffer) {
                    arrived.insert(u32::from_be_bytes(buffer[..len].try_into().unwrap()));
                }
                (arrived.len() >= before + 50).then_some(())
            });
        }
    }
    arrived
}

#[test]
fn the_same_seed_loses_the_same_datagrams_and_counts_them() {
    let run = |seed: &str| {
        let (client, target) = (udp(), udp());
        let impair =
            Impair::start("udp", target.local_addr().unwrap(), &["--up", "loss 20%", "--seed", seed]);
        let mut arrived = numbers(&client, &target, &impair);
        // One that is not lost shows that all before it have passed.
        let mut end = 5000u32;
        wait_until("the last ones arrive", SOON, || {
            end += 1;
            client.send_to(&end.to_be_bytes(), impair.entrance).unwrap();
            let mut buffer = [0; 64];
            while let Ok((len, _)) = target.recv_from(&mut buffer) {
                arrived.insert(u32::from_be_bytes(buffer[..len].try_into().unwrap()));
            }
            arrived.iter().any(|number| *number > 5000).then_some(())
        });
        arrived.retain(|number| *number < 2000);
        let counter = impair.end();
        let lost = 2000 - arrived.len() as u64;
        assert!((300..500).contains(&lost), "{lost}");
        let counted = counter("up", "lost");
        assert!((lost..lost + u64::from(end - 5000)).contains(&counted), "{counted} of {lost}");
        assert_eq!(counter("up", "sent"), counted + counter("up", "passed"));
        arrived
    };
    let first = run("7");
    assert!(first == run("7"));
    assert!(first != run("8"));
}

#[test]
fn a_rate_lets_its_share_pass_and_the_queue_drops_the_rest() {
    let (client, target) = (udp(), udp());
    let words = "rate 8kbit queue 10000b";
    let impair = Impair::start("udp", target.local_addr().unwrap(), &["--up", words]);
    // Sent in no time. One leaves each second, and a tenth of them fit into the queue.
    for _ in 0..100 {
        client.send_to(&[0; 1000], impair.entrance).unwrap();
    }
    let first = receive_marked(&target);
    assert_eq!(first.0.len(), 1000);
    for _ in 0..2 {
        receive_marked(&target);
    }
    let counter = impair.end();
    assert_eq!(counter("up", "sent"), 100);
    let (passed, dropped) = (counter("up", "passed"), counter("up", "queue_drops"));
    assert_eq!(passed + dropped, 100);
    // Ten fit; on a machine that is busy a few may have left meanwhile.
    assert!((10..60).contains(&passed), "{passed}");
}

#[test]
fn each_rebinding_gives_a_client_another_port() {
    let (client, target) = (udp(), udp());
    let options = ["--at", "50ms", "rebind", "--at", "100ms", "repeat"];
    let impair = Impair::start("udp", target.local_addr().unwrap(), &options);
    target.set_nonblocking(true).unwrap();
    let mut ports = HashSet::new();
    wait_until("the client has had three ports", SOON, || {
        client.send_to(b"who am I?", impair.entrance).unwrap();
        while let Ok((_, from)) = target.recv_from(&mut [0; 64]) {
            ports.insert(from.port());
        }
        (ports.len() >= 3).then_some(())
    });
    let counter = impair.end();
    assert_eq!(counter("up", "lost"), 0);
}

#[test]
fn relays_on_a_bad_network_deliver_the_whole_stream() {
    let server = Server::start(Acks::Right, Vec::new());
    let far = Relay::start("rtmfp", &server.url(), &[]);
    let target = far.url.strip_prefix("rtmfp://").unwrap().parse().unwrap();
    let options =
        ["--loss", "5%", "--delay", "10ms 3ms", "--reorder", "1%", "--duplicate", "1%", "--seed", "1"];
    let impair = Impair::start("udp", target, &options);
    let near = Relay::start("rtmp", &format!("rtmfp://{}", impair.entrance), &[]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_rtmfp"));
    command.args(["publish", &format!("{}/live/x", near.url), "--duration", "3", "--bitrate", "1000"]);
    Process::start(command).succeed(SOON);
    let sent: Vec<_> = Frames::new(3000, 1000).collect();
    wait_until("the server has it all", SOON, || {
        compare(&sent, &server.published()).is_equal().then_some(())
    });
    let counter = impair.end();
    assert!(counter("up", "lost") > 0 && counter("up", "duplicated") > 0, "nothing was impaired");
    assert!(counter("down", "passed") > 0 && counter("down", "delayed") > 0, "nothing came back");
}

#[test]
fn tcp_comes_whole_with_its_half_closed_ends_and_a_reset_as_such() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let impair =
        Impair::start("tcp", listener.local_addr().unwrap(), &["--delay", "5ms", "--rate", "100mbit"]);
    let bytes: Vec<u8> = (0..3_000_000u32).map(|n| (n * 7 % 251) as u8).collect();
    let mut client = TcpStream::connect(impair.entrance).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    for stream in [&client, &server] {
        stream.set_read_timeout(Some(SOON)).unwrap();
    }
    let mut writer = client.try_clone().unwrap();
    let question = bytes.clone();
    let writing = thread::spawn(move || {
        writer.write_all(&question).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut got = Vec::new();
    server.read_to_end(&mut got).unwrap();
    assert!(got == bytes);
    writing.join().unwrap();
    server.write_all(b"I have it all").unwrap();
    drop(server);
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "I have it all");

    let client = TcpStream::connect(impair.entrance).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    server.set_read_timeout(Some(SOON)).unwrap();
    server.write_all(b"never read").unwrap();
    // Whoever closes with something unread resets.
    client.peek(&mut [0]).unwrap();
    drop(client);
    let error = server.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    let counter = impair.end();
    assert_eq!(counter("up", "stream_passed_bytes"), 3_000_000);
}

#[test]
fn figures_are_for_people_unless_json_is_asked_for_and_the_seed_is_told() {
    let target = udp();
    let mut command = Command::new(env!("CARGO_BIN_EXE_rtmfp"));
    let route = format!("0={}", target.local_addr().unwrap());
    command.args(["impair", "--udp", &route, "--tcp", &route, "--stats", "20ms"]).env_remove("RUST_LOG");
    let mut process = Process::start(command);
    process.wait_line("seed ");
    process.wait_line("tcp 127.0.0.1:");
    process.wait_line("    down  nothing");
    process.signal(Signal::SIGINT);
    process.succeed(SOON);
    process.wait_line(", the end:");
}
