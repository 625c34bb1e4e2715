//! Far ends that are half dead, or slow, and what others notice of them.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::common::{Peer, endpoint, link, node};
use crate::hand::flows::{Seen, view};
use crate::hand::{B, Fate, Forger, Hands, deliver};
use rtmfp::driver::Node;
use rtmfp::wire::{Chunk, DataFlags, Fragment, UserData, kind, write_ack_ranges, write_startup_options};
use rtmfp::{CloseReason, Config, Event, Priority, SendFlowId};
use rtmfp_base::{Message, Tag, WriteOptions};
use rtmfp_netsim::{HostId, Network};

/// A dead peer is freed after this.
const PATIENCE: Duration = Duration::from_secs(30);
const FRAME: Duration = Duration::from_millis(32);
/// A frame of a stream of 10 Mbit/s.
const FRAME_BYTES: usize = 40_000;
/// A frame that was not begun after this is not worth sending.
const DEADLINE: Duration = Duration::from_millis(500);

fn config() -> Config {
    let mut config = Config::default();
    config.session.retransmit_limit = PATIENCE;
    config.session.keepalive = Duration::from_secs(10);
    config
}

/// How a far end is half dead.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Half {
    /// It answers pings, and nothing else.
    Pings,
    /// It sends data, and acknowledges none.
    Talks,
    /// It says all the time what it has acknowledged before, which was all.
    Repeats,
    /// It answers pings that nobody has sent.
    Unasked,
}

/// An endpoint with a flow to a far end that the test plays from now on, and that has acknowledged one message.
fn played_far_end() -> (Hands, SendFlowId, Forger) {
    let mut hands = Hands::new(endpoint("a", 1, config()), endpoint("b", 2, Config::default()));
    let flow = hands.open(b"live", Priority::Routine);
    hands.write(flow, 100);
    hands.run_millis(1000);
    let far = hands.forger_of_b();
    hands.network = Box::new(|_, _| Fate::Lost);
    (hands, flow, far)
}

/// What the far end says again that it has acknowledged before, with room for so many blocks.
fn same_acknowledgement(far: &mut Forger, blocks: u64) -> Vec<u8> {
    let mut ack = Vec::new();
    write_ack_ranges(2, blocks, 1, core::iter::empty(), 100, &mut ack);
    // Behind the kind and the length.
    far.packet(&[Chunk::parse(kind::ACK_RANGES, &ack[3..]).expect("an acknowledgement")])
}

#[test]
fn a_peer_that_acknowledges_nothing_is_freed_in_time_whatever_else_it_says() {
    for half in [Half::Pings, Half::Talks, Half::Repeats, Half::Unasked] {
        let (mut hands, flow, mut far) = played_far_end();
        let (left, mut sequence, mut looked_at) = (hands.now, 1, hands.sent.len());
        while hands.count(0, |event| matches!(event, Event::SessionClosed { .. })) == 0 {
            assert!(hands.now < left + PATIENCE * 2, "{half:?}: it is never freed");
            if hands.ends[0].send_flow(flow).is_some() {
                hands.write(flow, 500);
            }
            hands.run_millis(100);
            let pings = hands.sent[looked_at..].iter().filter(|(_, end, datagram)| {
                *end == 0 && view(&datagram.bytes).1.contains(&Seen::Other(kind::PING))
            });
            let pings = pings.count();
            looked_at = hands.sent.len();
            let mut packets = Vec::new();
            match half {
                Half::Pings => packets.extend((0..pings).map(|_| far.packet(&[Chunk::PingReply(&[])]))),
                Half::Unasked => packets.push(far.packet(&[Chunk::PingReply(&[])])),
                Half::Repeats => packets.push(same_acknowledgement(&mut far, 64)),
                Half::Talks => {
                    let mut options = Vec::new();
                    write_startup_options(b"talk", None, &mut options);
                    let flags = DataFlags { fragment: Fragment::Whole, abandoned: false, last: false };
                    packets.push(far.packet(&[Chunk::UserData(UserData {
                        flags,
                        flow_id: 2,
                        sequence,
                        fsn_offset: sequence,
                        options: Some(&options),
                        data: b"on and on",
                    })]));
                    sequence += 1;
                }
            }
            let now = hands.now;
            for packet in packets {
                deliver(&mut hands.ends[0], now, B, &packet);
            }
        }
        let took = hands.now.since(left);
        println!("{half:?}: freed after {:.1} s", took.as_secs_f64());
        assert!(took <= PATIENCE + Duration::from_secs(1), "{half:?}: {took:?}");
        let unresponsive =
            |event: &Event| matches!(event, Event::SessionClosed { reason: CloseReason::Unresponsive, .. });
        assert_eq!(hands.count(0, unresponsive), 1, "{half:?}: {:?}", hands.events[0]);
        let data = |seen: &Seen| matches!(seen, Seen::Data { sequence: 2, .. });
        let tries =
            hands.packets(0).into_iter().filter(|(at, _, seen)| *at > left && seen.iter().any(data)).count();
        assert!(
            tries >= 5,
            "{half:?}: what is missing is sent again, at ever longer intervals: {tries} times"
        );
        // Everything that was queued for it has gone with it.
        assert_eq!(hands.ends[0].holdings().held_queued_bytes, 0);
        assert!(hands.ends[0].send_flow(flow).is_none());
    }
}

#[test]
fn a_far_end_that_says_that_it_has_room_for_no_packet_is_not_taken_for_dead() {
    let (mut hands, flow, mut far) = played_far_end();
    hands.write(flow, 500);
    // It drops what is sent to it, as some do that should close their windows.
    for _ in 0..PATIENCE.as_secs() * 30 {
        hands.run_millis(100);
        let packet = same_acknowledgement(&mut far, 1);
        let now = hands.now;
        deliver(&mut hands.ends[0], now, B, &packet);
    }
    assert_eq!(hands.count(0, |event| matches!(event, Event::SessionClosed { .. })), 0);
}

/// Bytes that may wait for a reader: frames before their deadline, one more, and what the flow keeps of each.
fn cap() -> u64 {
    let frames = DEADLINE.as_micros().div_ceil(FRAME.as_micros()) as u64 + 2;
    frames * (FRAME_BYTES as u64 + 64) + 65_536
}

fn frame(number: u64) -> Message {
    Message::from(crate::common::numbered(number, FRAME_BYTES))
}

#[test]
fn frames_for_a_window_that_is_closed_for_ever_are_dropped_by_their_deadlines() {
    let mut hands = Hands::new(endpoint("a", 1, config()), endpoint("b", 2, Config::default()));
    hands.reads = false;
    let flow = hands.open(b"live", Priority::Routine);
    let (mut most, seconds) = (0, 120);
    let frames = seconds * 1000 / FRAME.as_millis() as u64;
    for number in 0..frames {
        let now = hands.now;
        let options = WriteOptions { start_by: now + DEADLINE, notify: true, ..WriteOptions::default() };
        let mut flow = hands.ends[0].send_flow(flow).expect("the flow");
        flow.write(now, frame(number), &options).expect("room");
        hands.run(FRAME);
        most = most.max(hands.ends[0].holdings().held_queued_bytes);
    }
    hands.run(DEADLINE);
    let ended = hands.count(0, |event| matches!(event, Event::WriteEnded { delivered: false, .. }));
    let (delivered, held) = (
        hands.count(0, |event| matches!(event, Event::WriteEnded { delivered: true, .. })),
        hands.ends[0].holdings().held_queued_bytes,
    );
    println!("{frames} frames: {ended} dropped, {delivered} taken, {most} bytes held at most, {held} now");
    assert!(most <= cap(), "{most}");
    // What was begun as the window closed is all that stays.
    assert!((ended + delivered) as u64 >= frames - 2, "{ended} {delivered} of {frames}");
    assert!(held <= 2 * (FRAME_BYTES as u64 + 64), "{held}");
    assert_eq!(hands.count(0, |event| matches!(event, Event::SessionClosed { .. })), 0);
}

const C: [u8; 4] = [10, 0, 0, 3];

struct Server {
    net: Network,
    host: HostId,
    viewers: [HostId; 2],
    flows: Vec<SendFlowId>,
}

impl Server {
    /// An endpoint with a session to each of two viewers.
    fn new() -> Self {
        let mut net = Network::new(1);
        net.set_default_link(link(20));
        let mut roomy = Config::default();
        roomy.session.receive_limit = 4 << 20;
        roomy.receive_capacity = 1 << 20;
        let host = net.add_host("a", &[IpAddr::from(crate::common::A)], node("a", 1, config()));
        let viewers = [("b", crate::common::B, 2), ("c", C, 3)];
        let viewers = viewers
            .map(|(name, ip, seed)| net.add_host(name, &[IpAddr::from(ip)], node(name, seed, roomy.clone())));
        net.run_for(Duration::from_millis(1));
        let now = net.now();
        let endpoint = net.service::<Node<Peer>>(host).endpoint();
        let flows = [(&b"b"[..], crate::common::B), (b"c", C)].map(|(epd, ip)| {
            let spec = crate::hand::flows::spec(b"live", Priority::Routine);
            let flow = endpoint.open_flow(now, epd, spec, Tag(1)).expect("a flow");
            let to = SocketAddr::from((ip, crate::common::PORT));
            endpoint.send_flow(flow).expect("the flow").add_candidate(now, to);
            flow
        });
        net.run_for(Duration::from_secs(1));
        Self { net, host, viewers, flows: flows.to_vec() }
    }

    fn viewer(&mut self, number: usize) -> &mut Node<Peer> {
        self.net.service::<Node<Peer>>(self.viewers[number])
    }

    /// Writes a frame to both.
    fn write(&mut self, number: u64) {
        let now = self.net.now();
        let endpoint = self.net.service::<Node<Peer>>(self.host).endpoint();
        for flow in &self.flows {
            let options = WriteOptions { start_by: now + DEADLINE, ..WriteOptions::default() };
            let mut flow = endpoint.send_flow(*flow).expect("the flow");
            flow.write(now, frame(number), &options).expect("room");
        }
    }

    fn held(&mut self) -> u64 {
        self.net.service::<Node<Peer>>(self.host).endpoint().holdings().held_queued_bytes
    }
}

/// What a viewer got.
#[derive(Debug)]
struct Got {
    frames: usize,
    latency: f64,
}

/// Twenty seconds of a stream to two viewers; of every so many frames the first one reads one, or none. Answers what
/// it got, what the other one got, and how many bytes waited at most.
fn stream(reads_one_in: Option<u64>) -> ([Got; 2], u64) {
    let mut server = Server::new();
    let start = server.net.now();
    server.viewer(0).application.reads = false;
    let (mut most, mut got) = (0, 0);
    for number in 0..625 {
        server.write(number);
        server.net.run_for(FRAME);
        most = most.max(server.held());
        if reads_one_in.is_some_and(|every| number % every == 0) {
            let now = server.net.now();
            let slow = server.viewer(0);
            let flow = slow.application.metadata.keys().next().copied();
            let mut flow = flow.and_then(|flow| slow.endpoint().recv_flow(flow));
            got += usize::from(flow.as_mut().and_then(|flow| flow.read(now)).is_some());
        }
    }
    server.net.run_for(Duration::from_secs(1));
    let fast = &server.viewer(1).application;
    let flow = *fast.received.keys().next().expect("a flow");
    let waits = fast.received[&flow].iter().zip(&fast.read_at[&flow]).map(|(message, at)| {
        let number = u64::from_be_bytes(message.bytes[..8].try_into().expect("8 bytes"));
        at.since(start + FRAME * number as u32).as_secs_f64()
    });
    let waits: Vec<f64> = waits.collect();
    let latency = waits.iter().sum::<f64>() / waits.len() as f64;
    ([Got { frames: got, latency: 0.0 }, Got { frames: waits.len(), latency }], most)
}

#[test]
fn a_viewer_does_not_notice_that_another_one_of_the_endpoint_is_slow_or_reads_nothing() {
    let (usual, held) = stream(Some(1));
    println!("both read: {usual:?}, {held} bytes held at most");
    assert!(usual[0].frames > 600 && usual[1].frames == 625, "{usual:?}");
    for every in [Some(10), None] {
        let (seen, held) = stream(every);
        println!("one in {every:?}: {seen:?}, {held} bytes held at most");
        assert!(held <= 2 * cap(), "{held}");
        assert!(seen[0].frames <= 63, "{seen:?}");
        let frames = seen[1].frames.abs_diff(usual[1].frames) as f64 / usual[1].frames as f64;
        let latency = (seen[1].latency - usual[1].latency).abs() / usual[1].latency;
        println!(
            "one in {every:?}: {:.2} % of the frames, {:.2} % of the latency",
            frames * 100.0,
            latency * 100.0
        );
        assert!(frames < 0.01 && latency < 0.01, "{seen:?} instead of {usual:?}");
    }
}
