//! Packets as large as the path takes: found, verified, given up, and never at the cost of a message.

use std::time::Duration;

use crate::common::{Pair, bad_link, endpoint, link, numbered};
use crate::hand::{A, Forger, deliver, events_accepting, kinds, parse, transmits};
use rtmfp::wire::{Chunk, Mode, PacketFragment, kind};
use rtmfp::{Config, Limits, MAX_PACKET, Mobility, Priority, SendFlowId, SessionConfig};
use rtmfp_base::{Message, Time, WriteOptions};
use rtmfp_netsim::{HostId, LinkConfig};

/// What the plain profile makes a datagram longer than its clear packet with the front.
const BESIDE: usize = 6;
/// Sizes are found to this.
const STEP: usize = 16;

fn config(max_packet: usize) -> Config {
    let session = SessionConfig {
        max_packet,
        mobility: Mobility::Always,
        receive_limit: 4 << 20,
        ..SessionConfig::default()
    };
    Config { session, receive_capacity: 1 << 20, ..Config::default() }
}

fn narrow(mtu: usize) -> LinkConfig {
    LinkConfig { mtu: Some(mtu), rate: Some(1_250_000), queue: 64_000, ..link(20) }
}

struct Stream {
    pair: Pair,
    flow: SendFlowId,
    written: u64,
    len: usize,
}

impl Stream {
    fn new(link: LinkConfig, config_a: Config, config_b: Config, len: usize) -> Self {
        let mut pair = Pair::with(1, link, config_a, config_b);
        let flow = pair.open(b"bulk", Priority::Routine);
        Self { pair, flow, written: 0, len }
    }

    fn write(&mut self, count: u64) {
        for number in self.written..self.written + count {
            let (flow, len) = (self.flow, self.len);
            self.pair.write(flow, numbered(number, len));
        }
        self.written += count;
    }

    fn received(&self) -> usize {
        self.pair.peer(self.pair.b).messages(b"bulk").len()
    }

    fn expect_all(&self) {
        let expected: Vec<_> = (0..self.written).map(|number| numbered(number, self.len)).collect();
        let received = self.pair.peer(self.pair.b).messages(b"bulk");
        assert_eq!(received.len(), expected.len());
        assert!(received == expected);
    }

    fn size(&mut self, host: HostId) -> usize {
        let session = self.pair.session(host);
        self.pair.node(host).endpoint().session(session).expect("open").info().max_packet
    }

    fn stats(&mut self, host: HostId) -> rtmfp::Stats {
        self.pair.node(host).endpoint().stats().clone()
    }
}

#[test]
fn a_session_with_bulk_to_send_grows_to_the_largest_packet_that_is_allowed_and_only_its_sender_does() {
    for most in [1216, 1408, 4000, 8128] {
        let mut stream = Stream::new(narrow(9000), config(most), config(1408), 5000);
        stream.write(400);
        stream.pair.run(5.0);
        let (a, b) = (stream.pair.a, stream.pair.b);
        assert_eq!(stream.size(a), most);
        assert_eq!(stream.size(b), MAX_PACKET);
        assert_eq!(stream.stats(a).mtu_probes, 2, "one fragmented, one padded");
        assert_eq!(stream.stats(b).reassembled_packets, 1);
        assert_eq!(stream.stats(b).mtu_probes, 0);
        stream.expect_all();
    }
}

#[test]
fn a_session_grows_to_what_the_path_takes() {
    for mtu in [1206, 1221, 1222, 1300, 1399, 1492] {
        let mut stream = Stream::new(narrow(mtu), config(8128), config(MAX_PACKET), 5000);
        stream.write(1000);
        stream.pair.run(15.0);
        let (a, best) = (stream.pair.a, mtu - BESIDE);
        let size = stream.size(a);
        assert!(size <= best && size + STEP > best, "{size} of {best}");
        stream.expect_all();
        let stats = stream.stats(a);
        assert_eq!((stats.timeouts, stats.mtu_black_holes), (0, 0), "probes are no congestion");
    }
}

#[test]
fn sessions_without_bulk_and_those_that_may_not_grow_are_not_probed() {
    let mut stream = Stream::new(narrow(9000), config(1408), config(1408), 300);
    for _ in 0..100 {
        stream.write(1);
        stream.pair.run(0.5);
    }
    let a = stream.pair.a;
    assert_eq!((stream.size(a), stream.stats(a).mtu_probes), (MAX_PACKET, 0));

    let mut stream = Stream::new(narrow(9000), config(MAX_PACKET), config(1408), 5000);
    stream.write(100);
    stream.pair.run(5.0);
    assert_eq!((stream.size(a), stream.stats(a).mtu_probes), (MAX_PACKET, 0));
}

#[test]
fn with_a_far_end_that_ignores_packet_fragments_a_session_stays_as_it_is() {
    let limits = Limits { packet_fragments: 0, ..Limits::default() };
    let mut stream = Stream::new(narrow(9000), config(1408), Config { limits, ..config(1408) }, 5000);
    for _ in 0..20 {
        stream.write(50);
        stream.pair.run(60.0);
    }
    let (a, b) = (stream.pair.a, stream.pair.b);
    assert_eq!((stream.size(a), stream.stats(a).mtu_probes), (MAX_PACKET, 3));
    assert_eq!(stream.stats(b).refused_fragments, 6);
    stream.expect_all();
}

#[test]
fn a_path_that_becomes_narrower_in_mid_stream_loses_no_message_and_holds_nothing_up_for_long() {
    for (mtu, most) in [(1206, 1408), (1300, 1408), (1206, 8128), (3000, 8128)] {
        let mut stream = Stream::new(narrow(9000), config(most), config(1408), 20_000);
        stream.write(150);
        stream.pair.run(1.5);
        let (a, before) = (stream.pair.a, stream.received());
        assert_eq!(stream.size(a), most);
        assert!((20..140).contains(&before), "{before}");
        stream.pair.net.set_default_link(narrow(mtu));
        stream.pair.run(3.0);
        let during = stream.received();
        assert!(during > before + 50 || during == 150, "{before}, {during} three seconds later");
        stream.write(150);
        stream.pair.run(20.0);
        stream.expect_all();
        let (size, best) = (stream.size(a), mtu - BESIDE);
        assert!(size <= best && size + STEP > best.min(most), "{size} of {best}");
        assert!(stream.stats(a).mtu_black_holes >= 1);
        let b = stream.pair.b;
        assert!(stream.stats(b).reassembled_packets > 1, "fragments that were cut larger");
    }
}

#[test]
fn packets_of_many_small_messages_get_through_a_path_that_becomes_narrower() {
    let mut stream = Stream::new(narrow(9000), config(1408), config(1408), 200);
    stream.write(8000);
    stream.pair.run(0.8);
    let a = stream.pair.a;
    assert_eq!(stream.size(a), 1408);
    assert!(stream.received() < 6000);
    stream.pair.net.set_default_link(narrow(1206));
    stream.pair.run(15.0);
    stream.expect_all();
    assert_eq!(stream.size(a), MAX_PACKET);
}

#[test]
fn a_path_that_becomes_wider_is_noticed_after_the_interval() {
    let mut config_a = config(1408);
    config_a.session.mtu_interval = Duration::from_secs(30);
    let mut stream = Stream::new(narrow(1250), config_a, config(1408), 5000);
    let a = stream.pair.a;
    let mut sizes = Vec::new();
    for second in 0..60 {
        if second == 10 {
            stream.pair.net.set_default_link(narrow(9000));
        }
        stream.write(20);
        stream.pair.run(1.0);
        sizes.push(stream.size(a));
    }
    assert!(sizes[9..28].iter().all(|size| (1232..=1244).contains(size)), "{sizes:?}");
    assert!(sizes[40..].iter().all(|size| *size == 1408), "{sizes:?}");
    stream.expect_all();
}

#[test]
fn a_bad_network_is_not_taken_for_a_narrow_one() {
    let mut stream = Stream::new(bad_link(), config(1408), config(1408), 5000);
    for _ in 0..30 {
        stream.write(20);
        stream.pair.run(1.0);
    }
    stream.pair.run(20.0);
    let a = stream.pair.a;
    assert_eq!(stream.size(a), 1408);
    assert!(stream.stats(a).mtu_black_holes <= 2, "{}", stream.stats(a).mtu_black_holes);
    stream.expect_all();
}

#[test]
fn an_outage_ends_with_the_size_from_before() {
    let mut stream = Stream::new(narrow(9000), config(1408), config(1408), 5000);
    stream.write(500);
    stream.pair.run(1.0);
    let (a, b) = (stream.pair.a, stream.pair.b);
    assert_eq!(stream.size(a), 1408);
    stream.pair.net.block(a, b);
    stream.pair.run(10.0);
    assert_eq!(stream.size(a), MAX_PACKET, "who knows");
    stream.pair.net.unblock(a, b);
    let probes = stream.stats(a).mtu_probes;
    stream.pair.run(20.0);
    assert_eq!(stream.size(a), 1408);
    assert!(stream.stats(a).mtu_probes <= probes + 2);
    stream.expect_all();
}

#[test]
fn a_session_that_moves_begins_anew_on_the_new_path() {
    let mut stream = Stream::new(narrow(9000), config(1408), config(1408), 5000);
    stream.write(400);
    stream.pair.run(0.5);
    let (a, b) = (stream.pair.a, stream.pair.b);
    assert_eq!(stream.size(a), 1408);
    // The receiver moves: the sender follows, and the path is narrower there.
    stream.pair.net.set_addresses(b, &[[10, 9, 9, 9].into()]);
    stream.pair.net.set_default_link(narrow(1300));
    let (session, now) = (stream.pair.session(b), stream.pair.now());
    let endpoint = stream.pair.node(b).endpoint();
    let flow = endpoint.session(session).expect("open").open_flow(
        now,
        rtmfp::FlowSpec { metadata: bytes::Bytes::new(), priority: Priority::Routine },
        rtmfp_base::Tag(1),
    );
    let mut flow = endpoint.send_flow(flow.expect("a flow")).expect("it");
    flow.write(now, Message::from(vec![1; 10]), &WriteOptions::default()).expect("room");
    stream.pair.run(20.0);
    stream.expect_all();
    assert!((1280..=1294).contains(&stream.size(a)), "{}", stream.size(a));
}

#[test]
fn a_probe_is_padding_and_then_a_ping_and_exactly_as_long_as_it_says() {
    let mut hands = crate::hand::Hands::new(endpoint("a", 1, config(1408)), endpoint("b", 2, config(1408)));
    let now = hands.now;
    let spec = rtmfp::FlowSpec { metadata: bytes::Bytes::new(), priority: Priority::Routine };
    let flow = hands.ends[0].open_flow(now, b"b", spec, rtmfp_base::Tag(7)).expect("a flow");
    hands.ends[0].send_flow(flow).expect("it").add_candidate(now, crate::hand::B);
    let write = |hands: &mut crate::hand::Hands| {
        let now = hands.now;
        let mut flow = hands.ends[0].send_flow(flow).expect("it");
        flow.write(now, Message::from(vec![1; 60_000]), &WriteOptions::default()).expect("room");
    };
    write(&mut hands);
    hands.run(Duration::from_secs(2));
    let of_a: Vec<_> = hands.sent.iter().filter(|(_, end, _)| *end == 0).map(|(.., d)| &d.bytes).collect();
    let probes: Vec<_> = of_a.iter().filter(|bytes| kinds(bytes).contains(&kind::PING)).collect();
    assert_eq!(probes.len(), 1);
    assert_eq!(kinds(probes[0]), [0, kind::PING]);
    assert_eq!(probes[0].len(), 1408 + BESIDE);
    let longest = of_a.iter().map(|bytes| bytes.len()).max();
    assert!(longest <= Some(1408 + BESIDE));
    let long = |bytes: &&&Vec<u8>| bytes.len() > 1380 && !kinds(bytes).contains(&kind::PING);
    let first = of_a.iter().position(|bytes| kinds(bytes).contains(&kind::PING));
    let grown = of_a.iter().position(|bytes| long(&bytes));
    assert!(grown > first, "not before the answer: {first:?}, {grown:?}");
    let fragments: Vec<_> =
        of_a.iter().filter(|bytes| kinds(bytes) == [kind::PACKET_FRAGMENT]).map(|b| b.len()).collect();
    assert_eq!(fragments.len(), 2);
}

// ---- fragments from anybody ----

const NOW: Time = Time::from_secs(1);

fn fragments(packet: &[u8], packet_id: u64, len: usize) -> Vec<Chunk<'_>> {
    let pieces: Vec<_> = packet.chunks(len).collect();
    let last = pieces.len() - 1;
    pieces
        .into_iter()
        .enumerate()
        .map(|(index, data)| {
            let fragment = PacketFragment { more: index < last, packet_id, index: index as u64, data };
            Chunk::PacketFragment(fragment)
        })
        .collect()
}

fn victim() -> (rtmfp::Endpoint, Forger) {
    let mut victim = endpoint("b", 2, config(1408));
    victim.add_interface(rtmfp_base::InterfaceId(0), crate::hand::B);
    let mut peer = Forger::new("a", A);
    peer.connect(NOW, &mut victim, b"b");
    events_accepting(&mut victim, NOW);
    (victim, peer)
}

/// The chunks of what the victim answers.
fn answers(victim: &mut rtmfp::Endpoint, peer: &mut Forger) -> Vec<Vec<u8>> {
    let key = peer.key;
    transmits(victim, NOW).into_iter().map(|(.., bytes)| peer.open(key, &bytes).1).collect()
}

#[test]
fn a_packet_in_fragments_is_processed_when_it_is_whole() {
    let (mut victim, mut peer) = victim();
    let packet = crate::hand::clear(Mode::Initiator, &[Chunk::Ping(b"hello there")]);
    let pieces = fragments(&packet, 1 << 40, 4);
    for piece in pieces[1..].iter().chain(&pieces[1..]) {
        let datagram = peer.packet(&[*piece]);
        deliver(&mut victim, NOW, A, &datagram);
        assert!(answers(&mut victim, &mut peer).is_empty());
    }
    let datagram = peer.packet(&pieces[..1]);
    deliver(&mut victim, NOW, A, &datagram);
    let answers = answers(&mut victim, &mut peer);
    assert_eq!(parse(&answers[0]), [Chunk::PingReply(b"hello there")]);
}

#[test]
fn fragments_in_fragments_and_packets_of_another_mode_are_nothing() {
    let (mut victim, mut peer) = victim();
    let inner = crate::hand::clear(Mode::Initiator, &[Chunk::Ping(b"x")]);
    let nested = crate::hand::clear(Mode::Initiator, &fragments(&inner, 1, 100));
    let others = [Mode::Responder, Mode::Startup].map(|mode| crate::hand::clear(mode, &[Chunk::Ping(b"x")]));
    for (id, packet) in
        [nested, others[0].clone(), others[1].clone(), vec![0], vec![1 | 8]].iter().enumerate()
    {
        let datagram = peer.packet(&fragments(packet, id as u64, 3));
        deliver(&mut victim, NOW, A, &datagram);
        assert!(answers(&mut victim, &mut peer).is_empty(), "{id}");
    }
    let stats = victim.stats();
    assert_eq!((stats.reassembled_packets, stats.malformed_packets), (1, 4));
}

#[test]
fn a_peer_that_answers_probes_it_did_not_get_harms_nobody_but_itself() {
    let (mut victim, mut peer) = victim();
    for number in 0..100u8 {
        for message in [&[b'P', number][..], b"P", b"P\xff\xff\xff", &[b'P'; 40]] {
            let datagram = peer.packet(&[Chunk::PingReply(message)]);
            deliver(&mut victim, NOW, A, &datagram);
        }
    }
    let session = victim.open_sessions()[0];
    assert_eq!(victim.session(session).expect("open").info().max_packet, MAX_PACKET);
}
