//! What the installed base of RTMFP takes for granted and no RFC says. All peers get it.

use std::time::Duration;

use bytes::Bytes;
use rtmfp::wire::{Chunk, Origin, PacketHeader, kind};
use rtmfp::{Config, Endpoint, FlowSpec, Priority, SendFlowId, Shutdown};
use rtmfp_base::{Message, Tag, Time, WriteOptions};

use crate::common::endpoint;
use crate::hand::{A, B, DELAY, Fate, Forger, Hands, kinds, parse, v4};

/// The clear packet in a datagram of the plain profile.
fn clear(datagram: &[u8]) -> &[u8] {
    &datagram[8..datagram.len() - 2]
}

fn hands() -> Hands {
    Hands::new(endpoint("a", 1, Config::default()), endpoint("b", 2, Config::default()))
}

fn open(endpoint: &mut Endpoint, now: Time) -> SendFlowId {
    let spec = FlowSpec { metadata: Bytes::from_static(b"flow"), priority: Priority::Routine };
    let flow = endpoint.open_flow(now, b"b", spec, Tag(7)).expect("a flow");
    endpoint.send_flow(flow).expect("the flow").add_candidate(now, B);
    flow
}

fn write(endpoint: &mut Endpoint, now: Time, flow: SendFlowId, count: usize) {
    let mut flow = endpoint.send_flow(flow).expect("the flow");
    for _ in 0..count {
        flow.write(now, Message::from(vec![5; 3000]), &WriteOptions::default()).expect("room");
    }
}

/// Rule L1: librtmfp and MonaServer check for this length.
#[test]
fn cookies_have_exactly_64_bytes_however_long_the_endpoint_has_been_running() {
    let mut responder = endpoint("b", 1, Config::default());
    responder.add_interface(rtmfp_base::InterfaceId(0), B);
    let mut forger = Forger::new("a", A);
    for seconds in [0, 1, 127, 128, 16_384, 3_000_000, 400_000_000] {
        let cookie = forger.cookie(Time::from_secs(seconds), &mut responder, b"b");
        assert_eq!(cookie.len(), 64, "after {seconds} s");
    }
}

/// Rule L3: librtmfp and MonaServer know no packet without one.
#[test]
fn every_packet_has_a_timestamp_whatever_is_in_it() {
    let mut hands = hands();
    let flow = open(&mut hands.ends[0], hands.now);
    write(&mut hands.ends[0], hands.now, flow, 300);
    hands.run(Duration::from_secs(10));
    // The path becomes narrower than the packets are: what was cut for them goes in fragments.
    hands.network =
        Box::new(|_, datagram| if datagram.bytes.len() > 1300 { Fate::Lost } else { Fate::After(DELAY) });
    let now = hands.now;
    write(&mut hands.ends[0], now, flow, 300);
    hands.run(Duration::from_secs(30));
    // Silence, keep-alives, and the end.
    hands.run(Duration::from_secs(4000));
    let now = hands.now;
    hands.ends[0].shutdown(now, Shutdown::Orderly);
    hands.run(Duration::from_secs(120));
    let mut seen = std::collections::BTreeSet::new();
    for (at, end, datagram) in &hands.sent {
        let (header, _) = PacketHeader::parse(clear(&datagram.bytes)).expect("a header");
        assert!(header.timestamp.is_some(), "{at}: end {end}, chunks {:02x?}", kinds(&datagram.bytes));
        seen.extend(kinds(&datagram.bytes));
    }
    for kind in [
        kind::IHELLO,
        kind::RHELLO,
        kind::IIKEYING,
        kind::RIKEYING,
        kind::USER_DATA,
        kind::PING,
        kind::PING_REPLY,
        kind::PACKET_FRAGMENT,
        kind::CLOSE,
        kind::CLOSE_ACK,
    ] {
        assert!(seen.contains(&kind), "no packet with {kind:02x} was sent");
    }
}

/// Rule L6: librtmfp takes the unknown origin for the far end's departure. For Redirects see the tests of introduction.
#[test]
fn forwarded_hellos_carry_the_initiators_address_as_observed() {
    let mut hands = hands();
    open(&mut hands.ends[0], hands.now);
    hands.run(Duration::from_secs(1));
    let session = hands.ends[0].open_sessions()[0];
    hands.ends[0].session(session).expect("it").forward_ihello(b"b", v4(9), &[5; 16]).expect("room");
    hands.run(Duration::from_secs(1));
    let hellos = hands.sent.iter().filter(|(_, _, d)| kinds(&d.bytes).contains(&kind::FIHELLO));
    let mut count = 0;
    for (_, _, datagram) in hellos {
        let (_, chunks) = PacketHeader::parse(clear(&datagram.bytes)).expect("a header");
        for chunk in parse(chunks) {
            if let Chunk::FIHello(hello) = chunk {
                assert_eq!((hello.reply.addr, hello.reply.origin), (v4(9), Origin::Observed));
                count += 1;
            }
        }
    }
    assert_eq!(count, 1);
}
