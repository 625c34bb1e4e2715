//! What somebody who proves an address, and does nothing more, may cost: sessions that were opened and are never used.
//! One test only: the allocator is counted for the whole process.

mod common;
mod hand;

use std::alloc::System;
use std::net::SocketAddr;
use std::time::Duration;

use hand::stranger::{Stranger, flash};
use hand::{events, transmits};
use rtmfp::crypto::Profile;
use rtmfp::{CloseReason, Config, Endpoint, Event, Holdings};
use rtmfp_base::Time;
use rtmfp_flash::{Epd, FlashConfig, Group, KeySource};
use rtmfp_plain::PlainProfile;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const START: Time = Time::from_secs(1);
/// What one may cost.
const EACH: isize = 2048;
/// How long one may live.
const LIFE: Duration = Duration::from_secs(95);

fn live() -> isize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated as isize - stats.bytes_deallocated as isize
}

/// Two of them are in each network.
fn address(number: u32) -> SocketAddr {
    SocketAddr::from(((0x0b00_0000 + number * 128).to_be_bytes(), 1935))
}

/// As many sessions as there may be, and some more. What OpenSSL takes is not counted, but it takes nothing for a session
/// of which no authentic packet has come: its keys are not at work.
fn fill(what: &str, most: usize, victim: Box<dyn Profile>, stranger: Box<dyn Profile>, epd: &[u8]) {
    let mut config = Config::default();
    config.limits.unproven_sessions = most;
    let most = most as u32;
    let certificate = victim.certificate().to_vec();
    let mut victim = Endpoint::new(config, victim, [1; 32], START);
    let mut stranger = Stranger::new(stranger, &certificate);
    // What the endpoint needs for itself is not a session's.
    stranger.take_session(&mut victim, START, address(0), epd);
    let before = live();
    for number in 1..most + 100 {
        let now = START + Duration::from_millis(u64::from(number));
        stranger.take_session(&mut victim, now, address(number), epd);
    }
    assert_eq!(victim.session_count() as u32, most, "{what}");
    assert_eq!(victim.stats().limited_unproven, 100, "{what}");
    let each = (live() - before) / (most - 1) as isize;
    println!("{what}: {most} half-open sessions of {each} bytes each");
    assert!(each <= EACH, "{what}: {each}");

    // The last one came a while after the first, and each has its own time.
    let end = START + Duration::from_millis(u64::from(most)) + LIFE;
    let mut ended = 0;
    while let Some((at, _)) = victim.poll_timeout().filter(|(at, _)| *at <= end) {
        victim.handle_timeout(at);
        let unused =
            |event: &Event| matches!(event, Event::SessionClosed { reason: CloseReason::NeverUsed, .. });
        ended += events(&mut victim, at).iter().filter(|event| unused(event)).count();
        transmits(&mut victim, at);
    }
    println!("{what}: gone after {} s", LIFE.as_secs());
    assert_eq!(ended as u32, most, "{what}");
    transmits(&mut victim, end);
    victim.handle_timeout(end + Duration::from_secs(1));
    assert_eq!(victim.holdings(), Holdings::default(), "{what}");
}

#[test]
fn half_open_sessions_are_few_small_and_soon_gone() {
    let plain = |name| Box::new(PlainProfile::new(name));
    let most = Config::default().limits.unproven_sessions;
    assert!(most <= 8192, "{most}");
    fill("plain", most, plain("b"), plain("a"), b"b");
    // Fewer, as they take their time. With the keys of 4096 bits half a kilobyte is kept to answer a repeated keying.
    for (what, group) in [("flash, group 14", Group::Modp2048), ("flash, group 16", Group::Modp4096)] {
        let [b, a] = [("b", 1), ("a", 2)].map(|(name, number)| {
            let mut config = FlashConfig::server();
            config.keys = KeySource::Ephemeral { groups: vec![group] };
            flash(config, name, number)
        });
        fill(what, 1024, b, a, &Epd::hostname("b").encode());
    }
}
