//! Strangers and peers that mean harm: floods, forged and repeated packets, endless demands.

use std::net::SocketAddr;
use std::time::Duration;

use crate::common::endpoint;
use crate::hand::{A, Forger, deliver, events, events_accepting, kinds, run_jobs, transmits, v4};
use bytes::Bytes;
use rtmfp::wire::{
    Chunk, DataFlags, Fragment, IHello, Mode, kind, write_ack_ranges, write_startup_options,
    write_user_data_header,
};
use rtmfp::{Config, Disposition, DropReason, Endpoint, Event, FlowSpec, Holdings, Priority};
use rtmfp_base::{Message, Tag, Time, WriteOptions};
use rtmfp_netsim::{Dice, for_each_seed};

const START: Time = Time::from_secs(1);

/// An endpoint called `b` and a peer with a session in it.
fn connected(config: Config) -> (Endpoint, Forger) {
    let mut b = endpoint("b", 1, config);
    let mut peer = Forger::new("a", A);
    peer.connect(START, &mut b, b"b");
    events(&mut b, START);
    (b, peer)
}

/// Bytes of what an endpoint sends.
fn sent_bytes(endpoint: &mut Endpoint, now: Time) -> usize {
    transmits(endpoint, now).iter().map(|(_, _, bytes)| bytes.len()).sum()
}

/// A packet with one chunk of user data, the flow's options included.
fn data(peer: &mut Forger, flow_id: u64, sequence: u64, flags: DataFlags, data: &[u8]) -> Vec<u8> {
    let mut clear = vec![Mode::Initiator as u8];
    write_data(flow_id, sequence, flags, data, &mut clear);
    let (key, far_id) = (peer.key, peer.far_id);
    peer.seal_clear(key, far_id, &clear)
}

fn write_data(flow_id: u64, sequence: u64, flags: DataFlags, data: &[u8], clear: &mut Vec<u8>) {
    let mut options = Vec::new();
    write_startup_options(b"metadata", None, &mut options);
    let chunk = write_user_data_header(flags, flow_id, sequence, sequence, &options, clear);
    clear.extend_from_slice(data);
    chunk.finish(clear);
}

const WHOLE: DataFlags = DataFlags { fragment: Fragment::Whole, abandoned: false, last: false };

#[test]
fn random_datagrams_leave_no_trace() {
    let (mut b, mut peer) = connected(Config::default());
    let before = b.holdings();
    let mut dice = Dice::new(1, 1);
    for _ in 0..20_000 {
        let len = dice.below(100) as usize * if dice.chance(0.01) { 600 } else { 1 };
        let mut bytes: Vec<u8> = (0..len).map(|_| dice.below(256) as u8).collect();
        if dice.chance(0.5) && len > 12 {
            // For the startup session, or for the peer's.
            let id = if dice.chance(0.5) { 0 } else { peer.far_id };
            bytes[4..8].copy_from_slice(b"open");
            rtmfp::wire::scramble(id, &mut bytes);
        }
        deliver(&mut b, START, v4(dice.below(250) as u8), &bytes);
    }
    assert!(events(&mut b, START).is_empty());
    assert_eq!(sent_bytes(&mut b, START), 0);
    assert_eq!(b.holdings(), before);
    let stats = b.stats();
    assert!(stats.unauthentic_packets > 5000 && stats.unknown_sessions > 5000, "{stats:?}");
    let ping = peer.packet(&[Chunk::Ping(b"still there?")]);
    deliver(&mut b, START, A, &ping);
    assert_eq!(kinds(&transmits(&mut b, START)[0].2), [kind::PING_REPLY]);
}

#[test]
fn a_startup_packet_of_any_size_is_looked_at_only_up_to_the_largest_there_is() {
    let mut b = endpoint("b", 1, Config::default());
    let mut peer = Forger::new("a", A);
    let fits = peer.hello_of(b"b", 4250);
    assert_eq!(deliver(&mut b, START, A, &fits), Disposition::Consumed);
    let long = peer.hello_of(b"b", 8000);
    assert_eq!(deliver(&mut b, START, A, &long), Disposition::Dropped(DropReason::Malformed));
}

#[test]
fn one_hello_in_a_packet_is_answered_and_none_that_is_for_others() {
    let mut b = endpoint("b", 1, Config::default());
    let mut peer = Forger::new("a", A);
    let hello = |epd| Chunk::IHello(IHello { epd, tag: &[1; 16] });
    let many = peer.startup(0, &[hello(b"b"); 30]);
    deliver(&mut b, START, A, &many);
    assert_eq!(transmits(&mut b, START).len(), 1);
    let other = peer.startup(0, &[hello(b"c"), hello(b"b")]);
    assert_eq!(deliver(&mut b, START, A, &other), Disposition::NotOurs);
    assert_eq!(sent_bytes(&mut b, START), 0);
}

/// Hellos of one size from so many prefixes at one instant; answers how many were answered and the largest ratio
/// of bytes.
fn greet(b: &mut Endpoint, now: Time, len: usize, prefixes: u16, each: usize) -> (usize, f64) {
    let mut peer = Forger::new("a", A);
    let certificate = rtmfp::crypto::Profile::certificate(b.profile()).to_vec();
    let hello = peer.hello_of(&certificate, len);
    let (mut answers, mut ratio) = (0, 0f64);
    for prefix in 0..prefixes {
        let [high, low] = prefix.to_be_bytes();
        for host in 0..each {
            deliver(b, now, SocketAddr::from(([10, high, low, host as u8], 1935)), &hello);
            for (_, _, bytes) in transmits(b, now) {
                answers += 1;
                ratio = ratio.max(bytes.len() as f64 / hello.len() as f64);
            }
        }
    }
    (answers, ratio)
}

#[test]
fn a_hello_is_answered_by_more_than_three_times_its_length_from_the_small_rate_only() {
    // Names are certificates; the answers to these have from 100 to 1,100 bytes.
    for name_len in [1, 20, 80, 200, 1000] {
        for len in [40, 59, 60, 64, 68, 100, 300, 1200] {
            let name = "n".repeat(name_len);
            let profile = rtmfp_plain::PlainProfile::new(&name);
            let mut b = Endpoint::new(Config::default(), Box::new(profile), [1; 32], START);
            let (answers, ratio) = greet(&mut b, START, len, 1000, 1);
            let small = len.max(name_len + 30) < 60 || ratio > 3.0;
            assert_eq!(answers, if small { 100 } else { 1000 }, "{name_len} {len}: {ratio}");
            let (more, _) = greet(&mut b, START + Duration::from_secs(1), len, 1000, 1);
            assert_eq!(more, if small { 100 } else { 1000 }, "{name_len} {len}: {ratio}");
        }
    }
}

#[test]
fn one_prefix_gets_its_burst_and_its_rate() {
    let mut b = endpoint("b", 1, Config::default());
    assert_eq!(greet(&mut b, START, 64, 1, 600).0, 256);
    assert_eq!(greet(&mut b, START + Duration::from_secs(1), 64, 1, 600).0, 100);
    assert_eq!(greet(&mut b, START + Duration::from_secs(1), 64, 2, 1).0, 1, "another one is served");
    let mut b = endpoint("b", 1, Config::default());
    assert_eq!(greet(&mut b, START, 40, 1, 200).0, 20);
    assert_eq!(greet(&mut b, START + Duration::from_secs(1), 40, 1, 200).0, 5);
}

#[test]
fn a_flood_of_spoofed_hellos_gets_less_than_it_sends_and_leaves_sessions_alone() {
    const FLOOD: u32 = 200_000;
    let (mut b, mut peer) = connected(Config::default());
    let mut stranger = Forger::new("s", A);
    let hello = stranger.hello(b"b");
    let ping = peer.packet(&[Chunk::Ping(b"")]);
    deliver(&mut b, START, A, &ping);
    transmits(&mut b, START);
    let before = b.holdings();
    let mut answered = 0;
    let mut pings = 0;
    for number in 0..FLOOD {
        let now = START + Duration::from_secs(1) * number / FLOOD;
        let address = SocketAddr::from((number.wrapping_mul(0x9e37_79b9).to_be_bytes(), 1935));
        deliver(&mut b, now, address, &hello);
        if number % 500 == 0 {
            if number % 50_000 == 0 {
                deliver(&mut b, now, A, &ping);
            }
            for (_, _, bytes) in transmits(&mut b, now) {
                answered += bytes.len();
                pings += usize::from(kinds(&bytes) == [kind::PING_REPLY]);
            }
        }
    }
    let ratio = answered as f64 / (hello.len() as f64 * f64::from(FLOOD));
    assert!(ratio < 0.1, "{ratio}");
    assert_eq!(pings, 4);
    transmits(&mut b, START + Duration::from_secs(2));
    assert_eq!(b.holdings(), before, "hellos are answered without state");
    assert!(b.stats().limited_hellos > 190_000);
}

#[test]
fn a_flood_of_keying_with_a_good_cookie_is_bounded_in_work_and_sessions() {
    let mut config = Config::default();
    config.limits.sessions = 500;
    let mut b = endpoint("b", 1, config);
    let mut peer = Forger::new("a", A);
    let cookie = peer.cookie(START, &mut b, b"b");
    for number in 1..2000u32 {
        peer.near_id = number;
        let keying = peer.keying(&cookie, number.to_be_bytes());
        deliver(&mut b, START, A, &keying);
        assert!(b.holdings().held_jobs <= 128);
        if number % 200 == 0 {
            run_jobs(&mut b, START);
            transmits(&mut b, START);
        }
    }
    run_jobs(&mut b, START);
    assert_eq!(b.session_count(), 500);
    assert!(b.stats().limited_handshakes > 0 && b.stats().limited_sessions > 0);
    // Nobody proved anything: all of it is gone after a while.
    for second in 96..98 {
        let later = START + Duration::from_secs(second);
        b.handle_timeout(later);
        events(&mut b, later);
        transmits(&mut b, later);
    }
    assert_eq!(b.holdings(), Holdings::default());
}

#[test]
fn changed_cookies_are_sent_to_spoofed_addresses_at_the_rate_of_hellos() {
    let mut b = endpoint("b", 1, Config::default());
    let mut peer = Forger::new("a", A);
    let cookie = peer.cookie(START, &mut b, b"b");
    let keying = peer.keying(&cookie, *b"salt");
    let mut answers = 0;
    for number in 0..1000u16 {
        let [high, low] = number.to_be_bytes();
        deliver(&mut b, START, SocketAddr::from(([10, 1, high, low], 1935)), &keying);
        for (_, _, bytes) in transmits(&mut b, START) {
            assert!(bytes.len() <= 3 * keying.len());
            answers += 1;
        }
    }
    assert_eq!(answers, 4 * 256 - 24, "four prefixes, the last one of 232 addresses");
}

#[test]
fn pings_are_answered_at_a_bounded_rate_and_not_when_too_long() {
    let (mut b, mut peer) = connected(Config::default());
    let mut replies = 0;
    for _ in 0..500 {
        let packet = peer.packet(&[Chunk::Ping(b"1"), Chunk::Ping(b"2")]);
        deliver(&mut b, START, A, &packet);
        replies += transmits(&mut b, START).len();
    }
    assert_eq!(replies, 20);
    let later = START + Duration::from_secs(10);
    let long = vec![0; 1140];
    let packet = peer.packet(&[Chunk::Ping(&long)]);
    deliver(&mut b, later, A, &packet);
    assert!(transmits(&mut b, later).is_empty());
    assert_eq!(b.stats().limited_pings, 480);
}

#[test]
fn a_packet_full_of_closes_is_answered_once() {
    let (mut b, mut peer) = connected(Config::default());
    let packet = peer.packet(&[Chunk::Close; 300]);
    deliver(&mut b, START, A, &packet);
    assert_eq!(transmits(&mut b, START).len(), 1);
}

#[test]
fn more_flows_than_allowed_are_refused_and_the_others_live_on() {
    let mut config = Config::default();
    config.session.receive_limit = 8 << 20;
    config.session.overhead_limit = 8 << 20;
    let (mut b, mut peer) = connected(config);
    for flow in 0..1500 {
        let packet = data(&mut peer, flow, 1, WHOLE, b"x");
        deliver(&mut b, START, A, &packet);
        events_accepting(&mut b, START);
        transmits(&mut b, START);
    }
    assert_eq!(b.holdings().held_recv_flows, 1024);
    assert_eq!(b.stats().refused_flows, 1500 - 1024);
    for flow in [0, 1023] {
        let packet = data(&mut peer, flow, 2, WHOLE, b"x");
        deliver(&mut b, START, A, &packet);
        let flow = b
            .recv_flow(rtmfp::RecvFlowId::from_parts(flow as u32, 0))
            .map(|mut flow| std::iter::from_fn(|| flow.read(START)).count());
        assert_eq!(flow, Some(2));
    }
}

#[test]
fn acknowledgements_of_what_was_never_sent_change_nothing() {
    let (mut b, mut peer) = connected(Config::default());
    let session = b.open_sessions()[0];
    let spec = FlowSpec { metadata: Bytes::new(), priority: Priority::Routine };
    let flow = b.session(session).expect("open").open_flow(START, spec, Tag(1)).expect("a flow");
    let options = WriteOptions { notify: true, ..WriteOptions::default() };
    let message = Message::from(vec![1; 500]);
    b.send_flow(flow).expect("it").write(START, message, &options).expect("room");
    events(&mut b, START);
    assert_eq!(kinds(&transmits(&mut b, START)[0].2), [kind::USER_DATA]);
    let outstanding = b.session(session).expect("open").info().outstanding;
    assert!(outstanding > 500);
    let ack = |peer: &mut Forger, through: u64, ranges: &[(u64, u64)]| {
        let mut clear = vec![Mode::Initiator as u8];
        let ranges = ranges.iter().map(|&(from, to)| from..=to);
        write_ack_ranges(2, 100, through, ranges, 1000, &mut clear);
        let (key, far_id) = (peer.key, peer.far_id);
        peer.seal_clear(key, far_id, &clear)
    };
    for (through, ranges) in
        [(2, &[][..]), (u64::MAX, &[]), (0, &[(5, 9)]), (0, &[(3, u64::MAX - 1)]), (1 << 62, &[])]
    {
        let packet = ack(&mut peer, through, ranges);
        deliver(&mut b, START, A, &packet);
        assert_eq!(events(&mut b, START), [], "{through} {ranges:?}");
        assert_eq!(b.session(session).expect("open").info().outstanding, outstanding);
    }
    assert!(b.stats().acks_of_unsent >= 3, "{:?}", b.stats());
    let packet = ack(&mut peer, 1, &[]);
    deliver(&mut b, START, A, &packet);
    assert!(matches!(events(&mut b, START)[..], [Event::WriteEnded { delivered: true, .. }]));
}

#[test]
fn whatever_a_peer_puts_into_its_packets_it_gets_about_as_much_as_it_sends() {
    for_each_seed(20, |seed| {
        let (mut b, mut peer) = connected(Config::default());
        let mut dice = Dice::new(seed, 1);
        let mut now = START;
        let (mut to, mut from) = (0, 0);
        for _ in 0..300 {
            let mut clear = vec![Mode::Initiator as u8];
            for _ in 0..1 + dice.below(30) {
                let flow = dice.below(40);
                match dice.below(8) {
                    0 => Chunk::Ping(b"?").write(&mut clear),
                    1 => Chunk::BufferProbe { flow_id: flow }.write(&mut clear),
                    2 => Chunk::FlowException { flow_id: flow, code: 1 }.write(&mut clear),
                    3 => Chunk::EcnReport { count: dice.below(256) as u8 }.write(&mut clear),
                    _ => write_data(flow, 1 + dice.below(60) * 2, WHOLE, b"", &mut clear),
                }
            }
            clear.truncate(1200);
            let (key, far_id) = (peer.key, peer.far_id);
            let packet = peer.seal_clear(key, far_id, &clear);
            to += packet.len();
            deliver(&mut b, now, A, &packet);
            events(&mut b, now);
            from += sent_bytes(&mut b, now);
            now += dice.up_to(Duration::from_millis(20));
        }
        // Each flow's acknowledgement lists its holes: 60 of them here.
        assert!(from <= 3 * to, "{from} for {to}");
    });
}
