//! A flood of hellos from false addresses, while a session is in use. One test only: the allocator is counted for the
//! whole process.

mod common;
mod hand;

use std::alloc::System;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use common::{endpoint, numbered};
use hand::{A, B, Forger, Hands, deliver, kinds};
use rtmfp::{Config, FlowSpec, Priority};
use rtmfp_base::{Message, Tag, WriteOptions};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const HELLOS: u32 = 300_000;
/// The flood lasts a second and a half: 200,000 hellos a second.
const STEPS: u32 = 1500;
const MESSAGES: u64 = 150;
const RHELLO: u8 = 0x70;

fn live() -> isize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated as isize - stats.bytes_deallocated as isize
}

/// An address that somebody made up.
fn spoofed(number: u32) -> SocketAddr {
    let scattered = number.wrapping_mul(0x9e37_79b9);
    let ip = match number % 3 {
        0 => IpAddr::V4(Ipv4Addr::from(scattered)),
        1 => IpAddr::V6(Ipv6Addr::from(u128::from(scattered) << 80 | 0x2001_u128 << 112)),
        // One network among them that sends as much as half of the others.
        _ => IpAddr::V4(Ipv4Addr::new(203, 0, 113, scattered as u8)),
    };
    SocketAddr::new(ip, 1024 + (scattered >> 16) as u16 % 60_000)
}

#[test]
fn three_hundred_thousand_spoofed_hellos_cost_little_get_less_back_and_a_session_loses_nothing() {
    let mut hands = Hands::new(endpoint("a", 1, Config::default()), endpoint("b", 2, Config::default()));
    let now = hands.now;
    let spec = FlowSpec { metadata: Bytes::from_static(b"live"), priority: Priority::Immediate };
    let flow = hands.ends[0].open_flow(now, b"b", spec, Tag(1)).expect("a flow");
    hands.ends[0].send_flow(flow).expect("the flow").add_candidate(now, B);
    hands.run(Duration::from_secs(1));
    assert_eq!(hands.opened(1), 1);

    // Some are too short to be answered at the full rate, and some ask for nobody.
    let mut stranger = Forger::new("s", A);
    let hellos = [stranger.hello(b"b"), stranger.hello_of(b"b", 40), stranger.hello(b"nobody")];
    let before = (live(), hands.ends[1].holdings().held_sessions, hands.sent.len());
    let mut brought = 0;
    for step in 0..STEPS {
        let now = hands.now;
        if u64::from(step) % 10 == 0 {
            let message = Message::from(numbered(u64::from(step) / 10, 500));
            let mut flow = hands.ends[0].send_flow(flow).expect("the flow");
            flow.write(now, message, &WriteOptions::default()).expect("room");
        }
        for number in step * (HELLOS / STEPS)..(step + 1) * (HELLOS / STEPS) {
            let hello = &hellos[(number / 7 % 3) as usize];
            brought += hello.len();
            deliver(&mut hands.ends[1], now, spoofed(number), hello);
        }
        hands.run(Duration::from_millis(1));
    }
    let (mut answers, mut given) = (0, 0);
    for (_, _, datagram) in &hands.sent[before.2..] {
        if kinds(&datagram.bytes) == [RHELLO] {
            answers += 1;
            given += datagram.bytes.len();
        }
    }
    // What this test itself has noted is not the endpoint's.
    let noted: usize = hands.sent.iter().map(|(_, _, datagram)| datagram.bytes.capacity()).sum();
    let entry = size_of_val(&hands.sent[0]);
    let cost = live() - before.0 - (noted + hands.sent.capacity() * entry) as isize;
    println!(
        "{HELLOS} hellos of {brought} bytes: {answers} answers of {given} bytes, {cost} bytes of memory"
    );
    assert!(answers > 1000, "those who may get an answer do: {answers}");
    assert!(given * 10 < brought, "{given} of {brought}");
    assert!(cost < 1 << 20, "{cost} bytes");
    let b = &hands.ends[1];
    assert_eq!(b.holdings().held_sessions, before.1);
    assert!(b.stats().limited_hellos + b.stats().unselected_hellos > u64::from(HELLOS) * 9 / 10);

    hands.run(Duration::from_secs(1));
    let received: Vec<_> = hands.received[1].values().flatten().collect();
    assert_eq!(received.len() as u64, MESSAGES);
    assert!(received.iter().enumerate().all(|(n, message)| message.bytes == numbered(n as u64, 500)));
    // Nothing had to be sent again: no packet of the session was lost or waited.
    let stats = hands.ends[0].stats();
    assert_eq!((stats.lost_fragments, stats.timeouts), (0, 0));
}
