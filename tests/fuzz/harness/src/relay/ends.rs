use core::net::SocketAddr;
use std::collections::VecDeque;

use rtmfp::driver::Application;
use rtmfp::{Endpoint, Event, RecvFlowId};
use rtmfp_base::{Action, Batch, Input, ListenerId, Service, StreamId, Tag, Time};
use rtmfp_media::TcMessage;
use rtmfp_rtmp::{Config, Connection, Role, SendOptions};

/// A client or server of RTMP that keeps to the chunk stream and says what it is told to.
#[derive(Default)]
pub(super) struct RtmpEnd {
    connection: Option<(StreamId, Connection)>,
    /// Bytes to send behind all messages.
    raw: Vec<u8>,
    actions: VecDeque<Action>,
}

impl RtmpEnd {
    pub(super) fn client(to: SocketAddr) -> Self {
        let connect = Action::Connect { stream: StreamId::opened(1), to, dscp: 0 };
        Self { actions: [connect].into(), ..Self::default() }
    }

    pub(super) fn server(address: SocketAddr) -> Self {
        let listen = Action::Listen { listener: ListenerId(0), address };
        Self { actions: [listen].into(), ..Self::default() }
    }

    fn begin(&mut self, role: Role, stream: StreamId, now: Time) {
        let mut connection = Connection::new(role, Config::default(), now, 1);
        connection.set_trusted();
        self.connection = Some((stream, connection));
        self.want_write();
    }

    pub(super) fn send(&mut self, now: Time, message: TcMessage) {
        if let Some((_, connection)) = &mut self.connection {
            let _ = connection.send(now, message, &SendOptions::default());
            self.want_write();
        }
    }

    pub(super) fn send_raw(&mut self, bytes: &[u8]) {
        if self.connection.is_some() {
            self.raw.extend_from_slice(bytes);
            self.want_write();
        }
    }

    pub(super) fn close(&mut self, at_once: bool) {
        let Some(&(stream, _)) = self.connection.as_ref() else { return };
        if at_once {
            self.connection = None;
            self.actions.push_back(Action::Abort { stream });
        } else {
            self.actions.push_back(Action::Finish { stream });
        }
    }

    fn want_write(&mut self) {
        if let Some(&(stream, _)) = self.connection.as_ref() {
            self.actions.push_back(Action::WantWrite { stream });
        }
    }
}

impl Service for RtmpEnd {
    fn handle(&mut self, now: Time, input: Input<'_>) {
        match input {
            Input::Accepted { stream, .. } => self.begin(Role::Server, stream, now),
            Input::Connected { stream, .. } => self.begin(Role::Client, stream, now),
            Input::Data { stream, mut bytes } => {
                let Some((of, connection)) = &mut self.connection else { return };
                if *of != stream {
                    return;
                }
                while !bytes.is_empty() {
                    bytes = connection.receive(now, bytes).expect("a relay keeps to RTMP's rules");
                    while connection.poll_event().is_some() {}
                }
                if connection.wants_write() {
                    self.want_write();
                }
            }
            Input::EndOfStream { stream } => self.actions.push_back(Action::Finish { stream }),
            Input::Closed { stream, .. } => drop(self.connection.take_if(|(of, _)| *of == stream)),
            _ => {}
        }
    }

    fn poll_action(&mut self, _now: Time) -> Option<Action> {
        self.actions.pop_front()
    }

    fn poll_transmit(&mut self, _now: Time, _batch: &mut Batch) {}

    fn fill_stream(&mut self, now: Time, stream: StreamId, limit: usize, out: &mut Vec<u8>) {
        let Some((_, connection)) = self.connection.as_mut().filter(|(of, _)| *of == stream) else { return };
        connection.fill(now, limit, out);
        let room = limit.saturating_sub(out.len()).min(self.raw.len());
        out.extend(self.raw.drain(..room));
    }

    fn poll_timeout(&mut self) -> Option<Time> {
        None
    }
}

/// A client of RTMFP: it takes all flows and reads all messages.
#[derive(Default)]
pub(super) struct Flows {
    /// The flows that the relay has opened.
    pub(super) offered: Vec<RecvFlowId>,
}

impl Application for Flows {
    fn on_event(&mut self, now: Time, endpoint: &mut Endpoint, event: Event) {
        match event {
            Event::FlowOffered { flow, .. } => {
                self.offered.push(flow);
                endpoint.accept(now, flow, Tag(0));
            }
            Event::Readable { flow, .. } => {
                while endpoint.recv_flow(flow).is_some_and(|mut flow| flow.read(now).is_some()) {}
            }
            _ => {}
        }
    }
}
