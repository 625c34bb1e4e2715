//! What a peer may cost in memory. One test only: the allocator is counted for the whole process.

mod common;
mod hand;

use std::alloc::System;

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
