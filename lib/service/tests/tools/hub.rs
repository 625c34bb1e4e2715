//! A server that forwards what is published to those who play, whatever its name.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use rtmfp_base::{Action, Batch, Input, ListenerId, Service, StreamId, Time};
use rtmfp_media::TcMessage;
use rtmfp_media::amf0::{Limits, Value};
use rtmfp_media::command::{self, Command, Info};
use rtmfp_media::control::UserControl;
use rtmfp_media::message::kind;
use rtmfp_rtmp::Role;

use crate::peer::Peer;

/// How a server behaves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Manner {
    Friendly,
    /// It refuses to let anybody publish.
    Refusing,
    /// It takes connections and says nothing.
    Silent,
    /// It forwards all but every tenth audio or video message.
    Losing,
}

pub(crate) struct Hub {
    manner: Manner,
    peers: BTreeMap<StreamId, (Peer, bool)>,
    actions: VecDeque<Action>,
    count: usize,
    /// Audio, video and data, of all streams.
    pub(crate) published: Vec<TcMessage>,
}

impl Hub {
    pub(crate) fn new(address: SocketAddr, manner: Manner) -> Self {
        let actions = VecDeque::from([Action::Listen { listener: ListenerId(1), address }]);
        Self { manner, peers: BTreeMap::new(), actions, count: 0, published: Vec::new() }
    }

    fn send(&mut self, now: Time, stream: StreamId, message: TcMessage) {
        if let Some((peer, _)) = self.peers.get_mut(&stream) {
            peer.send(now, message);
        }
    }

    fn forward(&mut self, now: Time, message: &TcMessage) {
        for (peer, plays) in self.peers.values_mut() {
            if *plays {
                peer.send(now, message.clone());
            }
        }
    }

    fn message(&mut self, now: Time, stream: StreamId, message: TcMessage) {
        if matches!(message.kind, kind::AUDIO | kind::VIDEO | kind::DATA) {
            self.published.push(message.clone());
            self.count += usize::from(message.kind != kind::DATA);
            if self.manner != Manner::Losing || !self.count.is_multiple_of(10) {
                self.forward(now, &message);
            }
            return;
        }
        let Ok(command) = Command::parse(message.kind, &message.payload, &Limits::DEFAULT) else { return };
        let result = command::result(command.transaction).value(Value::Null);
        let status = |info: Info<'_>| command::on_status(&info).message(message.stream_id);
        let answer = match command.name {
            "connect" => result.info(&Info::status("NetConnection.Connect.Success", "")).message(0),
            "createStream" => result.value(1.0).message(0),
            "publish" if self.manner == Manner::Refusing => {
                status(Info::error("NetStream.Publish.BadName", "taken"))
            }
            "publish" => status(Info::status("NetStream.Publish.Start", "")),
            "play" => {
                if let Some((_, plays)) = self.peers.get_mut(&stream) {
                    *plays = true;
                }
                status(Info::status("NetStream.Play.Start", ""))
            }
            "FCUnpublish" => {
                let payload = UserControl::StreamEof(1).payload();
                let end = TcMessage { kind: kind::USER_CONTROL, timestamp: 0, stream_id: 0, payload };
                return self.forward(now, &end);
            }
            _ => return,
        };
        self.send(now, stream, answer);
    }
}

impl Service for Hub {
    fn handle(&mut self, now: Time, input: Input<'_>) {
        match input {
            Input::Accepted { stream, .. } if self.manner != Manner::Silent => {
                self.peers.insert(stream, (Peer::new(Role::Server, stream, now), false));
            }
            Input::Data { stream, bytes } => {
                let messages = self.peers.get_mut(&stream).map(|(peer, _)| peer.receive(now, bytes));
                for message in messages.unwrap_or_default() {
                    self.message(now, stream, message);
                }
            }
            Input::EndOfStream { stream } => self.actions.push_back(Action::Finish { stream }),
            Input::Closed { stream, .. } => _ = self.peers.remove(&stream),
            _ => {}
        }
    }

    fn poll_action(&mut self, _now: Time) -> Option<Action> {
        for (peer, _) in self.peers.values_mut() {
            peer.settle(&mut self.actions);
        }
        self.actions.pop_front()
    }

    fn poll_transmit(&mut self, _now: Time, _batch: &mut Batch) {}

    fn fill_stream(&mut self, now: Time, stream: StreamId, limit: usize, out: &mut Vec<u8>) {
        if let Some((peer, _)) = self.peers.get_mut(&stream) {
            peer.fill(now, limit, out);
        }
    }

    fn poll_timeout(&mut self) -> Option<Time> {
        None
    }
}
