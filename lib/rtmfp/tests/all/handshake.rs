//! Opening sessions: schedules, losses, slow and lost jobs, limits.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::common::{Pair, endpoint, link};
use crate::hand::{A, B, DELAY, Fate, Forger, Hands, deliver, events, kinds, run_jobs, transmits, v4};
use bytes::Bytes;
use rtmfp::wire::kind;
use rtmfp::{
    CloseReason, Config, Disposition, Endpoint, Event, FlowSpec, Holdings, KeyingFailure, OpenFlowError,
    Priority, SendFlowId, Shutdown,
};
use rtmfp_base::{InterfaceId, Message, Tag, Time, WriteOptions};
use rtmfp_netsim::{Dice, JobModel, for_each_seed, seeds};

fn hands(seed: u64) -> Hands {
    Hands::new(endpoint("a", seed, Config::default()), endpoint("b", seed + 1, Config::default()))
}

fn spec() -> FlowSpec {
    FlowSpec { metadata: Bytes::from_static(b"flow"), priority: Priority::Routine }
}

fn open(endpoint: &mut Endpoint, now: Time, epd: &[u8], to: SocketAddr) -> SendFlowId {
    let flow = endpoint.open_flow(now, epd, spec(), Tag(7)).expect("a flow");
    endpoint.send_flow(flow).expect("the flow").add_candidate(now, to);
    flow
}

fn write(endpoint: &mut Endpoint, now: Time, flow: SendFlowId) {
    let message = Message::from(b"a message".to_vec());
    endpoint.send_flow(flow).expect("the flow").write(now, message, &WriteOptions::default()).expect("room");
}

/// The times since the first, in milliseconds.
fn since_first(times: &[Time]) -> Vec<u64> {
    times.iter().map(|at| at.since(times[0]).as_millis() as u64).collect()
}

#[test]
fn a_session_opens_on_both_ends_after_two_round_trips() {
    let mut hands = hands(1);
    open(&mut hands.ends[0], hands.now, b"b", B);
    hands.run(DELAY * 3);
    assert_eq!([hands.opened(0), hands.opened(1)], [0, 1]);
    hands.run(DELAY);
    assert_eq!([hands.opened(0), hands.opened(1)], [1, 1]);
    let of = |end: usize| hands.ends[end].stats();
    assert_eq!((of(0).opened_sessions, of(0).accepted_sessions), (1, 0));
    assert_eq!((of(1).opened_sessions, of(1).accepted_sessions), (0, 1));
    let startup: Vec<_> = hands.sent.iter().take(4).map(|(_, end, d)| (*end, kinds(&d.bytes)[0])).collect();
    assert_eq!(startup, [(0, kind::IHELLO), (1, kind::RHELLO), (0, kind::IIKEYING), (1, kind::RIKEYING)]);
}

#[test]
fn each_startup_packet_may_be_lost_and_costs_the_next_wait_of_the_schedule() {
    for lost_kind in [kind::IHELLO, kind::RHELLO, kind::IIKEYING, kind::RIKEYING] {
        for lost in 0..4u64 {
            let mut hands = hands(lost);
            let mut left = lost;
            hands.network = Box::new(move |_, datagram| {
                if kinds(&datagram.bytes)[0] != lost_kind || left == 0 {
                    return Fate::After(DELAY);
                }
                left -= 1;
                Fate::Lost
            });
            open(&mut hands.ends[0], hands.now, b"b", B);
            let waits = [0, 1000, 3500, 7500][lost as usize];
            hands.run(Duration::from_millis(waits) + DELAY * 4 - Duration::from_millis(1));
            assert_eq!(hands.opened(0), 0, "{lost_kind:x} lost {lost} times");
            hands.run(Duration::from_millis(1));
            assert_eq!([hands.opened(0), hands.opened(1)], [1, 1], "{lost_kind:x} lost {lost} times");
            assert_eq!(hands.ends[1].stats().accepted_sessions, 1);
        }
    }
}

#[test]
fn hellos_and_keying_are_repeated_with_growing_gaps_until_the_time_is_up() {
    for answered in [false, true] {
        let mut hands = hands(1);
        hands.network = Box::new(move |end, _| match (end, answered) {
            (1, false) => Fate::Lost,
            _ => Fate::After(DELAY),
        });
        if answered {
            hands.jobs = Box::new(|end| if end == 1 { Fate::Lost } else { Fate::After(Duration::ZERO) });
        }
        let flow = open(&mut hands.ends[0], hands.now, b"b", B);
        hands.run(Duration::from_millis(94_990));
        let repeated = if answered { kind::IIKEYING } else { kind::IHELLO };
        let times = hands.times(0, repeated);
        let schedule = [0, 1000, 3500, 7500, 13_000, 20_000, 28_500, 38_500, 50_000, 63_000, 77_500, 93_500];
        assert_eq!(since_first(&times), schedule);
        let told = Event::KeyingFailed { peer: B, initiator: true, failure: KeyingFailure::Unanswered };
        assert_eq!(hands.events[0], if answered { vec![told] } else { vec![] });
        hands.events[0].clear();
        hands.run(Duration::from_millis(10));
        let session = match &hands.events[0][..] {
            [
                Event::FlowException { flow: failed, tag: Tag(7), code: 0 },
                Event::SessionClosed { session, reason: CloseReason::OpenTimeout },
            ] => {
                assert_eq!(*failed, flow);
                *session
            }
            other => panic!("{other:?}"),
        };
        assert!(hands.ends[0].session(session).is_none());
        assert!(hands.ends[0].send_flow(flow).is_none());
        hands.run(Duration::from_secs(100));
        for end in &mut hands.ends {
            assert_eq!(end.holdings(), Holdings::default(), "the responder's job is lost: {answered}");
        }
        assert_eq!(hands.times(0, repeated).len(), schedule.len());
    }
}

#[test]
fn with_a_third_of_all_packets_lost_nearly_all_sessions_open_and_the_others_end_in_time() {
    let (mut opened, mut all) = (0, 0);
    for_each_seed(100, |seed| {
        let mut hands = hands(seed);
        let mut dice = Dice::new(seed, 1);
        hands.network =
            Box::new(
                move |_, _| {
                    if dice.chance(0.3) { Fate::Lost } else { Fate::After(dice.up_to(DELAY * 2)) }
                },
            );
        let flow = open(&mut hands.ends[0], hands.now, b"b", B);
        write(&mut hands.ends[0], hands.now, flow);
        hands.run(Duration::from_secs(96));
        let failed = hands.count(0, |e| matches!(e, Event::SessionClosed { .. }));
        assert_eq!(hands.opened(0) + failed, 1);
        assert!(hands.opened(1) <= 1, "{:?}", hands.events[1]);
        opened += hands.opened(0);
        all += 1;
    });
    assert!(opened * 100 >= all * 97, "{opened} of {all}");
}

#[test]
fn hellos_go_out_on_every_interface_of_the_family() {
    let mut a = endpoint("a", 1, Config::default());
    let now = Time::from_secs(1);
    for (id, local) in ["10.0.0.1:1", "10.0.1.1:1", "[2001:db8::1]:1"].into_iter().enumerate() {
        a.add_interface(InterfaceId(id as u32), local.parse().expect("an address"));
    }
    let to_v6: SocketAddr = "[2001:db8::2]:1935".parse().expect("an address");
    let flow = open(&mut a, now, b"b", B);
    a.send_flow(flow).expect("the flow").add_candidate(now, to_v6);
    a.handle_timeout(now);
    let mut sent: Vec<_> = transmits(&mut a, now).into_iter().map(|(id, to, _)| (id.0, to)).collect();
    sent.sort_unstable();
    assert_eq!(sent, [(0, B), (1, B), (2, to_v6)]);
    // Each candidate has a schedule of its own.
    let later = now + Duration::from_millis(500);
    a.send_flow(flow).expect("the flow").add_candidate(later, v4(3));
    a.send_flow(flow).expect("the flow").add_candidate(later, v4(3));
    a.handle_timeout(later);
    let sent: Vec<_> = transmits(&mut a, later).into_iter().map(|(id, to, _)| (id.0, to)).collect();
    assert_eq!(sent, [(0, v4(3)), (1, v4(3))]);
    assert_eq!(a.poll_timeout().map(|(at, _)| at), Some(now + Duration::from_secs(1)));
}

#[test]
fn hellos_are_long_enough_to_be_answered_in_full() {
    let mut hands = hands(1);
    open(&mut hands.ends[0], hands.now, b"b", B);
    hands.run(DELAY);
    let (_, _, hello) = &hands.sent[0];
    assert!(hello.bytes.len() >= 64, "{}", hello.bytes.len());
}

#[test]
fn slow_jobs_that_end_in_any_order_open_each_session_once() {
    for_each_seed(20, |seed| {
        let mut pair = Pair::new(seed, link(10));
        let jobs = JobModel { delay: Duration::from_millis(100), jitter: Duration::from_secs(4), lost: 0.0 };
        pair.net.set_jobs(pair.a, jobs);
        pair.net.set_jobs(pair.b, jobs);
        let flow = pair.open(b"slow", Priority::Routine);
        pair.write(flow, b"it comes".to_vec());
        pair.run(30.0);
        assert_eq!(pair.peer(pair.b).messages(b"slow"), [b"it comes"]);
        let b = pair.b;
        let stats = pair.node(b).endpoint().stats();
        assert_eq!((stats.accepted_sessions, stats.closed_sessions), (1, 0));
    });
}

#[test]
fn a_repeated_keying_is_answered_by_the_same_session_without_another_job() {
    let now = Time::from_secs(1);
    let mut b = endpoint("b", 1, Config::default());
    let mut forger = Forger::new("a", A);
    let cookie = forger.cookie(now, &mut b, b"b");
    let keying = forger.keying(&cookie, *b"salt");
    deliver(&mut b, now, A, &keying);
    let job = b.poll_job().expect("a job");
    deliver(&mut b, now, A, &keying);
    assert!(b.poll_job().is_none(), "the first one is under way");
    b.complete_job(now, job.run());
    let first = transmits(&mut b, now);
    assert_eq!(first.iter().map(|t| kinds(&t.2)).collect::<Vec<_>>(), [[kind::RIKEYING]]);
    let later = now + Duration::from_secs(1);
    deliver(&mut b, later, A, &keying);
    assert!(b.poll_job().is_none());
    let second = transmits(&mut b, later);
    assert_eq!(first[0].2[11..second[0].2.len() - 2], second[0].2[11..second[0].2.len() - 2]);
    assert_eq!(b.stats().accepted_sessions, 1);
    assert_eq!(b.session_count(), 1);
}

#[test]
fn flows_to_one_end_share_a_session_while_it_opens_and_when_it_is_open() {
    let mut hands = hands(1);
    let flows = [(); 2].map(|()| open(&mut hands.ends[0], hands.now, b"b", B));
    hands.run(DELAY * 5);
    let third = open(&mut hands.ends[0], hands.now, b"b", B);
    hands.run(DELAY);
    assert_eq!(hands.opened(0), 1);
    let bound: BTreeMap<_, _> = hands.events[0]
        .iter()
        .filter_map(|e| match e {
            Event::FlowBound { flow, session, .. } => Some((*flow, *session)),
            _ => None,
        })
        .collect();
    assert_eq!(bound.keys().copied().collect::<Vec<_>>(), [flows[0], flows[1], third]);
    assert_eq!(bound.values().collect::<std::collections::BTreeSet<_>>().len(), 1);
    // The other end is a different matter.
    open(&mut hands.ends[0], hands.now, b"c", v4(3));
    assert_eq!(hands.ends[0].session_count(), 2);
}

#[test]
fn closing_the_last_waiting_flow_ends_the_opening_but_what_was_written_is_still_sent() {
    let mut hands = hands(1);
    let now = hands.now;
    let flows = [(); 2].map(|()| open(&mut hands.ends[0], now, b"b", B));
    hands.ends[0].send_flow(flows[0]).expect("it").close(now);
    assert_eq!(hands.ends[0].session_count(), 1);
    hands.ends[0].send_flow(flows[1]).expect("it").close(now);
    let told = events(&mut hands.ends[0], now);
    assert_eq!(told[..2], flows.map(|flow| Event::FlowClosed { flow, tag: Tag(7) }));
    assert!(matches!(told[2..], [Event::SessionClosed { reason: CloseReason::Near, .. }]), "{told:?}");
    assert_eq!(hands.ends[0].holdings(), Holdings::default());

    let flow = open(&mut hands.ends[0], now, b"b", B);
    write(&mut hands.ends[0], now, flow);
    hands.ends[0].send_flow(flow).expect("it").close(now);
    hands.run(Duration::from_secs(1));
    assert_eq!(hands.count(0, |e| *e == Event::FlowClosed { flow, tag: Tag(7) }), 1);
}

#[test]
fn shutting_down_while_opening_ends_at_once() {
    for how in [Shutdown::Orderly, Shutdown::Abrupt] {
        for after in 0..4 {
            let mut hands = hands(after);
            open(&mut hands.ends[0], hands.now, b"b", B);
            hands.run(DELAY * after as u32);
            let now = hands.now;
            hands.ends[0].shutdown(now, how);
            let told = events(&mut hands.ends[0], now);
            assert!(
                matches!(
                    told[..],
                    [
                        Event::FlowException { code: 0, .. },
                        Event::SessionClosed { reason: CloseReason::Near, .. },
                        Event::ShutDown,
                    ]
                ),
                "{told:?}"
            );
            assert_eq!(hands.ends[0].session_count(), 0);
            let refused = hands.ends[0].open_flow(now, b"b", spec(), Tag(1));
            assert_eq!(refused, Err(OpenFlowError::ShuttingDown));
        }
    }
}

#[test]
fn a_responder_that_shuts_down_takes_no_keying_and_drops_what_is_under_way() {
    let now = Time::from_secs(1);
    let mut b = endpoint("b", 1, Config::default());
    let mut forger = Forger::new("a", A);
    let cookie = forger.cookie(now, &mut b, b"b");
    let keying = forger.keying(&cookie, *b"salt");
    deliver(&mut b, now, A, &keying);
    let job = b.poll_job().expect("a job");
    b.shutdown(now, Shutdown::Orderly);
    assert_eq!(events(&mut b, now), [Event::ShutDown]);
    b.complete_job(now, job.run());
    deliver(&mut b, now, A, &keying);
    assert_eq!(b.holdings(), Holdings::default());
    assert!(transmits(&mut b, now).is_empty());
}

#[test]
fn sessions_are_limited_in_both_roles() {
    let now = Time::from_secs(1);
    let mut config = Config::default();
    config.limits.sessions = 3;
    let mut b = endpoint("b", 1, config);
    for number in 0..5 {
        let mut forger = Forger::new("a", v4(10 + number));
        let cookie = forger.cookie(now, &mut b, b"b");
        deliver(&mut b, now, forger.address, &forger.keying(&cookie, *b"salt"));
        run_jobs(&mut b, now);
        transmits(&mut b, now);
    }
    assert_eq!((b.session_count(), b.stats().accepted_sessions, b.stats().limited_sessions), (3, 3, 2));
    assert_eq!(b.open_flow(now, b"c", spec(), Tag(1)), Err(OpenFlowError::Limit));
    assert_eq!(b.holdings().held_send_flows, 0);
    // Those who never use their session make room again.
    b.handle_timeout(now + Duration::from_secs(96));
    b.handle_timeout(now + Duration::from_secs(97));
    assert_eq!(b.session_count(), 0);
}

#[test]
fn nobody_can_use_up_all_handshakes() {
    let now = Time::from_secs(1);
    let mut config = Config::default();
    config.limits.handshakes = 16;
    let mut b = endpoint("b", 1, config);
    let mut begun = BTreeMap::new();
    for number in 0..60u8 {
        // Three prefixes.
        let address = SocketAddr::from(([10, 0, number / 20, number], 1935));
        let mut forger = Forger::new("a", address);
        let cookie = forger.cookie(now, &mut b, b"b");
        let before = b.holdings().held_jobs;
        deliver(&mut b, now, address, &forger.keying(&cookie, *b"salt"));
        *begun.entry(number / 20).or_insert(0) += b.holdings().held_jobs - before;
    }
    assert_eq!(begun.into_values().collect::<Vec<_>>(), [8, 4, 2]);
    assert_eq!(b.stats().limited_handshakes, 60 - 14);
    run_jobs(&mut b, now);
    assert_eq!(b.stats().accepted_sessions, 14);
    assert_eq!(b.holdings().held_jobs, 0);
}

#[test]
fn endpoints_that_share_a_socket_tell_what_is_theirs() {
    let mut hands = hands(1);
    let mut c = endpoint("c", 3, Config::default());
    // Of two endpoints with the address B, `c` sees everything first.
    let flow = open(&mut hands.ends[0], hands.now, b"b", B);
    write(&mut hands.ends[0], hands.now, flow);
    hands.run(DELAY * 10);
    let to_b: Vec<_> = hands.sent.iter().filter(|(_, end, _)| *end == 0).collect();
    assert!(to_b.len() > 2);
    for (at, _, datagram) in to_b {
        let meta = rtmfp_base::RecvMeta {
            interface: InterfaceId(0),
            from: A,
            dst_ip: None,
            ecn: rtmfp_base::Ecn::NotEct,
        };
        let mut bytes = datagram.bytes.clone();
        assert_eq!(c.handle_datagram(*at, &meta, &mut bytes), Disposition::NotOurs, "{:?}", kinds(&bytes));
        assert_eq!(bytes, datagram.bytes, "the next one has to open it");
    }
    assert_eq!(c.holdings(), Holdings::default());
    // And a session that has ended is nobody's.
    let now = hands.now;
    let last = hands.sent.iter().rev().find(|(_, end, _)| *end == 0).expect("a packet").2.bytes.clone();
    hands.ends[1].shutdown(now, Shutdown::Abrupt);
    hands.run(Duration::from_secs(1));
    assert_eq!(hands.ends[1].session_count(), 0);
    assert_eq!(deliver(&mut hands.ends[1], hands.now, A, &last), Disposition::NotOurs);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed: u64| {
        let mut pair = Pair::new(seed, crate::common::bad_link());
        let flow = pair.open(b"flow", Priority::Routine);
        for number in 0..50 {
            pair.write(flow, crate::common::numbered(number, 1000));
        }
        pair.close(flow);
        pair.run(20.0);
        pair.net.drain(pair.a);
        pair.run(30.0);
        pair.net.trace_hash()
    };
    for seed in seeds(5) {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
    assert_ne!(run(1), run(2));
}
