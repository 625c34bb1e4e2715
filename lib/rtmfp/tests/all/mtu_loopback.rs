//! Over real sockets: the loopback device takes datagrams of 64 KiB, so a session grows to all that it may.

use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use bytes::Bytes;
use rtmfp::driver::{Application, Node};
use rtmfp::{Config, Endpoint, Event, FlowSpec, Priority, SendFlowId};
use rtmfp_base::{Message, Tag, Time, WriteOptions};

const MOST: usize = 8128;
/// Nothing takes so long.
const LIMIT: Duration = Duration::from_secs(120);

/// Sends message after message until packets are as large as they may be, and tells it. Here time is real: while others
/// keep the processors busy, answers to probes are late, and so is the size.
struct Source {
    to: SocketAddr,
    flow: Option<SendFlowId>,
    done: Sender<usize>,
}

impl Source {
    fn write(&self, now: Time, endpoint: &mut Endpoint) {
        let options = WriteOptions { notify: true, ..WriteOptions::default() };
        if let Some(mut flow) = self.flow.and_then(|flow| endpoint.send_flow(flow)) {
            flow.write(now, Message::from(vec![1; 20_000]), &options).expect("room");
        }
    }
}

impl Application for Source {
    fn on_ready(&mut self, now: Time, endpoint: &mut Endpoint) {
        let spec = FlowSpec { metadata: Bytes::new(), priority: Priority::Routine };
        let flow = endpoint.open_flow(now, b"b", spec, Tag(1)).expect("a flow");
        endpoint.send_flow(flow).expect("it").add_candidate(now, self.to);
        self.flow = Some(flow);
        for _ in 0..3 {
            self.write(now, endpoint);
        }
    }

    fn on_event(&mut self, now: Time, endpoint: &mut Endpoint, event: Event) {
        if !matches!(event, Event::WriteEnded { delivered: true, .. }) {
            return;
        }
        let session = endpoint.open_sessions()[0];
        let size = endpoint.session(session).expect("open").info().max_packet;
        if size < MOST {
            return self.write(now, endpoint);
        }
        // Nobody may wait any more.
        let _ = self.done.send(size);
    }
}

/// Takes everything and keeps nothing; tells when it can.
struct Sink {
    ready: Sender<()>,
}

impl Application for Sink {
    fn on_ready(&mut self, _now: Time, _endpoint: &mut Endpoint) {
        // Nobody may wait any more.
        let _ = self.ready.send(());
    }

    fn on_event(&mut self, now: Time, endpoint: &mut Endpoint, event: Event) {
        match event {
            Event::FlowOffered { flow, .. } => endpoint.accept(now, flow, Tag(2)),
            Event::Readable { flow, .. } => {
                while endpoint.recv_flow(flow).and_then(|mut flow| flow.read(now)).is_some() {}
            }
            _ => {}
        }
    }
}

#[test]
fn a_session_over_loopback_grows_to_all_that_it_may() {
    let free = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
    let mut config = Config::default();
    config.session.max_packet = MOST;
    // A size that did not come through in time is tried again soon.
    config.session.mtu_interval = Duration::from_secs(1);
    config.session.receive_limit = 4 << 20;
    config.receive_capacity = 1 << 20;
    let host = || rtmfp_runtime::Config { signals: false, ..rtmfp_runtime::Config::default() };
    let receiver = config.clone();
    let (ready, is_ready) = channel();
    let receiver = move || -> Box<dyn rtmfp_base::Service> {
        let endpoint = crate::common::endpoint("b", 2, receiver);
        Box::new(Node::new(endpoint, &[free], Sink { ready }))
    };
    let receiver = rtmfp_runtime::spawn(receiver, host()).expect("a host");
    // A hello to a port that is not open yet would be answered by the system, and end the session.
    assert_eq!(is_ready.recv_timeout(LIMIT), Ok(()));
    let (done, is_done) = channel();
    let sender = move || -> Box<dyn rtmfp_base::Service> {
        let endpoint = crate::common::endpoint("a", 1, config);
        let source = Source { to: free, flow: None, done };
        Box::new(Node::new(endpoint, &["127.0.0.1:0".parse().expect("an address")], source))
    };
    let sender = rtmfp_runtime::spawn(sender, host()).expect("a host");
    assert_eq!(is_done.recv_timeout(LIMIT), Ok(MOST));
    for handle in [sender, receiver] {
        handle.stop();
        handle.join().expect("it ends");
    }
}
