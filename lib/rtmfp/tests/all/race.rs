//! Somebody between answers a hello before the responder does (RFC 7016 section 5).

use std::net::SocketAddr;
use std::time::Duration;

use crate::common::endpoint;
use crate::hand::{A, B, Forger, deliver, events, kinds, parse, run_jobs, transmits, v4};
use bytes::Bytes;
use rand::rngs::ChaCha20Rng;
use rand::{RngExt, SeedableRng};
use rtmfp::crypto::DEFAULT_KEY;
use rtmfp::wire::Chunk;
use rtmfp::{Config, Endpoint, Event, FlowSpec, Priority};
use rtmfp_base::{InterfaceId, Tag, Time};

const START: Time = Time::from_secs(1);
const RACES: u64 = 100_000;
const IHELLO: u8 = 0x30;
const IIKEYING: u8 = 0x38;

/// The tag of a hello.
fn tag(reader: &mut Forger, datagram: &[u8]) -> Vec<u8> {
    let (_, chunks) = reader.open(DEFAULT_KEY, datagram);
    match parse(&chunks).first() {
        Some(Chunk::IHello(hello)) => hello.tag.to_vec(),
        other => panic!("{other:?} instead of a hello"),
    }
}

/// One opening to the holder of the certificate "b", with everything that the attacker may say in an order drawn
/// from the seed. Answers to whom keying went, if to anybody.
fn race(a: &mut Endpoint, now: Time, seed: u64) -> Option<SocketAddr> {
    let mut dice = ChaCha20Rng::seed_from_u64(seed);
    let spec = FlowSpec { metadata: Bytes::new(), priority: Priority::Routine };
    let flow = a.open_flow(now, b"b", spec, Tag(seed)).expect("a flow");
    a.send_flow(flow).expect("the flow").add_candidate(now, B);
    a.handle_timeout(now);
    let sent = transmits(a, now);
    let hello = sent.iter().find(|(_, _, bytes)| kinds(bytes) == [IHELLO]).expect("a hello");
    let (mut responder, mut attacker) = (Forger::new("b", B), Forger::new("mallory", v4(66)));
    let tag = tag(&mut responder, &hello.2);

    let mut answers = vec![(B, responder.rhello(&tag, &[1; 64]))];
    for _ in 0..dice.random_range(1..5) {
        // From its own address or from the responder's, with a right or a wrong tag, and with certificates that look
        // somewhat like the right one.
        let from = if dice.random_bool(0.5) { B } else { v4(66) };
        let names: [&[u8]; 5] = [b"mallory", b"", b"b\0", b"bb", b"B"];
        attacker = Forger::new("mallory", from);
        let name = names[dice.random_range(0..names.len())];
        let mut tag = tag.clone();
        if dice.random_bool(0.2) {
            tag[0] ^= 1;
        }
        let packet = if name == b"mallory" {
            attacker.rhello(&tag, &[2; 64])
        } else {
            let hello = rtmfp::wire::RHello { tag_echo: &tag, cookie: &[2; 64], certificate: name };
            attacker.startup(0, &[Chunk::RHello(hello)])
        };
        let place = dice.random_range(0..=answers.len());
        answers.insert(place, (from, packet));
    }
    let mut keying_to = None;
    for (from, packet) in answers {
        deliver(a, now, from, &packet);
        run_jobs(a, now);
        for (_, to, bytes) in transmits(a, now) {
            if kinds(&bytes) == [IIKEYING] {
                let (_, chunks) = attacker.open(DEFAULT_KEY, &bytes);
                let cookie = match parse(&chunks).first() {
                    Some(Chunk::IIKeying(keying)) => keying.cookie.to_vec(),
                    other => panic!("{other:?}"),
                };
                assert_eq!(cookie, [1; 64], "keying goes to who has the certificate");
                keying_to = Some(to);
            }
        }
    }
    if let Some(flow) = a.send_flow(flow) {
        flow.close(now);
    }
    keying_to
}

#[test]
fn an_initiator_that_wants_one_certificate_never_agrees_on_keys_with_the_holder_of_another() {
    let mut a = endpoint("a", 1, Config::default());
    a.add_interface(InterfaceId(0), A);
    for seed in 0..RACES {
        let now = START + Duration::from_millis(seed);
        let to = race(&mut a, now, seed);
        assert_eq!(to, Some(B), "seed {seed}");
        events(&mut a, now);
    }
}

#[test]
fn an_answer_that_is_first_but_wrong_does_not_keep_the_right_one_out() {
    let mut a = endpoint("a", 1, Config::default());
    a.add_interface(InterfaceId(0), A);
    let spec = FlowSpec { metadata: Bytes::new(), priority: Priority::Routine };
    let flow = a.open_flow(START, b"b", spec, Tag(1)).expect("a flow");
    a.send_flow(flow).expect("the flow").add_candidate(START, B);
    a.handle_timeout(START);
    let hello = transmits(&mut a, START).pop().expect("a hello");
    let mut attacker = Forger::new("mallory", v4(66));
    let tag = tag(&mut attacker, &hello.2);
    let wrong = attacker.rhello(&tag, &[2; 64]);
    for _ in 0..100 {
        deliver(&mut a, START, v4(66), &wrong);
        run_jobs(&mut a, START);
        assert_eq!(transmits(&mut a, START), []);
    }
    let right = Forger::new("b", B).rhello(&tag, &[1; 64]);
    deliver(&mut a, START, B, &right);
    run_jobs(&mut a, START);
    let sent = transmits(&mut a, START);
    assert_eq!(sent.len(), 1);
    assert_eq!((sent[0].1, kinds(&sent[0].2)), (B, vec![IIKEYING]));
    assert!(!events(&mut a, START).iter().any(|event| matches!(event, Event::FlowException { .. })));
}
