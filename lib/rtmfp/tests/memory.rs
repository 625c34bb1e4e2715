//! What a peer may cost in memory. One test only: the allocator is counted for the whole process.

mod common;
mod hand;

use std::alloc::System;
use std::time::Duration;

use bytes::Bytes;
use common::endpoint;
use hand::{A, Forger, deliver, events, events_accepting, transmits, v4};
use rtmfp::wire::{DataFlags, Fragment, Mode, write_startup_options, write_user_data_header};
use rtmfp::{Config, Endpoint, FlowSpec, Priority};
use rtmfp_base::{Message, Tag, Time, WriteOptions};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const START: Time = Time::from_secs(1);

fn live() -> isize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated as isize - stats.bytes_deallocated as isize
}

/// A packet with a fragment of a flow.
fn fragment(peer: &mut Forger, flow: u64, sequence: u64, fragment: Fragment, len: usize) -> Vec<u8> {
    let mut clear = vec![Mode::Initiator as u8];
    let mut options = Vec::new();
    write_startup_options(&[b'm'; 300], None, &mut options);
    let flags = DataFlags { fragment, abandoned: false, last: false };
    let chunk = write_user_data_header(flags, flow, sequence, sequence, &options, &mut clear);
    clear.resize(clear.len() + len, 1);
    chunk.finish(&mut clear);
    let (key, far_id) = (peer.key, peer.far_id);
    peer.seal_clear(key, far_id, &clear)
}

/// Sends a packet; the application takes every flow but reads nothing.
fn send(b: &mut Endpoint, packet: &[u8], accepts: bool) {
    deliver(b, START, A, packet);
    if accepts {
        events_accepting(b, START);
    } else {
        events(b, START);
    }
    transmits(b, START);
}

#[test]
fn the_worst_peer_stays_within_its_bounds() {
    // What a relay grants to those whom it does not know yet, and to those whose connect it has accepted; a test of
    // netconn holds the two together.
    bounded(64 << 10, 60 << 10, 30 << 10, 256 << 10);
    bounded(6 << 20, 640 << 10, 320 << 10, 8 << 20);
    bounded_sender();
    bounded_in_all();
}

/// Many sessions, each as bad as one can be: what they hold stays within the endpoint's own limit.
fn bounded_in_all() {
    const TOTAL: usize = 3 << 20;
    let mut config = Config::default();
    config.limits.receive_total = TOTAL;
    let mut b = endpoint("b", 1, config);
    Forger::new("warm", v4(9)).connect(START, &mut b, b"b");
    events(&mut b, START);
    let mut peers: Vec<_> = (0..120).map(|number| Forger::new("one of many", v4(10 + number))).collect();
    let before = live();
    for peer in &mut peers {
        peer.connect(START, &mut b, b"b");
    }
    events(&mut b, START);
    let sessions = live() - before;
    for sequence in 1..70 {
        for (number, peer) in peers.iter_mut().enumerate() {
            for flow in 0..3 {
                // Some never finish their messages, some leave holes far apart, some send what nobody reads.
                let (sequence, kind) = match number % 3 {
                    0 => (sequence, if sequence == 1 { Fragment::Begin } else { Fragment::Middle }),
                    1 => (2 + (sequence << 55), Fragment::Middle),
                    _ => (sequence, Fragment::Whole),
                };
                let packet = fragment(peer, flow, sequence, kind, 900);
                send(&mut b, &packet, true);
            }
        }
    }
    let held = b.holdings().held_received_bytes as usize;
    let cost = live() - before - sessions;
    println!("120 bad sessions: {held} bytes counted, {cost} bytes");
    assert!(held > TOTAL / 2 && held <= TOTAL + 65_536 + 1200, "{held}");
    assert!(cost <= (TOTAL + TOTAL / 2) as isize, "{cost}");
    assert!(b.stats().data_without_room > 1000 && b.stats().refused_flows == 0);
    // No flow is taken when nothing is left; one that is there may go on.
    let mut late = Forger::new("late", v4(200));
    late.connect(START, &mut b, b"b");
    for sequence in 1..400 {
        for peer in &mut peers {
            let packet = fragment(peer, 4 + sequence, 1, Fragment::Whole, 0);
            send(&mut b, &packet, true);
        }
    }
    let flows = b.holdings().held_recv_flows;
    let packet = fragment(&mut late, 2, 1, Fragment::Whole, 900);
    send(&mut b, &packet, true);
    assert_eq!(b.holdings().held_recv_flows, flows);
    assert!(b.stats().refused_flows > 0);
    assert!(live() - before - sessions <= (TOTAL + TOTAL / 2) as isize);
}

/// What a far end can make a sender hold beside what was written: as many flows as there may be, numbers that are never
/// acknowledged while all that follow are, windows that shrink to nothing.
fn bounded_sender() {
    let mut b = endpoint("b", 1, Config::default());
    let mut peer = Forger::new("shrinking", A);
    peer.connect(START, &mut b, b"b");
    let session = *b.open_sessions().first().expect("a session");
    let packet = fragment(&mut peer, 2, 1, Fragment::Whole, 10);
    send(&mut b, &packet, true);
    let spec = FlowSpec { metadata: Bytes::from(vec![1; 512]), priority: Priority::Routine };
    let body = Bytes::from(vec![0; 1000]);
    let before = live();
    let mut flows = Vec::new();
    while let Ok(flow) = b.session(session).expect("open").open_flow(START, spec.clone(), Tag(1)) {
        flows.push(flow);
    }
    assert_eq!(flows.len(), 1024);
    for &flow in &flows {
        for _ in 0..20 {
            let message = Message::from(body.clone());
            let mut flow = b.send_flow(flow).expect("it");
            flow.write(START, message, &WriteOptions::default()).expect("room");
        }
    }
    let written = live() - before;
    println!("1024 flows with 20 messages each: {written} bytes");
    assert!(written / (1024 * 20) < 400, "{written}");
    let mut now = START;
    for round in 0..300u64 {
        now += Duration::from_millis(100);
        b.handle_timeout(now);
        transmits(&mut b, now);
        for wire in 2..1026 {
            // Everything but the first fragment, with less room each time.
            let ranges = [(0, round % 25)];
            let mut clear = vec![Mode::Initiator as u8];
            let blocks = 64u64.saturating_sub(round);
            let ranges = ranges.into_iter().map(|(gap, more)| 2 + gap..=2 + gap + more);
            rtmfp::wire::write_ack_ranges(wire, blocks, 0, ranges, 1000, &mut clear).expect("it fits");
            let (key, far_id) = (peer.key, peer.far_id);
            let packet = peer.seal_clear(key, far_id, &clear);
            if wire % 16 == round % 16 {
                deliver(&mut b, now, A, &packet);
            }
        }
        events(&mut b, now);
    }
    println!("after shrinking windows: {} bytes", live() - before);
    assert!(live() - before <= written + written / 2, "{}", live() - before);
}

fn bounded(max_message: usize, receive_limit: usize, overhead_limit: usize, bound: isize) {
    println!("messages of {max_message} bytes:");
    let mut config = Config { max_message, receive_capacity: max_message, ..Config::default() };
    config.session.receive_limit = receive_limit;
    config.session.overhead_limit = overhead_limit;
    let mut b = endpoint("b", 1, config);
    // What the endpoint needs for itself.
    Forger::new("warm", v4(9)).connect(START, &mut b, b"b");
    events(&mut b, START);

    let mut idle = Vec::new();
    for number in 0..100 {
        idle.push(Forger::new("idle", v4(10 + number)));
    }
    let before = live();
    for peer in &mut idle {
        peer.connect(START, &mut b, b"b");
        events(&mut b, START);
    }
    let each = (live() - before) / 100;
    println!("a session that does nothing: {each} bytes");
    assert!(each < 4096, "{each}");

    // Holes: as many flows, and as many ranges in each, as a peer can make.
    for (what, accepts) in [("accepted", true), ("refused", false)] {
        let mut peer = Forger::new("holes", A);
        peer.near_id += u32::from(accepts);
        let before = live();
        peer.connect(START, &mut b, b"b");
        for flow in 0..1100 {
            for sequence in 0..300 {
                if sequence < 3 || flow < 300 {
                    let packet = fragment(&mut peer, flow, 2 + 2 * sequence, Fragment::Middle, 0);
                    send(&mut b, &packet, accepts);
                }
            }
        }
        println!("flows with holes, {what}: {} bytes", live() - before);
        assert!(live() - before <= bound, "{what}: {}", live() - before);
    }

    // Messages that never end, and messages that nobody reads.
    for (what, kind) in [("unfinished", Fragment::Begin), ("unread", Fragment::Whole)] {
        let mut peer = Forger::new(what, A);
        peer.near_id += 10 + what.len() as u32;
        let before = live();
        peer.connect(START, &mut b, b"b");
        for flow in 0..20 {
            for sequence in 1..max_message as u64 / 800 {
                let fragment_kind =
                    if sequence == 1 || kind == Fragment::Whole { kind } else { Fragment::Middle };
                let packet = fragment(&mut peer, flow, sequence, fragment_kind, 800);
                send(&mut b, &packet, true);
            }
        }
        println!("{what} messages: {} bytes", live() - before);
        assert!(live() - before <= bound, "{what}: {}", live() - before);
    }

    // One who acknowledges nothing: a copy of each message is kept for him up to the limit of the flow.
    let mut peer = Forger::new("deaf", A);
    peer.near_id += 40;
    peer.connect(START, &mut b, b"b");
    let session = *b.open_sessions().last().expect("a session");
    let spec = FlowSpec { metadata: Bytes::new(), priority: Priority::Routine };
    let flow = b.session(session).expect("open").open_flow(START, spec, Tag(1)).expect("a flow");
    let body = Bytes::from(vec![0; 1000]);
    let before = live();
    let mut written = 0;
    while b
        .send_flow(flow)
        .expect("it")
        .write(START, Message::from(body.clone()), &WriteOptions::default())
        .is_ok()
    {
        written += 1;
    }
    println!("{written} shared messages waiting: {} bytes", live() - before);
    assert!((live() - before) / written < 400);
}
