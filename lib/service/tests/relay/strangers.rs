//! What those cost who never connect.

use std::time::Duration;

use bytes::Bytes;
use rtmfp::driver::{Application, Node};
use rtmfp::{Config, Endpoint, Event, FlowSpec, Priority, SendFlowId};
use rtmfp_base::{Message, Tag, Time, WriteOptions};
use rtmfp_media::command;
use rtmfp_netsim::HostId;
use rtmfp_plain::PlainProfile;

use crate::limits::counter;
use crate::server::{Manner, Server};
use crate::world::{Chain, FIRST_RELAY, SERVER, at, ip, listener_name};

/// An RTMFP peer that opens a session by a flow of some kind and ignores the rest.
#[derive(Debug, Default)]
struct Stranger {
    closed: Option<Time>,
    /// Bytes that were acknowledged.
    delivered: usize,
}

impl Application for Stranger {
    fn on_event(&mut self, now: Time, _endpoint: &mut Endpoint, event: Event) {
        match event {
            Event::SessionClosed { .. } => self.closed = Some(now),
            Event::WriteEnded { delivered: true, .. } => self.delivered += 1,
            _ => {}
        }
    }
}

pub(crate) fn add_stranger(chain: &mut Chain, last: u8, metadata: &'static [u8]) -> (HostId, SendFlowId) {
    let profile = PlainProfile::new(format!("stranger {last}"));
    let endpoint = Endpoint::new(Config::default(), Box::new(profile), [last; 32], Time::ZERO);
    let address = (ip(last), 1935).into();
    let node = Node::new(endpoint, &[address], Stranger::default());
    let host = chain.network.add_host("stranger", &[ip(last)], Box::new(node));
    chain.network.run_for(Duration::from_millis(1));
    let now = chain.network.now();
    let endpoint = chain.network.service::<Node<Stranger>>(host).endpoint();
    let spec = FlowSpec { metadata: Bytes::from_static(metadata), priority: Priority::Routine };
    let flow = endpoint.open_flow(now, &listener_name(None), spec, Tag(0)).expect("room for a flow");
    endpoint.send_flow(flow).expect("a flow").add_candidate(now, at(FIRST_RELAY));
    (host, flow)
}

pub(crate) fn write(chain: &mut Chain, (host, flow): (HostId, SendFlowId), message: Message) {
    let now = chain.network.now();
    let endpoint = chain.network.service::<Node<Stranger>>(host).endpoint();
    let options = WriteOptions { notify: true, ..WriteOptions::default() };
    // One that was refused is refused.
    let _ = endpoint.send_flow(flow).map(|mut flow| flow.write(now, message, &options));
}

fn stranger(chain: &Chain, host: HostId) -> &Stranger {
    &chain.network.peek::<Node<Stranger>>(host).application
}

#[test]
fn rtmfp_sessions_that_never_connect_are_closed_in_time() {
    let mut chain = Chain::new(1, &["rtmfp", "rtmp"], Chain::friendly());
    // One opens the flow of a connection and says nothing; one opens a session only; others open what is no connection.
    let quiet = add_stranger(&mut chain, 1, b"TC\x04\x00");
    write(&mut chain, quiet, Message::from(b"\x04\0\0\0\0\0\x06\0\0\0\0".to_vec()));
    let session = add_stranger(&mut chain, 2, b"TC\x04\x00");
    let stream = add_stranger(&mut chain, 3, b"TC\x04\x01");
    let other = add_stranger(&mut chain, 4, b"something else");
    for round in 0..60 {
        for flow in [stream, other] {
            write(&mut chain, flow, Message::from(vec![round; 100]));
        }
        chain.network.run_for(Duration::from_millis(500));
        if round == 2 {
            assert_eq!(counter(&chain, 0, "sessions"), 4);
            assert_eq!(counter(&chain, 0, "clients"), 1);
        }
    }
    for (host, _) in [quiet, session, stream, other] {
        let closed = stranger(&chain, host).closed.expect("closed by the relay");
        assert!(closed < Time::from_secs(21), "closed at {closed}");
    }
    chain.network.run_for(Duration::from_secs(20));
    assert_eq!(counter(&chain, 0, "sessions"), 0);
    assert_eq!(chain.server().all().count(), 0);
}

#[test]
fn a_stranger_s_unfinished_messages_are_bounded() {
    let mut chain = Chain::new(1, &["rtmfp", "rtmp"], Chain::friendly());
    let control = add_stranger(&mut chain, 1, b"TC\x04\x00");
    write(&mut chain, control, Message::from(b"\x04\0\0\0\0\0\x06\0\0\0\0".to_vec()));
    chain.network.run_for(Duration::from_millis(200));
    // A message of 10 MB: refused when it has become too long, and the connection ends.
    write(&mut chain, control, Message::from(vec![9; 10_000_000]));
    chain.network.run_for(Duration::from_secs(5));
    assert!(stranger(&chain, control.0).closed.is_some());
    assert_eq!(stranger(&chain, control.0).delivered, 1);
    assert_eq!(counter(&chain, 0, "clients"), 0);
}

#[test]
fn a_client_that_floods_before_its_connect_is_accepted_is_dropped() {
    for protocols in [&["rtmfp", "rtmp"][..], &["rtmfp", "rtmfp", "rtmp"]] {
        let silent = Server::new(at(SERVER), Manner::Silent);
        let mut chain = Chain::new(1, protocols, silent);
        let control = add_stranger(&mut chain, 1, b"TC\x04\x00");
        let connect = command::connect(|_| {}).message(0);
        write(&mut chain, control, Message::new(&connect.tc_head(), connect.payload));
        for _ in 0..100 {
            let wish = command::create_stream(2.0).value("x".repeat(1000).as_str()).message(0);
            write(&mut chain, control, Message::new(&wish.tc_head(), wish.payload));
        }
        chain.network.run_for(Duration::from_secs(2));
        assert_eq!(chain.relay(0).client_count(), 0);
        assert!(stranger(&chain, control.0).closed.is_some());
    }
}
