//! The order in which a receiving flow gives out its messages, and what an application can set.

use crate::common::endpoint;
use crate::hand::flows::{Seen, has_ack, has_data, view};
use crate::hand::writes::{flow_between, lengths};
use crate::hand::{DELAY, Fate, Hands};
use rtmfp::{Config, Event, Priority, ReceiveOrder, RecvFlowId, SendFlowId};

/// Two ends with a flow whose first message was read.
fn open_flow() -> (Hands, SendFlowId, RecvFlowId) {
    let config = Config::default;
    let (hands, flow, offered) = flow_between(endpoint("a", 1, config()), endpoint("b", 2, config()));
    assert_eq!(hands.received[1][&offered].len(), 1);
    (hands, flow, offered)
}

/// Loses the data packets of `a` with these numbers, counted from 1 on.
fn lose(hands: &mut Hands, numbers: &'static [u64]) {
    let mut count = 0;
    hands.network = Box::new(move |end, datagram| {
        if end == 1 || !has_data(&view(&datagram.bytes).1) {
            return Fate::After(DELAY);
        }
        count += 1;
        if numbers.contains(&count) { Fate::Lost } else { Fate::After(DELAY) }
    });
}

#[test]
fn in_sequence_order_a_hole_holds_up_what_is_behind_it() {
    let (mut hands, flow, offered) = open_flow();
    lose(&mut hands, &[1]);
    for len in [2, 3, 4, 5] {
        hands.write(flow, len);
        hands.run_millis(1);
    }
    hands.run_millis(30);
    assert_eq!(lengths(&hands, offered), [1]);
    hands.run_millis(100);
    assert_eq!(lengths(&hands, offered), [1, 2, 3, 4, 5]);
}

#[test]
fn in_network_order_messages_come_as_they_are_complete() {
    let (mut hands, flow, offered) = open_flow();
    let now = hands.now;
    hands.ends[1].recv_flow(offered).expect("the flow").set_order(now, ReceiveOrder::Network);
    lose(&mut hands, &[1, 3]);
    for len in [2, 3, 1500, 5] {
        hands.write(flow, len);
        hands.run_millis(1);
    }
    hands.run_millis(30);
    assert_eq!(lengths(&hands, offered), [1, 3, 5]);
    hands.run_millis(300);
    assert_eq!(lengths(&hands, offered), [1, 3, 5, 2, 1500]);
    let sequences: Vec<_> = hands.received[1][&offered].iter().map(|m| (m.sequence, m.fragments)).collect();
    assert_eq!(sequences, [(1, 1), (3, 1), (6, 1), (2, 1), (4, 2)]);
}

#[test]
fn a_change_to_network_order_gives_out_what_waits_behind_a_hole() {
    let (mut hands, flow, offered) = open_flow();
    lose(&mut hands, &[1, 5, 6, 7, 8, 9]);
    for len in [2, 3, 4, 5] {
        hands.write(flow, len);
        hands.run_millis(1);
    }
    hands.run_millis(30);
    assert_eq!(lengths(&hands, offered), [1]);
    let now = hands.now;
    hands.ends[1].recv_flow(offered).expect("the flow").set_order(now, ReceiveOrder::Network);
    hands.run_millis(0);
    assert_eq!(lengths(&hands, offered), [1, 3, 4, 5]);
}

#[test]
fn a_flow_on_hold_gives_out_nothing_and_closes_its_window_until_it_goes_on() {
    let (mut hands, flow, offered) = open_flow();
    let now = hands.now;
    hands.ends[1].recv_flow(offered).expect("the flow").set_hold(now, true);
    for _ in 0..100 {
        hands.write(flow, 1000);
    }
    hands.run_millis(3000);
    assert_eq!(lengths(&hands, offered), [1]);
    assert_eq!(hands.count(1, |event| matches!(event, Event::Readable { .. })), 1);
    let last = hands.packets(1).into_iter().rev().find(|(.., seen)| has_ack(seen)).expect("one").2;
    assert!(matches!(last.last(), Some(Seen::Ack { blocks: 0, .. })), "{last:?}");
    let now = hands.now;
    hands.ends[1].recv_flow(offered).expect("the flow").set_hold(now, false);
    hands.run_millis(500);
    assert_eq!(lengths(&hands, offered).len(), 101);
}

#[test]
fn a_larger_buffer_is_told_at_once() {
    let (mut hands, _, offered) = open_flow();
    let before = hands.packets(1).len();
    let now = hands.now;
    hands.ends[1].recv_flow(offered).expect("the flow").set_capacity(now, 150 * 1024, 1 << 20);
    hands.run_millis(0);
    let packets = hands.packets(1);
    assert_eq!(packets.len(), before + 1);
    assert!(matches!(packets[before].2[..], [Seen::Ack { blocks: 150, .. }]), "{:?}", packets[before]);
}

#[test]
fn messages_before_the_offer_is_answered_are_kept() {
    let config = Config::default;
    let mut hands = Hands::new(endpoint("a", 1, config()), endpoint("b", 2, config()));
    let flow = hands.open(b"flow", Priority::Routine);
    for len in 1..=3 {
        hands.write(flow, len);
    }
    hands.close(flow);
    hands.run_millis(1000);
    let offered = hands.offered(1)[0];
    assert_eq!(lengths(&hands, offered), [1, 2, 3]);
    assert_eq!(hands.count(1, |event| matches!(event, Event::FlowFinished { .. })), 1);
}
