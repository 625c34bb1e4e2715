//! What RFC 7016 says about what is sent, rule by rule: see `tests/rfc/rfc7016.txt`. Most of it is looked for in all that
//! two ends send to each other over a bad network.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::common::endpoint;
use crate::hand::flows::{Seen, has_data, spec};
use crate::hand::forged::Forged;
use crate::hand::{DELAY, Fate, Hands, parse};
use bytes::Bytes;
use rtmfp::wire::{Chunk, Chunks, DataFlags, FlowOptions, Fragment, Mode, PacketHeader, kind};
use rtmfp::{Config, Event, FlowSpec, MAX_PACKET, Priority, SendFlowId, SessionConfig, WriteError};
use rtmfp_base::{Message, Tag, WriteOptions};
use rtmfp_netsim::{Dice, for_each_seed};

/// The sizes of the messages of each flow.
const SIZES: [usize; 12] = [0, 1, 5000, 100, 30_000, 7, 1160, 1161, 1162, 0, 3000, 250];

/// A packet, as its sender made it: the clear packet, and how long it is with what the profile puts before it.
struct Packet {
    end: usize,
    clear: Vec<u8>,
    len: usize,
}

impl Packet {
    fn header(&self) -> PacketHeader {
        PacketHeader::parse(&self.clear).expect("a header").0
    }

    /// Types and payloads.
    fn raw(&self) -> Vec<(u8, &[u8])> {
        Chunks::new(PacketHeader::parse(&self.clear).expect("a header").1).collect()
    }

    fn chunks(&self) -> Vec<Chunk<'_>> {
        parse(PacketHeader::parse(&self.clear).expect("a header").1)
    }

    fn is_startup(&self) -> bool {
        self.header().mode == Mode::Startup
    }
}

fn packets(hands: &Hands) -> Vec<Packet> {
    let all = hands.sent.iter().map(|(_, end, datagram)| {
        let bytes = &datagram.bytes;
        // The session id and the checksum do not count.
        Packet { end: *end, clear: bytes[8..bytes.len() - 2].to_vec(), len: bytes.len() - 6 }
    });
    all.collect()
}

/// Flows with the longest metadata in both directions, one of them in return, over a network that loses, delays and
/// reorders. `write` writes a message.
fn exchange(seed: u64, mut write: impl FnMut(&mut Hands, usize, SendFlowId, usize)) -> Hands {
    // Packets stay as they are at first: the tests of path MTU discovery look at more.
    let session = SessionConfig {
        keepalive: Duration::from_secs(1),
        max_packet: MAX_PACKET,
        ..SessionConfig::default()
    };
    let config = || Config { session: session.clone(), ..Config::default() };
    let mut hands = Hands::new(endpoint("a", seed, config()), endpoint("b", seed + 1, config()));
    let mut dice = Dice::new(seed, 1);
    hands.network = Box::new(move |_, _| match dice.chance(0.08) {
        true => Fate::Lost,
        false => Fate::After(DELAY + dice.up_to(DELAY)),
    });
    let metadata = Bytes::from(vec![b'm'; 512]);
    let long = FlowSpec { metadata, priority: Priority::Routine };
    let first = hands.open(b"first", Priority::Routine);
    hands.write(first, 1);
    hands.run_millis(20_000);
    let (now, session) = (hands.now, hands.session(0));
    let mut flows = vec![(0, first)];
    for _ in 0..2 {
        let mut open = hands.ends[0].session(session).expect("it");
        flows.push((0, open.open_flow(now, long.clone(), Tag(0)).expect("a flow")));
    }
    let offered = hands.offered(1)[0];
    let mut asked = hands.ends[1].recv_flow(offered).expect("it");
    flows.push((1, asked.open_return_flow(now, long, Tag(0)).expect("a flow")));
    for size in SIZES {
        for &(end, flow) in &flows {
            write(&mut hands, end, flow, size);
        }
        hands.run_millis(15);
    }
    hands.run_millis(60_000);
    hands
}

fn reliably(hands: &mut Hands, end: usize, flow: SendFlowId, len: usize) {
    let now = hands.now;
    let mut flow = hands.ends[end].send_flow(flow).expect("it");
    flow.write(now, Message::from(vec![3; len]), &WriteOptions::default()).expect("room");
}

/// Chunks of data, each a Next User Data told as what it stands for: packet, place in it, flow, number, flags, length.
fn data(packets: &[Packet], end: usize) -> Vec<(usize, usize, u64, u64, DataFlags, usize)> {
    let mut all = Vec::new();
    for (number, packet) in packets.iter().enumerate().filter(|(_, packet)| packet.end == end) {
        let mut previous = (0, 0);
        for (place, chunk) in packet.chunks().into_iter().enumerate() {
            match chunk {
                Chunk::UserData(data) => {
                    previous = (data.flow_id, data.sequence);
                    all.push((number, place, previous.0, previous.1, data.flags, data.data.len()));
                }
                Chunk::NextUserData(data) => {
                    previous.1 += 1;
                    all.push((number, place, previous.0, previous.1, data.flags, data.data.len()));
                }
                _ => {}
            }
        }
    }
    all
}

#[test]
fn each_end_marks_its_packets_with_its_role_and_has_something_to_say_in_each() {
    for_each_seed(10, |seed| {
        let packets = packets(&exchange(seed, reliably));
        let startup = [kind::IHELLO, kind::RHELLO, kind::IIKEYING, kind::RIKEYING, kind::COOKIE_CHANGE];
        let mut pings = [0, 0];
        for packet in &packets {
            let mode = packet.header().mode;
            let raw = packet.raw();
            assert!(!raw.is_empty(), "an empty packet");
            for (kind, _) in raw {
                assert_eq!(startup.contains(&kind), mode == Mode::Startup, "{kind:#x} in {mode:?}");
                match kind {
                    kind::PING => pings[packet.end] += 1,
                    kind::PING_REPLY => pings[1 - packet.end] -= 1,
                    _ => {}
                }
            }
            let own = [Mode::Initiator, Mode::Responder][packet.end];
            assert!(packet.is_startup() || mode == own, "{mode:?} by {}", packet.end);
        }
        assert!(pings[0] >= 0 && pings[1] >= 0, "replies that nobody asked for");
    });
}

#[test]
fn reserved_bits_are_zero_in_whatever_is_sent() {
    let packets = packets(&exchange(1, reliably));
    for packet in &packets {
        assert_eq!(packet.clear[0] & 0x30, 0);
        for (kind, payload) in packet.raw() {
            if matches!(kind, kind::USER_DATA | kind::NEXT_USER_DATA) {
                assert_eq!(payload[0] & 0x4c, 0);
            }
        }
    }
}

#[test]
fn fragments_have_numbers_in_a_row_from_1_on_in_the_order_of_writing() {
    for_each_seed(10, |seed| {
        let packets = packets(&exchange(seed, reliably));
        for end in 0..2 {
            let mut flows: BTreeMap<u64, Vec<(u64, Fragment, usize)>> = BTreeMap::new();
            for (_, _, flow, sequence, flags, len) in data(&packets, end) {
                let known = flows.entry(flow).or_default();
                if sequence as usize > known.len() {
                    assert!(!flags.abandoned, "nothing is given up");
                    assert_eq!(sequence as usize, known.len() + 1, "flow {flow} of {end}");
                    known.push((sequence, flags.fragment, len));
                } else {
                    // Sent again as it was.
                    assert_eq!(known[sequence as usize - 1], (sequence, flags.fragment, len));
                }
            }
            assert_eq!(flows.len(), if end == 0 { 3 } else { 1 });
            for (flow, fragments) in flows {
                let mut messages = Vec::new();
                let mut open = None;
                for (_, fragment, len) in fragments {
                    match (fragment, open) {
                        (Fragment::Whole, None) => messages.push(len),
                        (Fragment::Begin, None) => open = Some(len),
                        (Fragment::Middle, Some(begun)) => open = Some(begun + len),
                        (Fragment::End, Some(begun)) => {
                            messages.push(begun + len);
                            open = None;
                        }
                        other => panic!("{other:?}"),
                    }
                }
                let first = if end == 0 && flow == 2 { 1 } else { 0 };
                assert_eq!(messages[first..], SIZES, "flow {flow} of {end}");
            }
        }
    });
}

#[test]
fn next_user_data_is_used_wherever_it_can_be_and_nowhere_else() {
    let mut used = 0;
    for_each_seed(10, |seed| {
        for packet in packets(&exchange(seed, reliably)) {
            // Flow, number and forward number of the chunk before, if that was one of data.
            let mut previous: Option<(u64, u64, u64)> = None;
            for chunk in packet.chunks() {
                previous = match (chunk, previous) {
                    (Chunk::UserData(data), _) => {
                        let this = (data.flow_id, data.sequence, data.forward_sequence());
                        let follows = |(flow, sequence, forward)| this == (flow, sequence + 1, forward);
                        assert!(!previous.is_some_and(follows), "{this:?} needs no chunk of its own kind");
                        Some(this)
                    }
                    (Chunk::NextUserData(_), Some((flow, sequence, forward))) => {
                        used += 1;
                        Some((flow, sequence + 1, forward))
                    }
                    (Chunk::NextUserData(_), None) => panic!("behind nothing"),
                    _ => None,
                };
            }
        }
    });
    assert!(used > 100);
}

#[test]
fn packets_fit_the_path_with_the_longest_metadata_and_when_sent_again() {
    let mut longest = 0;
    for_each_seed(10, |seed| {
        for packet in packets(&exchange(seed, reliably)) {
            assert!(packet.raw().iter().all(|(kind, _)| *kind != kind::PACKET_FRAGMENT));
            longest = longest.max(packet.len);
        }
    });
    assert!(longest <= MAX_PACKET && longest > MAX_PACKET - 50, "{longest}");
}

#[test]
fn what_was_sent_as_abandoned_is_never_sent_with_data_again() {
    let mut given_up = 0;
    for_each_seed(20, |seed| {
        let mut dice = Dice::new(seed, 2);
        let hands = exchange(seed, |hands, end, flow, len| {
            let now = hands.now;
            let finish_by = now + dice.up_to(Duration::from_millis(400));
            let options = WriteOptions { finish_by, ..WriteOptions::default() };
            let mut flow = hands.ends[end].send_flow(flow).expect("it");
            flow.write(now, Message::from(vec![3; len]), &options).expect("room");
        });
        let packets = packets(&hands);
        for end in 0..2 {
            let mut abandoned = BTreeSet::new();
            for (_, _, flow, sequence, flags, len) in data(&packets, end) {
                if flags.abandoned {
                    assert_eq!(len, 0);
                    abandoned.insert((flow, sequence));
                } else {
                    assert!(!abandoned.contains(&(flow, sequence)), "{sequence} of flow {flow}");
                }
            }
            given_up += abandoned.len();
        }
    });
    assert!(given_up > 20, "{given_up}");
}

#[test]
fn what_was_lost_is_sent_again_from_the_lowest_number_on() {
    let config = Config::default;
    let mut hands = Hands::new(endpoint("a", 1, config()), endpoint("b", 2, config()));
    let flow = hands.open(b"flow", Priority::Routine);
    hands.write(flow, 10);
    hands.run_millis(1000);
    hands.network = Box::new(|_, _| Fate::Lost);
    hands.sent.clear();
    for _ in 0..10 {
        hands.write(flow, 1000);
    }
    hands.run_millis(1);
    assert!(data(&packets(&hands), 0).len() >= 3, "several are lost");
    hands.network = Box::new(|_, _| Fate::After(DELAY));
    hands.sent.clear();
    hands.run_millis(5000);
    let numbers: Vec<u64> = data(&packets(&hands), 0).iter().map(|chunk| chunk.3).collect();
    assert_eq!(numbers, (2..=11).collect::<Vec<_>>());
}

#[test]
fn a_return_flow_names_the_flow_it_answers_in_each_packet_until_it_is_acknowledged() {
    let config = Config::default;
    let mut hands = Hands::new(endpoint("a", 1, config()), endpoint("b", 2, config()));
    let flow = hands.open(b"flow", Priority::Routine);
    hands.write(flow, 10);
    hands.run_millis(1000);
    let (now, offered) = (hands.now, hands.offered(1)[0]);
    let mut asked = hands.ends[1].recv_flow(offered).expect("it");
    let back = asked.open_return_flow(now, spec(b"back", Priority::Routine), Tag(0)).expect("a flow");
    hands.sent.clear();
    for _ in 0..30 {
        reliably(&mut hands, 1, back, 400);
    }
    hands.run_millis(DELAY.as_millis() as u64);
    let before = hands.sent.len();
    hands.run_millis(3000);
    let (mut with, mut without) = (0, 0);
    for (number, packet) in packets(&hands).iter().enumerate().filter(|(_, packet)| packet.end == 1) {
        let mut first = true;
        for chunk in packet.chunks() {
            let options = match chunk {
                Chunk::UserData(data) => data.options,
                Chunk::NextUserData(data) => data.options,
                _ => continue,
            };
            let association =
                options.and_then(|options| FlowOptions::parse(options).expect("options").association);
            if number < before {
                assert_eq!(association, first.then_some(2), "{number}");
                with += usize::from(first);
            } else if association.is_none() {
                without += 1;
            } else {
                assert!(first && without == 0, "{number}: it was acknowledged before");
            }
            first = false;
        }
    }
    assert!(with >= 2 && without > 5, "{with} {without}");
}

#[test]
fn nothing_is_sent_beyond_the_advertised_window_unless_the_flow_is_rejected() {
    let bytes = |sent: &[Vec<Seen>]| -> usize {
        let lengths =
            sent.iter().flatten().map(|seen| if let Seen::Data { len, .. } = seen { *len } else { 0 });
        lengths.sum()
    };
    let highest = |sent: &[Vec<Seen>], known: u64| {
        let numbers = sent
            .iter()
            .flatten()
            .map(|seen| if let Seen::Data { sequence, .. } = seen { *sequence } else { 0 });
        numbers.max().unwrap_or(0).max(known)
    };
    let mut forged = Forged::new(Config::default());
    let flow = forged.open();
    for _ in 0..100 {
        forged.write(flow, 500);
    }
    let sent = forged.answers();
    let mut through = highest(&sent, 0);
    for blocks in [5, 2, 1, 3, 1, 1] {
        let sent = forged.acknowledge(0, 2, blocks, through);
        // Sending goes on while less is under way than was advertised, chunks with their headers.
        let most = blocks as usize * 1024 + 500;
        let got = bytes(&sent);
        assert!(got <= most && got + 1000 > (blocks as usize * 1024).min(3000), "{got} for {blocks} blocks");
        through = highest(&sent, through);
        assert!(forged.answers().is_empty());
    }
    assert_eq!(forged.acknowledge(0, 2, 0, through), [] as [Vec<Seen>; 0]);
    let later = forged.now + Duration::from_secs(100);
    let sent = forged.wait_until(later);
    assert!(!sent.iter().any(|packet| has_data(packet)), "probes only: {sent:?}");
    // The end of a rejected flow needs no window.
    let sent = forged.bring(&[Chunk::FlowException { flow_id: 2, code: 7 }]);
    let last =
        |seen: &Seen| matches!(seen, Seen::Data { flags: DataFlags { last: true, abandoned: true, .. }, .. });
    assert!(sent.iter().flatten().any(last), "{sent:?}");
}

#[test]
fn a_rejected_flow_gives_up_all_that_is_not_delivered_and_tells_the_application() {
    let mut forged = Forged::new(Config::default());
    let flow = forged.open();
    let options = WriteOptions { notify: true, ..WriteOptions::default() };
    let now = forged.now;
    for _ in 0..20 {
        let mut flow = forged.victim.send_flow(flow).expect("it");
        flow.write(now, Message::from(vec![1; 1000]), &options).expect("room");
    }
    forged.answers();
    forged.acknowledge(0, 2, 64, 1);
    forged.events.clear();
    let sent = forged.bring(&[Chunk::FlowException { flow_id: 2, code: 7 }]);
    let given_up = |event: &&Event| matches!(event, Event::WriteEnded { delivered: false, .. });
    assert_eq!(forged.events.iter().filter(given_up).count(), 19);
    let told = |event: &&Event| matches!(event, Event::FlowException { flow: f, code: 7, .. } if *f == flow);
    assert_eq!(forged.events.iter().filter(told).count(), 1);
    assert!(forged.events.len() == 20, "{:?}", forged.events);
    let wanted = |seen: &Seen| matches!(seen, Seen::Data { flags: DataFlags { abandoned: false, .. }, .. });
    assert!(!sent.iter().flatten().any(wanted), "{sent:?}");
    let refused = forged.victim.send_flow(flow).map(|mut flow| {
        let message = Message::from(vec![1]);
        flow.write(now, message, &options)
    });
    assert!(matches!(refused, None | Some(Err(WriteError::Closed))), "{refused:?}");
}
