//! Limits on what all flows of a session, and all sessions of an endpoint, hold together.

use std::time::Duration;

use crate::common::{Pair, bad_link, endpoint, numbered};
use crate::hand::flows::{Seen, view};
use crate::hand::{A, B, DELAY, Fate, Forger, Hands, deliver, events_accepting, transmits, v4};
use rtmfp::wire::{Chunk, DataFlags, Fragment, UserData, write_ack_ranges, write_startup_options};
use rtmfp::{Config, Event, Holdings, Limits, Priority, ReceiveOrder, SendFlowId, WriteError};
use rtmfp_base::{Message, Time, WriteOptions};

fn hands(a: Config, b: Config) -> Hands {
    Hands::new(endpoint("a", 1, a), endpoint("b", 2, b))
}

fn try_write(hands: &mut Hands, flow: SendFlowId, len: usize) -> Result<(), WriteError> {
    let now = hands.now;
    let options = WriteOptions { start_by: now + Duration::from_millis(50), ..WriteOptions::default() };
    let mut flow = hands.ends[0].send_flow(flow).expect("the flow");
    flow.write(now, Message::from(vec![1; len]), &options).map(|_| ())
}

#[test]
fn no_more_is_queued_than_a_session_and_the_endpoint_allow() {
    for (session, all) in [(30_000, 1_000_000), (1_000_000, 30_000)] {
        let limits = Limits { session_send_queue: session, total_send_queue: all, ..Limits::default() };
        let mut hands = hands(Config { limits, ..Config::default() }, Config::default());
        let [one, other] = [b"one", b"two"].map(|name| hands.open(name, Priority::Routine));
        // Nothing is sent while the session is opening.
        for _ in 0..3 {
            assert_eq!(try_write(&mut hands, one, 4_900), Ok(()));
            assert_eq!(try_write(&mut hands, other, 4_900), Ok(()));
        }
        assert_eq!(try_write(&mut hands, one, 1_000), Err(WriteError::Full));
        assert_eq!(try_write(&mut hands, other, 1_000), Err(WriteError::Full));
        assert_eq!(hands.ends[0].stats().limited_writes, 2);
        assert_eq!(hands.ends[0].holdings().held_queued_bytes, 6 * (4_900 + 64));
        // What has expired makes room at once, in the flow that is written to.
        hands.now += Duration::from_millis(60);
        assert_eq!(try_write(&mut hands, one, 1_000), Ok(()));
        hands.run_millis(3000);
        assert_eq!(hands.ends[0].holdings().held_queued_bytes, 0);
        assert_eq!(try_write(&mut hands, other, 29_000), Ok(()));
        let (now, session) = (hands.now, hands.session(0));
        hands.ends[0].session(session).expect("open").abort(now);
        hands.run(Duration::from_secs(100));
        assert_eq!([0, 1].map(|end| hands.ends[end].holdings()), [Holdings::default(), Holdings::default()]);
    }
}

/// A fragment of a flow, with its startup options.
fn fragment(
    forger: &mut Forger,
    flow_id: u64,
    sequence: u64,
    fragment: Fragment,
    metadata: &[u8],
) -> Vec<u8> {
    let mut options = Vec::new();
    write_startup_options(metadata, None, &mut options);
    let flags = DataFlags { fragment, abandoned: false, last: false };
    let data =
        UserData { flags, flow_id, sequence, fsn_offset: sequence, options: Some(&options), data: &[7; 600] };
    forger.packet(&[Chunk::UserData(data)])
}

#[test]
fn the_metadata_of_an_offered_flow_has_a_limit() {
    let limits = Limits { metadata: 100, ..Limits::default() };
    let mut victim = endpoint("v", 1, Config { limits, ..Config::default() });
    let (mut forger, now) = (Forger::new("f", A), Time::from_secs(1));
    forger.connect(now, &mut victim, b"v");
    for (flow, len, offers) in [(2, 100, 1), (3, 101, 0), (4, 500, 0)] {
        let packet = fragment(&mut forger, flow, 1, Fragment::Whole, &vec![1; len]);
        deliver(&mut victim, now, A, &packet);
        let events = events_accepting(&mut victim, now);
        let offered = events.iter().filter(|event| matches!(event, Event::FlowOffered { .. })).count();
        assert_eq!(offered, offers, "{len}");
    }
    assert_eq!(victim.stats().refused_flows, 2);
}

#[test]
fn sessions_go_on_slowly_when_others_have_filled_the_endpoint() {
    let limits = Limits { receive_total: 400_000, ..Limits::default() };
    let most = limits.receive_total + 65_536 + 2000;
    let mut hands = hands(Config::default(), Config { limits, ..Config::default() });
    let flow = hands.open(b"honest", Priority::Routine);
    // Several flows with messages that take more than a share; no new one is taken later.
    let more = hands.open(b"more", Priority::Routine);
    hands.write(flow, 10);
    hands.write(more, 10);
    hands.run_millis(500);
    // Ten sessions of messages that never end.
    let mut forgers: Vec<_> = (10..20).map(|number| Forger::new("forged", v4(number))).collect();
    for forger in &mut forgers {
        let now = hands.now;
        forger.connect(now, &mut hands.ends[1], b"b");
        for flow in 2..6 {
            for sequence in 1..100 {
                let kind = if sequence == 1 { Fragment::Begin } else { Fragment::Middle };
                let packet = fragment(forger, flow, sequence, kind, b"forged");
                let from = forger.address;
                deliver(&mut hands.ends[1], now, from, &packet);
            }
            hands.poll();
        }
    }
    let held = hands.ends[1].holdings().held_received_bytes as usize;
    assert!((300_000..=most).contains(&held), "{held}");
    for _ in 0..10 {
        hands.write(flow, 40_000);
        hands.write(more, 3_000);
    }
    for _ in 0..240 {
        hands.run(Duration::from_millis(500));
        let held = hands.ends[1].holdings().held_received_bytes as usize;
        assert!(held <= most, "{held}");
    }
    let got: Vec<_> = hands.received[1].values().map(Vec::len).collect();
    assert_eq!(got.iter().sum::<usize>(), 22, "{got:?}");
    // When they have gone there is room as ever.
    for forger in &mut forgers {
        let packet = forger.packet(&[Chunk::CloseAck]);
        let (now, from) = (hands.now, forger.address);
        deliver(&mut hands.ends[1], now, from, &packet);
    }
    hands.poll();
    assert!(hands.ends[1].holdings().held_received_bytes < 10_000);
    let start = hands.now;
    for _ in 0..10 {
        hands.write(flow, 40_000);
    }
    hands.run(Duration::from_secs(3));
    let read = hands.received[1].values().map(Vec::len).sum::<usize>();
    assert_eq!(read, 32, "since {start}");
}

#[test]
fn a_rejected_flow_ends_on_both_sides_whatever_is_lost_and_however_small_the_window() {
    for capacity in [0, 1, 65_536] {
        for pattern in 0..7u32 {
            let mut hands = hands(Config::default(), Config::default());
            let flow = hands.open(b"flow", Priority::Routine);
            hands.write(flow, 1);
            hands.run_millis(500);
            let offered = hands.offered(1)[0];
            let now = hands.now;
            let mut far = hands.ends[1].recv_flow(offered).expect("the flow");
            far.set_hold(now, true);
            far.set_order(now, ReceiveOrder::Network);
            far.set_capacity(now, capacity, 65_536);
            hands.write(flow, 30_000);
            hands.run_millis(1000);
            let now = hands.now;
            hands.ends[1].recv_flow(offered).expect("the flow").reject(now, 9);
            let mut count = 0;
            hands.network = Box::new(move |_, _| {
                count += 1;
                let lost = count < 6 && (pattern >> (count % 3)) & 1 == 1;
                if lost { Fate::Lost } else { Fate::After(DELAY) }
            });
            // A closed window is probed after longer and longer times.
            hands.run(Duration::from_secs(100));
            let context = (capacity, pattern);
            assert_eq!(
                hands.count(0, |e| matches!(e, Event::FlowException { code: 9, .. })),
                1,
                "{context:?}"
            );
            assert!(hands.ends[0].send_flow(flow).is_none(), "{context:?}");
            assert_eq!(hands.ends[0].holdings().held_queued_bytes, 0);
            assert_eq!(hands.ends[1].holdings().held_recv_flows, 0, "{context:?}");
        }
    }
}

#[test]
fn a_flow_that_was_rejected_ends_although_no_window_is_ever_advertised() {
    let mut hands = hands(Config::default(), Config::default());
    let flow = hands.open(b"flow", Priority::Routine);
    hands.write(flow, 1);
    hands.run_millis(500);
    let mut forger = hands.forger_of_b();
    for _ in 0..30 {
        hands.write(flow, 1000);
    }
    hands.network = Box::new(|_, _| Fate::Lost);
    let now = hands.now;
    // The reference advertises the capacity of its buffer for ever, which may be nothing.
    let refuse = |forger: &mut Forger, cumulative: u64| {
        let mut clear = vec![forger.mode as u8];
        Chunk::FlowException { flow_id: 2, code: 5 }.write(&mut clear);
        write_ack_ranges(2, 0, cumulative, core::iter::empty(), 1000, &mut clear).expect("it fits");
        let (key, far_id) = (forger.key, forger.far_id);
        forger.seal_clear(key, far_id, &clear)
    };
    let packet = refuse(&mut forger, 1);
    deliver(&mut hands.ends[0], now, B, &packet);
    let mut last = 0;
    for _ in 0..50 {
        let now = hands.now;
        hands.ends[0].handle_timeout(now);
        for (.., bytes) in transmits(&mut hands.ends[0], now) {
            for chunk in view(&bytes).1 {
                if let Seen::Data { sequence, flags, .. } = chunk {
                    last = last.max(if flags.last { sequence } else { 0 });
                }
            }
        }
        hands.now += Duration::from_millis(200);
    }
    assert!(last > 0, "it tells the end");
    let (now, packet) = (hands.now, refuse(&mut forger, last));
    deliver(&mut hands.ends[0], now, B, &packet);
    hands.poll();
    assert!(hands.ends[0].send_flow(flow).is_none());
}

#[test]
fn flows_beyond_the_limit_are_refused_and_the_session_lives_on() {
    let mut config = Config::default();
    config.limits.receive_flows = 2;
    for seed in 0..20 {
        let mut pair = Pair::with(seed, bad_link(), Config::default(), config.clone());
        let flows: Vec<_> = (0..30).map(|_| pair.open(b"flow", Priority::Routine)).collect();
        let options = WriteOptions { notify: true, ..WriteOptions::default() };
        for &flow in &flows {
            for number in 0..5 {
                pair.write_with(flow, numbered(number, 3000), &options).expect("room");
            }
        }
        pair.run(20.0);
        let (a, b) = (pair.a, pair.b);
        let sender = pair.peer(a);
        let refused = sender.count(|event| matches!(event, Event::FlowException { code: 0, .. }));
        assert_eq!(refused, 28, "seed {seed}");
        assert_eq!(sender.count(|event| matches!(event, Event::WriteEnded { .. })), 150, "seed {seed}");
        assert_eq!(sender.count(|event| matches!(event, Event::SessionClosed { .. })), 0, "seed {seed}");
        assert_eq!(pair.peer(b).received.values().map(Vec::len).sum::<usize>(), 10, "seed {seed}");
        assert_eq!(pair.node(a).endpoint().holdings().held_send_flows, 2, "seed {seed}");
    }
}
