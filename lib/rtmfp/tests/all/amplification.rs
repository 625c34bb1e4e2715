//! What is sent to an address that is not proved, beside what came from it (RFC 7016 section 5), with the certificates
//! and hellos of Flash.

use std::sync::Arc;

use crate::hand::stranger::Stranger;
use crate::hand::{A, B, deliver, transmits, v4};
use bytes::Bytes;
use rtmfp::crypto::Profile;
use rtmfp::wire::{Address, Origin};
use rtmfp::{Config, Endpoint, Event, FlowSpec, Priority};
use rtmfp_base::{InterfaceId, Tag, Time};
use rtmfp_flash::{Ancillary, Epd, FlashConfig, FlashProfile, Group, StaticKeys};

const START: Time = Time::from_secs(1);
/// An answer may have so many times the bytes of what it answers.
const MOST: usize = 3;
/// Datagrams that are shorter draw on the small rate whatever the answer is.
const FULL: usize = 60;

/// Settings of an end with a short certificate, and of one with a long one.
fn servers() -> [(FlashConfig, usize); 2] {
    let mut number = 0_u8;
    let mut random = |bytes: &mut [u8]| {
        bytes.iter_mut().for_each(|byte| {
            number = number.wrapping_mul(77).wrapping_add(31);
            *byte = number;
        });
    };
    let keys = StaticKeys::generate(&Group::DEFAULT, &mut random).expect("keys");
    let mut long = FlashConfig::client(Arc::new(keys));
    long.ancillary = FlashConfig::server().ancillary;
    let mut short = FlashConfig::server();
    short.hostname = Some("red".to_owned());
    // A client's, and two bytes that make it select by address.
    [(short, 82), (long, 908 + 2)]
}

fn profile(config: &FlashConfig) -> Box<dyn Profile> {
    Box::new(FlashProfile::new(config.clone(), &mut |bytes| bytes.fill(1)).expect("keys"))
}

/// An end that answers at one of its two rates only.
fn server(config: &FlashConfig, full: bool) -> Endpoint {
    let (always, never) = ((1_000_000, 1), (0, 0));
    let mut limits = Config::default();
    let hellos = &mut limits.limits.hellos;
    [hellos.total, hellos.prefix] = [if full { always } else { never }; 2];
    [hellos.short_total, hellos.short_prefix] = [if full { never } else { always }; 2];
    Endpoint::new(limits, profile(config), [1; 32], START)
}

fn stranger(end: &Endpoint) -> Stranger {
    Stranger::new(profile(&FlashConfig::server()), end.profile().certificate())
}

#[test]
fn no_datagram_brings_more_than_three_times_its_length_but_at_the_small_rate() {
    for (config, certificate_len) in servers() {
        let mut ends = [true, false].map(|full| server(&config, full));
        assert_eq!(ends[0].profile().certificate().len(), certificate_len);
        let mut stranger = stranger(&ends[0]);
        let (mut hellos, mut small, mut worst) = (0, 0, 0.0_f64);
        for tag in [1, 4, 8, 16, 32] {
            for uri in 0..1100 {
                let uri = "u".repeat(uri);
                let hello = stranger.hello(&Epd::uri(&uri).encode(), &[7; 32][..tag]);
                let answers = [0, 1].map(|end| {
                    deliver(&mut ends[end], START, A, &hello);
                    transmits(&mut ends[end], START).iter().map(|(.., bytes)| bytes.len()).collect::<Vec<_>>()
                });
                let answer = match &answers {
                    [one, none] | [none, one] if one.len() == 1 && none.is_empty() => one[0],
                    other => panic!("{other:?} for {} bytes", hello.len()),
                };
                let fair = hello.len() >= FULL && answer <= MOST * hello.len();
                assert_eq!(answers[0].len() == 1, fair, "{answer} for {} bytes", hello.len());
                if fair {
                    worst = worst.max(answer as f64 / hello.len() as f64);
                } else {
                    small += 1;
                }
                hellos += 1;
            }
        }
        println!(
            "a certificate of {certificate_len} bytes: {hellos} hellos, {worst:.2} times their bytes at most; \
             {small} of them at the small rate only"
        );
        assert!(small > 0 && small < hellos && worst <= MOST as f64);
    }
}

#[test]
fn a_redirect_of_fair_length_has_three_times_the_bytes_of_its_hello_at_most_and_room_for_an_address() {
    let (mut config, _) = servers().into_iter().next().expect("one");
    config.ancillary = Ancillary::Refused;
    let mut limits = Config::default();
    limits.limits.hellos.limit_watched = false;
    let mut end = Endpoint::new(limits, profile(&config), [1; 32], START);
    end.add_interface(InterfaceId(0), B);
    end.set_watch_hellos(true);
    let mut stranger = stranger(&end);
    let mut worst = 0.0_f64;
    for tag in [1, 4, 16, 32] {
        for uri in 0..400 {
            let hello = stranger.hello(&Epd::uri(&"u".repeat(uri)).encode(), &[7; 32][..tag]);
            deliver(&mut end, START, A, &hello);
            let Some(Event::UnmatchedIHello { tag, from, via, len, .. }) = end.poll_event(START) else {
                panic!("no event")
            };
            let room = end.fair_redirect(len, &tag);
            // Beside the shortest ones even a Redirect without addresses is long.
            assert!(len < FULL || room >= 19, "{room} bytes beside {len}");
            if room == 0 {
                continue;
            }
            let address = Address { origin: Origin::Reported, addr: v4(9) };
            let addresses = vec![address; (room / address.encoded_len()).min(140)];
            end.send_redirect(via, from, &tag, &addresses).expect("room");
            let answer = transmits(&mut end, START).pop().expect("a Redirect").2.len();
            assert!(answer <= MOST * hello.len(), "{answer} for {} bytes", hello.len());
            worst = worst.max(answer as f64 / hello.len() as f64);
        }
    }
    println!("Redirects beside 1600 hellos, {worst:.2} times their bytes at most");
    assert!(worst > 2.5, "there is room for more");
}

#[test]
fn the_small_rate_is_small() {
    let limits = Config::default().limits.hellos;
    assert!(limits.short_prefix.1 <= 5 && limits.short_total.1 <= 100, "{limits:?}");
    assert!(limits.short_prefix.0 <= 20 && limits.short_total.0 <= 100, "{limits:?}");
    let (config, _) = servers().into_iter().next().expect("one");
    let mut end = Endpoint::new(Config::default(), profile(&config), [1; 32], START);
    let short = stranger(&end).hello(&Epd::uri("").encode(), b"t");
    assert!(short.len() < FULL);
    for _ in 0..1000 {
        deliver(&mut end, START, A, &short);
    }
    assert_eq!(transmits(&mut end, START).len(), 20);
    for number in 0..1000_u32 {
        deliver(&mut end, START, ((0x0b00_0000 + number * 256).to_be_bytes(), 1935).into(), &short);
    }
    assert_eq!(transmits(&mut end, START).len(), 80, "of a hundred in all");
}

#[test]
fn hellos_of_our_own_are_never_short() {
    for (config, _) in servers() {
        for epd in [Epd::uri("").encode(), Epd::hostname("b").encode(), Epd::uri("rtmfp://h/app").encode()] {
            let mut end = Endpoint::new(Config::default(), profile(&config), [1; 32], START);
            end.add_interface(InterfaceId(0), B);
            let spec = FlowSpec { metadata: Bytes::new(), priority: Priority::Routine };
            let flow = end.open_flow(START, &epd, spec, Tag(1)).expect("a flow");
            end.send_flow(flow).expect("the flow").add_candidate(START, v4(9));
            end.handle_timeout(START);
            let hello = transmits(&mut end, START).pop().expect("a hello").2;
            assert!(hello.len() >= 64, "{} bytes", hello.len());
        }
    }
}
