//! A peer whose flows are in the test's hands.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use rtmfp::driver::{Application, Node};
use rtmfp::{Config, Endpoint, Event, FlowSpec, Priority, RecvFlowId, SendFlowId, SessionId};
use rtmfp_base::{Message, Tag, Time, WriteOptions};
use rtmfp_media::TcMessage;
use rtmfp_netconn::{FlowMetadata, LinkConfig};
use rtmfp_netsim::{HostId, LinkConfig as Wire, Network};
use rtmfp_plain::PlainProfile;

use crate::linked::Linked;

pub(crate) const URI: &str = "rtmfp://server.test/app";

/// The Endpoint Discriminator of [`URI`], which is the name of servers: the plain profile knows nothing else.
pub(crate) fn server_name() -> Vec<u8> {
    [&[URI.len() as u8 + 1, 0x0a], URI.as_bytes()].concat()
}

/// What a raw peer was offered.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) flow: RecvFlowId,
    pub(crate) metadata: Bytes,
    pub(crate) associated: Option<SendFlowId>,
    pub(crate) messages: Vec<TcMessage>,
    pub(crate) finished: bool,
}

/// Accepts all flows and takes note of everything.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) session: Option<SessionId>,
    pub(crate) session_closed: bool,
    pub(crate) offers: Vec<Offer>,
    pub(crate) exceptions: Vec<SendFlowId>,
    pub(crate) closed: Vec<SendFlowId>,
}

impl Application for Notes {
    fn on_event(&mut self, now: Time, endpoint: &mut Endpoint, event: Event) {
        match event {
            Event::SessionOpened { session, .. } => self.session = Some(session),
            Event::SessionClosed { .. } => self.session_closed = true,
            Event::FlowOffered { flow, metadata, associated, .. } => {
                endpoint.accept(now, flow, Tag(0));
                let associated = associated.map(|(flow, _)| flow);
                self.offers.push(Offer { flow, metadata, associated, messages: Vec::new(), finished: false });
            }
            Event::Readable { flow, .. } => {
                let offer =
                    self.offers.iter_mut().find(|offer| offer.flow == flow).expect("an accepted flow");
                let stream_id = FlowMetadata::parse(&offer.metadata).expect("metadata").stream_id;
                while let Some(received) = endpoint.recv_flow(flow).and_then(|mut flow| flow.read(now)) {
                    let message = TcMessage::from_tc(stream_id, received.bytes);
                    offer.messages.push(message.expect("a message"));
                }
            }
            Event::FlowFinished { flow, .. } => {
                let offer =
                    self.offers.iter_mut().find(|offer| offer.flow == flow).expect("an accepted flow");
                offer.finished = true;
            }
            Event::FlowException { flow, .. } => self.exceptions.push(flow),
            Event::FlowClosed { flow, .. } => self.closed.push(flow),
            _ => {}
        }
    }
}

impl Notes {
    /// All messages on flows of a stream.
    pub(crate) fn messages(&self, stream_id: u32) -> Vec<TcMessage> {
        let offers = self.offers.iter().filter(|offer| {
            FlowMetadata::parse(&offer.metadata).is_some_and(|metadata| metadata.stream_id == stream_id)
        });
        offers.flat_map(|offer| offer.messages.clone()).collect()
    }
}

/// A link and a raw peer.
pub(crate) struct Pair {
    pub(crate) network: Network,
    pub(crate) linked: HostId,
    pub(crate) raw: HostId,
}

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, last], 1935))
}

impl Pair {
    /// A link that is a client of a raw server, or a server of a raw client; 10 ms apart.
    pub(crate) fn new(link_is_client: bool, config: LinkConfig) -> Self {
        let mut network = Network::new(1);
        network.set_default_link(Wire::with_delay(Duration::from_millis(10)));
        let to = link_is_client.then_some(address(2));
        let (raw_name, name) = if link_is_client {
            (server_name(), b"client".to_vec())
        } else {
            (b"client".to_vec(), server_name())
        };
        let linked = Linked::new(&name, address(1), to, config);
        let mut config = Config { receive_capacity: 1 << 20, ..Config::default() };
        config.session.receive_limit = 1 << 22;
        let endpoint = Endpoint::new(config, Box::new(PlainProfile::new(raw_name)), [2; 32], Time::ZERO);
        let raw = Node::new(endpoint, &[address(2)], Notes::default());
        let linked = network.add_host("linked", &[address(1).ip()], Box::new(linked));
        let raw = network.add_host("raw", &[address(2).ip()], Box::new(raw));
        network.run_for(Duration::from_millis(1));
        Self { network, linked, raw }
    }

    pub(crate) fn run(&mut self, millis: u64) {
        self.network.run_for(Duration::from_millis(millis));
    }

    pub(crate) fn linked(&mut self) -> &mut Linked {
        self.network.service(self.linked)
    }

    pub(crate) fn notes(&self) -> &Notes {
        &self.network.peek::<Node<Notes>>(self.raw).application
    }

    /// The raw peer's endpoint, and the time.
    pub(crate) fn raw(&mut self) -> (Time, &mut Endpoint) {
        let now = self.network.now();
        (now, self.network.service::<Node<Notes>>(self.raw).endpoint())
    }

    /// Has the raw peer open the flow of a connection.
    pub(crate) fn open_control(&mut self) -> SendFlowId {
        let (now, endpoint) = self.raw();
        let flow = endpoint.open_flow(now, &server_name(), spec(0), Tag(0)).expect("room for a flow");
        endpoint.send_flow(flow).expect("a flow").add_candidate(now, address(1));
        flow
    }

    /// Has the raw peer open a flow in return of the link's control flow.
    pub(crate) fn open_return(&mut self, metadata: &[u8]) -> SendFlowId {
        let control = self.notes().offers.first().expect("a control flow").flow;
        let (now, endpoint) = self.raw();
        let spec = FlowSpec { metadata: Bytes::copy_from_slice(metadata), priority: Priority::Immediate };
        let mut control = endpoint.recv_flow(control).expect("the control flow");
        control.open_return_flow(now, spec, Tag(0)).expect("room for a flow")
    }

    pub(crate) fn open_stream(&mut self, stream_id: u32) -> SendFlowId {
        self.open_return(&FlowMetadata::new(stream_id).encode())
    }

    pub(crate) fn write(&mut self, flow: SendFlowId, message: &TcMessage) {
        let (now, endpoint) = self.raw();
        let message = Message::new(&message.tc_head(), message.payload.clone());
        let mut flow = endpoint.send_flow(flow).expect("an open flow");
        flow.write(now, message, &WriteOptions::default()).expect("room");
    }

    pub(crate) fn close(&mut self, flow: SendFlowId) {
        let (now, endpoint) = self.raw();
        endpoint.send_flow(flow).expect("an open flow").close(now);
    }

    pub(crate) fn send(&mut self, message: TcMessage) {
        let now = self.network.now();
        self.linked().with(now, |link, cx| link.send(cx, message));
    }
}

pub(crate) fn spec(stream_id: u32) -> FlowSpec {
    FlowSpec { metadata: FlowMetadata::new(stream_id).encode(), priority: Priority::Immediate }
}

pub(crate) fn media(kind: u8, timestamp: u32, payload: &'static [u8]) -> TcMessage {
    TcMessage { kind, timestamp, stream_id: 0, payload: Bytes::from_static(payload) }
}
