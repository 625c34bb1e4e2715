//! Packets that somebody has recorded and sends again: during a session, after it, and a day later (RFC 7016 section 5).

use std::time::Duration;

use crate::common::numbered;
use crate::hand::{A, B, Hands, deliver, events, run_jobs, transmits};
use bytes::Bytes;
use rtmfp::crypto::Profile;
use rtmfp::{Config, Endpoint, Event, FlowSpec, Priority, SendFlowId};
use rtmfp_base::{Message, Tag, Time, WriteOptions};
use rtmfp_flash::{Epd, FlashConfig, FlashProfile};
use rtmfp_plain::PlainProfile;

/// Ten minutes, a message a second.
const MINUTES: u64 = 10;
/// A short flow every so many seconds.
const SHORT_FLOWS: u64 = 45;

/// A recording of everything that one end sent to the other.
struct Recording {
    hands: Hands,
    packets: Vec<Vec<u8>>,
}

fn flash(name: &str, number: u8) -> Box<dyn Profile> {
    let mut drawn = u64::from(number) << 32;
    let mut random = |bytes: &mut [u8]| {
        for byte in bytes {
            drawn = drawn.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            *byte = (drawn >> 33) as u8;
        }
    };
    let mut config = FlashConfig::server();
    config.hostname = Some(name.to_owned());
    Box::new(FlashProfile::new(config, &mut random).expect("keys"))
}

fn open(hands: &mut Hands, epd: &[u8], metadata: &'static [u8]) -> SendFlowId {
    let now = hands.now;
    let spec = FlowSpec { metadata: Bytes::from_static(metadata), priority: Priority::Routine };
    let flow = hands.ends[0].open_flow(now, epd, spec, Tag(1)).expect("a flow");
    hands.ends[0].send_flow(flow).expect("the flow").add_candidate(now, B);
    flow
}

fn write(hands: &mut Hands, flow: SendFlowId, message: Vec<u8>) {
    let now = hands.now;
    let mut flow = hands.ends[0].send_flow(flow).expect("the flow");
    flow.write(now, Message::from(message), &WriteOptions::default()).expect("room");
}

/// A talk of ten minutes on one flow, with short flows beside it.
fn record(profiles: [Box<dyn Profile>; 2], epd: &[u8]) -> Recording {
    let mut number = 0;
    let [a, b] = profiles.map(|profile| {
        number += 1;
        let mut config = Config::default();
        config.session.keepalive = Duration::from_secs(10);
        Endpoint::new(config, profile, [number; 32], Time::from_secs(1))
    });
    let mut hands = Hands::new(a, b);
    let talk = open(&mut hands, epd, b"talk");
    for second in 0..MINUTES * 60 {
        write(&mut hands, talk, numbered(second, 300));
        if second % SHORT_FLOWS == 0 {
            let short = open(&mut hands, epd, b"short");
            write(&mut hands, short, numbered(second, 50));
            let now = hands.now;
            hands.ends[0].send_flow(short).expect("the flow").close(now);
        }
        hands.run(Duration::from_secs(1));
    }
    let from_a = hands.sent.iter().filter(|(_, end, _)| *end == 0);
    let packets = from_a.map(|(_, _, datagram)| datagram.bytes.clone()).collect();
    Recording { hands, packets }
}

impl Recording {
    /// Sends everything again at once; answers the events that it leads to.
    fn replay(&mut self) -> Vec<Event> {
        let now = self.hands.now;
        let b = &mut self.hands.ends[1];
        let mut happened = Vec::new();
        for packet in &self.packets {
            deliver(b, now, A, packet);
            run_jobs(b, now);
            happened.extend(events(b, now));
            transmits(b, now);
        }
        happened
    }

    fn heard(&self) -> usize {
        self.hands.received[1].values().map(Vec::len).sum()
    }

    fn close(&mut self) {
        let now = self.hands.now;
        for end in 0..2 {
            for session in self.hands.ends[end].open_sessions() {
                self.hands.ends[end].session(session).expect("open").close(now);
            }
        }
        self.hands.run(Duration::from_secs(30));
        assert_eq!(self.hands.ends[1].session_count(), 0);
    }
}

const EXPECTED: usize = (MINUTES * 60 + (MINUTES * 60).div_ceil(SHORT_FLOWS)) as usize;

#[test]
fn with_sequence_numbers_no_packet_of_a_recording_is_accepted_again() {
    let mut recording = record([flash("a", 1), flash("b", 2)], &Epd::hostname("b").encode());
    assert_eq!(recording.heard(), EXPECTED);
    let before = recording.hands.ends[1].stats().clone();

    assert_eq!(recording.replay(), []);
    let after = recording.hands.ends[1].stats().clone();
    let startup = 2;
    assert_eq!(
        after.replayed_packets - before.replayed_packets,
        (recording.packets.len() - startup) as u64,
        "all but hello and keying"
    );
    assert_eq!(after.accepted_sessions, before.accepted_sessions);
    // The session goes on as if nothing had happened.
    recording.hands.run(Duration::from_secs(20));
    let talk = open(&mut recording.hands, &Epd::hostname("b").encode(), b"more");
    write(&mut recording.hands, talk, numbered(1, 100));
    recording.hands.run(Duration::from_secs(1));
    assert_eq!(recording.heard(), EXPECTED + 1);

    recording.close();
    for wait in [0, 24 * 3600] {
        recording.hands.run(Duration::from_secs(wait));
        assert_eq!(recording.replay(), [], "after {wait} seconds");
        assert_eq!(recording.hands.ends[1].session_count(), 0);
    }
    assert_eq!(recording.hands.ends[1].stats().accepted_sessions, before.accepted_sessions);
}

#[test]
fn without_sequence_numbers_a_recording_changes_no_live_flow_and_opens_none_that_ended_lately() {
    let [a, b] = ["a", "b"].map(|name| Box::new(PlainProfile::new(name)) as Box<dyn Profile>);
    let mut recording = record([a, b], b"b");
    assert_eq!(recording.heard(), EXPECTED);
    let live = recording.hands.ends[1].holdings().held_recv_flows;
    assert_eq!(live, 1);

    // Flows that ended within the linger time of 120 seconds are remembered. Numbers of older ones may be used again:
    // RFC 7016 section 5 says that without sequence numbers their replay can't be told from new flows.
    let lately = (MINUTES * 60 - 115).div_ceil(SHORT_FLOWS) * SHORT_FLOWS;
    let from =
        recording.hands.sent.iter().position(|(at, end, _)| *end == 0 && *at >= Time::from_secs(1 + lately));
    let skipped = recording.hands.sent[..from.expect("some")].iter().filter(|(_, end, _)| *end == 0).count();
    let older: Vec<_> = recording.packets.drain(..skipped).collect();
    assert_eq!(recording.replay(), [], "what ended lately, and the live flow");
    assert_eq!(recording.hands.ends[1].holdings().held_recv_flows, live);

    recording.packets = older;
    let read = |event: &Event| matches!(event, Event::Readable { tag: Tag(1), .. });
    assert!(!recording.replay().iter().any(read), "the live flow takes nothing twice");
    write_more(&mut recording);

    recording.close();
    recording.hands.run(Duration::from_secs(24 * 3600));
    assert_eq!(recording.replay(), []);
    assert_eq!(recording.hands.ends[1].session_count(), 0);
}

/// The live flow goes on where it was.
fn write_more(recording: &mut Recording) {
    let before = recording.heard();
    let talk = open(&mut recording.hands, b"b", b"talk again");
    for number in 0..10 {
        write(&mut recording.hands, talk, numbered(number, 100));
    }
    recording.hands.run(Duration::from_secs(5));
    assert_eq!(recording.heard(), before + 10);
}
