//! Startup packets that are larger than the path takes, in fragments (RFC 7016 section 3.4).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::common::{PORT, Peer, endpoint, link};
use crate::hand::{A, B, Forger, clear, deliver, kinds, parse, run_jobs, transmits, v4};
use bytes::Bytes;
use rtmfp::crypto::DEFAULT_KEY;
use rtmfp::driver::Node;
use rtmfp::wire::{Chunk, IHello, Mode, PacketFragment, kind};
use rtmfp::{Config, Endpoint, FlowSpec, Holdings, Priority};
use rtmfp_base::{InterfaceId, Tag, Time};
use rtmfp_netsim::{Dice, LinkConfig, Loss, Network, for_each_seed};

const SECOND: Duration = Duration::from_secs(1);

/// A packet as fragments of so many bytes, each in a packet of its own.
fn split(forger: &mut Forger, packet_id: u64, clear: &[u8], len: usize) -> Vec<Vec<u8>> {
    let count = clear.len().div_ceil(len);
    let pieces = clear.chunks(len).enumerate();
    pieces
        .map(|(index, data)| {
            let more = index + 1 < count;
            piece(forger, more, packet_id, index as u64, data)
        })
        .collect()
}

fn piece(forger: &mut Forger, more: bool, packet_id: u64, index: u64, data: &[u8]) -> Vec<u8> {
    forger.startup(0, &[Chunk::PacketFragment(PacketFragment { more, packet_id, index, data })])
}

fn hello(epd: &[u8]) -> Vec<u8> {
    let mut clear = clear(Mode::Startup, &[Chunk::IHello(IHello { epd, tag: &[7; 16] })]);
    clear.resize(clear.len().max(80), 0xff);
    clear
}

fn responder() -> Endpoint {
    endpoint("b", 1, Config::default())
}

#[test]
fn fragments_that_come_in_any_order_and_twice_make_the_packet() {
    for_each_seed(50, |seed| {
        let mut dice = Dice::new(seed, 1);
        let now = Time::from_secs(1);
        let mut b = responder();
        let mut forger = Forger::new("a", A);
        let len = 1 + dice.below(90) as usize;
        let mut pieces = split(&mut forger, dice.below(1000), &hello(b"b"), len);
        pieces.extend(pieces.clone());
        for index in (1..pieces.len()).rev() {
            pieces.swap(index, dice.below(index as u64 + 1) as usize);
        }
        let mut answers = 0;
        for piece in pieces {
            deliver(&mut b, now, A, &piece);
            answers += transmits(&mut b, now).len();
        }
        // Repetitions of a packet that is complete may begin another one.
        assert!((1..=2).contains(&answers), "{answers}");
        assert_eq!(b.stats().reassembled_startups, answers as u64);
    });
}

#[test]
fn fragments_of_other_packets_addresses_or_modes_do_not_mix() {
    let now = Time::from_secs(1);
    let mut b = responder();
    let mut forger = Forger::new("a", A);
    let [one, two] = [1, 2].map(|id| split(&mut forger, id, &hello(b"b"), 60));
    deliver(&mut b, now, A, &one[0]);
    deliver(&mut b, now, A, &two[1]);
    deliver(&mut b, now, v4(3), &one[1]);
    assert_eq!(b.holdings().held_partial_packets, 3);
    assert!(transmits(&mut b, now).is_empty());
    deliver(&mut b, now, A, &one[1]);
    assert_eq!(transmits(&mut b, now).len(), 1);
    assert_eq!(b.holdings().held_partial_packets, 2);
    // A packet of another mode, and fragments of fragments.
    let data = clear(Mode::Initiator, &[Chunk::IHello(IHello { epd: b"b", tag: &[7; 16] })]);
    let wrong = piece(&mut forger, false, 9, 0, &data);
    deliver(&mut b, now, A, &wrong);
    let inner = PacketFragment { more: false, packet_id: 11, index: 0, data: &hello(b"b") };
    let nested = piece(&mut forger, false, 10, 0, &clear(Mode::Startup, &[Chunk::PacketFragment(inner)]));
    deliver(&mut b, now, A, &nested);
    assert!(transmits(&mut b, now).is_empty());
}

#[test]
fn contradictions_are_dropped_and_do_not_spoil_the_packet() {
    let now = Time::from_secs(1);
    let mut b = responder();
    let mut forger = Forger::new("a", A);
    let good = split(&mut forger, 1, &hello(b"b"), 30);
    assert_eq!(good.len(), 3);
    deliver(&mut b, now, A, &good[0]);
    deliver(&mut b, now, A, &good[2]);
    // Beyond the last one, another last one.
    for (more, index) in [(true, 5), (false, 7), (false, 1)] {
        let wrong = piece(&mut forger, more, 1, index, b"wrong");
        deliver(&mut b, now, A, &wrong);
    }
    assert_eq!(b.stats().limited_fragments, 3);
    deliver(&mut b, now, A, &good[1]);
    assert_eq!(transmits(&mut b, now).len(), 1);
    // A last one before one that has come.
    let wrong = [piece(&mut forger, true, 2, 4, b"later"), piece(&mut forger, false, 2, 3, b"the end")];
    wrong.iter().for_each(|packet| {
        deliver(&mut b, now, A, packet);
    });
    assert_eq!(b.stats().limited_fragments, 4);
}

#[test]
fn a_packet_has_a_second_for_each_fragment_and_a_minute_in_all() {
    let clear = hello(b"b");
    for (gap, arrives) in [(900, true), (1100, false)] {
        let mut b = responder();
        let mut forger = Forger::new("a", A);
        let mut now = Time::from_secs(1);
        for piece in split(&mut forger, 1, &clear, 20) {
            deliver(&mut b, now, A, &piece);
            now += Duration::from_millis(gap);
            b.handle_timeout(now);
        }
        assert_eq!(transmits(&mut b, now).len(), usize::from(arrives), "{gap} ms");
    }
    // 80 fragments, 0.8 seconds each.
    let mut b = responder();
    let mut forger = Forger::new("a", A);
    let mut now = Time::from_secs(1);
    for piece in split(&mut forger, 1, &clear, 1) {
        deliver(&mut b, now, A, &piece);
        now += Duration::from_millis(800);
        while let Some((at, _)) = b.poll_timeout().filter(|(at, _)| *at <= now) {
            b.handle_timeout(at);
        }
    }
    assert!(transmits(&mut b, now).is_empty());
    now += SECOND;
    b.handle_timeout(now);
    assert_eq!(b.holdings(), Holdings::default());
    assert_eq!(b.poll_timeout(), None);
}

#[test]
fn a_flood_of_first_fragments_costs_bounded_memory_and_leaves_room_for_others() {
    let now = Time::from_secs(1);
    let mut b = responder();
    let mut forger = Forger::new("a", A);
    let first = piece(&mut forger, true, 1, 0, &[1; 1000]);
    // One prefix.
    for host in 0..200u8 {
        let from = SocketAddr::from(([10, 0, 0, host], 9));
        deliver(&mut b, now, from, &first);
    }
    assert_eq!(b.holdings().held_partial_packets, 32);
    // All of them.
    for number in 0..50_000u32 {
        let from = SocketAddr::from((number.wrapping_mul(7919).to_be_bytes(), 9));
        deliver(&mut b, now, from, &first);
    }
    assert_eq!(b.holdings().held_partial_packets, 256);
    assert!(b.stats().limited_fragments >= 50_000 + 168 - 256);
    // Whole packets are not concerned.
    let whole = forger.hello(b"b");
    deliver(&mut b, now, A, &whole);
    assert_eq!(transmits(&mut b, now).len(), 1);
    // A second later all is as before.
    let (later, _) = b.poll_timeout().expect("a timeout");
    assert!(later <= now + SECOND + SECOND / 10);
    b.handle_timeout(later);
    assert_eq!(b.holdings(), Holdings::default());
    for packet in split(&mut forger, 5, &hello(b"b"), 50) {
        deliver(&mut b, later, A, &packet);
    }
    assert_eq!(transmits(&mut b, later).len(), 1);
}

#[test]
fn no_packet_grows_beyond_its_limit_nor_all_of_them_beyond_theirs() {
    let now = Time::from_secs(1);
    let mut config = Config::default();
    config.limits.startup_fragments.packet_bytes = 3000;
    config.limits.startup_fragments.bytes = 10_000;
    let mut b = endpoint("b", 1, config);
    let mut forger = Forger::new("a", A);
    for index in 0..10 {
        let packet = piece(&mut forger, true, 1, index, &[1; 1000]);
        deliver(&mut b, now, A, &packet);
    }
    assert_eq!(b.stats().limited_fragments, 7);
    let far = piece(&mut forger, true, 2, u64::MAX, b"x");
    deliver(&mut b, now, A, &far);
    assert_eq!(b.stats().limited_fragments, 8);
    for id in 3..20 {
        let packet = piece(&mut forger, true, id, 0, &[1; 1000]);
        deliver(&mut b, now, A, &packet);
    }
    // 3 of 1064 bytes and 6 more.
    assert_eq!(b.holdings().held_partial_packets, 1 + 6);
}

/// What an endpoint sends to [`B`] over a while: when, how long, which kinds.
fn sends(end: &mut Endpoint, from: Time, seconds: u32) -> Vec<(u64, usize, Vec<u8>)> {
    let mut sent = Vec::new();
    let mut now = from;
    loop {
        run_jobs(end, now);
        for (_, _, bytes) in transmits(end, now) {
            sent.push((now.since(from).as_millis() as u64, bytes.len(), kinds(&bytes)));
        }
        match end.poll_timeout().filter(|(at, _)| *at <= from + SECOND * seconds) {
            Some((at, _)) => {
                now = now.max(at);
                end.handle_timeout(now);
            }
            None => return sent,
        }
    }
}

#[test]
fn long_packets_go_whole_and_in_fragments_in_turn_and_fragments_at_a_moderate_rate() {
    let now = Time::from_secs(1);
    let mut a = endpoint("a", 1, Config::default());
    a.add_interface(InterfaceId(0), A);
    let long = vec![b'l'; 4000];
    let spec = FlowSpec { metadata: Bytes::new(), priority: Priority::Routine };
    let flow = a.open_flow(now, &long, spec, Tag(1)).expect("a flow");
    a.send_flow(flow).expect("it").add_candidate(now, B);
    let sent = sends(&mut a, now, 30);
    let hellos: Vec<_> = sent.iter().filter(|sent| sent.2 == [kind::IHELLO]).map(|sent| sent.0).collect();
    assert_eq!(hellos, [0, 3500, 13_000, 28_500]);
    let pieces: Vec<_> = sent.iter().filter(|sent| sent.2 == [kind::PACKET_FRAGMENT]).collect();
    let times: Vec<_> = pieces.iter().map(|sent| sent.0).collect();
    assert_eq!(times, [[1000; 4], [7500; 4], [20_000; 4]].concat());
    assert!(pieces.iter().all(|sent| sent.1 <= 1100));
    assert!(pieces[..4].iter().map(|sent| sent.1).sum::<usize>() <= 4380);
    assert_eq!(a.stats().fragmented_startups, 3);
}

#[test]
fn several_long_packets_to_one_address_wait_for_each_other() {
    let now = Time::from_secs(1);
    let mut a = endpoint("a", 1, Config::default());
    a.add_interface(InterfaceId(0), A);
    for letter in [b'k', b'l', b'm'] {
        let spec = FlowSpec { metadata: Bytes::new(), priority: Priority::Routine };
        let flow = a.open_flow(now, &[letter; 4000], spec, Tag(1)).expect("a flow");
        a.send_flow(flow).expect("it").add_candidate(now, B);
    }
    let sent = sends(&mut a, now, 3);
    let times: Vec<_> = sent.iter().filter(|s| s.2 == [kind::PACKET_FRAGMENT]).map(|s| s.0).collect();
    assert_eq!(times, [[1000; 4], [1200; 4], [1400; 4]].concat());
    assert_eq!(a.holdings().held_control_packets, 0);
}

#[test]
fn a_hello_in_fragments_is_answered_in_fragments_if_the_answer_is_long() {
    let now = Time::from_secs(1);
    let name = vec![b'n'; 2000];
    for fragmented in [false, true] {
        let mut b = Endpoint::new(
            Config::default(),
            Box::new(rtmfp_plain::PlainProfile::new(&name)),
            [1; 32],
            Time::ZERO,
        );
        let mut forger = Forger::new("a", A);
        if fragmented {
            for packet in split(&mut forger, 1, &hello(b"nnn*"), 50) {
                deliver(&mut b, now, A, &packet);
            }
        } else {
            let packet = forger.hello(b"nnn*");
            deliver(&mut b, now, A, &packet);
        }
        let sent = transmits(&mut b, now);
        let all: Vec<_> = sent.iter().map(|(_, _, bytes)| kinds(bytes)[0]).collect();
        let expected = if fragmented { vec![kind::PACKET_FRAGMENT; 2] } else { vec![kind::RHELLO] };
        assert_eq!(all, expected);
        for (_, _, bytes) in sent {
            let (_, chunks) = forger.open(DEFAULT_KEY, &bytes);
            assert!(matches!(parse(&chunks)[0], Chunk::PacketFragment(_) | Chunk::RHello(_)));
        }
    }
}

#[test]
fn sessions_with_long_certificates_open_over_paths_that_do_not_take_long_packets() {
    for_each_seed(20, |seed| {
        let mut net = Network::new(seed);
        let loss = if seed % 2 == 0 { Loss::None } else { Loss::Independent(0.03) };
        net.set_default_link(LinkConfig { mtu: Some(1280), loss, ..link(20) });
        let [near, far] = ["a", "b"].map(|name| name.repeat(1800));
        let hosts = [(1, &near), (2, &far)].map(|(host, name)| {
            let profile = Box::new(rtmfp_plain::PlainProfile::new(name));
            let end = Endpoint::new(Config::default(), profile, [host; 32], Time::ZERO);
            let any = SocketAddr::from(([0, 0, 0, 0], PORT));
            let service = Box::new(Node::new(end, &[any], Peer::new()));
            net.add_host("host", &[IpAddr::from([10, 0, 0, host])], service)
        });
        net.run_for(Duration::from_millis(1));
        let now = net.now();
        let end = net.service::<Node<Peer>>(hosts[0]).endpoint();
        let spec = FlowSpec { metadata: Bytes::from_static(b"flow"), priority: Priority::Routine };
        let flow = end.open_flow(now, far.as_bytes(), spec, Tag(1)).expect("a flow");
        end.send_flow(flow).expect("it").add_candidate(now, SocketAddr::from(([10, 0, 0, 2], PORT)));
        net.run_for(SECOND * if seed % 2 == 0 { 5 } else { 90 });
        let end = net.service::<Node<Peer>>(hosts[0]).endpoint();
        assert_eq!(end.open_sessions().len(), 1);
        assert!(end.stats().fragmented_startups > 0);
    });
}
