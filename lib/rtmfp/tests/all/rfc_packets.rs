//! What RFC 7016 says about packets, chunks and the first of them, rule by rule: see `tests/rfc/rfc7016.txt`.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::common::endpoint;
use crate::hand::flows::{Seen, spec};
use crate::hand::forged::Forged;
use crate::hand::{A, B, Forger, Hands, clear, deliver, kinds, parse, run_jobs, transmits, v4};
use rtmfp::crypto::DEFAULT_KEY;
use rtmfp::wire::{Address, Chunk, FIHello, IHello, Mode, Origin, PacketFragment, RHello, kind};
use rtmfp::{Config, Disposition, DropReason, Endpoint, Priority};
use rtmfp_base::{InterfaceId, Tag, Time};

const START: Time = Time::from_secs(1);

fn hello() -> Chunk<'static> {
    Chunk::IHello(IHello { epd: b"b", tag: &[7; 16] })
}

/// An endpoint called `b` and peers with a session in it each.
fn connected<const N: usize>() -> (Endpoint, [Forger; N]) {
    let mut b = endpoint("b", 1, Config::default());
    let peers = core::array::from_fn(|number| {
        let mut peer = Forger::new("a", v4(10 + number as u8));
        peer.connect(START, &mut b, b"b");
        peer
    });
    (b, peers)
}

/// Kinds of the chunks that an endpoint sends.
fn sent(endpoint: &mut Endpoint) -> Vec<u8> {
    run_jobs(endpoint, START);
    transmits(endpoint, START).iter().flat_map(|(.., bytes)| kinds(bytes)).collect()
}

#[test]
fn a_packet_is_opened_with_the_keys_of_the_session_that_its_id_names() {
    let (mut b, [mut one, mut two]) = connected();
    let ping = clear(Mode::Initiator, &[Chunk::Ping(b"?")]);
    let dropped = Disposition::Dropped(DropReason::Unauthentic);
    // With the keys of another session, those of the startup session, and those of a session for the startup session.
    let packets = [
        two.seal_clear(two.key, one.far_id, &ping),
        one.seal_clear(DEFAULT_KEY, one.far_id, &ping),
        one.seal_clear(one.key, 0, &clear(Mode::Startup, &[hello()])),
    ];
    for packet in packets {
        assert_eq!(deliver(&mut b, START, one.address, &packet), dropped);
        assert_eq!(sent(&mut b), []);
    }
    let packet = one.packet(&[Chunk::Ping(b"?")]);
    deliver(&mut b, START, one.address, &packet);
    assert_eq!(sent(&mut b), [kind::PING_REPLY]);
}

#[test]
fn packets_without_a_mode_are_dropped() {
    let (mut b, [mut peer]) = connected();
    let mut session = clear(Mode::Initiator, &[Chunk::Ping(b"?")]);
    session[0] = 0;
    let mut startup = clear(Mode::Startup, &[hello()]);
    startup[0] = 0;
    let packets =
        [peer.seal_clear(peer.key, peer.far_id, &session), peer.seal_clear(DEFAULT_KEY, 0, &startup)];
    for packet in packets {
        let disposition = deliver(&mut b, START, peer.address, &packet);
        assert_eq!(disposition, Disposition::Dropped(DropReason::Malformed));
        assert_eq!(sent(&mut b), []);
    }
}

#[test]
fn packets_with_the_receivers_own_mark_are_dropped() {
    let config = Config::default;
    let mut hands = Hands::new(endpoint("a", 1, config()), endpoint("b", 2, config()));
    let flow = hands.open(b"flow", Priority::Routine);
    hands.write(flow, 10);
    hands.run_millis(1000);
    let now = hands.now;
    for end in 0..2 {
        // The peer of this end.
        let mut peer = if end == 0 { hands.forger_of_b() } else { hands.forger_of_a() };
        let right = peer.packet(&[Chunk::Ping(b"?")]);
        peer.mode = if end == 0 { Mode::Initiator } else { Mode::Responder };
        let wrong = peer.packet(&[Chunk::Ping(b"?")]);
        let disposition = deliver(&mut hands.ends[end], now, peer.address, &wrong);
        assert_eq!(disposition, Disposition::Dropped(DropReason::Malformed));
        assert!(transmits(&mut hands.ends[end], now).is_empty());
        deliver(&mut hands.ends[end], now, peer.address, &right);
        assert_eq!(kinds(&transmits(&mut hands.ends[end], now)[0].2), [kind::PING_REPLY]);
    }
}

#[test]
fn chunks_of_unknown_types_are_passed_over() {
    let unknown = [[0x42, 0, 3, 1, 2, 3], [0x00, 0, 3, 1, 2, 3], [0xff, 0, 3, 1, 2, 3]].concat();
    let (mut b, [mut peer]) = connected();
    let mut session = [&[1][..], &unknown].concat();
    Chunk::Ping(b"?").write(&mut session);
    let mut startup = [&[3][..], &unknown].concat();
    hello().write(&mut startup);
    let packet = peer.seal_clear(peer.key, peer.far_id, &session);
    deliver(&mut b, START, peer.address, &packet);
    assert_eq!(sent(&mut b), [kind::PING_REPLY]);
    let packet = peer.seal_clear(DEFAULT_KEY, 0, &startup);
    deliver(&mut b, START, peer.address, &packet);
    assert_eq!(sent(&mut b), [kind::RHELLO]);
}

#[test]
fn chunks_in_packets_of_the_wrong_mode_are_ignored() {
    let (mut b, [mut peer]) = connected();
    let reply = Address { origin: Origin::Observed, addr: A };
    let rhello = Chunk::RHello(RHello { tag_echo: &[1; 16], cookie: b"c", certificate: b"b" });
    let forwarded = Chunk::FIHello(FIHello { epd: b"b", reply, tag: &[7; 16] });

    // Chunks of startup in a packet of the session; all other chunks of it count.
    let packet = peer.packet(&[hello(), rhello, Chunk::Ping(b"?")]);
    deliver(&mut b, START, peer.address, &packet);
    assert_eq!(sent(&mut b), [kind::PING_REPLY]);

    // Chunks of a session in a packet marked as one of startup, with the keys of the session or the default key.
    let chunks = [Chunk::Ping(b"?"), Chunk::BufferProbe { flow_id: 2 }, forwarded, Chunk::Close];
    let marked = clear(Mode::Startup, &chunks);
    for packet in [peer.seal_clear(peer.key, peer.far_id, &marked), peer.seal_clear(DEFAULT_KEY, 0, &marked)]
    {
        deliver(&mut b, START, peer.address, &packet);
        assert_eq!(sent(&mut b), []);
        assert_eq!(b.open_sessions().len(), 1);
    }

    // A hello in a packet of the startup session that is not marked so, whole or as a fragment.
    let whole = clear(Mode::Startup, &[hello()]);
    let fragment =
        Chunk::PacketFragment(PacketFragment { more: false, packet_id: 1, index: 0, data: &whole });
    for mode in [Mode::Initiator, Mode::Responder] {
        for chunk in [hello(), fragment] {
            let packet = peer.seal_clear(DEFAULT_KEY, 0, &clear(mode, &[chunk]));
            deliver(&mut b, START, peer.address, &packet);
            assert_eq!(sent(&mut b), []);
        }
    }
    let packet = peer.seal_clear(DEFAULT_KEY, 0, &clear(Mode::Startup, &[fragment]));
    deliver(&mut b, START, peer.address, &packet);
    assert_eq!(sent(&mut b), [kind::RHELLO]);
}

#[test]
fn a_malformed_chunk_does_not_spoil_those_behind_it() {
    let (mut b, [mut peer]) = connected();
    // User data that ends behind its flow's number, an option list without an end, an acknowledgement and an exception
    // that lack a field, a hello that is shorter than it says.
    let bad = [
        &[0x10, 0, 2, 0x00, 2][..],
        &[0x10, 0, 6, 0x80, 2, 1, 1, 5, 0],
        &[0x51, 0, 2, 2, 9],
        &[0x5e, 0, 1, 2],
        &[0x30, 0, 2, 9, 1],
    ];
    let [session_chunks @ .., hello_chunk] = bad;
    let mut session = [&[1][..], &session_chunks.concat()].concat();
    Chunk::Ping(b"?").write(&mut session);
    let mut startup = [&[3][..], hello_chunk].concat();
    hello().write(&mut startup);
    let packet = peer.seal_clear(peer.key, peer.far_id, &session);
    deliver(&mut b, START, peer.address, &packet);
    assert_eq!(sent(&mut b), [kind::PING_REPLY]);
    let packet = peer.seal_clear(DEFAULT_KEY, 0, &startup);
    deliver(&mut b, START, peer.address, &packet);
    assert_eq!(sent(&mut b), [kind::RHELLO]);
    assert_eq!(b.stats().malformed_chunks, 5);
}

#[test]
fn a_ping_is_answered_at_once_with_its_message_whatever_that_is() {
    let mut forged = Forged::new(Config::default());
    let long = [b'M'; 1000];
    for message in [&b""[..], b"?", b"Mobility", &[0; 40], &long] {
        let packet = forged.forger.packet(&[Chunk::Ping(message)]);
        deliver(&mut forged.victim, forged.now, A, &packet);
        let sent = transmits(&mut forged.victim, forged.now);
        let key = forged.forger.key;
        let (_, chunks) = forged.forger.open(key, &sent[0].2);
        assert_eq!((sent.len(), parse(&chunks)), (1, vec![Chunk::PingReply(message)]));
    }
    let answers = forged.bring(&[Chunk::PingReply(b"?")]);
    assert_eq!(answers, [] as [Vec<Seen>; 0], "nobody asked");
}

#[test]
fn nobody_can_ask_for_the_id_of_the_startup_session() {
    for near_id in [0, 1] {
        let mut b = endpoint("b", 1, Config::default());
        let mut peer = Forger::new("a", A);
        peer.near_id = near_id;
        let cookie = peer.cookie(START, &mut b, b"b");
        let keying = peer.keying(&cookie, *b"salt");
        deliver(&mut b, START, A, &keying);
        run_jobs(&mut b, START);
        assert_eq!(b.session_count(), near_id as usize);
        assert_eq!(transmits(&mut b, START).len(), near_id as usize);
    }
}

#[test]
fn tags_of_hellos_are_long_and_never_the_same() {
    let mut tags = BTreeSet::new();
    for seed in 0..20 {
        let mut a = endpoint("a", seed, Config::default());
        a.add_interface(InterfaceId(0), A);
        for number in 0..50u8 {
            let flow =
                a.open_flow(START, &[b'n', number], spec(b"m", Priority::Bulk), Tag(0)).expect("a flow");
            a.send_flow(flow).expect("it").add_candidate(START, B);
        }
        a.handle_timeout(START + Duration::from_millis(1));
        let mut forger = Forger::new("b", B);
        for (.., bytes) in transmits(&mut a, START) {
            let (_, chunks) = forger.open(DEFAULT_KEY, &bytes);
            let [Chunk::IHello(hello)] = parse(&chunks)[..] else { panic!("not a hello") };
            assert!(hello.tag.len() >= 8);
            assert!(tags.insert(hello.tag.to_vec()), "twice");
        }
    }
    assert_eq!(tags.len(), 1000);
}
