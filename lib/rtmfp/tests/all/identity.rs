//! One session for a pair of ends: glare, duplicates, peers that come back, sessions that nobody uses.

use std::net::SocketAddr;
use std::time::Duration;

use crate::common::endpoint;
use crate::hand::{A, B, DELAY, Fate, Forger, Hands, deliver, events, kinds, parse, run_jobs, transmits, v4};
use bytes::Bytes;
use rtmfp::crypto::DEFAULT_KEY;
use rtmfp::wire::{Chunk, CookieChange, Mode, RHello, kind};
use rtmfp::{CloseReason, Config, Endpoint, Event, FlowSpec, Holdings, Priority, SendFlowId, SessionId};
use rtmfp_base::{InterfaceId, Message, Tag, Time, WriteOptions};
use rtmfp_netsim::{Dice, for_each_seed};

const SECOND: Duration = Duration::from_secs(1);

fn hands(seed: u64) -> Hands {
    named("a", seed)
}

/// The first end has a name, the second is `b`.
fn named(name: &str, seed: u64) -> Hands {
    Hands::new(endpoint(name, seed, Config::default()), endpoint("b", seed + 1, Config::default()))
}

fn open(endpoint: &mut Endpoint, now: Time, epd: &[u8], to: SocketAddr) -> SendFlowId {
    let spec = FlowSpec { metadata: Bytes::from_static(b"flow"), priority: Priority::Routine };
    let flow = endpoint.open_flow(now, epd, spec, Tag(7)).expect("a flow");
    endpoint.send_flow(flow).expect("the flow").add_candidate(now, to);
    flow
}

fn write(endpoint: &mut Endpoint, now: Time, flow: SendFlowId) {
    let message = Message::from(b"a message".to_vec());
    endpoint.send_flow(flow).expect("the flow").write(now, message, &WriteOptions::default()).expect("room");
}

/// The session that a flow is bound to.
fn session_of(endpoint: &mut Endpoint, flow: SendFlowId) -> Option<SessionId> {
    endpoint.send_flow(flow)?.session()
}

fn closed(told: &[Event]) -> Vec<CloseReason> {
    let reasons = told.iter().filter_map(|event| match event {
        Event::SessionClosed { reason, .. } => Some(*reason),
        _ => None,
    });
    reasons.collect()
}

/// Both ends, the first of which is `a` or `z`, open a flow to each other, `b` so much later, and write to it or not. Answers the flows.
fn collide_as(name: &[u8], hands: &mut Hands, later: Duration, writes: bool) -> [SendFlowId; 2] {
    let mut flows = [SendFlowId::from_parts(0, 0); 2];
    for (end, epd, to) in [(0, &b"b"[..], B), (1, name, A)] {
        let now = hands.now;
        flows[end] = open(&mut hands.ends[end], now, epd, to);
        if writes {
            write(&mut hands.ends[end], now, flows[end]);
        }
        if end == 0 {
            hands.run(later);
        }
    }
    flows
}

fn collide(hands: &mut Hands, later: Duration, writes: bool) -> [SendFlowId; 2] {
    collide_as(b"a", hands, later, writes)
}

fn one_session_carries_both(hands: &mut Hands, flows: [SendFlowId; 2], about: &str) {
    for end in [0, 1] {
        let sessions = hands.ends[end].open_sessions();
        assert_eq!((sessions.len(), hands.ends[end].session_count()), (1, 1), "{about}, end {end}");
        assert_eq!(session_of(&mut hands.ends[end], flows[end]), Some(sessions[0]), "{about}, end {end}");
        let failed = hands.count(end, |e| matches!(e, Event::FlowException { .. }));
        assert_eq!(failed, 0, "{about}, end {end}: {:?}", hands.events[end]);
    }
}

#[test]
fn two_ends_that_open_to_each_other_at_any_time_get_one_session_for_the_flows_of_both() {
    for (name, writes) in [("a", false), ("a", true), ("z", false), ("z", true)] {
        for millis in 0..=90 {
            let mut hands = named(name, millis);
            let flows = collide_as(name.as_bytes(), &mut hands, Duration::from_millis(millis), writes);
            hands.run(SECOND / 2);
            let about = format!("b begins {millis} ms after {name}");
            one_session_carries_both(&mut hands, flows, &about);
            hands.run(SECOND * 120);
            one_session_carries_both(&mut hands, flows, &about);
            let got = |end: usize| hands.received[end].values().flatten().count();
            assert_eq!([got(0), got(1)], [usize::from(writes); 2], "{about}");
        }
    }
}

#[test]
fn the_first_certificate_prevails_and_the_other_end_gives_way_without_a_second_keying() {
    let mut hands = hands(1);
    let flows = collide(&mut hands, Duration::ZERO, false);
    hands.run(SECOND * 20);
    one_session_carries_both(&mut hands, flows, "glare");
    // `a` is before `b`.
    let initiators =
        [0, 1].map(|end| hands.count(end, |e| matches!(e, Event::SessionOpened { initiator: true, .. })));
    assert_eq!(initiators, [1, 0]);
    assert_eq!(closed(&hands.events[1]), [CloseReason::Duplicate]);
    assert_eq!((hands.times(0, kind::RIKEYING).len(), hands.times(1, kind::RIKEYING).len()), (0, 1));
    assert_eq!(hands.times(1, kind::IIKEYING).len(), 1);
    assert_eq!((hands.ends[0].stats().glares_won, hands.ends[1].stats().glares_lost), (1, 1));
    assert_eq!(hands.ends[1].stats().merged_sessions, 1);
}

#[test]
fn with_packets_lost_and_late_two_ends_that_meet_still_end_with_one_session_each() {
    for_each_seed(100, |seed| {
        let mut hands = hands(seed);
        let mut dice = Dice::new(seed, 1);
        let later = dice.up_to(DELAY * 6);
        hands.network =
            Box::new(
                move |_, _| {
                    if dice.chance(0.2) { Fate::Lost } else { Fate::After(dice.up_to(DELAY * 4)) }
                },
            );
        let mut jobs = Dice::new(seed, 2);
        hands.jobs = Box::new(move |_| Fate::After(jobs.up_to(DELAY * 2)));
        let flows = collide(&mut hands, later, true);
        hands.run(SECOND * 90);
        hands.network = Box::new(|_, _| Fate::After(DELAY));
        hands.run(SECOND * 120);
        let about = format!("seed {seed}");
        one_session_carries_both(&mut hands, flows, &about);
        let got = |end: usize| hands.received[end].values().flatten().count();
        assert_eq!([got(0), got(1)], [1, 1], "{about}");
    });
}

/// An endpoint with a flow to `b`, whose candidate is [`B`], in Hello or Keying.
fn opening_to_b(name: &str, keying: bool) -> (Time, Endpoint, SendFlowId) {
    let now = Time::from_secs(1);
    let mut end = endpoint(name, 1, Config::default());
    end.add_interface(InterfaceId(0), A);
    let flow = open(&mut end, now, b"b", B);
    end.handle_timeout(now);
    let hello = transmits(&mut end, now).remove(0).2;
    if keying {
        let mut forger = Forger::new("b", B);
        let (_, chunks) = forger.open(DEFAULT_KEY, &hello);
        let Chunk::IHello(hello) = parse(&chunks)[0] else { panic!("no hello") };
        let rhello = forger.rhello(hello.tag, b"cookie");
        deliver(&mut end, now, B, &rhello);
        run_jobs(&mut end, now);
        assert_eq!(kinds(&transmits(&mut end, now)[0].2), [kind::IIKEYING]);
    }
    (now, end, flow)
}

#[test]
fn a_keying_from_a_candidates_address_with_another_certificate_is_no_glare() {
    for keying in [false, true] {
        // `a` would prevail over `m`, `z` would not.
        for name in ["a", "z"] {
            let (now, mut end, flow) = opening_to_b(name, keying);
            let mut redirector = Forger::new("m", B);
            redirector.connect(now, &mut end, name.as_bytes());
            let ping = redirector.packet(&[Chunk::Ping(b"")]);
            deliver(&mut end, now, B, &ping);
            assert_eq!(end.open_sessions().len(), 1);
            assert_eq!(end.session_count(), 2, "the opening goes on");
            assert_eq!(session_of(&mut end, flow), None);
            let stats = end.stats();
            assert_eq!((stats.glares_won, stats.glares_lost, stats.merged_sessions), (0, 0, 0));
            transmits(&mut end, now);
            end.handle_timeout(now + SECOND);
            assert_eq!(transmits(&mut end, now + SECOND).len(), 1);
        }
    }
}

#[test]
fn whoever_only_claims_to_be_the_far_end_of_an_opening_session_does_not_end_it() {
    for keying in [false, true] {
        let (now, mut end, flow) = opening_to_b("z", keying);
        let mut liar = Forger::new("b", B);
        liar.connect(now, &mut end, b"z");
        let told = events(&mut end, now);
        assert!(closed(&told).is_empty(), "{told:?}");
        assert_eq!((end.session_count(), session_of(&mut end, flow)), (2, None));
        assert_eq!(end.stats().glares_lost, 1);
        // It waits for a proof for 10 seconds, then goes on.
        let mut sent = Vec::new();
        for second in 1..=11 {
            let at = now + SECOND * second;
            end.handle_timeout(at);
            let startup = transmits(&mut end, at);
            let again = startup.iter().any(|(_, _, bytes)| {
                let kinds = if bytes[4..8] == *b"open" { kinds(bytes) } else { Vec::new() };
                kinds == [kind::IHELLO] || kinds == [kind::IIKEYING]
            });
            sent.extend(again.then_some(second));
        }
        assert_eq!(sent, [10]);
        // The proof counts even then.
        let late = now + SECOND * 12;
        let ping = liar.packet(&[Chunk::Ping(b"")]);
        deliver(&mut end, late, B, &ping);
        assert_eq!(session_of(&mut end, flow), Some(end.open_sessions()[0]));
        assert_eq!(closed(&events(&mut end, late)), [CloseReason::Duplicate]);
        assert_eq!(end.session_count(), 1);
    }
}

#[test]
fn only_the_flows_that_name_the_far_end_move_to_the_session_that_is_there_already() {
    let mut hands = hands(1);
    let now = hands.now;
    let first = open(&mut hands.ends[0], now, b"b", B);
    write(&mut hands.ends[0], now, first);
    // Both lead to the same end; the third to somebody else.
    let [all, other] = [&b"b*"[..], b"c"].map(|epd| open(&mut hands.ends[0], now, epd, B));
    write(&mut hands.ends[0], now, all);
    assert_eq!(hands.ends[0].session_count(), 3);
    hands.run(SECOND);
    let session = hands.ends[0].open_sessions();
    assert_eq!(session.len(), 1);
    assert_eq!(session_of(&mut hands.ends[0], first), Some(session[0]));
    assert_eq!(session_of(&mut hands.ends[0], all), Some(session[0]));
    assert_eq!(session_of(&mut hands.ends[0], other), None);
    assert_eq!(hands.ends[0].session_count(), 2, "the other one is looked for still");
    assert_eq!(hands.opened(1), 1);
    assert_eq!(closed(&hands.events[0]), [CloseReason::Duplicate]);
    assert_eq!(hands.received[1].values().flatten().count(), 2);
    // Once more, when the session is open.
    let now = hands.now;
    let late = open(&mut hands.ends[0], now, b"*", B);
    hands.run(SECOND);
    assert_eq!(session_of(&mut hands.ends[0], late), Some(session[0]));
    assert_eq!((hands.opened(0), hands.opened(1)), (1, 1));
}

#[test]
fn a_new_flow_joins_the_session_that_agrees_on_keys_with_whom_it_names() {
    let (now, mut end, _) = opening_to_b("a", true);
    let joined = open(&mut end, now, b"b*", v4(9));
    assert_eq!(end.session_count(), 1);
    let separate = open(&mut end, now, b"c*", v4(9));
    assert_eq!(end.session_count(), 2);
    for flow in [joined, separate] {
        end.send_flow(flow).expect("it").close(now);
    }
    assert_eq!(end.session_count(), 1);
}

#[test]
fn a_session_that_others_open_takes_the_flows_that_wait_for_its_far_end_when_it_is_proved() {
    let now = Time::from_secs(1);
    let mut end = endpoint("z", 1, Config::default());
    end.add_interface(InterfaceId(0), A);
    // Nobody answers at the addresses that are tried.
    let flows = [(&b"b"[..], v4(9)), (b"b*", B), (b"*", v4(9)), (b"c", B)];
    let flows = flows.map(|(epd, to)| open(&mut end, now, epd, to));
    transmits(&mut end, now);
    let mut forger = Forger::new("b", B);
    forger.connect(now, &mut end, b"z");
    let reply = forger.packet(&[Chunk::PingReply(b"")]);
    deliver(&mut end, now, B, &reply);
    let session = end.open_sessions()[0];
    // The third one names nobody in particular, and anybody may come from anywhere.
    let got = flows.map(|flow| session_of(&mut end, flow));
    assert_eq!(got, [Some(session), Some(session), None, None]);
    assert_eq!(end.session_count(), 3);
    for flow in &flows[2..] {
        end.send_flow(*flow).expect("it").close(now);
    }
    assert_eq!(end.session_count(), 1);
}

#[test]
fn who_calls_gets_no_flow_to_somebody_of_whom_there_may_be_many() {
    let now = Time::from_secs(1);
    let mut end = endpoint("z", 1, Config::default());
    end.add_interface(InterfaceId(0), A);
    // As a client that looks for any server of an application.
    let flow = open(&mut end, now, b"app*", B);
    write(&mut end, now, flow);
    transmits(&mut end, now);
    // Its discriminator selects the stranger's certificate, too.
    let mut stranger = Forger::new("app of a stranger", v4(66));
    stranger.connect(now, &mut end, b"z");
    let ping = stranger.packet(&[Chunk::Ping(b"")]);
    deliver(&mut end, now, v4(66), &ping);
    run_jobs(&mut end, now);
    assert_eq!(session_of(&mut end, flow), None);
    let data = transmits(&mut end, now)
        .into_iter()
        .filter(|(_, _, packet)| kinds(packet).contains(&kind::USER_DATA));
    assert_eq!(data.count(), 0, "what is written is for whoever answers at the address that was given");
    // And who answers there gets it.
    let mut server = Forger::new("app", B);
    let later = now + SECOND;
    end.handle_timeout(later);
    let hello = transmits(&mut end, later).into_iter().rev().find(|(_, to, _)| *to == B);
    assert!(hello.is_some(), "it is still looked for");
    server.connect(later, &mut end, b"z");
    let ping = server.packet(&[Chunk::Ping(b"")]);
    deliver(&mut end, later, B, &ping);
    assert!(session_of(&mut end, flow).is_some());
}

#[test]
fn a_deadline_holds_for_a_flow_that_moves_to_a_session_that_has_no_keys_yet() {
    let now = Time::from_secs(1);
    let mut end = endpoint("a", 1, Config::default());
    end.add_interface(InterfaceId(0), A);
    let flows = [&b"b"[..], b"b*"].map(|epd| open(&mut end, now, epd, B));
    let finish_by = now + Duration::from_millis(200);
    let options = WriteOptions { notify: true, finish_by, ..WriteOptions::default() };
    end.send_flow(flows[1]).expect("it").write(now, Message::from(vec![1]), &options).expect("room");
    end.handle_timeout(now);
    let mut forger = Forger::new("b", B);
    for (_, _, packet) in transmits(&mut end, now) {
        let (_, chunks) = forger.open(DEFAULT_KEY, &packet);
        let Chunk::IHello(hello) = parse(&chunks)[0] else { panic!("no hello") };
        let rhello = forger.rhello(hello.tag, b"cookie");
        deliver(&mut end, now, B, &rhello);
    }
    assert_eq!(end.stats().merged_sessions, 1);
    // Public-key work takes its time.
    let mut told = false;
    while !told {
        let at = end.poll_timeout().expect("the message has to end").0;
        assert!(at <= finish_by + Duration::from_millis(1), "{at}");
        end.handle_timeout(at);
        transmits(&mut end, at);
        told = events(&mut end, at)
            .iter()
            .any(|event| matches!(event, Event::WriteEnded { delivered: false, .. }));
    }
}

#[test]
fn a_peer_that_comes_back_with_the_same_certificate_takes_its_place_when_it_shows_its_keys() {
    let mut hands = hands(1);
    let now = hands.now;
    let flow = open(&mut hands.ends[0], now, b"b", B);
    write(&mut hands.ends[0], now, flow);
    hands.run(SECOND);
    let old = hands.ends[1].open_sessions()[0];
    let spec = FlowSpec { metadata: Bytes::new(), priority: Priority::Routine };
    let now = hands.now;
    let back = hands.ends[1].session(old).expect("open").open_flow(now, spec, Tag(9)).expect("a flow");
    write(&mut hands.ends[1], now, back);
    hands.run(SECOND);
    hands.events.iter_mut().for_each(Vec::clear);
    // It restarts.
    hands.ends[0] = endpoint("a", 77, Config::default());
    hands.ends[0].add_interface(InterfaceId(0), A);
    let now = hands.now;
    open(&mut hands.ends[0], now, b"b", B);
    hands.run(DELAY * 3);
    assert_eq!(hands.ends[1].open_sessions().len(), 2, "the new one has to show its keys first");
    assert_eq!(closed(&hands.events[1]), []);
    // Nothing is written, and still it takes one round trip only.
    hands.run(DELAY * 2);
    assert_eq!(closed(&hands.events[1]), [CloseReason::Replaced]);
    assert!(hands.ends[1].session(old).is_none());
    assert_eq!(hands.ends[1].session_count(), 1);
    assert_eq!(hands.count(1, |e| *e == Event::FlowException { flow: back, tag: Tag(9), code: 0 }), 1);
    assert_eq!(hands.count(1, |e| matches!(e, Event::FlowLost { .. })), 1);
    assert_eq!(hands.ends[1].stats().replaced_sessions, 1);
    // The far end is not bothered with the end of the old one.
    assert_eq!(hands.times(1, kind::CLOSE), []);
    assert_eq!(hands.times(1, kind::CLOSE_ACK), []);
}

#[test]
fn nobody_can_end_a_session_by_sending_its_certificate_from_its_address() {
    let now = Time::from_secs(1);
    let mut b = endpoint("b", 1, Config::default());
    let mut real = Forger::new("a", A);
    real.connect(now, &mut b, b"b");
    let ping = real.packet(&[Chunk::Ping(b"")]);
    deliver(&mut b, now, A, &ping);
    let session = b.open_sessions()[0];
    let mut liar = Forger::new("a", A);
    liar.near_id = 9;
    let cookie = liar.cookie(now, &mut b, b"b");
    let keying = liar.keying(&cookie, *b"liar");
    deliver(&mut b, now, A, &keying);
    run_jobs(&mut b, now);
    for second in 0..200 {
        b.handle_timeout(now + SECOND * second);
        transmits(&mut b, now + SECOND * second);
    }
    assert_eq!(b.open_sessions(), [session]);
    assert_eq!(closed(&events(&mut b, now)), [CloseReason::NeverUsed]);
}

/// A session with `a` at [`A`], and then one with `c` at the same address. Answers the sessions of both.
fn restarted_as_another(challenge: Duration) -> (Time, Endpoint, [Forger; 2], SessionId) {
    let now = Time::from_secs(1);
    let mut config = Config::default();
    config.session.challenge_limit = challenge;
    let mut b = endpoint("b", 1, config);
    let mut old = Forger::new("a", A);
    old.connect(now, &mut b, b"b");
    let ping = old.packet(&[Chunk::Ping(b"")]);
    deliver(&mut b, now, A, &ping);
    let session = b.open_sessions()[0];
    transmits(&mut b, now);
    events(&mut b, now);
    let later = now + SECOND * 50;
    let mut new = Forger::new("c", A);
    new.connect(later, &mut b, b"b");
    let ping = new.packet(&[Chunk::Ping(b"")]);
    deliver(&mut b, later, A, &ping);
    (later, b, [old, new], session)
}

#[test]
fn a_peer_that_restarts_with_another_certificate_is_let_in_at_once_and_its_old_session_ends_early() {
    for limit in [1, 10, 30] {
        let (now, mut b, _, old) = restarted_as_another(SECOND * limit);
        assert_eq!(b.open_sessions().len(), 2);
        let asked = transmits(&mut b, now);
        assert!(!asked.is_empty());
        let mut ended = None;
        for tenth in 0..1000 {
            let at = now + SECOND / 10 * tenth;
            b.handle_timeout(at);
            transmits(&mut b, at);
            if ended.is_none() && b.session(old).is_none() {
                ended = Some(at.since(now));
            }
        }
        assert_eq!(ended, Some(SECOND * limit));
        assert_eq!(closed(&events(&mut b, now)), [CloseReason::Unresponsive]);
        assert_eq!(b.open_sessions().len(), 1);
    }
}

#[test]
fn a_session_that_shows_life_stays_beside_another_one_of_its_address() {
    let (now, mut b, [mut old, mut new], _) = restarted_as_another(SECOND * 10);
    let asked: Vec<u8> = transmits(&mut b, now).into_iter().flat_map(|(_, _, bytes)| kinds(&bytes)).collect();
    assert!(asked.contains(&kind::PING), "{asked:?}");
    let reply = old.packet(&[Chunk::PingReply(b"")]);
    deliver(&mut b, now + SECOND * 9, A, &reply);
    let alive = new.packet(&[Chunk::PingReply(b"")]);
    deliver(&mut b, now + SECOND * 9, A, &alive);
    for second in 10..100 {
        b.handle_timeout(now + SECOND * second);
        transmits(&mut b, now + SECOND * second);
    }
    assert_eq!(b.open_sessions().len(), 2);
    assert_eq!(closed(&events(&mut b, now)), []);
}

#[test]
fn cookies_that_no_keying_packet_has_room_for_are_not_taken() {
    let (now, mut end, flow) = opening_to_b("a", false);
    let later = now + SECOND;
    end.handle_timeout(later);
    let hello = transmits(&mut end, later).remove(0).2;
    let mut forger = Forger::new("b", B);
    forger.mode = Mode::Responder;
    let (_, chunks) = forger.open(DEFAULT_KEY, &hello);
    let Chunk::IHello(hello) = parse(&chunks)[0] else { panic!("no hello") };
    let giant = vec![1; 4000];
    let certificate = b"b".to_vec();
    let rhello = |cookie| Chunk::RHello(RHello { tag_echo: hello.tag, cookie, certificate: &certificate });
    let packet = forger.startup(0, &[rhello(&giant)]);
    deliver(&mut end, later, B, &packet);
    run_jobs(&mut end, later);
    assert!(transmits(&mut end, later).is_empty());
    assert_eq!((end.stats().oversized_cookies, end.session_count()), (1, 1));
    // A good one is taken afterwards, and is not changed for a giant one.
    let packet = forger.startup(0, &[rhello(&[2; 64])]);
    deliver(&mut end, later, B, &packet);
    run_jobs(&mut end, later);
    let keying = transmits(&mut end, later).remove(0).2;
    let (_, chunks) = forger.open(DEFAULT_KEY, &keying);
    let Chunk::IIKeying(keying) = parse(&chunks)[0] else { panic!("no keying") };
    let change = CookieChange { old: &[2; 64], new: &giant };
    let packet = forger.startup(keying.session_id, &[Chunk::CookieChange(change)]);
    deliver(&mut end, later, B, &packet);
    run_jobs(&mut end, later);
    assert!(transmits(&mut end, later).is_empty());
    assert_eq!(end.stats().oversized_cookies, 2);
    let answer = forger.rikeying(&keying);
    deliver(&mut end, later, B, &answer);
    run_jobs(&mut end, later);
    assert!(session_of(&mut end, flow).is_some());
}

#[test]
fn nothing_is_left_in_the_indices_when_the_sessions_have_gone() {
    let mut hands = hands(1);
    collide(&mut hands, DELAY, true);
    hands.run(SECOND);
    for end in &mut hands.ends {
        end.shutdown(hands.now, rtmfp::Shutdown::Orderly);
    }
    hands.run(SECOND * 200);
    for end in &mut hands.ends {
        assert_eq!(end.holdings(), Holdings::default());
    }
}
