//! Messages that are abandoned: by deadline, after a loss, by the application (RFC 7016 section 3.6.2.7).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::common::{Pair, endpoint, numbered};
use crate::hand::flows::Seen;
use crate::hand::writes::{ended, fill_window, flow_between, lengths, lose_data, lose_nothing};
use crate::hand::{Fate, Hands};
use rtmfp::{Config, Event, Priority, RecvFlowId, SendFlowId};
use rtmfp_base::{Time, WriteOptions};
use rtmfp_netsim::{Dice, LinkConfig, Loss, for_each_seed};

const MILLI: Duration = Duration::from_millis(1);

fn notify() -> WriteOptions {
    WriteOptions { notify: true, ..WriteOptions::default() }
}

/// Two ends with a flow whose first message was read.
fn open_flow() -> (Hands, SendFlowId, RecvFlowId) {
    let config = Config::default;
    let (mut hands, flow, offered) = flow_between(endpoint("a", 1, config()), endpoint("b", 2, config()));
    hands.sent.clear();
    (hands, flow, offered)
}

#[test]
fn a_message_not_begun_in_time_shows_as_a_gap_of_one_number() {
    let (mut hands, flow, offered) = open_flow();
    fill_window(&mut hands, flow);
    let start_by = hands.now + 50 * MILLI;
    let late = hands.write_with(flow, 77, &WriteOptions { start_by, ..notify() }).expect("a receipt");
    hands.write(flow, 3);
    hands.run_millis(49);
    assert!(ended(&hands).is_empty());
    hands.run_millis(2);
    assert!(!ended(&hands)[&late]);
    assert!(hands.ends[0].receipt(late).is_none());
    lose_nothing(&mut hands);
    hands.run_millis(3000);
    assert_eq!(lengths(&hands, offered), [1, 20_000, 3]);
    let received = &hands.received[1][&offered];
    let after = received[1].sequence + received[1].fragments;
    assert_eq!(received[2].sequence, after + 1, "RFC 7016 section 3.6.1.2");
}

#[test]
fn a_message_that_was_begun_in_time_may_take_longer() {
    let (mut hands, flow, offered) = open_flow();
    lose_data(&mut hands);
    let start_by = hands.now + MILLI;
    let begun = hands.write_with(flow, 20_000, &WriteOptions { start_by, ..notify() }).expect("a receipt");
    hands.run_millis(100);
    let now = hands.now;
    assert!(hands.ends[0].receipt(begun).is_some_and(|mut receipt| receipt.is_started()), "{now}");
    lose_nothing(&mut hands);
    hands.run_millis(3000);
    assert_eq!(lengths(&hands, offered), [1, 20_000]);
    assert!(ended(&hands)[&begun]);
}

#[test]
fn a_message_not_delivered_in_time_is_given_up_and_the_next_ones_come() {
    for later in [false, true] {
        let (mut hands, flow, offered) = open_flow();
        lose_data(&mut hands);
        let finish_by = hands.now + 600 * MILLI;
        let late = hands.write_with(flow, 20_000, &WriteOptions { finish_by, ..notify() }).expect("one");
        hands.run_millis(500);
        if later {
            hands.write(flow, 3);
        }
        hands.run_millis(99);
        assert!(ended(&hands).is_empty());
        hands.run_millis(2);
        assert!(!ended(&hands)[&late]);
        lose_nothing(&mut hands);
        hands.run_millis(3000);
        assert_eq!(lengths(&hands, offered), if later { vec![1, 3] } else { vec![1] });
        let last = hands.packets(1).into_iter().flat_map(|(.., seen)| seen).last();
        assert!(
            matches!(&last, Some(Seen::Ack { ranges, blocks: 64, .. }) if ranges.is_empty()),
            "nothing is missing, nothing is kept: {last:?}"
        );
        hands.close(flow);
        hands.run_millis(1000);
        assert_eq!(hands.count(0, |event| matches!(event, Event::FlowClosed { .. })), 1);
        assert_eq!(hands.count(1, |event| matches!(event, Event::FlowFinished { .. })), 1);
    }
}

#[test]
fn the_beginning_of_a_message_that_was_given_up_does_not_stay_in_the_far_end_s_buffer() {
    let (mut hands, flow, offered) = open_flow();
    let finish_by = hands.now + 70 * MILLI;
    hands.write_with(flow, 60_000, &WriteOptions { finish_by, ..notify() });
    hands.run_millis(1000);
    assert_eq!(ended(&hands).values().collect::<Vec<_>>(), [&false]);
    let data = hands.packets(0).into_iter().flat_map(|(.., seen)| seen);
    let bytes: usize = data.map(|chunk| if let Seen::Data { len, .. } = chunk { len } else { 0 }).sum();
    assert!((4000..60_000).contains(&bytes), "a part of it was sent: {bytes}");
    let last = hands.packets(1).into_iter().flat_map(|(.., seen)| seen).last();
    assert!(matches!(last, Some(Seen::Ack { blocks: 64, .. })), "{last:?}");
    hands.write(flow, 5);
    hands.run_millis(1000);
    assert_eq!(lengths(&hands, offered), [1, 5]);
}

#[test]
fn best_effort_is_sent_once() {
    let (mut hands, flow, offered) = open_flow();
    lose_data(&mut hands);
    let options = WriteOptions { best_effort: true, ..notify() };
    let lost = hands.write_with(flow, 2000, &options).expect("a receipt");
    hands.run(MILLI);
    lose_nothing(&mut hands);
    for len in [3, 4, 5] {
        hands.write_with(flow, len, &options);
        hands.run_millis(10);
    }
    hands.run_millis(2000);
    assert_eq!(lengths(&hands, offered), [1, 3, 4, 5]);
    let all = ended(&hands);
    assert_eq!((all.len(), all.values().filter(|delivered| **delivered).count()), (4, 3));
    assert!(!all[&lost]);
    let data = hands.packets(0).into_iter().flat_map(|(.., seen)| seen);
    let twice = data.filter(|chunk| matches!(chunk, Seen::Data { sequence: 2, len: 1.., .. })).count();
    assert_eq!(twice, 1);
}

#[test]
fn an_application_can_abandon_a_message_at_any_time() {
    let (mut hands, flow, offered) = open_flow();
    fill_window(&mut hands, flow);
    let receipts: Vec<_> = (2..6).map(|len| hands.write_with(flow, len, &notify()).expect("one")).collect();
    let now = hands.now;
    hands.ends[0].receipt(receipts[1]).expect("a receipt").abandon(now);
    hands.run_millis(0);
    assert_eq!(ended(&hands), BTreeMap::from([(receipts[1], false)]));
    assert!(hands.ends[0].receipt(receipts[1]).is_none());
    lose_nothing(&mut hands);
    // One that is under way: it may arrive or not, but what follows does.
    let under_way = hands.write_with(flow, 9, &notify()).expect("a receipt");
    hands.run_millis(1500);
    assert_eq!(lengths(&hands, offered), [1, 20_000, 2, 4, 5, 9]);
    assert!(ended(&hands)[&under_way]);
    lose_data(&mut hands);
    let lost = hands.write_with(flow, 10, &notify()).expect("a receipt");
    hands.run(MILLI);
    let now = hands.now;
    hands.ends[0].receipt(lost).expect("a receipt").abandon(now);
    lose_nothing(&mut hands);
    hands.write(flow, 11);
    hands.run_millis(1500);
    assert_eq!(lengths(&hands, offered), [1, 20_000, 2, 4, 5, 9, 11]);
    assert!(!ended(&hands)[&lost]);
}

#[test]
fn deadlines_can_be_moved_both_ways() {
    let (mut hands, flow, offered) = open_flow();
    fill_window(&mut hands, flow);
    let by = |hands: &Hands, millis: u32| hands.now + millis * MILLI;
    let start_by = by(&hands, 100);
    let options = WriteOptions { start_by, ..notify() };
    let [earlier, later] = [2, 3].map(|len| hands.write_with(flow, len, &options).expect("a receipt"));
    let (now, to) = (hands.now, by(&hands, 10));
    hands.ends[0].receipt(earlier).expect("one").set_deadlines(now, to, Time::MAX);
    hands.ends[0].receipt(later).expect("one").set_deadlines(now, Time::MAX, Time::MAX);
    hands.run_millis(11);
    assert_eq!(ended(&hands), BTreeMap::from([(earlier, false)]));
    // One that has passed already takes effect at once.
    let past = hands.write_with(flow, 4, &notify()).expect("a receipt");
    let now = hands.now;
    hands.ends[0].receipt(past).expect("one").set_deadlines(now, Time::ZERO, Time::MAX);
    hands.run_millis(0);
    assert!(!ended(&hands)[&past]);
    hands.run_millis(200);
    lose_nothing(&mut hands);
    hands.run_millis(3000);
    assert_eq!(lengths(&hands, offered), [1, 20_000, 3]);
    assert!(ended(&hands)[&later]);
}

#[test]
fn messages_expire_while_the_session_is_opening_too() {
    let config = Config::default;
    let mut hands = Hands::new(endpoint("a", 1, config()), endpoint("b", 2, config()));
    hands.network = Box::new(|_, _| Fate::Lost);
    let flow = hands.open(b"flow", Priority::Routine);
    let start_by = hands.now + 100 * MILLI;
    let late = hands.write_with(flow, 2, &WriteOptions { start_by, ..notify() }).expect("a receipt");
    hands.write(flow, 3);
    hands.run_millis(200);
    assert_eq!(ended(&hands), BTreeMap::from([(late, false)]));
    lose_nothing(&mut hands);
    hands.run_millis(3000);
    let offered = hands.offered(1)[0];
    assert_eq!(lengths(&hands, offered), [3]);
}

/// A lossy and narrow path: half of what is written can't be sent in time.
fn narrow() -> LinkConfig {
    LinkConfig {
        delay: Duration::from_millis(20),
        rate: Some(40_000),
        queue: 20_000,
        loss: Loss::Independent(0.05),
        ..LinkConfig::default()
    }
}

#[test]
fn under_loss_and_a_narrow_rate_late_messages_go_and_all_others_come_whole_and_in_order() {
    for_each_seed(40, |seed| {
        let mut pair = Pair::new(seed, narrow());
        let mut dice = Dice::new(seed, 1);
        let flow = pair.open(b"live", Priority::Priority);
        let (mut sizes, mut deadlines, mut receipts) = (Vec::new(), Vec::new(), BTreeMap::new());
        for number in 0..150u64 {
            let len = 8 + dice.below(4000) as usize;
            let after = |millis: u64| pair.now() + Duration::from_millis(millis);
            let mut options = notify();
            match dice.below(4) {
                0 => options.start_by = after(dice.below(300)),
                1 => options.finish_by = after(dice.below(600)),
                2 => options.best_effort = true,
                _ => (options.start_by, options.finish_by) = (after(dice.below(300)), after(500)),
            }
            sizes.push(len);
            deadlines.push(options.finish_by);
            let receipt = pair.write_with(flow, numbered(number, len), &options).unwrap().unwrap();
            receipts.insert(receipt, number);
            pair.run(0.033);
        }
        pair.close(flow);
        pair.run(30.0);
        let (a, b) = (pair.peer(pair.a), pair.peer(pair.b));
        let got: Vec<u64> = b
            .messages(b"live")
            .iter()
            .map(|bytes| {
                let number = u64::from_be_bytes(bytes[..8].try_into().unwrap());
                assert!(*bytes == numbered(number, sizes[number as usize]), "{number} is not whole");
                number
            })
            .collect();
        assert!(got.is_sorted_by(|a, b| a < b), "{got:?}");
        let mut ends = BTreeMap::new();
        for event in &a.events {
            if let Event::WriteEnded { receipt, delivered, .. } = event {
                assert_eq!(ends.insert(receipts[receipt], *delivered), None, "it ended twice");
            }
        }
        assert_eq!(ends.len(), 150);
        let delivered = ends.values().filter(|delivered| **delivered).count();
        assert!((20..150).contains(&delivered), "{delivered}");
        for (number, delivered) in ends {
            assert!(!delivered || got.contains(&number), "{number} was not delivered");
        }
        // What arrives was sent by its deadline: a queue of half a second and the way before.
        let times = b.read_at.values().next().unwrap();
        for (number, at) in got.iter().zip(times) {
            let latest = deadlines[*number as usize] + Duration::from_millis(20 + 500 + 40);
            // Behind a hole it waits until it is known that the hole will not be filled.
            assert!(*at <= latest + Duration::from_millis(1500), "{number} at {at}, not by {latest}");
        }
        assert_eq!(a.count(|event| matches!(event, Event::FlowClosed { .. })), 1);
        assert_eq!(b.count(|event| matches!(event, Event::FlowFinished { .. })), 1);
    });
}
