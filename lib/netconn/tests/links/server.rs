//! Links of servers, with a raw client.

use bytes::Bytes;
use rtmfp::SendFlowId;
use rtmfp_media::TcMessage;
use rtmfp_media::amf0::Value;
use rtmfp_media::command;
use rtmfp_media::control::UserControl;
use rtmfp_netconn::{Link, LinkConfig, LinkError, LinkEvent, Progress};

use crate::raw::{Pair, media};

/// A link that has got a connect, and the raw client's control flow.
fn asked(config: LinkConfig) -> (Pair, SendFlowId) {
    let mut pair = Pair::new(false, config);
    let control = pair.open_control();
    pair.write(control, &command::connect(|object| _ = object.put("app", "live")).message(0));
    pair.run(200);
    let link = pair.linked().link.as_ref().expect("a link");
    assert_eq!(link.progress(), Progress::Asked { transaction: 1.0 });
    (pair, control)
}

/// The same, and the connect was accepted.
fn accepted(config: LinkConfig) -> (Pair, SendFlowId) {
    let (mut pair, control) = asked(config);
    pair.send(command::result(1.0).value(Value::Null).message(0));
    pair.run(100);
    (pair, control)
}

fn payloads(messages: &[TcMessage]) -> Vec<Bytes> {
    messages.iter().map(|message| message.payload.clone()).collect()
}

#[test]
fn the_answer_comes_on_a_flow_in_return_of_the_clients() {
    let (pair, control) = accepted(LinkConfig::default());
    let offers = &pair.notes().offers;
    assert_eq!(offers.len(), 1);
    assert_eq!(offers[0].metadata, b"TC\x04\x00"[..]);
    assert_eq!(offers[0].associated, Some(control));
    assert_eq!(offers[0].messages.len(), 1);
}

#[test]
fn flows_with_other_metadata_are_rejected_and_the_link_lives_on() {
    let (mut pair, _) = accepted(LinkConfig::default());
    for metadata in [&b"XY\x04\x01"[..], b"TC\x00\x01", b"TC\x04\x00"] {
        let flow = pair.open_return(metadata);
        pair.write(flow, &media(8, 0, b"\xaf\x01"));
        pair.run(100);
        assert!(pair.notes().exceptions.contains(&flow), "{metadata:?}");
    }
    assert_eq!(pair.linked().messages().len(), 1, "the connect");
    assert!(!pair.notes().session_closed);
}

#[test]
fn each_lane_of_a_stream_has_a_flow_and_they_close_with_the_stream() {
    let (mut pair, control) = accepted(LinkConfig::default());
    for (kind, payload) in
        [(18, &b"\x02\0\x01a"[..]), (8, b"\xaf\x01a"), (9, b"\x17\x01\0\0\0v"), (8, b"\xaf\x01b")]
    {
        pair.send(TcMessage { stream_id: 5, ..media(kind, 7, payload) });
    }
    pair.run(100);
    let offers = &pair.notes().offers[1..];
    assert_eq!(offers.len(), 3);
    for offer in offers {
        assert_eq!(offer.metadata, b"TC\x04\x05"[..]);
        assert_eq!(offer.associated, Some(control));
        assert!(offer.messages.windows(2).all(|pair| pair[0].kind == pair[1].kind), "{offer:?}");
    }
    pair.write(control, &command::delete_stream(5).message(0));
    pair.run(100);
    assert!(pair.notes().offers[1..].iter().all(|offer| offer.finished));
}

#[test]
fn a_synchronisation_holds_flows_until_all_have_come_and_is_not_handed_out() {
    let (mut pair, _) = accepted(LinkConfig::default());
    let (data, audio, video) = (pair.open_stream(1), pair.open_stream(1), pair.open_stream(1));
    let sync = UserControl::FlowSync { id: 9, count: 3 }.message();
    for (flow, payload) in [(audio, &b"\xaf\x01a"[..]), (video, b"\x27\x01\0\0\0v")] {
        pair.write(flow, &sync);
        pair.write(flow, &media(if flow == audio { 8 } else { 9 }, 0, payload));
    }
    pair.run(500);
    assert_eq!(pair.linked().messages().len(), 1, "only the connect");
    pair.write(data, &media(18, 0, b"first"));
    pair.write(data, &sync);
    pair.write(data, &media(18, 0, b"then"));
    pair.run(100);
    let got = payloads(&pair.linked().messages()[1..]);
    assert_eq!(got[0], b"first"[..]);
    assert_eq!(got.len(), 4, "{got:?}");
}

#[test]
fn a_synchronisation_that_never_completes_holds_nothing_for_ever() {
    let (mut pair, _) = accepted(LinkConfig::default());
    let audio = pair.open_stream(1);
    for id in 0..100 {
        pair.write(audio, &UserControl::FlowSync { id, count: 0xffff_ffff }.message());
        pair.write(audio, &media(8, id, b"\xaf\x01a"));
    }
    pair.run(1900);
    assert_eq!(pair.linked().messages().len(), 1);
    pair.run(300);
    assert_eq!(pair.linked().messages().len(), 2);
    // More than are kept at a time: the oldest end early.
    let flows: Vec<_> = (0..20).map(|_| pair.open_stream(2)).collect();
    for (id, flow) in (1000..).zip(flows) {
        pair.write(flow, &UserControl::FlowSync { id, count: 2 }.message());
        pair.write(flow, &media(8, id, b"\xaf\x01b"));
    }
    pair.run(100);
    assert!(pair.linked().messages().len() >= 2 + 4);
}

#[test]
fn what_is_for_one_hop_only_is_not_handed_out() {
    let (mut pair, control) = accepted(LinkConfig::default());
    pair.write(control, &command::set_peer_info(["10.0.0.1:1".parse().unwrap()]).message(0));
    pair.write(control, &UserControl::SetKeepalive { server: 9000, peer: 9000 }.message());
    for kind in [1, 2, 3, 5, 6] {
        pair.write(control, &media(kind, 0, b"\0\0\x10\0\x02"));
    }
    let asks = command::Builder::new("setPeerInfo", 8.0).value(Value::Null).message(0);
    pair.write(control, &asks);
    pair.write(control, &command::create_stream(9.0).message(0));
    pair.run(100);
    let names: Vec<_> = pair.linked().messages().iter().map(|message| message.payload.len()).collect();
    assert_eq!(names.len(), 2, "connect and createStream");
    let answers = pair.notes().messages(0);
    assert_eq!(answers.len(), 2, "to the connect, and to the setPeerInfo that asked for one");
    // Nor is it sent.
    for message in
        [UserControl::FlowSync { id: 1, count: 1 }.message(), command::set_peer_info([]).message(0)]
    {
        pair.send(message);
    }
    pair.send(media(1, 0, b"\0\0\x10\0"));
    pair.run(100);
    assert_eq!(pair.notes().messages(0).len(), 2);
}

#[test]
fn aggregates_are_handed_out_as_what_is_in_them() {
    let (mut pair, _) = accepted(LinkConfig::default());
    let flow = pair.open_stream(3);
    let part = |kind: u8, time: u8, body: &[u8]| {
        let mut bytes = vec![kind, 0, 0, body.len() as u8, 0, 0, time, 0, 0, 0, 0];
        bytes.extend_from_slice(body);
        bytes.extend_from_slice(&[0; 4]);
        bytes
    };
    let payload = [part(8, 10, b"\xaf\x01a"), part(9, 30, b"\x27\x01\0\0\0v")].concat();
    pair.write(flow, &TcMessage { kind: 22, timestamp: 100, stream_id: 0, payload: payload.into() });
    pair.run(100);
    let got = &pair.linked().messages()[1..];
    let times: Vec<_> =
        got.iter().map(|message| (message.kind, message.timestamp, message.stream_id)).collect();
    assert_eq!(times, [(8, 100, 3), (9, 120, 3)]);
}

#[test]
fn a_client_may_send_large_messages_only_once_it_was_accepted() {
    let large = TcMessage { payload: vec![0x27; 200_000].into(), ..media(9, 0, b"") };
    let (mut pair, _) = accepted(LinkConfig::default());
    let flow = pair.open_stream(1);
    pair.write(flow, &large);
    pair.run(2000);
    assert_eq!(pair.linked().messages().len(), 2);

    let (mut pair, control) = asked(LinkConfig::default());
    pair.write(control, &large);
    pair.run(2000);
    let closed = LinkEvent::Closed(Err(LinkError::BrokenLimit));
    assert!(pair.linked().position(&closed).is_some(), "{:?}", pair.linked().events);
    assert!(pair.notes().session_closed);
}

#[test]
fn at_an_orderly_end_all_arrives_then_both_ends_close() {
    let (mut pair, control) = accepted(LinkConfig::default());
    let audio = pair.open_stream(1);
    pair.write(audio, &media(8, 0, b"\xaf\x01last"));
    pair.close(audio);
    pair.close(control);
    pair.run(200);
    assert_eq!(
        pair.linked().messages().last().map(|message| message.payload.clone()),
        Some(b"\xaf\x01last"[..].into())
    );
    assert_eq!(pair.linked().events.last().map(|(_, event)| event.clone()), Some(LinkEvent::Ended));
    // The near end still has something to say.
    pair.send(TcMessage { stream_id: 1, ..media(8, 0, b"\xaf\x01bye") });
    let now = pair.network.now();
    pair.linked().with(now, Link::finish);
    pair.run(200);
    assert_eq!(pair.linked().events.last().map(|(_, event)| event.clone()), Some(LinkEvent::Closed(Ok(()))));
    assert!(pair.notes().offers[0].finished);
}

#[test]
fn a_peer_that_rejects_the_control_flow_has_ended_and_its_last_messages_still_come() {
    let (mut pair, control) = accepted(LinkConfig::default());
    let audio = pair.open_stream(1);
    pair.write(audio, &media(8, 0, b"\xaf\x01first"));
    pair.run(100);
    pair.write(audio, &media(8, 0, b"\xaf\x01last"));
    pair.close(audio);
    pair.close(control);
    let far = pair.notes().offers[0].flow;
    let (now, endpoint) = pair.raw();
    endpoint.reject(now, far, 0);
    pair.run(200);
    let events = &pair.linked().events;
    assert!(matches!(events.last(), Some((_, LinkEvent::Closed(Ok(()))))), "{events:?}");
    assert_eq!(pair.linked().messages().len(), 3);
}

#[test]
fn a_peer_that_does_not_finish_is_not_waited_for_for_ever() {
    let (mut pair, _) = accepted(LinkConfig::default());
    let now = pair.network.now();
    pair.linked().with(now, Link::finish);
    pair.run(2000);
    assert!(pair.notes().offers[0].finished);
    assert!(!matches!(pair.linked().events.last(), Some((_, LinkEvent::Closed(_)))));
    pair.run(1000);
    assert!(matches!(pair.linked().events.last(), Some((_, LinkEvent::Closed(Ok(()))))));
}

#[test]
fn the_number_of_streams_is_bounded() {
    let (mut pair, _) = accepted(LinkConfig { max_streams: 3, ..LinkConfig::default() });
    for stream_id in 1..=3 {
        pair.send(TcMessage { stream_id, ..media(8, 0, b"\xaf\x01a") });
    }
    assert!(!matches!(pair.linked().events.last(), Some((_, LinkEvent::Closed(_)))));
    pair.send(TcMessage { stream_id: 4, ..media(8, 0, b"\xaf\x01a") });
    let closed = LinkEvent::Closed(Err(LinkError::Streams { limit: 3 }));
    assert!(pair.linked().position(&closed).is_some());
}

#[test]
fn a_peer_that_takes_nothing_loses_media_first_and_then_the_link() {
    let config = LinkConfig { max_queued_bytes: 100_000, ..LinkConfig::default() };
    let (mut pair, _) = accepted(config);
    let (linked, raw) = (pair.linked, pair.raw);
    pair.network.partition(linked, raw);
    for timestamp in 0..500 {
        pair.send(TcMessage { stream_id: 1, payload: vec![0x20; 1000].into(), ..media(8, timestamp, b"") });
    }
    let stats = pair.linked().link.as_ref().map(Link::stats).unwrap_or_default();
    assert!((380..420).contains(&stats.dropped_messages), "{stats:?}");
    assert!(!matches!(pair.linked().events.last(), Some((_, LinkEvent::Closed(_)))));
    for timestamp in 0..500 {
        if matches!(pair.linked().events.last(), Some((_, LinkEvent::Closed(_)))) {
            break;
        }
        pair.send(TcMessage { stream_id: 1, payload: vec![2; 1000].into(), ..media(18, timestamp, b"") });
    }
    let last = pair.linked().events.last().map(|(_, event)| event.clone());
    assert!(matches!(last, Some(LinkEvent::Closed(Err(LinkError::QueueFull { .. })))), "{last:?}");
}
