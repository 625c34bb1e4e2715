//! Flow control: what a receiver takes, what a sender may send (RFC 7016 sections 3.6.2.9 and 3.6.3.5).

use std::time::Duration;

use crate::common::endpoint;
use crate::hand::flows::{Seen, view};
use crate::hand::writes::{flow_between, lengths};
use crate::hand::{A, Fate, Forger, Hands, deliver, transmits};
use rtmfp::wire::{Chunk, DataFlags, Fragment, UserData, write_startup_options};
use rtmfp::{Config, Event, Priority, SessionConfig};
use rtmfp_base::{InterfaceId, Tag, Time, WriteOptions};

fn hands(config_b: Config) -> Hands {
    Hands::new(endpoint("a", 1, Config::default()), endpoint("b", 2, config_b))
}

fn probes(hands: &Hands) -> Vec<Time> {
    let packets = hands.packets(0).into_iter();
    let probes = packets.filter(|(.., seen)| matches!(seen[..], [Seen::Probe { .. }]));
    probes.map(|(at, ..)| at).collect()
}

/// The window that an end advertised last, in blocks.
fn window(hands: &Hands, end: usize) -> u64 {
    let acks = hands.packets(end).into_iter().flat_map(|(.., seen)| seen);
    let mut blocks = acks.filter_map(|chunk| match chunk {
        Seen::Ack { blocks, .. } => Some(blocks),
        _ => None,
    });
    blocks.next_back().expect("an acknowledgement")
}

#[test]
fn a_reader_that_does_not_read_stops_the_sender_which_probes_ever_less_often_and_goes_on() {
    let mut hands = hands(Config::default());
    hands.reads = false;
    let flow = hands.open(b"flow", Priority::Bulk);
    for _ in 0..200 {
        hands.write(flow, 1000);
    }
    hands.run_millis(900);
    assert_eq!(window(&hands, 1), 0);
    let data = |hands: &Hands| {
        hands.packets(0).iter().filter(|(.., seen)| crate::hand::flows::has_data(seen)).count()
    };
    let (sent, closed_at) = (data(&hands), hands.packets(1).last().expect("the last").0);
    hands.run(Duration::from_secs(400));
    assert_eq!(data(&hands), sent, "nothing more is sent");
    let probes = probes(&hands);
    let mut expected = 1.0;
    // The first one counts from when the sender learned that the window is closed, 20 ms later.
    let mut last = closed_at + crate::hand::DELAY;
    for &at in &probes {
        let gap = at.since(last).as_secs_f64();
        assert!((gap - expected).abs() < 0.01, "{gap} instead of {expected}: {probes:?}");
        (last, expected) = (at, (expected * core::f64::consts::SQRT_2).min(60.0));
    }
    assert!(probes.len() > 13, "{probes:?}");
    assert_eq!(hands.opened(0), 1);
    assert_eq!(hands.count(0, |event| matches!(event, Event::SessionClosed { .. })), 0);

    let offered = hands.offered(1)[0];
    let held = hands.read_all(1, offered).len();
    assert!((55..80).contains(&held), "{held}");
    hands.reads = true;
    hands.run(Duration::from_secs(5));
    assert_eq!(held + hands.received[1][&offered].len(), 200);
    assert_eq!(hands.ends[0].stats().lost_fragments, 0);
}

#[test]
fn a_reader_that_reads_one_message_at_a_time_keeps_the_window_open() {
    let mut hands = hands(Config::default());
    hands.reads = false;
    let flow = hands.open(b"flow", Priority::Bulk);
    for _ in 0..300 {
        hands.write(flow, 1000);
    }
    hands.run_millis(2000);
    let offered = hands.offered(1)[0];
    for left in (0..300).rev() {
        let now = hands.now;
        let message = hands.ends[1].recv_flow(offered).and_then(|mut flow| flow.read(now));
        assert!(message.is_some(), "{left} are left");
        hands.run_millis(50);
    }
    assert!(probes(&hands).len() <= 1);
}

#[test]
fn tiny_buffers_work_and_a_message_larger_than_the_buffer_passes() {
    for capacity in [1, 64, 1024, 1500, 5000] {
        let mut config = Config { receive_capacity: capacity, ..Config::default() };
        config.max_message = 300_000;
        let mut hands = hands(config);
        let flow = hands.open(b"flow", Priority::Bulk);
        let sizes = [0, 1, 5000, 100, 300_000, 7, 1500];
        for size in sizes {
            hands.write(flow, size);
        }
        hands.close(flow);
        hands.run(Duration::from_secs(60));
        let received = hands.received[1].values().next().expect("a flow");
        let got: Vec<usize> = received.iter().map(|message| message.bytes.len()).collect();
        assert_eq!(got, sizes, "capacity {capacity}");
        assert_eq!(hands.count(0, |event| matches!(event, Event::FlowClosed { .. })), 1);
        assert_eq!(hands.count(1, |event| matches!(event, Event::FlowFinished { .. })), 1);
        assert!(hands.ends[1].stats().data_without_room < 5, "capacity {capacity}");
    }
}

#[test]
fn a_buffer_of_nothing_holds_the_sender_until_it_is_given_some() {
    let mut hands = hands(Config { receive_capacity: 0, max_message: 10_000, ..Config::default() });
    let flow = hands.open(b"flow", Priority::Bulk);
    for _ in 0..20 {
        hands.write(flow, 3000);
    }
    hands.run(Duration::from_secs(3));
    let offered = hands.offered(1)[0];
    let before = hands.received[1].get(&offered).map_or(0, Vec::len);
    assert!(before < 5, "{before}");
    hands.run(Duration::from_secs(30));
    assert_eq!(hands.received[1].get(&offered).map_or(0, Vec::len), before);
    let now = hands.now;
    hands.ends[1].recv_flow(offered).expect("the flow").set_capacity(now, 65_536, 10_000);
    hands.run(Duration::from_secs(1));
    assert_eq!(hands.received[1][&offered].len(), 20, "it need not wait for the next probe");
}

#[test]
fn a_message_over_the_limit_ends_its_flow_on_both_sides() {
    let mut hands = hands(Config { max_message: 20_000, ..Config::default() });
    let flow = hands.open(b"flow", Priority::Bulk);
    let options = WriteOptions { notify: true, ..WriteOptions::default() };
    hands.write_with(flow, 20_000, &options);
    hands.run(Duration::from_secs(1));
    hands.write_with(flow, 20_001, &options);
    hands.write_with(flow, 5, &options);
    hands.run(Duration::from_secs(5));
    let offered = hands.offered(1)[0];
    assert_eq!(hands.received[1][&offered].len(), 1);
    assert_eq!(hands.count(1, |event| matches!(event, Event::FlowLost { flow, .. } if *flow == offered)), 1);
    assert_eq!(hands.count(1, |event| matches!(event, Event::FlowFinished { .. })), 0);
    let exception = |event: &Event| matches!(event, Event::FlowException { code: 0, .. });
    assert_eq!(hands.count(0, exception), 1);
    let ended = |hands: &Hands, delivered: bool| {
        hands.count(0, |e| matches!(e, Event::WriteEnded { delivered: d, .. } if *d == delivered))
    };
    assert_eq!((ended(&hands, true), ended(&hands, false)), (1, 2));
    assert_eq!(hands.ends[1].stats().oversized_messages, 1);
    assert!(hands.ends[0].send_flow(flow).is_none(), "both ends forget it");
    assert_eq!(hands.ends[1].holdings().held_recv_flows, 0);
}

/// Two ends with many flows and little room for all of them, over a path that loses each 20th datagram.
fn crowded(receive_limit: usize, flows: usize, len: usize, reads: bool) -> Hands {
    let session = SessionConfig { receive_limit, ..SessionConfig::default() };
    let mut hands = hands(Config { session, ..Config::default() });
    hands.reads = reads;
    let mut count = 0;
    hands.network = Box::new(move |_, _| {
        count += 1;
        if count % 20 == 19 { Fate::Lost } else { Fate::After(crate::hand::DELAY) }
    });
    for _ in 0..flows {
        let flow = hands.open(b"flow", Priority::Bulk);
        hands.write(flow, len);
        hands.write(flow, len);
        hands.close(flow);
    }
    hands
}

#[test]
fn the_flows_of_a_session_share_a_limit_and_none_waits_for_ever() {
    let mut hands = crowded(100_000, 20, 60_000, true);
    hands.run(Duration::from_secs(120));
    assert_eq!(hands.received[1].values().map(Vec::len).sum::<usize>(), 40);
    assert_eq!(hands.count(0, |event| matches!(event, Event::FlowClosed { .. })), 20);
}

#[test]
fn what_is_not_read_fills_the_session_s_limit_and_no_more() {
    let mut hands = crowded(100_000, 20, 30_000, false);
    hands.run(Duration::from_secs(60));
    let flows = hands.offered(1);
    let held: usize = flows.iter().flat_map(|&flow| hands.read_all(1, flow)).map(|bytes| bytes.len()).sum();
    assert!((60_000..100_000 + 65_536).contains(&held), "{held}");
    // All go on, the ones that were closed for want of room too; where that news is lost, with the next probe.
    hands.reads = true;
    let mut total = held;
    for _ in 0..700 {
        hands.run_millis(100);
        total +=
            flows.iter().flat_map(|&flow| hands.read_all(1, flow)).map(|bytes| bytes.len()).sum::<usize>();
    }
    total += hands.received[1].values().flatten().map(|message| message.bytes.len()).sum::<usize>();
    assert_eq!(total, 20 * 2 * 30_000);
}

/// A forged peer with a session to an endpoint that accepts all flows and reads nothing.
fn forged(config: Config) -> (Forger, rtmfp::Endpoint, Time) {
    let (mut forger, mut victim) = (Forger::new("f", A), endpoint("v", 1, config));
    victim.add_interface(InterfaceId(0), crate::hand::B);
    let now = Time::from_secs(1);
    forger.connect(now, &mut victim, b"v");
    (forger, victim, now)
}

fn chunk<'a>(
    flow_id: u64,
    sequence: u64,
    fragment: Fragment,
    options: &'a [u8],
    data: &'a [u8],
) -> Chunk<'a> {
    Chunk::UserData(UserData {
        flags: DataFlags { fragment, abandoned: false, last: false },
        flow_id,
        sequence,
        fsn_offset: sequence,
        options: Some(options),
        data,
    })
}

fn options() -> Vec<u8> {
    let mut options = Vec::new();
    write_startup_options(b"forged", None, &mut options);
    options
}

/// Brings a packet; answers the cumulative acknowledgements that come back.
fn bring(forger: &mut Forger, victim: &mut rtmfp::Endpoint, now: Time, chunk: Chunk<'_>) -> Vec<u64> {
    let packet = forger.packet(&[chunk]);
    deliver(victim, now, A, &packet);
    while let Some(event) = victim.poll_event(now) {
        if let Event::FlowOffered { flow, .. } = event {
            victim.accept(now, flow, Tag(0));
        }
    }
    let seen = transmits(victim, now).into_iter().flat_map(|(.., bytes)| view(&bytes).1);
    let acks = seen.filter_map(|chunk| match chunk {
        Seen::Ack { cumulative, .. } => Some(cumulative),
        _ => None,
    });
    acks.collect()
}

#[test]
fn a_sender_that_ignores_the_window_is_not_obeyed() {
    let (mut forger, mut victim, now) = forged(Config::default());
    let options = options();
    let data = [7; 1000];
    let mut taken = 0;
    for flow in 2..60 {
        let mut last = 0;
        for sequence in 1..=60 {
            // Messages that never end, in order, so that each fragment looks like progress.
            let fragment = if sequence == 1 { Fragment::Begin } else { Fragment::Middle };
            let next = chunk(flow, sequence, fragment, &options, &data);
            last = bring(&mut forger, &mut victim, now, next).last().copied().unwrap_or(last);
        }
        taken += last * 1000;
    }
    let config = Config::default();
    let most = (config.session.receive_limit + config.max_message) as u64;
    assert!(taken > config.session.receive_limit as u64 / 2 && taken <= most, "{taken} of {most}");
    assert!(victim.stats().data_without_room > 1000);
}

#[test]
fn a_hole_before_a_buffer_that_is_full_of_small_messages_can_be_closed() {
    let (mut forger, mut victim, now) = forged(Config::default());
    let options = options();
    for sequence in 2..4000 {
        bring(&mut forger, &mut victim, now, chunk(2, sequence, Fragment::Whole, &options, b"x"));
    }
    assert!(victim.stats().data_without_room > 0, "the buffer is full");
    let acks = bring(&mut forger, &mut victim, now, chunk(2, 1, Fragment::Whole, &options, b"x"));
    assert!(acks[0] > 1000, "{acks:?}");
}

#[test]
fn numbers_at_the_end_of_their_space_do_no_harm() {
    let (mut forger, mut victim, now) = forged(Config::default());
    let options = options();
    for fragment in [Fragment::Begin, Fragment::Middle, Fragment::End, Fragment::Whole] {
        for (flow, forward) in [(2, 0), (3, u64::MAX - 1), (4, u64::MAX)] {
            for sequence in [u64::MAX, u64::MAX - 1] {
                let mut last = chunk(flow, sequence, fragment, &options, b"x");
                if let Chunk::UserData(data) = &mut last {
                    data.fsn_offset = sequence - forward.min(sequence);
                }
                assert!(!bring(&mut forger, &mut victim, now, last).is_empty());
            }
            bring(&mut forger, &mut victim, now, chunk(flow, 1, fragment, &options, b"x"));
        }
    }
}

#[test]
fn a_window_that_opens_after_any_time_is_news() {
    // Timestamps go round in 262 s, and those of half of that before now look like later ones.
    for pause in [100, 135, 160, 200, 270, 400] {
        let (mut hands, flow, offered) =
            flow_between(endpoint("a", 1, Config::default()), endpoint("b", 2, Config::default()));
        hands.reads = false;
        (0..62).for_each(|_| hands.write(flow, 1000));
        hands.run(Duration::from_secs(pause));
        assert_eq!(hands.read_all(1, offered).len(), 62);
        hands.run_millis(2000);
        hands.write(flow, 10);
        hands.run_millis(1000);
        assert_eq!(hands.read_all(1, offered).len(), 1, "{pause} s");
    }
}

#[test]
fn a_reader_that_pauses_keeps_its_session_however_long_messages_are() {
    // The room that is left is a little less than a fragment for some of these.
    for len in (200..4000).step_by(37) {
        let far = Config {
            receive_capacity: 1 << 20,
            session: SessionConfig { receive_limit: 64 << 10, ..SessionConfig::default() },
            ..Config::default()
        };
        let near = Config {
            session: SessionConfig { retransmit_limit: Duration::from_secs(15), ..SessionConfig::default() },
            ..Config::default()
        };
        let (mut hands, flow, offered) = flow_between(endpoint("a", 1, near), endpoint("b", 2, far));
        hands.reads = false;
        let count = 120_000 / len;
        (0..count).for_each(|_| hands.write(flow, len));
        hands.run(Duration::from_secs(60));
        assert_eq!(hands.count(0, |event| matches!(event, Event::SessionClosed { .. })), 0, "{len} bytes");
        let paused = hands.read_all(1, offered).len();
        hands.reads = true;
        hands.run(Duration::from_secs(30));
        // With the first one, that was read before.
        assert_eq!(paused + lengths(&hands, offered).len(), count + 1, "{len} bytes");
    }
}
