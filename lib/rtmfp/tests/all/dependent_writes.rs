//! Writes that depend on others (RFC 7016 section 3.6.2.7: a message may be abandoned for any reason of the
//! application), groups of them, and what receipts tell and change.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::common::endpoint;
use crate::hand::flows::{has_data, view};
use crate::hand::writes::{ended, fill_window, flow_between, lengths, lose_data, lose_nothing};
use crate::hand::{DELAY, Fate, Hands};
use rtmfp::{Config, Event, Priority, RecvFlowId, SendFlowId, WriteChain};
use rtmfp_base::{Counters, Message, ReceiptId, Time, WriteOptions};

const MILLI: Duration = Duration::from_millis(1);

fn child_of(parent: ReceiptId) -> WriteOptions {
    WriteOptions { notify: true, parent: Some(parent), ..WriteOptions::default() }
}

fn notify() -> WriteOptions {
    WriteOptions { notify: true, ..WriteOptions::default() }
}

/// Two ends with a flow whose first message was read.
fn open_flow() -> (Hands, SendFlowId, RecvFlowId) {
    let config = Config::default;
    let (hands, flow, offered) = flow_between(endpoint("a", 1, config()), endpoint("b", 2, config()));
    (hands, flow, offered)
}

#[test]
fn what_depends_on_an_abandoned_message_is_abandoned_however_far_down() {
    let (mut hands, flow, offered) = open_flow();
    fill_window(&mut hands, flow);
    let key = hands.write_with(flow, 100, &notify()).expect("a receipt");
    let first = hands.write_with(flow, 101, &child_of(key)).expect("a receipt");
    let second = hands.write_with(flow, 102, &child_of(first)).expect("a receipt");
    let other = hands.write_with(flow, 103, &child_of(key)).expect("a receipt");
    let free = hands.write_with(flow, 5, &notify()).expect("a receipt");
    // One that wants no receipt depends all the same.
    let silent = WriteOptions { notify: false, ..child_of(second) };
    assert_eq!(hands.write_with(flow, 104, &silent), None);
    let now = hands.now;
    hands.ends[0].receipt(key).expect("it").abandon(now);
    hands.run_millis(0);
    let all = ended(&hands);
    assert_eq!([key, first, second, other].map(|id| all.get(&id).copied()), [Some(false); 4]);
    assert_eq!(all.get(&free), None);
    lose_nothing(&mut hands);
    hands.run_millis(3000);
    assert_eq!(lengths(&hands, offered), [1, 20_000, 5]);
    assert_eq!(hands.ends[0].holdings().held_receipts, 0);
}

#[test]
fn a_parent_that_expires_takes_its_children_with_it_before_they_are_sent() {
    let (mut hands, flow, offered) = open_flow();
    fill_window(&mut hands, flow);
    let start_by = hands.now + 30 * MILLI;
    let key = hands.write_with(flow, 100, &WriteOptions { start_by, ..notify() }).expect("one");
    hands.write_with(flow, 101, &child_of(key));
    hands.write_with(flow, 102, &child_of(key));
    hands.write(flow, 4);
    lose_nothing(&mut hands);
    // Nobody calls for the timers in time: the next packet is assembled long after the deadline.
    hands.now += Duration::from_secs(3);
    hands.run_millis(3000);
    assert_eq!(lengths(&hands, offered), [1, 20_000, 4]);
    assert_eq!(ended(&hands).into_values().collect::<Vec<_>>(), [false; 3]);
}

#[test]
fn a_parent_lost_for_good_takes_those_with_it_that_are_under_way() {
    let (mut hands, flow, offered) = open_flow();
    lose_data(&mut hands);
    let once = WriteOptions { best_effort: true, ..notify() };
    let key = hands.write_with(flow, 3000, &once).expect("a receipt");
    let child = hands.write_with(flow, 3001, &child_of(key)).expect("a receipt");
    hands.run(MILLI);
    assert!(hands.ends[0].receipt(child).expect("it").is_started());
    lose_nothing(&mut hands);
    hands.run_millis(3000);
    assert_eq!(ended(&hands), BTreeMap::from([(key, false), (child, false)]));
    hands.write(flow, 6);
    hands.run_millis(1000);
    assert_eq!(lengths(&hands, offered), [1, 6]);
}

#[test]
fn dependence_reaches_over_flows_of_an_endpoint() {
    let (mut hands, flow, _) = open_flow();
    let other = hands.open(b"other", Priority::Background);
    hands.write(other, 2);
    hands.run_millis(500);
    fill_window(&mut hands, flow);
    let key = hands.write_with(flow, 100, &notify()).expect("a receipt");
    let child = hands.write_with(other, 101, &child_of(key)).expect("a receipt");
    let grandchild = hands.write_with(flow, 102, &child_of(child)).expect("a receipt");
    hands.close(other);
    let now = hands.now;
    hands.ends[0].receipt(key).expect("it").abandon(now);
    hands.run_millis(0);
    let all = ended(&hands);
    assert_eq!([key, child, grandchild].map(|id| all.get(&id).copied()), [Some(false); 3]);
    lose_nothing(&mut hands);
    hands.run_millis(3000);
    assert_eq!(hands.count(0, |event| matches!(event, Event::FlowClosed { flow, .. } if *flow == other)), 1);
    let offered = hands.offered(1)[1];
    assert_eq!(lengths(&hands, offered), [2]);
}

#[test]
fn a_delivered_parent_holds_nothing_back_and_one_whose_end_was_told_has_no_effect() {
    let (mut hands, flow, offered) = open_flow();
    let key = hands.write_with(flow, 100, &notify()).expect("a receipt");
    let child = hands.write_with(flow, 101, &child_of(key)).expect("a receipt");
    hands.run_millis(1000);
    assert_eq!(ended(&hands), BTreeMap::from([(key, true), (child, true)]));
    let late = hands.write_with(flow, 102, &child_of(key)).expect("a receipt");
    hands.run_millis(1000);
    assert!(ended(&hands)[&late]);
    assert_eq!(lengths(&hands, offered), [1, 100, 101, 102]);
}

#[test]
fn a_child_written_before_the_parent_s_end_was_told_is_abandoned_at_once() {
    let (mut hands, flow, offered) = open_flow();
    let key = hands.write_with(flow, 100, &notify()).expect("a receipt");
    let now = hands.now;
    hands.ends[0].receipt(key).expect("it").abandon(now);
    let child = hands.write_with(flow, 101, &child_of(key)).expect("a receipt");
    let grandchild = hands.write_with(flow, 102, &child_of(child)).expect("a receipt");
    hands.run_millis(1000);
    assert_eq!(ended(&hands), BTreeMap::from([(key, false), (child, false), (grandchild, false)]));
    assert_eq!(lengths(&hands, offered), [1]);
}

#[test]
fn a_chain_of_a_hundred_thousand_falls_in_one_call() {
    let (mut hands, flow, _) = open_flow();
    fill_window(&mut hands, flow);
    let now = hands.now;
    let key = hands.write_with(flow, 1, &notify()).expect("a receipt");
    let mut last = key;
    for _ in 0..100_000 {
        last = hands.write_with(flow, 1, &child_of(last)).expect("a receipt");
    }
    hands.ends[0].receipt(key).expect("it").abandon(now);
    assert!(hands.ends[0].receipt(last).is_none());
    hands.run_millis(0);
    assert_eq!(ended(&hands).len(), 100_001);
    // The same as siblings, that fall with their flow.
    let key = hands.write_with(flow, 1, &notify()).expect("a receipt");
    for _ in 0..100_000 {
        hands.write_with(flow, 1, &child_of(key));
    }
    let session = hands.session(0);
    hands.ends[0].session(session).expect("open").abort(now);
    hands.run_millis(0);
    assert_eq!(ended(&hands).len(), 200_002);
    assert_eq!(hands.ends[0].holdings().held_receipts, 0);
}

#[test]
fn a_group_of_pictures_gets_little_time_once_the_next_one_has_begun() {
    let (mut hands, flow, offered) = open_flow();
    fill_window(&mut hands, flow);
    let now = hands.now;
    let mut group = WriteChain::default();
    let write = |hands: &mut Hands, group: &mut WriteChain, len| {
        let receipt = hands.write_with(flow, len, &group.next(&WriteOptions::default())).expect("one");
        group.append(&mut hands.ends[0], receipt);
        receipt
    };
    let old: Vec<_> = (50..55).map(|len| write(&mut hands, &mut group, len)).collect();
    group.expire(&mut hands.ends[0], now, now + 10 * MILLI, Time::MAX);
    let new: Vec<_> = (60..63).map(|len| write(&mut hands, &mut group, len)).collect();
    hands.run_millis(20);
    assert_eq!(ended(&hands), old.iter().map(|&id| (id, false)).collect());
    // A part of the new one is given up: so is the rest.
    let now = hands.now;
    hands.ends[0].receipt(new[1]).expect("it").abandon(now);
    hands.run_millis(0);
    for (receipt, delivered) in ended(&hands) {
        group.note_ended(receipt, delivered);
    }
    assert!(group.is_broken());
    lose_nothing(&mut hands);
    hands.run_millis(3000);
    assert_eq!(lengths(&hands, offered), [1, 20_000, 60]);
}

#[test]
fn a_receipt_knows_when_it_was_written_and_whether_it_has_begun() {
    let (mut hands, flow, offered) = open_flow();
    lose_data(&mut hands);
    let (begun_at, begun) = (hands.now, hands.write_with(flow, 20_000, &notify()).expect("a receipt"));
    hands.run_millis(7);
    let (waits_at, waits) = (hands.now, hands.write_with(flow, 9, &notify()).expect("a receipt"));
    hands.run_millis(3);
    let now = hands.now;
    let sender = &mut hands.ends[0];
    assert_eq!(sender.receipt(begun).expect("it").created(), Some(begun_at));
    assert_eq!(sender.receipt(waits).expect("it").created(), Some(waits_at));
    assert_eq!(sender.receipt(waits).expect("it").deadlines(), Some((Time::MAX, Time::MAX)));
    assert!(!sender.receipt(begun).expect("it").abandon_if_not_started(now));
    let mut own = sender.send_flow(flow).expect("the flow");
    assert_eq!(own.buffered_age(now), Some(10 * MILLI));
    assert_eq!(own.unstarted_age(now), Some(3 * MILLI));
    assert!(own.outstanding() > 1000 && own.outstanding() as u64 <= own.peer_window());
    assert!(sender.receipt(waits).expect("it").abandon_if_not_started(now));
    assert_eq!(sender.send_flow(flow).expect("the flow").unstarted_age(now), None);
    lose_nothing(&mut hands);
    hands.run_millis(3000);
    assert_eq!(lengths(&hands, offered), [1, 20_000]);
    assert_eq!(hands.ends[0].send_flow(flow).expect("the flow").buffered_age(hands.now), None);
}

#[test]
fn the_low_water_mark_is_told_once_each_time_the_unsent_bytes_fall_below_it() {
    let (mut hands, flow, _) = open_flow();
    let told = |hands: &Hands| hands.count(0, |event| matches!(event, Event::UnsentLow { .. }));
    let now = hands.now;
    hands.ends[0].send_flow(flow).expect("the flow").set_low_water(now, 10_000);
    hands.write(flow, 9_999);
    hands.run_millis(500);
    assert_eq!(told(&hands), 0, "there never were as many");
    hands.write(flow, 40_000);
    hands.run_millis(0);
    assert_eq!(told(&hands), 0);
    hands.run_millis(500);
    assert_eq!(told(&hands), 1);
    hands.write(flow, 100);
    hands.run_millis(500);
    assert_eq!(told(&hands), 1);
    // What is given up counts as well, and the mark can be set while there is more.
    fill_window(&mut hands, flow);
    let receipt = hands.write_with(flow, 30_000, &notify()).expect("a receipt");
    let now = hands.now;
    let mut own = hands.ends[0].send_flow(flow).expect("the flow");
    own.set_low_water(now, 20_000);
    assert!(own.unsent() >= 30_000);
    hands.run_millis(0);
    assert_eq!(told(&hands), 1);
    hands.ends[0].receipt(receipt).expect("it").abandon(now);
    hands.run_millis(0);
    assert_eq!(told(&hands), 2);
}

#[test]
fn an_application_that_writes_at_the_low_water_mark_only_keeps_the_flow_busy() {
    let (mut hands, flow, offered) = open_flow();
    let now = hands.now;
    hands.ends[0].send_flow(flow).expect("the flow").set_low_water(now, 5_000);
    hands.write(flow, 8_000);
    let mut written = 1;
    while written < 100 {
        hands.run(MILLI);
        let low = hands.events[0].iter().any(|event| matches!(event, Event::UnsentLow { .. }));
        hands.events[0].clear();
        if low {
            hands.write(flow, 8_000);
            written += 1;
        }
        assert!(hands.now < now + Duration::from_secs(60), "it was not told: {written}");
    }
    hands.run_millis(2000);
    assert_eq!(lengths(&hands, offered).len(), 101);
}

#[test]
fn the_counters_of_both_ends_of_a_flow_tell_what_happened() {
    let (mut hands, flow, offered) = open_flow();
    let mut count = 0;
    hands.network = Box::new(move |end, datagram| {
        count += u32::from(end == 0 && has_data(&view(&datagram.bytes).1));
        if end == 0 && count == 2 { Fate::Lost } else { Fate::After(DELAY) }
    });
    hands.write(flow, 3000);
    hands.write(flow, 500);
    hands.run_millis(2000);
    let dead = WriteOptions { start_by: Time::ZERO, ..WriteOptions::default() };
    let now = hands.now;
    hands.ends[0].send_flow(flow).expect("it").write(now, Message::from(vec![1; 50]), &dead).expect("room");
    hands.run_millis(10);
    let sent = hands.ends[0].send_flow(flow).expect("the flow").counters();
    assert_eq!((sent.written_messages, sent.written_bytes), (4, 3551));
    assert_eq!((sent.delivered_messages, sent.abandoned_messages), (3, 1));
    let received = hands.ends[1].recv_flow(offered).expect("the flow").counters();
    assert_eq!((received.read_messages, received.read_bytes, received.taken_bytes), (3, 3501, 3501));
    assert_eq!(sent.lost_fragments, sent.resent_fragments);
    assert!(sent.lost_fragments >= 1);
    assert_eq!(
        sent.sent_fragments - sent.lost_fragments,
        received.taken_fragments + received.duplicate_fragments
    );
    assert_eq!(received.holes, 1);
    assert_eq!(sent.to_list().len(), 7);
}
