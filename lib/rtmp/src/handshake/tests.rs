use core::time::Duration;

use rtmfp_base::Time;

use crate::testing::{fill, receive};
use crate::{Config, Connection, Error, Event, Foreign, Role};

fn new(role: Role) -> Connection {
    Connection::new(role, Config::default(), Time::from_secs(1), 7)
}

#[test]
fn both_ends_open_when_bytes_come_one_by_one() {
    let (mut client, mut server) = (new(Role::Client), new(Role::Server));
    let mut events = (Vec::new(), Vec::new());
    for _ in 0..2 * 3073 {
        let now = Time::from_secs(1);
        events.1.extend(receive(&mut server, &fill(&mut client, now, 1)).expect("client speaks RTMP"));
        if client.is_open() {
            break;
        }
        events.0.extend(receive(&mut client, &fill(&mut server, now, 1)).expect("server speaks RTMP"));
    }
    // The client's last bytes: its echo, then chunks.
    events.1.extend(receive(&mut server, &fill(&mut client, Time::from_secs(1), 4000)).expect("still RTMP"));
    assert_eq!(events, (vec![Event::Open], vec![Event::Open]));
}

#[test]
fn packets_have_version_3_a_zero_field_and_an_echo() {
    let mut server = new(Role::Server);
    let now = Time::from_millis(5000);
    assert_eq!(fill(&mut server, now, 9999), []);

    let mut hello = vec![31];
    hello.extend((0..1536).map(|index| index as u8));
    server.receive(now, &hello[..1]).expect("version 31 is accepted");
    let first = fill(&mut server, now, 9999);
    assert_eq!(first.len(), 1537, "S0 and S1 need C0 only");
    assert_eq!(first[..9], [3, 0, 0, 0x13, 0x88, 0, 0, 0, 0]);

    server.receive(now, &hello[1..]).expect("any C1 is accepted");
    let second = fill(&mut server, now, 9999);
    assert_eq!(second.len(), 1536, "S2 needs no C2, and no chunks come before that");
    assert_eq!(second[..4], hello[1..5]);
    assert_eq!(second[4..8], [0, 0, 0x13, 0x88]);
    assert_eq!(second[8..], hello[9..]);

    assert!(!server.is_open());
    assert_eq!(receive(&mut server, &[0xee; 1536]), Ok(vec![Event::Open]), "the echo is not looked at");
    assert!(server.is_open());
}

#[test]
fn the_filler_depends_on_the_seed() {
    let first = |seed| {
        let mut client = Connection::new(Role::Client, Config::default(), Time::ZERO, seed);
        fill(&mut client, Time::ZERO, 9999)
    };
    assert_eq!(first(1), first(1));
    assert_ne!(first(1), first(2));
}

#[test]
fn other_protocols_are_named() {
    let cases: [(&[u8], Error); 8] = [
        (b"GET /index.html HTTP/1.1\r\n", Error::NotRtmp(Foreign::Http)),
        (b"HTTP/1.1 400 Bad Request\r\n", Error::NotRtmp(Foreign::Http)),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Error::NotRtmp(Foreign::Text)),
        (b"\x16\x03\x01\x02\x00\x01\x00", Error::NotRtmp(Foreign::Tls)),
        (&[32], Error::NotRtmp(Foreign::Text)),
        (&[0xff], Error::NotRtmp(Foreign::Unknown)),
        (&[2], Error::Version { version: 2 }),
        (&[0], Error::Version { version: 0 }),
    ];
    for role in [Role::Client, Role::Server] {
        for (bytes, error) in cases {
            let mut connection = new(role);
            assert_eq!(connection.receive(Time::ZERO, bytes), Err(error), "{bytes:?}");
            assert_eq!(connection.receive(Time::ZERO, &[3]), Err(error), "an error is final");
        }
    }
    let text = Error::NotRtmp(Foreign::Http).to_string();
    assert_eq!(text, "the peer does not speak RTMP: HTTP came, which needs another port");
}

#[test]
fn a_slow_handshake_ends_at_its_deadline() {
    let mut server = new(Role::Server);
    let deadline = Time::from_secs(11);
    assert_eq!(server.poll_timeout(), Some(deadline));
    server.receive(Time::from_secs(10), &[3; 100]).expect("so far it is a handshake");
    assert_eq!(server.handle_timeout(deadline - Duration::from_micros(1)), Ok(()));
    let error = Error::HandshakeTimeout { after: Duration::from_secs(10), received: 100 };
    assert_eq!(server.handle_timeout(deadline), Err(error));
    assert_eq!(server.receive(deadline, &[3]), Err(error));
}

#[test]
fn an_open_connection_has_no_handshake_deadline() {
    let mut server = new(Role::Server);
    let mut hello = vec![3; 3073];
    hello[0] = 3;
    receive(&mut server, &hello).expect("a complete handshake");
    assert_eq!(server.poll_timeout(), None);
    assert_eq!(server.handle_timeout(Time::from_secs(100)), Ok(()));
}
