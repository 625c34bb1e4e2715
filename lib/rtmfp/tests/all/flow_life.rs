//! How flows begin, end and take turns.

use std::time::Duration;

use crate::common::endpoint;
use crate::hand::flows::{Seen, spec, view};
use crate::hand::{DELAY, Fate, Hands};
use bytes::Bytes;
use rtmfp::{Config, Event, FlowSpec, Limits, OpenFlowError, Priority, SendFlowId, WriteError};
use rtmfp_base::{Message, Tag, WriteOptions};

fn hands(config_a: Config, config_b: Config) -> Hands {
    Hands::new(endpoint("a", 1, config_a), endpoint("b", 2, config_b))
}

/// Two ends with an open session that one flow keeps.
/// Packets do not grow: a message of 1000 bytes fills one.
fn open_session() -> (Hands, SendFlowId) {
    let mut config = Config::default();
    config.session.max_packet = rtmfp::MAX_PACKET;
    let mut hands = hands(config.clone(), config);
    let flow = hands.open(b"first", Priority::Routine);
    hands.write(flow, 1);
    hands.run_millis(1000);
    hands.sent.clear();
    (hands, flow)
}

/// Data chunks of an end in the order of sending: packet, flow, sequence number, length.
fn chunks(hands: &Hands, end: usize) -> Vec<(usize, u64, u64, usize)> {
    let mut all = Vec::new();
    for (packet, (.., seen)) in hands.packets(end).into_iter().enumerate() {
        for chunk in seen {
            if let Seen::Data { flow, sequence, len, .. } = chunk {
                all.push((packet, flow, sequence, len));
            }
        }
    }
    all
}

#[test]
fn a_return_flow_tells_what_it_answers() {
    let (mut hands, first) = open_session();
    let offered = hands.offered(1)[0];
    let now = hands.now;
    let mut asked = hands.ends[1].recv_flow(offered).expect("the flow");
    let back = asked.open_return_flow(now, spec(b"back", Priority::Data), Tag(9)).expect("a flow");
    let message = Message::from(b"answer".to_vec());
    let mut flow = hands.ends[1].send_flow(back).expect("the flow");
    flow.write(now, message, &WriteOptions::default()).expect("room");
    hands.run_millis(300);
    let offer = hands.events[0].iter().find_map(|event| match event {
        Event::FlowOffered { flow, metadata, associated, .. } => Some((*flow, metadata.clone(), *associated)),
        _ => None,
    });
    let (flow, metadata, associated) = offer.expect("an offer");
    assert_eq!((&metadata[..], associated), (&b"back"[..], Some((first, Tag(7)))));
    assert_eq!(hands.ends[0].recv_flow(flow).and_then(|mut flow| flow.associated()), Some(first));
    assert_eq!(hands.received[0][&flow][0].bytes, &b"answer"[..]);
}

#[test]
fn a_return_flow_for_a_flow_that_is_closed_is_rejected() {
    let (mut hands, first) = open_session();
    let offered = hands.offered(1)[0];
    let now = hands.now;
    let mut asked = hands.ends[1].recv_flow(offered).expect("the flow");
    let back = asked.open_return_flow(now, spec(b"back", Priority::Data), Tag(9)).expect("a flow");
    let mut flow = hands.ends[1].send_flow(back).expect("the flow");
    flow.write(now, Message::from(vec![1]), &WriteOptions::default()).expect("room");
    hands.close(first);
    hands.run_millis(500);
    assert_eq!(hands.offered(0), []);
    let told = |event: &Event| matches!(event, Event::FlowException { flow, code: 0, .. } if *flow == back);
    assert_eq!(hands.count(1, told), 1);
    assert_eq!(hands.ends[0].stats().refused_flows, 1);
}

#[test]
fn who_rejects_a_flow_may_say_why_in_return_of_it_unless_it_was_closed_since() {
    let delay = DELAY.as_millis() as u64;
    // Before the rejection is there, and between it and the reason.
    for closed_after in [None, Some(0), Some(delay + 2)] {
        let (mut hands, first) = open_session();
        let offered = hands.offered(1)[0];
        let now = hands.now;
        let mut asked = hands.ends[1].recv_flow(offered).expect("the flow");
        let back = asked.open_return_flow(now, spec(b"why", Priority::Data), Tag(9)).expect("a flow");
        hands.ends[1].recv_flow(offered).expect("the flow").reject(now, 3);
        let write = |hands: &mut Hands| {
            let now = hands.now;
            let mut flow = hands.ends[1].send_flow(back).expect("the flow");
            flow.write(now, Message::from(vec![1]), &WriteOptions::default()).expect("room");
        };
        for after in 0..500 {
            if closed_after == Some(after) {
                hands.close(first);
            }
            if after == 5 {
                write(&mut hands);
            }
            hands.run_millis(1);
        }
        assert_eq!(hands.offered(0).len(), usize::from(closed_after.is_none()), "{closed_after:?}");
        let rejected =
            |event: &Event| matches!(event, Event::FlowException { flow, code: 3, .. } if *flow == first);
        assert_eq!(hands.count(0, rejected), 1);
        assert_eq!(hands.count(0, |event| matches!(event, Event::FlowClosed { .. })), 0);
    }
}

#[test]
fn an_offer_that_is_not_answered_is_rejected_with_code_0() {
    let (mut hands, _) = open_session();
    hands.accepts = false;
    let flow = hands.open(b"second", Priority::Routine);
    hands.write(flow, 10);
    hands.run_millis(1000);
    let told = |event: &Event| matches!(event, Event::FlowException { flow: f, code: 0, .. } if *f == flow);
    assert_eq!(hands.count(0, told), 1);
    let offered = hands.offered(1)[1];
    assert!(hands.ends[1].recv_flow(offered).is_none());
    assert_eq!(hands.ends[1].holdings().held_recv_flows, 1, "only the first one is left");
    let now = hands.now;
    hands.ends[1].accept(now, offered, Tag(55));
    hands.run_millis(0);
    let lost = Event::FlowLost { flow: offered, tag: Tag(55) };
    assert_eq!(hands.events[1].last(), Some(&lost), "who accepts too late hears so");
}

#[test]
fn a_rejection_brings_its_code_whenever_it_comes() {
    for after in [5, 45, 100, 400] {
        let (mut hands, _) = open_session();
        let flow = hands.open(b"second", Priority::Routine);
        let options = WriteOptions { notify: true, ..WriteOptions::default() };
        for _ in 0..40 {
            hands.write_with(flow, 2000, &options);
        }
        hands.run_millis(20 + after);
        let offered = hands.offered(1)[1];
        let now = hands.now;
        hands.ends[1].recv_flow(offered).expect("the flow").reject(now, 42);
        hands.run_millis(2000);
        let told =
            |event: &Event| matches!(event, Event::FlowException { flow: f, code: 42, .. } if *f == flow);
        assert_eq!(hands.count(0, told), 1, "after {after} ms");
        assert_eq!(hands.count(0, |event| matches!(event, Event::WriteEnded { .. })), 40);
        assert!(hands.ends[0].send_flow(flow).is_none(), "it is done with");
        assert_eq!(hands.count(0, |event| matches!(event, Event::FlowClosed { .. })), 0, "told once only");
        assert_eq!(hands.count(1, |e| matches!(e, Event::FlowFinished { .. } | Event::FlowLost { .. })), 0);
        assert_eq!(hands.ends[1].holdings().held_recv_flows, 1);
    }
}

#[test]
fn a_flow_rejected_when_it_was_complete_already_still_brings_the_code() {
    let (mut hands, _) = open_session();
    hands.accepts = false;
    hands.reads = false;
    let flow = hands.open(b"second", Priority::Routine);
    hands.write(flow, 10);
    hands.close(flow);
    hands.run_millis(1000);
    let told = |event: &Event| matches!(event, Event::FlowException { flow: f, .. } if *f == flow);
    assert_eq!(hands.count(0, told), 1);
}

#[test]
fn nothing_is_told_of_a_flow_after_its_rejection_not_even_what_was_on_its_way() {
    let (mut hands, first) = open_session();
    let offered = hands.offered(1)[0];
    let now = hands.now;
    hands.ends[1].recv_flow(offered).expect("the flow").set_hold(now, true);
    hands.write(first, 10);
    hands.run_millis(100);
    let readable = |event: &Event| matches!(event, Event::Readable { flow, .. } if *flow == offered);
    let before = hands.count(1, readable);
    let now = hands.now;
    hands.ends[1].recv_flow(offered).expect("the flow").set_hold(now, false);
    hands.ends[1].recv_flow(offered).expect("the flow").reject(now, 42);
    hands.run_millis(100);
    assert_eq!(hands.count(1, readable), before);
}

#[test]
fn a_rejected_flow_takes_no_more_messages() {
    let (mut hands, first) = open_session();
    let offered = hands.offered(1)[0];
    let now = hands.now;
    hands.ends[1].reject(now, offered, 1 << 40);
    let mut refused = None;
    for _ in 0..10 {
        hands.run_millis(5);
        let now = hands.now;
        if let Some(mut flow) = hands.ends[0].send_flow(first) {
            refused = flow.write(now, Message::from(vec![1]), &WriteOptions::default()).err();
        }
    }
    assert_eq!(refused, Some(WriteError::Closed));
    hands.run_millis(500);
    let told = |event: &Event| matches!(event, Event::FlowException { code: 0x100_0000_0000, .. });
    assert_eq!(hands.count(0, told), 1);
}

#[test]
fn metadata_has_a_limit_and_may_be_empty() {
    let (mut hands, _) = open_session();
    let now = hands.now;
    let session = hands.session(0);
    let mut open = |len: usize| {
        let spec = FlowSpec { metadata: Bytes::from(vec![7; len]), priority: Priority::Routine };
        let flow = hands.ends[0].session(session).expect("the session").open_flow(now, spec, Tag(0))?;
        let mut opened = hands.ends[0].send_flow(flow).expect("the flow");
        opened.write(now, Message::from(vec![1; 3000]), &WriteOptions::default()).expect("room");
        Ok(flow)
    };
    assert_eq!(open(513), Err(OpenFlowError::LongMetadata));
    open(512).expect("a flow");
    open(0).expect("a flow");
    hands.run_millis(1000);
    let told: Vec<usize> = hands.events[1]
        .iter()
        .filter_map(|event| match event {
            Event::FlowOffered { metadata, .. } => Some(metadata.len()),
            _ => None,
        })
        .collect();
    assert_eq!(told, [5, 512, 0]);
    assert_eq!(hands.received[1].values().map(Vec::len).collect::<Vec<_>>(), [1, 1, 1]);
}

#[test]
fn metadata_is_sent_with_the_first_chunk_of_each_packet_until_the_first_acknowledgement() {
    let mut hands = hands(Config::default(), Config::default());
    let flow = hands.open(b"flow", Priority::Routine);
    for _ in 0..20 {
        hands.write(flow, 500);
    }
    hands.run_millis(2000);
    let mut acknowledged = false;
    let (mut with, mut without) = (0, 0);
    let mut seen = Vec::new();
    for (at, end, datagram) in &hands.sent {
        if *end == 0 {
            seen.push((*at, view(&datagram.bytes).1));
        }
    }
    let first_ack = hands.packets(1).first().expect("an acknowledgement").0 + DELAY;
    for (at, chunks) in seen {
        acknowledged |= at >= first_ack;
        let data = chunks.iter().filter_map(|chunk| match chunk {
            Seen::Data { options, .. } => Some(*options),
            _ => None,
        });
        for (index, options) in data.enumerate() {
            assert_eq!(options, index == 0 && !acknowledged, "at {at}");
            *if options { &mut with } else { &mut without } += 1;
        }
    }
    assert!(with > 0 && without > 10, "{with}, {without}");
}

#[test]
fn a_session_has_no_more_flows_than_allowed_and_their_numbers_rest_for_130_seconds() {
    let limits = Limits { send_flows: 1024, receive_flows: 1024, ..Limits::default() };
    let config = || Config { limits: limits.clone(), ..Config::default() };
    let mut hands = hands(config(), config());
    let first = hands.open(b"first", Priority::Routine);
    hands.write(first, 1);
    hands.run_millis(1000);
    let (now, session) = (hands.now, hands.session(0));
    let open = |hands: &mut Hands| {
        let now = hands.now;
        let mut session = hands.ends[0].session(session).expect("the session");
        session.open_flow(now, spec(b"more", Priority::Bulk), Tag(0))
    };
    let more: Vec<_> = (1..1024).map(|_| open(&mut hands).expect("a flow")).collect();
    assert_eq!(open(&mut hands), Err(OpenFlowError::Limit));
    for &flow in &more {
        hands.write(flow, 1);
        hands.close(flow);
    }
    hands.run(Duration::from_secs(10));
    assert_eq!(hands.offered(1).len(), 1024);
    assert_eq!(hands.count(0, |event| matches!(event, Event::FlowClosed { .. })), 1023);
    assert_eq!(hands.ends[1].stats().refused_flows, 0);
    assert_eq!(open(&mut hands), Err(OpenFlowError::Limit), "the numbers rest");
    hands.run(Duration::from_secs(118));
    assert_eq!(open(&mut hands), Err(OpenFlowError::Limit), "{} since {now}", hands.now);
    hands.run(Duration::from_secs(12));
    let flow = open(&mut hands).expect("a flow");
    hands.sent.clear();
    hands.write(flow, 1);
    hands.run_millis(500);
    let wire_id = chunks(&hands, 0)[0].1;
    assert_eq!(wire_id, 3, "the number that rested longest");
    assert_eq!(hands.offered(1).len(), 1025);
}

#[test]
fn a_flow_that_was_never_used_ends_at_once_and_its_number_is_free() {
    let (mut hands, _) = open_session();
    for _ in 0..3 {
        let flow = hands.open(b"unused", Priority::Routine);
        hands.close(flow);
        hands.run_millis(50);
        assert!(hands.ends[0].send_flow(flow).is_none());
    }
    assert_eq!(hands.count(0, |event| matches!(event, Event::FlowClosed { .. })), 3);
    assert_eq!(chunks(&hands, 0), []);
    let flow = hands.open(b"used", Priority::Routine);
    hands.write(flow, 1);
    hands.run_millis(50);
    assert_eq!(chunks(&hands, 0)[0].1, 3);
}

/// Opens flows of these priorities and writes messages of 1,000 bytes to each, as many as fit into no window.
fn compete(priorities: &[Priority]) -> (Hands, Vec<SendFlowId>) {
    let (mut hands, _) = open_session();
    hands.network = Box::new(|_, _| Fate::Lost);
    let flows: Vec<_> = priorities.iter().map(|&priority| hands.open(b"flow", priority)).collect();
    // Nothing passes yet: what the window took is lost.
    for &flow in &flows {
        for _ in 0..12 {
            hands.write(flow, 1000);
        }
    }
    hands.run_millis(0);
    hands.network = Box::new(|_, _| Fate::After(DELAY));
    (hands, flows)
}

fn order_of_flows(hands: &Hands) -> Vec<u64> {
    let mut order: Vec<u64> = chunks(hands, 0).into_iter().map(|(_, flow, ..)| flow).collect();
    order.dedup();
    order
}

#[test]
fn higher_priorities_go_first_strictly() {
    let (mut hands, _) = compete(&[Priority::Background, Priority::Flash, Priority::Routine]);
    hands.run_millis(5000);
    // What goes first is Flash (4), then Routine (5), then Background (3).
    assert_eq!(order_of_flows(&hands), [4, 5, 3]);
}

#[test]
fn equal_priorities_take_turns() {
    let (mut hands, _) = compete(&[Priority::Bulk, Priority::Bulk, Priority::Bulk]);
    hands.run_millis(5000);
    let order: Vec<u64> = chunks(&hands, 0).into_iter().map(|(_, flow, ..)| flow).collect();
    for at in (0..30).step_by(3) {
        let mut turn = order[at..at + 3].to_vec();
        turn.sort_unstable();
        assert_eq!(turn, [3, 4, 5], "{order:?}");
    }
}

#[test]
fn a_priority_can_be_changed_while_messages_wait() {
    let (mut hands, flows) = compete(&[Priority::Bulk, Priority::Bulk]);
    let now = hands.now;
    for priority in [Priority::Flash, Priority::Bulk, Priority::Flash] {
        hands.ends[0].send_flow(flows[1]).expect("the flow").set_priority(now, priority);
    }
    hands.sent.clear();
    hands.run_millis(5000);
    assert_eq!(order_of_flows(&hands), [4, 3]);
}

#[test]
fn small_messages_of_several_flows_share_a_packet() {
    let (mut hands, first) = open_session();
    let others = [hands.open(b"second", Priority::Data), hands.open(b"third", Priority::Flash)];
    for flow in [first, others[0], others[1]] {
        hands.write(flow, 50);
        hands.write(flow, 60);
    }
    hands.run_millis(0);
    let sent = chunks(&hands, 0);
    assert!(sent.iter().all(|(packet, ..)| *packet == 0), "{sent:?}");
    let order: Vec<_> = sent.iter().map(|(_, flow, _, len)| (*flow, *len)).collect();
    assert_eq!(order, [(4, 50), (4, 60), (2, 50), (2, 60), (3, 50), (3, 60)], "by priority");
    hands.run_millis(500);
    assert_eq!(hands.received[1].values().map(Vec::len).sum::<usize>(), 7);
}

#[test]
fn packets_with_time_critical_data_say_so_and_no_others() {
    for (number, priority) in [
        Priority::Background,
        Priority::Bulk,
        Priority::Data,
        Priority::Routine,
        Priority::Priority,
        Priority::Immediate,
        Priority::Flash,
        Priority::FlashOverride,
    ]
    .into_iter()
    .enumerate()
    {
        let (mut hands, _) = open_session();
        let flow = hands.open(b"flow", priority);
        hands.write(flow, 100);
        hands.run_millis(500);
        let of = |end: usize| hands.packets(end).iter().any(|(_, header, _)| header.time_critical);
        assert_eq!((of(0), of(1)), (number >= 4, false), "{priority:?}");
    }
}

#[test]
fn events_tell_when_a_full_flow_has_room_again() {
    let (mut hands, first) = open_session();
    let now = hands.now;
    hands.ends[0].send_flow(first).expect("the flow").set_capacity(now, 5000);
    let writable = |hands: &mut Hands| hands.ends[0].send_flow(first).expect("the flow").is_writable();
    while writable(&mut hands) {
        hands.write(first, 1000);
    }
    hands.poll();
    assert_eq!(hands.count(0, |event| matches!(event, Event::Writable { .. })), 0);
    hands.run_millis(1000);
    assert_eq!(hands.count(0, |event| matches!(event, Event::Writable { .. })), 1);
    assert!(writable(&mut hands));
}

#[test]
fn a_queue_takes_no_more_than_its_limit() {
    let limits = Limits { send_queue: 10_000, ..Limits::default() };
    let mut hands = hands(Config { limits, ..Config::default() }, Config::default());
    let flow = hands.open(b"flow", Priority::Routine);
    let now = hands.now;
    let mut write = |len: usize| {
        let message = Message::from(vec![1; len]);
        hands.ends[0].send_flow(flow).expect("the flow").write(now, message, &WriteOptions::default())
    };
    assert_eq!(write(10_001), Err(WriteError::Full));
    assert_eq!(write(9000), Ok(None));
    assert_eq!(write(1000), Err(WriteError::Full));
    assert_eq!(write(900), Ok(None));
    hands.run_millis(2000);
    assert_eq!(hands.received[1].values().map(Vec::len).sum::<usize>(), 2);
}
