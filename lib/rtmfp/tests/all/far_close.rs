//! What was received before the far end closed the session is not lost to the application.

use std::time::Duration;

use crate::common::endpoint;
use crate::hand::flows::{has_data, view};
use crate::hand::writes::{flow_between, lengths};
use crate::hand::{DELAY, Fate, Hands};
use rtmfp::{CloseReason, Config, Event, Priority, ReceiveOrder, RecvFlowId, SendFlowId};

/// Two ends with a flow whose first message was read; `b` reads no more by itself.
fn open_flow() -> (Hands, SendFlowId, RecvFlowId) {
    let config = Config::default;
    let (mut hands, flow, offered) = flow_between(endpoint("a", 1, config()), endpoint("b", 2, config()));
    hands.events[1].clear();
    (hands, flow, offered)
}

fn hold(hands: &mut Hands, flow: RecvFlowId) {
    let now = hands.now;
    hands.ends[1].recv_flow(flow).expect("the flow").set_hold(now, true);
}

fn close_session(hands: &mut Hands, abruptly: bool) {
    let (now, session) = (hands.now, hands.session(0));
    let session = hands.ends[0].session(session).expect("open");
    if abruptly { session.abort(now) } else { session.close(now) }
}

/// The names of the events of `b`.
fn names(hands: &Hands) -> Vec<&'static str> {
    let name = |event: &Event| match event {
        Event::Readable { .. } => "readable",
        Event::FlowLost { .. } => "lost",
        Event::FlowFinished { .. } => "finished",
        Event::SessionClosed { reason: CloseReason::Far, .. } => "closed",
        _ => "other",
    };
    hands.events[1].iter().map(name).collect()
}

#[test]
fn what_was_held_is_released_before_the_end_is_told() {
    for abruptly in [false, true] {
        let (mut hands, flow, offered) = open_flow();
        hold(&mut hands, offered);
        for len in [2, 3000, 4] {
            hands.write(flow, len);
        }
        hands.run_millis(500);
        assert_eq!(lengths(&hands, offered), [1]);
        close_session(&mut hands, abruptly);
        hands.run_millis(500);
        assert_eq!(lengths(&hands, offered), [1, 2, 3000, 4]);
        assert_eq!(names(&hands), ["readable", "lost", "closed"]);
        assert_eq!(hands.ends[1].holdings().held_recv_flows, 0);
    }
}

#[test]
fn a_flow_that_has_come_to_its_end_is_finished_and_not_lost() {
    let (mut hands, flow, offered) = open_flow();
    hold(&mut hands, offered);
    hands.write(flow, 2);
    hands.close(flow);
    hands.run_millis(500);
    close_session(&mut hands, false);
    hands.run_millis(500);
    assert_eq!(lengths(&hands, offered), [1, 2]);
    assert_eq!(names(&hands), ["readable", "finished", "closed"]);
}

#[test]
fn what_is_incomplete_or_behind_a_hole_is_lost() {
    for order in [ReceiveOrder::Sequence, ReceiveOrder::Network] {
        let (mut hands, flow, offered) = open_flow();
        let now = hands.now;
        hands.ends[1].recv_flow(offered).expect("the flow").set_order(now, order);
        hold(&mut hands, offered);
        hands.write(flow, 2);
        hands.run_millis(100);
        let mut count = 0;
        hands.network = Box::new(move |end, datagram| {
            count += u32::from(end == 0 && has_data(&view(&datagram.bytes).1));
            // Everything but the second data packet gets lost, the packet of the close apart.
            let lost = end == 0 && count != 2 && has_data(&view(&datagram.bytes).1);
            if lost { Fate::Lost } else { Fate::After(DELAY) }
        });
        hands.write(flow, 3);
        hands.run_millis(1);
        hands.write(flow, 4);
        hands.run_millis(50);
        close_session(&mut hands, true);
        hands.run_millis(500);
        let expected: &[usize] = if order == ReceiveOrder::Network { &[1, 2, 4] } else { &[1, 2] };
        assert_eq!(lengths(&hands, offered), expected);
        assert_eq!(names(&hands), ["readable", "lost", "closed"]);
    }
}

#[test]
fn an_application_that_does_not_read_it_or_refuses_it_leaves_nothing_behind() {
    for refuses in [false, true] {
        let (mut hands, flow, offered) = open_flow();
        hands.reads = false;
        hands.write(flow, 2);
        hands.run_millis(500);
        let (now, session) = (hands.now, hands.session(0));
        hands.ends[0].session(session).expect("open").close(now);
        // By hand up to the moment before `b` polls.
        hands.ends[0].handle_timeout(now);
        let datagrams = crate::hand::transmits(&mut hands.ends[0], now);
        for (_, _, bytes) in &datagrams {
            crate::hand::deliver(&mut hands.ends[1], now, crate::hand::A, bytes);
        }
        let end = &mut hands.ends[1];
        if refuses {
            end.recv_flow(offered).expect("it can be read still").reject(now, 7);
            assert!(end.recv_flow(offered).is_none());
        } else {
            let mut flow = end.recv_flow(offered).expect("it can be read still");
            flow.set_hold(now, true);
            flow.set_capacity(now, 1 << 20, 1 << 20);
            flow.set_order(now, ReceiveOrder::Network);
        }
        let names = crate::hand::events(end, now).len();
        assert_eq!(names, if refuses { 1 } else { 3 });
        assert!(end.recv_flow(offered).is_none());
        hands.run(Duration::from_secs(100));
        assert_eq!(hands.ends[1].holdings(), Default::default());
    }
}

#[test]
fn a_far_end_that_stops_answering_does_not_take_what_it_had_sent_with_it() {
    let (mut hands, flow, offered) = open_flow();
    hold(&mut hands, offered);
    hands.write(flow, 2);
    hands.run_millis(500);
    let now = hands.now;
    let spec = crate::hand::flows::spec(b"back", Priority::Routine);
    let back = hands.ends[1].recv_flow(offered).expect("it").open_return_flow(now, spec, rtmfp_base::Tag(3));
    hands.network = Box::new(|_, _| Fate::Lost);
    let message = rtmfp_base::Message::from(vec![1; 10]);
    let mut back = hands.ends[1].send_flow(back.expect("a flow")).expect("it");
    back.write(now, message, &rtmfp_base::WriteOptions::default()).expect("room");
    hands.run(Duration::from_secs(300));
    assert_eq!(lengths(&hands, offered), [1, 2]);
    assert_eq!(hands.count(1, |event| matches!(event, Event::FlowLost { .. })), 1);
}
