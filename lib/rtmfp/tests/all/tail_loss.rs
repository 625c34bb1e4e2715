//! Losses that nothing overtakes: at the end of what was sent, and of acknowledgements that open windows (RFC 7016
//! sections 3.6.2.5, 3.6.2.6 and 3.6.2.9).

use std::time::Duration;

use crate::common::endpoint;
use crate::hand::flows::{Seen, has_ack, has_data, view};
use crate::hand::{DELAY, Fate, Hands, deliver};
use rtmfp::wire::{Chunk, Mode, PacketHeader, kind};
use rtmfp::{Config, Priority, SendFlowId, SessionCounters};
use rtmfp_base::{Time, WriteOptions};

/// Two ends with an open session that know their round-trip time of 40 ms.
fn settled() -> (Hands, SendFlowId) {
    let mut config = Config::default();
    // One message, one packet.
    config.session.max_packet = rtmfp::MAX_PACKET;
    let mut hands = Hands::new(endpoint("a", 1, config.clone()), endpoint("b", 2, config));
    let flow = hands.open(b"flow", Priority::Routine);
    for _ in 0..40 {
        hands.write(flow, 1000);
        hands.write(flow, 1000);
        hands.run_millis(100);
    }
    hands.sent.clear();
    hands.received[1].clear();
    (hands, flow)
}

fn counters(hands: &mut Hands) -> SessionCounters {
    let session = hands.session(0);
    hands.ends[0].session(session).expect("open").counters()
}

/// When `a` sent data, in milliseconds since a time.
fn data(hands: &Hands, since: Time) -> Vec<u64> {
    let packets = hands.packets(0).into_iter().filter(|(.., seen)| has_data(seen));
    packets.map(|(at, ..)| at.since(since).as_millis() as u64).collect()
}

/// Loses the data packets of `a` from the `first` to the `last` one, counted from now.
fn lose(hands: &mut Hands, first: usize, last: usize) {
    let mut count = 0;
    hands.network = Box::new(move |end, datagram| {
        count += usize::from(end == 0 && has_data(&view(&datagram.bytes).1));
        let lost = end == 0 && (first..=last).contains(&count);
        if lost { Fate::Lost } else { Fate::After(DELAY) }
    });
}

#[test]
fn a_loss_at_the_end_costs_no_time_out() {
    for lost in 2..=4 {
        let (mut hands, flow) = settled();
        let (start, before) = (hands.now, counters(&mut hands));
        lose(&mut hands, 7 - lost, 6);
        for _ in 0..6 {
            hands.write(flow, 1000);
        }
        hands.run_millis(240);
        let sent = data(&hands, start);
        assert_eq!(hands.received[1].values().map(Vec::len).sum::<usize>(), 6, "{lost} lost: {sent:?}");
        let after = counters(&mut hands);
        assert_eq!((after.tail_probes, after.timeouts), (before.tail_probes + 1, before.timeouts));
        assert_eq!(after.resent_fragments, before.resent_fragments + lost as u64);
        assert_eq!(after.lost_fragments, before.lost_fragments + lost as u64);
        assert!(after.window_bytes < before.window_bytes, "it counts as congestion");
        assert_eq!(after.outstanding_bytes, 0);
    }
}

#[test]
fn what_is_acknowledged_in_time_is_never_probed() {
    let (mut hands, flow) = settled();
    for count in [1, 2, 3, 5, 1, 1] {
        for _ in 0..count {
            hands.write(flow, 1000);
        }
        hands.run_millis(700);
    }
    let counters = counters(&mut hands);
    assert_eq!((counters.tail_probes, counters.resent_fragments, counters.timeouts), (0, 0, 0));
}

#[test]
fn without_any_answer_one_probe_comes_before_the_time_out() {
    let (mut hands, flow) = settled();
    let start = hands.now;
    hands.network = Box::new(|_, _| Fate::Lost);
    for _ in 0..3 {
        hands.write(flow, 1000);
    }
    hands.run_millis(2000);
    let sent = data(&hands, start);
    assert_eq!(sent[..3], [0, 0, 0]);
    assert!((80..120).contains(&sent[3]), "about two round trips: {sent:?}");
    assert!(sent[4] >= sent[3] + 250, "the time-out counts from the probe: {sent:?}");
    assert_eq!(counters(&mut hands).tail_probes, 1);
}

#[test]
fn a_message_that_is_not_to_be_repeated_is_no_probe() {
    let (mut hands, flow) = settled();
    hands.network = Box::new(|_, _| Fate::Lost);
    let once = WriteOptions { best_effort: true, ..WriteOptions::default() };
    for _ in 0..3 {
        hands.write_with(flow, 1000, &once);
    }
    hands.run_millis(200);
    assert_eq!((counters(&mut hands).tail_probes, hands.packets(0).len()), (0, 3));
}

#[test]
fn an_acknowledgement_that_was_overtaken_does_not_change_the_window() {
    let (mut hands, flow) = settled();
    hands.run_millis(1000);
    let tick = (hands.now.as_micros() / 4000) as u16;
    let mut forger = hands.forger_of_b();
    let mut told = |hands: &mut Hands, timestamp: u16, blocks: u8| {
        let payload = [2, blocks, 80];
        let ack = Chunk::parse(kind::ACK_RANGES, &payload).expect("an acknowledgement");
        let header = PacketHeader {
            mode: Mode::Responder,
            time_critical: false,
            time_critical_reverse: false,
            timestamp: Some(timestamp),
            timestamp_echo: None,
        };
        let mut clear = Vec::new();
        header.write(&mut clear);
        ack.write(&mut clear);
        let (key, far_id) = (forger.key, forger.far_id);
        let packet = forger.seal_clear(key, far_id, &clear);
        let now = hands.now;
        deliver(&mut hands.ends[0], now, crate::hand::B, &packet);
    };
    let sends = |hands: &mut Hands| {
        hands.sent.clear();
        hands.write(flow, 10);
        hands.poll();
        !data(hands, hands.now).is_empty()
    };
    hands.network = Box::new(|_, _| Fate::Lost);
    told(&mut hands, tick.wrapping_add(20), 64);
    told(&mut hands, tick.wrapping_add(10), 0);
    assert!(sends(&mut hands), "the closed window is the older news");
    told(&mut hands, tick.wrapping_add(30), 0);
    assert!(!sends(&mut hands), "and now the newer");
    told(&mut hands, tick.wrapping_add(25), 64);
    assert!(!sends(&mut hands));
}

/// A flow whose reader did not read for so long that its sender probes once a minute.
fn suspended() -> Hands {
    let (mut hands, flow) = settled();
    hands.reads = false;
    for _ in 0..100 {
        hands.write(flow, 1000);
    }
    hands.run(Duration::from_secs(300));
    hands.sent.clear();
    hands
}

#[test]
fn a_lost_acknowledgement_that_opens_a_window_is_made_good_within_a_second() {
    let mut hands = suspended();
    let mut lost = 0;
    hands.network = Box::new(move |end, datagram| {
        let ack = end == 1 && has_ack(&view(&datagram.bytes).1);
        lost += u32::from(ack);
        if ack && lost <= 2 { Fate::Lost } else { Fate::After(DELAY) }
    });
    let offered = hands.offered(1)[0];
    hands.read_all(1, offered);
    hands.reads = true;
    hands.run_millis(1200);
    assert!(data(&hands, Time::ZERO).len() > 20, "{:?}", data(&hands, Time::ZERO));
    hands.run_millis(3000);
    hands.sent.clear();
    hands.run_millis(10_000);
    assert_eq!(hands.packets(1).len(), 0, "no more of it once data has come");
}

#[test]
fn an_open_window_is_told_four_times_at_most() {
    let mut hands = suspended();
    hands.network = Box::new(|_, _| Fate::Lost);
    let start = hands.now;
    let offered = hands.offered(1)[0];
    hands.read_all(1, offered);
    hands.run(Duration::from_secs(30));
    let packets = hands.packets(1).into_iter();
    let told = packets.filter(|(.., seen)| matches!(seen[..], [Seen::Ack { blocks: 2.., .. }]));
    let at: Vec<u64> = told.map(|(at, ..)| at.since(start).as_millis() as u64).collect();
    assert_eq!(at.len(), 4, "{at:?}");
    assert!(at[0] == 0 && at[1] >= 240 && at[2] - at[1] > at[1] && at[3] - at[2] > at[2] - at[1], "{at:?}");
}
