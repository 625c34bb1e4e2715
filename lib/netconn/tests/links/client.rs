//! Links of clients, with a raw server.

use rtmfp::SendFlowId;
use rtmfp_media::TcMessage;
use rtmfp_media::amf0::{Limits, Value};
use rtmfp_media::command::{self, Command, Info};
use rtmfp_media::control::UserControl;
use rtmfp_netconn::{Link, LinkConfig, LinkError, LinkEvent, Progress};

use crate::raw::{Pair, media};

fn name(message: &TcMessage) -> String {
    let command = Command::parse(message.kind, &message.payload, &Limits::DEFAULT);
    command.map(|command| command.name.to_owned()).unwrap_or_default()
}

/// A link whose connect was answered by the raw server, and the server's control flow.
fn connected(accept: bool) -> (Pair, SendFlowId) {
    let mut pair = Pair::new(true, LinkConfig::default());
    pair.run(200);
    assert_eq!(pair.linked().events.last().map(|(_, event)| event.clone()), Some(LinkEvent::Open));
    pair.send(command::connect(|object| _ = object.put("app", "live")).message(0));
    pair.run(100);
    let control = pair.open_stream(0);
    let answer = match accept {
        true => command::result(1.0).value(Value::Null),
        false => command::error(1.0, &Info::error("NetConnection.Connect.Rejected", "no")),
    };
    pair.write(control, &answer.message(0));
    pair.run(100);
    (pair, control)
}

#[test]
fn a_client_says_where_it_may_be_reached_once_it_is_accepted() {
    let (mut pair, _) = connected(true);
    let names: Vec<_> = pair.notes().messages(0).iter().map(name).collect();
    assert_eq!(names, ["connect", "setPeerInfo"]);
    assert_eq!(pair.linked().link.as_ref().map(Link::progress), Some(Progress::Accepted));

    let (mut pair, _) = connected(false);
    let names: Vec<_> = pair.notes().messages(0).iter().map(name).collect();
    assert_eq!(names, ["connect"]);
    assert_eq!(pair.linked().link.as_ref().map(Link::progress), Some(Progress::Refused));
}

#[test]
fn an_objection_to_the_links_own_peer_info_is_not_handed_out() {
    let (mut pair, control) = connected(true);
    for (transaction, method) in [(0.0, "setPeerInfo"), (0.0, "other"), (5.0, "setPeerInfo")] {
        let text = format!("no method {method}");
        let info = Info::error("NetConnection.Call.Failed", &text);
        pair.write(control, &command::error(transaction, &info).message(0));
    }
    pair.write(control, &command::result(0.0).value(Value::Null).message(0));
    pair.run(100);
    let transactions: Vec<_> = (pair.linked().messages().iter())
        .filter_map(|message| Command::parse(message.kind, &message.payload, &Limits::DEFAULT).ok())
        .map(|command| command.transaction)
        .collect();
    assert_eq!(transactions, [1.0, 0.0, 5.0, 0.0]);
}

#[test]
fn messages_of_streams_wait_for_the_servers_control_flow() {
    let mut pair = Pair::new(true, LinkConfig::default());
    pair.run(200);
    pair.send(command::connect(|_| {}).message(0));
    pair.send(command::publish("live", "live").message(1));
    pair.send(TcMessage { stream_id: 1, ..media(8, 0, b"\xaf\x01a") });
    pair.run(500);
    assert_eq!(pair.notes().offers.len(), 1);
    let control = pair.open_stream(0);
    pair.write(control, &command::result(1.0).value(Value::Null).message(0));
    pair.run(100);
    let offers = &pair.notes().offers;
    assert_eq!(offers.len(), 3);
    assert!(offers[1..].iter().all(|offer| offer.associated == Some(control)));
}

#[test]
fn media_follows_publish_behind_a_synchronisation() {
    let (mut pair, _) = connected(true);
    pair.send(command::publish("live", "live").message(1));
    pair.send(TcMessage { stream_id: 1, ..media(18, 0, b"\x02\0\x01a") });
    pair.send(TcMessage { stream_id: 1, ..media(8, 0, b"\xaf\x01a") });
    pair.send(TcMessage { stream_id: 1, ..media(8, 0, b"\xaf\x01b") });
    pair.run(100);
    let kinds = |index: usize| -> Vec<_> {
        pair.notes().offers[index].messages.iter().map(|message| message.kind).collect()
    };
    assert_eq!((kinds(1), kinds(2)), (vec![20, 18, 4], vec![4, 8, 8]));
    let sync = |index: usize, at: usize| {
        UserControl::parse(&pair.notes().offers[index].messages[at].payload).expect("an event")
    };
    assert_eq!(sync(1, 2), UserControl::FlowSync { id: 1, count: 2 });
    assert_eq!(sync(2, 0), sync(1, 2));
}

#[test]
fn the_end_of_a_stream_comes_behind_its_media_by_a_synchronisation() {
    let (mut pair, _) = connected(true);
    pair.send(command::publish("live", "live").message(1));
    pair.send(TcMessage { stream_id: 1, ..media(8, 0, b"\xaf\x01a") });
    pair.send(TcMessage { stream_id: 1, ..media(9, 0, b"\x17\x01\0\0\0a") });
    pair.run(100);
    // Two messages that end it, the first of which names no stream by its number.
    pair.send(command::fc_unpublish(5.0, "live").message(0));
    pair.send(command::delete_stream(1).message(0));
    pair.run(100);
    let syncs = |index: usize| -> Vec<_> {
        let messages = pair.notes().offers[index].messages.iter();
        let parse = |message: &TcMessage| UserControl::parse(&message.payload).ok();
        let of_flows = |event: &UserControl| matches!(event, UserControl::FlowSync { count: 4, .. });
        messages.filter(|message| message.kind == 4).filter_map(parse).filter(of_flows).collect()
    };
    // On the control flow, that of the command and those of the media: once.
    let end = syncs(0);
    assert_eq!(end.len(), 1, "{end:?}");
    assert!((1..4).all(|index| syncs(index) == end));
    let control: Vec<_> = pair.notes().offers[0].messages.iter().map(|message| message.kind).collect();
    assert_eq!(control[control.len() - 3..], [4, 20, 20], "before either of the two");
}

#[test]
fn a_server_whose_first_flow_is_not_the_connections_is_left() {
    let mut pair = Pair::new(true, LinkConfig::default());
    pair.run(200);
    pair.send(command::connect(|_| {}).message(0));
    pair.run(100);
    let flow = pair.open_stream(1);
    pair.write(flow, &media(8, 0, b"\xaf\x01a"));
    pair.run(100);
    let closed = LinkEvent::Closed(Err(LinkError::NoControlFlow));
    assert!(pair.linked().position(&closed).is_some());
}

#[test]
fn the_keep_alive_period_is_the_servers_but_never_below_five_seconds() {
    for (wish, pings) in [(15_000, 4), (1, 12)] {
        let (mut pair, control) = connected(true);
        let event = UserControl::SetKeepalive { server: wish, peer: wish };
        pair.write(control, &event.message());
        pair.run(1000);
        let before = pair.network.link(pair.linked, pair.raw).passed;
        pair.run(60_500);
        let sent = pair.network.link(pair.linked, pair.raw).passed - before;
        assert!((pings - 1..=pings + 1).contains(&sent), "{sent} datagrams for a wish of {wish} ms");
        assert_eq!(pair.linked().messages().len(), 1, "it is not handed out");
    }
}

#[test]
fn the_end_of_the_session_is_the_end_of_the_link_with_the_reason() {
    let (mut pair, _) = connected(true);
    let session = pair.notes().session.expect("a session");
    let (now, endpoint) = pair.raw();
    endpoint.session(session).expect("an open session").close(now);
    pair.run(100);
    let closed = LinkEvent::Closed(Err(LinkError::Session(rtmfp::CloseReason::Far)));
    assert!(pair.linked().position(&closed).is_some(), "{:?}", pair.linked().events);
}

#[test]
fn a_refused_control_flow_is_a_refused_link() {
    let mut pair = Pair::new(true, LinkConfig::default());
    pair.run(200);
    pair.send(command::connect(|_| {}).message(0));
    pair.run(100);
    let control = pair.notes().offers[0].flow;
    let (now, endpoint) = pair.raw();
    endpoint.reject(now, control, 5);
    pair.run(2000);
    let closed = LinkEvent::Closed(Err(LinkError::Refused(5)));
    assert_eq!(pair.linked().position(&closed), None, "the reason may still come");
    pair.run(1000);
    assert!(pair.linked().position(&closed).is_some(), "{:?}", pair.linked().events);
}

#[test]
fn a_server_that_rejects_the_control_flow_first_still_says_why_it_refuses() {
    let mut pair = Pair::new(true, LinkConfig::default());
    pair.run(200);
    pair.send(command::connect(|_| {}).message(0));
    pair.run(100);
    let (far, back) = (pair.notes().offers[0].flow, pair.open_stream(0));
    let (now, endpoint) = pair.raw();
    endpoint.reject(now, far, 0);
    // The rejection is on its way, alone.
    pair.run(1);
    pair.write(back, &command::error(1.0, &Info::error("NetConnection.Connect.Rejected", "no")).message(0));
    pair.close(back);
    pair.run(500);
    let names: Vec<_> = pair.linked().messages().iter().map(name).collect();
    assert_eq!(names, ["_error"]);
    assert_eq!(pair.linked().link.as_ref().map(Link::progress), Some(Progress::Refused));
    let events = &pair.linked().events;
    assert!(matches!(events.last(), Some((_, LinkEvent::Closed(Ok(()))))), "{events:?}");
}

#[test]
fn a_server_that_refuses_a_link_and_closes_the_session_has_refused_it() {
    let mut pair = Pair::new(true, LinkConfig::default());
    pair.run(200);
    pair.send(command::connect(|_| {}).message(0));
    pair.run(100);
    let control = pair.notes().offers[0].flow;
    let session = pair.notes().session.expect("a session");
    let (now, endpoint) = pair.raw();
    endpoint.reject(now, control, 5);
    pair.run(100);
    let (now, endpoint) = pair.raw();
    endpoint.session(session).expect("an open session").close(now);
    pair.run(300);
    let closed = LinkEvent::Closed(Err(LinkError::Refused(5)));
    assert!(pair.linked().position(&closed).is_some(), "{:?}", pair.linked().events);
}

/// A client that publishes, deletes its stream and finishes at once.
fn finished(config: LinkConfig) -> Pair {
    let mut pair = Pair::new(true, config);
    pair.run(200);
    pair.send(command::connect(|_| {}).message(0));
    pair.run(100);
    let control = pair.open_stream(0);
    pair.write(control, &command::result(1.0).value(Value::Null).message(0));
    pair.run(100);
    pair.send(command::publish("live", "live").message(1));
    pair.send(TcMessage { stream_id: 1, ..media(8, 0, b"\xaf\x01a") });
    pair.send(command::delete_stream(1).message(0));
    let now = pair.network.now();
    pair.linked().with(now, Link::finish);
    pair.run(500);
    pair
}

#[test]
fn a_client_that_keeps_its_control_flow_ends_by_its_session_once_all_was_delivered() {
    let mut pair = finished(LinkConfig { keeps_control_flow: true, ..LinkConfig::default() });
    let names: Vec<_> = pair.notes().messages(0).iter().map(name).collect();
    assert_eq!(names, ["connect", "setPeerInfo", "deleteStream"]);
    let finished: Vec<_> = pair.notes().offers.iter().map(|offer| offer.finished).collect();
    assert_eq!(finished, [false, true, true], "the control flow, and two of the stream");
    assert!(pair.notes().session_closed);
    assert!(pair.linked().position(&LinkEvent::Closed(Ok(()))).is_some(), "{:?}", pair.linked().events);
}

#[test]
fn other_clients_end_their_control_flow_and_leave_the_rest_to_the_server() {
    let pair = finished(LinkConfig::default());
    assert!(pair.notes().offers.iter().all(|offer| offer.finished));
    assert!(!pair.notes().session_closed);
}
