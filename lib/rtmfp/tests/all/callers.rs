//! Sessions that others open, and how many of them there may be.

use std::net::SocketAddr;
use std::time::Duration;

use crate::common::endpoint;
use crate::hand::{Forger, deliver, parse, run_jobs, transmits};
use rtmfp::crypto::{DEFAULT_KEY, Profile};
use rtmfp::wire::Chunk;
use rtmfp::{Config, Endpoint};
use rtmfp_base::Time;

const SECOND: Duration = Duration::from_secs(1);

/// Has a host agree on keys. Answers who it was, and the answer; nothing when it gets no session.
fn connect(b: &mut Endpoint, now: Time, host: [u8; 4]) -> Option<(Forger, Vec<u8>)> {
    let mut forger = Forger::new("a", SocketAddr::from((host, 1935)));
    forger.near_id = u32::from_be_bytes(host);
    let cookie = forger.cookie(now, b, b"b");
    let before = b.session_count();
    let keying = forger.keying(&cookie, *b"salt");
    deliver(b, now, forger.address, &keying);
    run_jobs(b, now);
    let answer = transmits(b, now).pop();
    (b.session_count() > before).then(|| (forger, answer.expect("an answer").2))
}

#[test]
fn a_network_gets_no_more_than_its_share_of_sessions_used_or_not() {
    let now = Time::from_secs(1);
    let mut config = Config::default();
    config.limits.prefix_sessions = 3;
    let mut b = endpoint("b", 1, config);
    // One is used, the others not.
    let mut used = Forger::new("a", SocketAddr::from(([10, 0, 0, 1], 1935)));
    used.connect(now, &mut b, b"b");
    let ping = used.packet(&[Chunk::Ping(b"")]);
    deliver(&mut b, now, used.address, &ping);
    assert_eq!((b.session_count(), b.holdings().held_unproven), (1, 0));
    let begun = [2, 3, 4, 5].map(|host| connect(&mut b, now, [10, 0, 0, host]).is_some());
    assert_eq!(begun, [true, true, false, false]);
    assert_eq!(b.stats().limited_sessions, 2);
    assert!(connect(&mut b, now, [10, 0, 1, 1]).is_some(), "another network has its own share");
    // One ends: there is room again.
    let close = used.packet(&[Chunk::CloseAck]);
    deliver(&mut b, now, used.address, &close);
    assert!(connect(&mut b, now, [10, 0, 0, 6]).is_some());
    assert!(connect(&mut b, now, [10, 0, 0, 7]).is_none());
}

#[test]
fn sessions_that_nobody_uses_have_a_share_for_each_prefix_and_in_all() {
    let now = Time::from_secs(1);
    let mut config = Config::default();
    config.limits.unproven_prefix = 3;
    config.limits.unproven_sessions = 5;
    let mut b = endpoint("b", 1, config);
    let mut used = None;
    let mut begun = Vec::new();
    for host in 0..12u8 {
        let session = connect(&mut b, now, [10, 0, host / 4, host]);
        begun.push(session.is_some());
        used = used.or(session);
    }
    let expected = [true, true, true, false, true, true, false, false, false, false, false, false];
    assert_eq!(begun, expected);
    assert_eq!((b.stats().limited_unproven, b.holdings().held_unproven), (7, 5));
    // One of them is used: there is room again.
    let (mut forger, answer) = used.expect("a session");
    let (_, chunks) = forger.open(DEFAULT_KEY, &answer);
    let Chunk::RIKeying(keying) = parse(&chunks)[0] else { panic!("no keying") };
    let secret: rtmfp::crypto::InitiatorSecret = std::sync::Arc::new(*b"salt");
    let keys = forger.profile.conclude(&secret, keying.component)().expect("keys");
    (forger.far_id, forger.key) = (keying.session_id, forger.profile.install(keys));
    let ping = forger.packet(&[Chunk::Ping(b"")]);
    deliver(&mut b, now, forger.address, &ping);
    assert_eq!(b.holdings().held_unproven, 4);
    assert!(connect(&mut b, now, [10, 0, 0, 100]).is_some());
    assert!(connect(&mut b, now, [10, 0, 7, 100]).is_none());
    // The others are forgotten after their time.
    for second in 90..100 {
        b.handle_timeout(now + SECOND * second);
        transmits(&mut b, now + SECOND * second);
    }
    assert_eq!((b.session_count(), b.holdings().held_unproven), (1, 0));
}
