//! RTMP connections of test services.

use std::collections::VecDeque;

use rtmfp_base::{Action, StreamId, Time};
use rtmfp_media::TcMessage;
use rtmfp_rtmp::{Config, Connection, Event, Role, SendOptions};

/// A connection and its byte stream.
pub(crate) struct Peer {
    pub(crate) stream: StreamId,
    pub(crate) connection: Connection,
    wants_write: bool,
}

impl Peer {
    pub(crate) fn new(role: Role, stream: StreamId, now: Time) -> Self {
        let mut connection = Connection::new(role, Config::default(), now, 1);
        connection.set_trusted();
        Self { stream, connection, wants_write: false }
    }

    /// Takes bytes and gives messages.
    pub(crate) fn receive(&mut self, now: Time, mut bytes: &[u8]) -> Vec<TcMessage> {
        let mut messages = Vec::new();
        while !bytes.is_empty() {
            bytes = self.connection.receive(now, bytes).expect("a peer that keeps RTMP's rules");
            while let Some(event) = self.connection.poll_event() {
                if let Event::Message(message) = event {
                    messages.push(message);
                }
            }
        }
        messages
    }

    pub(crate) fn send(&mut self, now: Time, message: TcMessage) {
        self.connection.send(now, message, &SendOptions::default()).expect("there is room");
    }

    /// Asks for writing if there is something to write.
    pub(crate) fn settle(&mut self, actions: &mut VecDeque<Action>) {
        if !self.wants_write && self.connection.wants_write() {
            self.wants_write = true;
            actions.push_back(Action::WantWrite { stream: self.stream });
        }
    }

    pub(crate) fn fill(&mut self, now: Time, limit: usize, out: &mut Vec<u8>) {
        let before = out.len();
        self.connection.fill(now, limit, out);
        self.wants_write = out.len() > before;
    }
}
