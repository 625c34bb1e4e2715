//! Links over byte streams.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use rtmfp_base::{Action, StreamId, Time};
use rtmfp_media::TcMessage;
use rtmfp_media::amf0::Value;
use rtmfp_media::command;
use rtmfp_media::control::UserControl;
use rtmfp_netconn::{
    Cx, Endpoints, Link, LinkConfig, LinkError, LinkEvent, LinkId, Role, RtmpConfig, RtmpLink,
};
use rtmfp_rtmp::{Connection, Event, SendOptions};

use crate::raw::media;

const STREAM: StreamId = StreamId::opened(1);

/// A link and its peer, with nothing between them.
struct Wire {
    now: Time,
    endpoints: Endpoints,
    actions: VecDeque<Action>,
    link: Link,
    peer: Connection,
    events: Vec<LinkEvent>,
    received: Vec<TcMessage>,
}

impl Wire {
    fn new(role: Role, config: LinkConfig) -> Self {
        let now = Time::from_secs(100);
        let (mut endpoints, mut actions) = (Endpoints::new(), VecDeque::new());
        let mut cx = Cx { now, endpoints: &mut endpoints, actions: &mut actions };
        let rtmp = RtmpConfig { answer_pings: false, ..RtmpConfig::default() };
        let link = RtmpLink::new(&mut cx, LinkId(1), role, STREAM, Arc::new(config), rtmp, 1);
        let other = if role == Role::Client { Role::Server } else { Role::Client };
        let mut peer =
            Connection::new(other, RtmpConfig { answer_pings: false, ..RtmpConfig::default() }, now, 2);
        peer.set_trusted();
        let link = Link::Rtmp(Box::new(link));
        let mut wire = Self { now, endpoints, actions, link, peer, events: Vec::new(), received: Vec::new() };
        wire.run(usize::MAX);
        assert_eq!(wire.events, [LinkEvent::Open]);
        wire
    }

    fn with(&mut self, act: impl FnOnce(&mut Link, &mut Cx<'_>)) {
        let Self { now, endpoints, actions, link, events, .. } = self;
        act(link, &mut Cx { now: *now, endpoints, actions });
        events.extend(std::iter::from_fn(|| link.poll_event()));
    }

    /// Passes bytes on in both directions, at most so many from the link, until there are none.
    fn run(&mut self, mut limit: usize) {
        loop {
            let (mut there, mut here) = (Vec::new(), Vec::new());
            if limit > 0 {
                self.with(|link, cx| link.fill_stream(cx, limit.min(1000), &mut there));
                limit = limit.saturating_sub(there.len());
            }
            self.peer.fill(self.now, 1000, &mut here);
            if there.is_empty() && here.is_empty() {
                return;
            }
            let mut bytes = &there[..];
            while !bytes.is_empty() {
                bytes = self.peer.receive(self.now, bytes).expect("good RTMP");
                while let Some(event) = self.peer.poll_event() {
                    if let Event::Message(message) = event {
                        self.received.push(message);
                    }
                }
            }
            self.with(|link, cx| link.stream_data(cx, &here));
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.with(Link::handle_timeout);
        self.run(usize::MAX);
    }

    fn send(&mut self, message: TcMessage) {
        self.with(|link, cx| link.send(cx, message));
    }

    fn peer_sends(&mut self, message: TcMessage) {
        self.peer.send(self.now, message, &SendOptions::default()).expect("room");
        self.run(usize::MAX);
    }

    /// Whether the host was asked to finish the byte stream.
    fn is_finishing(&self) -> bool {
        self.actions.iter().any(|action| matches!(action, Action::Finish { .. }))
    }
}

fn stream(message: TcMessage) -> TcMessage {
    TcMessage { stream_id: 1, ..message }
}

#[test]
fn a_ping_that_nobody_answers_is_answered_in_the_end_and_only_once() {
    let mut wire = Wire::new(Role::Client, LinkConfig::default());
    let (ping, pong) = (UserControl::PingRequest(77).message(), UserControl::PingResponse(77).message());
    wire.peer_sends(ping.clone());
    assert_eq!(wire.events.pop(), Some(LinkEvent::Message(ping.clone())));
    wire.pass(Duration::from_millis(4900));
    assert_eq!(wire.received, []);
    wire.pass(Duration::from_millis(100));
    assert!(wire.received.iter().eq([&pong]));
    wire.send(pong.clone());
    wire.run(usize::MAX);
    assert_eq!(wire.received.len(), 1);

    wire.peer_sends(ping);
    wire.send(pong.clone());
    wire.pass(Duration::from_secs(10));
    assert_eq!(wire.received, [pong.clone(), pong]);
}

#[test]
fn what_is_for_one_hop_only_does_not_cross() {
    let mut wire = Wire::new(Role::Server, LinkConfig::default());
    wire.events.clear();
    wire.peer_sends(UserControl::FlowSync { id: 1, count: 2 }.message());
    wire.peer_sends(UserControl::SetKeepalive { server: 1, peer: 1 }.message());
    wire.peer_sends(command::set_peer_info([]).message(0));
    assert_eq!(wire.events, []);
    wire.send(UserControl::FlowSync { id: 1, count: 2 }.message());
    wire.send(command::set_peer_info([]).message(0));
    wire.send(media(5, 0, b"\0\0\x10\0"));
    wire.run(usize::MAX);
    assert_eq!(wire.received, []);
}

#[test]
fn the_end_of_a_stream_does_not_overtake_its_media_and_comes_before_the_end_of_all() {
    let mut wire = Wire::new(Role::Client, LinkConfig::default());
    wire.send(command::connect(|_| {}).message(0));
    wire.peer_sends(command::result(1.0).value(Value::Null).message(0));
    let large = TcMessage { payload: vec![0x17; 100_000].into(), ..media(9, 0, b"") };
    wire.send(stream(large));
    wire.send(command::delete_stream(1).message(0));
    wire.with(Link::finish);
    wire.run(50_000);
    assert!(!wire.is_finishing());
    // Longer than it would wait if the link went on.
    wire.now += LinkConfig::default().drain_limit;
    wire.with(Link::handle_timeout);
    wire.run(usize::MAX);
    assert!(wire.is_finishing());
    let kinds: Vec<_> = wire.received.iter().map(|message| message.kind).collect();
    assert_eq!(kinds, [20, 9, 20]);
}

#[test]
fn the_end_of_a_stream_does_not_wait_long_while_the_link_goes_on() {
    let drain_limit = Duration::from_millis(500);
    let mut wire = Wire::new(Role::Client, LinkConfig { drain_limit, ..LinkConfig::default() });
    wire.send(stream(TcMessage { payload: vec![0x17; 100_000].into(), ..media(9, 0, b"") }));
    wire.send(command::delete_stream(1).message(0));
    wire.send(command::create_stream(3.0).message(0));
    wire.run(20_000);
    assert_eq!(wire.received, []);
    wire.now += drain_limit;
    wire.with(Link::handle_timeout);
    wire.run(10_000);
    assert_eq!(wire.received.iter().map(|message| message.kind).collect::<Vec<_>>(), [20, 20]);
}

#[test]
fn large_messages_are_taken_once_the_connect_was_accepted() {
    for accept in [false, true] {
        let mut wire = Wire::new(Role::Server, LinkConfig::default());
        wire.peer_sends(command::connect(|_| {}).message(0));
        if accept {
            wire.send(command::result(1.0).value(Value::Null).message(0));
            wire.run(usize::MAX);
        }
        wire.peer_sends(stream(TcMessage { payload: vec![0x17; 100_000].into(), ..media(9, 0, b"") }));
        let last = wire.events.last();
        match accept {
            true => assert!(matches!(last, Some(LinkEvent::Message(m)) if m.payload.len() == 100_000)),
            false => assert!(matches!(last, Some(LinkEvent::Closed(Err(LinkError::Rtmp(_))))), "{last:?}"),
        }
        let aborted = wire.actions.iter().any(|action| matches!(action, Action::Abort { .. }));
        assert_eq!(aborted, !accept);
    }
}

#[test]
fn a_byte_stream_that_ends_or_fails_tells_so() {
    let mut wire = Wire::new(Role::Server, LinkConfig::default());
    wire.with(|link, cx| link.stream_ended(cx));
    assert_eq!(wire.events.last(), Some(&LinkEvent::Ended));
    wire.with(|link, _| link.stream_closed(None));
    assert_eq!(wire.events.last(), Some(&LinkEvent::Closed(Ok(()))));

    let mut wire = Wire::new(Role::Server, LinkConfig::default());
    wire.with(|link, _| link.stream_closed(Some("reset".to_owned())));
    assert_eq!(wire.events.last(), Some(&LinkEvent::Closed(Err(LinkError::Stream("reset".to_owned())))));
    wire.send(command::create_stream(1.0).message(0));
    assert_eq!(wire.events.len(), 2, "a closed link takes no notice");
}

#[test]
fn finishing_ends_even_if_the_peer_takes_nothing() {
    let mut wire = Wire::new(Role::Client, LinkConfig::default());
    wire.send(stream(TcMessage { payload: vec![0x17; 100_000].into(), ..media(9, 0, b"") }));
    wire.send(command::delete_stream(1).message(0));
    wire.with(Link::finish);
    wire.now += LinkConfig::default().finish_limit;
    wire.with(Link::handle_timeout);
    assert_eq!(wire.events.last(), Some(&LinkEvent::Closed(Err(LinkError::Unfinished))));
}
