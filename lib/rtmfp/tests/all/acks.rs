//! When acknowledgements are sent and what they say (RFC 7016 section 3.6.3.4).

use std::time::Duration;

use crate::common::endpoint;
use crate::hand::flows::{Seen, has_ack, has_data, view};
use crate::hand::{A, DELAY, Fate, Forger, Hands, deliver, deliver_marked, run_jobs, transmits};
use rtmfp::wire::{Ack, Chunk, DataFlags, Fragment, UserData, kind, write_startup_options};
use rtmfp::{Config, Endpoint, Event, Priority, SendFlowId};
use rtmfp_base::{Ecn, Tag, Time};

const MILLI: Duration = Duration::from_millis(1);

/// Two ends with an open session, and a flow whose first message was acknowledged and read.
fn open_flow() -> (Hands, SendFlowId) {
    let config = Config::default;
    let mut hands = Hands::new(endpoint("a", 1, config()), endpoint("b", 2, config()));
    let flow = hands.open(b"flow", Priority::Routine);
    hands.write(flow, 10);
    hands.run_millis(2000);
    hands.sent.clear();
    (hands, flow)
}

/// The data packets of `a` and the acknowledgements of `b`, by milliseconds since a time.
fn exchange(hands: &Hands, since: Time) -> (Vec<u64>, Vec<u64>) {
    let at = |end: usize, wanted: fn(&[Seen]) -> bool| {
        let packets = hands.packets(end).into_iter().filter(|(.., seen)| wanted(seen));
        packets.map(|(at, ..)| at.since(since).as_millis() as u64).collect()
    };
    (at(0, has_data), at(1, has_ack))
}

#[test]
fn a_single_packet_is_acknowledged_after_200_milliseconds() {
    let (mut hands, flow) = open_flow();
    let start = hands.now;
    hands.write(flow, 10);
    hands.run_millis(1000);
    assert_eq!(exchange(&hands, start), (vec![0], vec![220]));
}

#[test]
fn every_second_packet_is_acknowledged_at_once() {
    let (mut hands, flow) = open_flow();
    let start = hands.now;
    for _ in 0..5 {
        hands.write(flow, 10);
        hands.run_millis(30);
    }
    hands.run_millis(1000);
    let (data, acks) = exchange(&hands, start);
    assert_eq!(data, [0, 30, 60, 90, 120]);
    assert_eq!(acks, [50, 110, 340], "the second, the fourth, and the last after 200 ms");
}

#[test]
fn a_gap_is_told_at_once_until_it_is_closed() {
    let (mut hands, flow) = open_flow();
    let start = hands.now;
    let mut count = 0;
    hands.network = Box::new(move |end, datagram| {
        count += u64::from(end == 0 && has_data(&view(&datagram.bytes).1));
        if end == 0 && count == 1 { Fate::Lost } else { Fate::After(DELAY) }
    });
    for _ in 0..4 {
        hands.write(flow, 10);
        hands.run_millis(10);
    }
    hands.run_millis(1000);
    let (data, acks) = exchange(&hands, start);
    // Three packets that overtook it: it is sent again when the third one's acknowledgement comes.
    assert_eq!(data, [0, 10, 20, 30, 70]);
    assert_eq!(acks, [30, 40, 50, 90]);
    let told = hands.packets(1).into_iter().flat_map(|(.., seen)| seen);
    let told: Vec<_> = told
        .filter_map(|chunk| match chunk {
            Seen::Ack { cumulative, ranges, .. } => Some((cumulative, ranges)),
            _ => None,
        })
        .collect();
    assert_eq!(told, [(1, vec![(3, 3)]), (1, vec![(3, 4)]), (1, vec![(3, 5)]), (5, vec![])]);
    assert_eq!(hands.received[1].values().next().map(Vec::len), Some(5));
}

#[test]
fn a_repetition_and_the_end_of_a_flow_are_acknowledged_at_once() {
    let (mut hands, flow) = open_flow();
    let start = hands.now;
    hands.write(flow, 10);
    hands.close(flow);
    hands.run_millis(300);
    assert_eq!(exchange(&hands, start), (vec![0], vec![20]));
    let again = hands.sent.iter().find(|(_, end, _)| *end == 0).map(|(.., d)| d.bytes.clone()).expect("data");
    let now = hands.now;
    deliver(&mut hands.ends[1], now, A, &again);
    hands.run_millis(0);
    assert_eq!(exchange(&hands, start).1, [20, 300], "though the flow is finished");
}

#[test]
fn acknowledgements_ride_with_data() {
    let (mut hands, flow) = open_flow();
    let session = hands.session(1);
    let now = hands.now;
    let spec = crate::hand::flows::spec(b"back", Priority::Routine);
    let mut other = hands.ends[1].session(session).expect("the session");
    let back = other.open_flow(now, spec, Tag(2)).expect("a flow");
    hands.write(flow, 10);
    hands.run(DELAY + MILLI);
    let message = rtmfp_base::Message::from(vec![1; 10]);
    let now = hands.now;
    let mut flow = hands.ends[1].send_flow(back).expect("the flow");
    flow.write(now, message, &Default::default()).expect("room");
    hands.run(MILLI);
    let packets = hands.packets(1);
    assert_eq!(packets.len(), 1);
    assert!(has_data(&packets[0].2) && has_ack(&packets[0].2), "{packets:?}");
}

/// A forged peer with a session to an endpoint, and the flow 5 that the endpoint has accepted.
struct Forged {
    forger: Forger,
    victim: Endpoint,
    now: Time,
}

impl Forged {
    fn new(config: Config) -> Self {
        let (mut forger, mut victim) = (Forger::new("f", A), endpoint("v", 1, config));
        victim.add_interface(rtmfp_base::InterfaceId(0), crate::hand::B);
        let now = Time::from_secs(1);
        forger.connect(now, &mut victim, b"v");
        Self { forger, victim, now }
    }

    /// Brings a packet; answers what the victim sends.
    fn bring(&mut self, ecn: Ecn, chunks: &[Chunk<'_>]) -> Vec<Vec<Seen>> {
        let packet = self.forger.packet(chunks);
        deliver_marked(&mut self.victim, self.now, A, ecn, &packet);
        self.answers()
    }

    fn answers(&mut self) -> Vec<Vec<Seen>> {
        run_jobs(&mut self.victim, self.now);
        while let Some(event) = self.victim.poll_event(self.now) {
            if let Event::FlowOffered { flow, .. } = event {
                self.victim.accept(self.now, flow, Tag(0));
            }
        }
        transmits(&mut self.victim, self.now).iter().map(|(.., bytes)| view(bytes).1).collect()
    }
}

fn data<'a>(sequence: u64, forward: u64, options: &'a [u8], data: &'a [u8]) -> Chunk<'a> {
    Chunk::UserData(UserData {
        flags: DataFlags { fragment: Fragment::Whole, abandoned: false, last: false },
        flow_id: 5,
        sequence,
        fsn_offset: sequence - forward,
        options: Some(options),
        data,
    })
}

fn options() -> Vec<u8> {
    let mut options = Vec::new();
    write_startup_options(b"forged", None, &mut options);
    options
}

#[test]
fn two_hundred_gaps_fit_into_one_packet_and_more_are_cut_off() {
    let config = Config { limits: rtmfp::Limits { ranges: 2000, ..Default::default() }, ..Config::default() };
    let mut forged = Forged::new(config);
    let options = options();
    for count in 1..=200u64 {
        let answers = forged.bring(Ecn::NotEct, &[data(2 * count, 0, &options, b"x")]);
        let [Seen::Ack { cumulative: 0, ranges, .. }] = &answers[0][..] else { panic!("{answers:?}") };
        assert_eq!(ranges.len() as u64, count);
        assert!(ranges.iter().all(|range| range.0 == range.1 && range.0 % 2 == 0));
    }
    // With long numbers the list grows beyond a packet: it is cut off, and the rest is told when there is room.
    for count in 1..=600u64 {
        let answers = forged.bring(Ecn::NotEct, &[data(1000 + count * 300, 0, &options, b"x")]);
        assert_eq!(answers.len(), 1, "one packet");
        assert!(matches!(answers[0][..], [Seen::Ack { .. }]));
    }
    let answers = forged.bring(Ecn::NotEct, &[Chunk::BufferProbe { flow_id: 5 }]);
    let [Seen::Ack { ranges, .. }] = &answers[0][..] else { panic!("{answers:?}") };
    assert!((300..800).contains(&ranges.len()), "{}", ranges.len());
    let answers = forged.bring(Ecn::NotEct, &[data(300_000, 299_999, &options, b"x")]);
    let [Seen::Ack { cumulative, ranges, .. }] = &answers[0][..] else { panic!("{answers:?}") };
    assert_eq!((*cumulative, ranges.len()), (300_000, 0));
}

#[test]
fn more_gaps_than_the_limit_are_not_taken_and_not_acknowledged() {
    let mut forged = Forged::new(Config::default());
    let options = options();
    for count in 1..=400u64 {
        forged.bring(Ecn::NotEct, &[data(2 * count, 0, &options, b"x")]);
    }
    let answers = forged.bring(Ecn::NotEct, &[Chunk::BufferProbe { flow_id: 5 }]);
    let [Seen::Ack { ranges, .. }] = &answers[0][..] else { panic!("{answers:?}") };
    assert_eq!(ranges.len(), Config::default().limits.ranges - 1);
    assert_eq!(forged.victim.stats().data_without_room, 400 - 255);
    // A forward number helps, whatever comes with it.
    let answers = forged.bring(Ecn::NotEct, &[data(5000, 401, &options, b"x")]);
    let [Seen::Ack { cumulative, ranges, .. }] = &answers[0][..] else { panic!("{answers:?}") };
    assert_eq!((*cumulative, ranges.len()), (402, 255 - 201 + 1));
}

#[test]
fn an_ecn_report_comes_before_the_first_acknowledgement_of_marked_packets() {
    let mut forged = Forged::new(Config::default());
    let options = options();
    let answers = forged.bring(Ecn::Ect0, &[data(1, 0, &options, b"x")]);
    assert!(matches!(answers[0][..], [Seen::Ecn { count: 0 }, Seen::Ack { .. }]), "{answers:?}");
    let answers = forged.bring(Ecn::NotEct, &[data(1, 0, &options, b"x")]);
    assert!(matches!(answers[0][..], [Seen::Ack { .. }]), "nothing new: {answers:?}");
    let answers = forged.bring(Ecn::Ce, &[data(1, 0, &options, b"x")]);
    assert!(matches!(answers[0][..], [Seen::Ecn { count: 1 }, Seen::Ack { .. }]), "{answers:?}");
    // Marks of packets without data count too, and wait for an acknowledgement.
    let answers = forged.bring(Ecn::Ce, &[Chunk::BufferProbe { flow_id: 99 }]);
    assert!(answers.is_empty(), "{answers:?}");
    let answers = forged.bring(Ecn::NotEct, &[Chunk::BufferProbe { flow_id: 5 }]);
    assert!(matches!(answers[0][..], [Seen::Ecn { count: 2 }, Seen::Ack { .. }]), "{answers:?}");
}

#[test]
fn an_end_that_gets_no_marked_packets_never_reports() {
    let (hands, _) = open_flow();
    let reports = hands.packets(0).into_iter().flat_map(|(.., seen)| seen);
    assert_eq!(reports.filter(|chunk| matches!(chunk, Seen::Ecn { .. })).count(), 0);
}

#[test]
fn data_is_marked_until_an_acknowledgement_comes_without_a_report() {
    let config = Config::default;
    let mut hands = Hands::new(endpoint("a", 1, config()), endpoint("b", 2, config()));
    let flow = hands.open(b"flow", Priority::Routine);
    for _ in 0..10 {
        hands.write(flow, 10);
        hands.run_millis(300);
    }
    let marks = |hands: &Hands, data: bool| {
        let own = hands.sent.iter().filter(|(_, end, _)| *end == 0);
        let wanted = own.filter(|(.., datagram)| has_data(&view(&datagram.bytes).1) == data);
        wanted.map(|(.., datagram)| datagram.ecn).collect::<Vec<_>>()
    };
    assert!(marks(&hands, true).iter().all(|mark| *mark == Ecn::Ect0));
    assert!(marks(&hands, false).iter().all(|mark| *mark == Ecn::NotEct), "hellos, keying");

    let mut forger = Forged::new(Config::default());
    let spec = crate::hand::flows::spec(b"flow", Priority::Routine);
    forger.answers();
    let session = forger.victim.open_sessions()[0];
    let now = forger.now;
    let mut session = forger.victim.session(session).expect("the session");
    let flow = session.open_flow(now, spec, Tag(0)).expect("a flow");
    let write = |forger: &mut Forged| {
        let message = rtmfp_base::Message::from(vec![1; 10]);
        let mut flow = forger.victim.send_flow(flow).expect("the flow");
        flow.write(now, message, &Default::default()).expect("room");
        crate::hand::transmits_marked(&mut forger.victim, now).pop().expect("a packet").2
    };
    assert_eq!(write(&mut forger), Ecn::Ect0);
    let payload = [2, 64, 1];
    let ack = Chunk::parse(kind::ACK_RANGES, &payload).expect("an acknowledgement");
    forger.bring(Ecn::NotEct, &[ack]);
    assert_eq!(write(&mut forger), Ecn::NotEct, "a peer that knows no reports, or a path without marks");
}

#[test]
fn bitmaps_are_understood() {
    let (mut hands, flow) = open_flow();
    hands.network = Box::new(|_, _| Fate::Lost);
    for _ in 0..4 {
        hands.write(flow, 1100);
    }
    hands.poll();
    let session = hands.session(0);
    let outstanding = |hands: &mut Hands| {
        let session = hands.ends[0].session(session).expect("the session");
        session.info().outstanding
    };
    let before = outstanding(&mut hands);
    assert!(before > 3 * 1100, "{before}");
    // Up to 1 and then, from 3 on: 0b11, which is 3 and 4.
    let payload = [2, 64, 1, 0b11];
    let ack = Chunk::parse(kind::ACK_BITMAP, &payload).expect("an acknowledgement");
    assert!(matches!(&ack, Chunk::AckBitmap(ack) if Ack::ranges(ack).eq([3..=4])));
    let packet = hands.forger_of_b().packet(&[ack]);
    let now = hands.now;
    deliver(&mut hands.ends[0], now, crate::hand::B, &packet);
    let after = outstanding(&mut hands);
    // 2 and 5 are still under way.
    assert!((2200..2260).contains(&after), "{after}");
}

#[test]
fn acknowledgements_of_what_was_never_sent_are_refused() {
    let (mut hands, flow) = open_flow();
    hands.network = Box::new(|_, _| Fate::Lost);
    hands.write(flow, 10);
    hands.poll();
    let payload = [2, 64, 3];
    let ack = Chunk::parse(kind::ACK_RANGES, &payload).expect("an acknowledgement");
    let packet = hands.forger_of_b().packet(&[ack]);
    let now = hands.now;
    deliver(&mut hands.ends[0], now, crate::hand::B, &packet);
    assert_eq!(hands.ends[0].stats().acks_of_unsent, 1);
    assert!(hands.ends[0].send_flow(flow).expect("the flow").buffered() > 0);
}
