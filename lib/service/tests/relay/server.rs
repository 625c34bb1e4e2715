//! An RTMP server as a service: it takes what is published, and plays a clip.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use rtmfp_base::{Action, Batch, Input, ListenerId, Service, StreamId, Time};
use rtmfp_media::TcMessage;
use rtmfp_media::amf0::{Limits, Value};
use rtmfp_media::command::{self, Command, Info};
use rtmfp_media::control::UserControl;
use rtmfp_rtmp::Role;

use crate::clip::Clip;
use crate::peer::Peer;

/// What a server does with clients.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Manner {
    Friendly,
    /// Takes byte streams and says nothing.
    Silent,
    /// Refuses each connect.
    Rejecting,
    /// The same, without closing the connection.
    Staying,
    /// Refuses each connect by asking for a name and a password.
    AskingToLogIn,
    /// Says nothing to commands that it does not know.
    Ignorant,
    /// Answers them by an error.
    Strict,
    /// Sends what came back to the player.
    Echoing,
}

/// One connection.
pub(crate) struct Session {
    peer: Option<Peer>,
    stream_id: u32,
    playing: Option<Time>,
    next: usize,
    /// The first bytes.
    pub(crate) raw: Vec<u8>,
    /// All messages, and when.
    pub(crate) received: Vec<(Time, TcMessage)>,
    /// When it ended, and how.
    pub(crate) closed: Option<(Time, Option<String>)>,
    pub(crate) end_of_stream: Option<Time>,
}

impl Session {
    pub(crate) fn messages(&self) -> Vec<TcMessage> {
        self.received.iter().map(|(_, message)| message.clone()).collect()
    }

    /// Where in the order of messages a command came.
    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.received.iter().position(|(_, message)| {
            let command = Command::parse(message.kind, &message.payload, &Limits::DEFAULT);
            command.is_ok_and(|command| command.name == name)
        })
    }
}

pub(crate) struct Server {
    manner: Manner,
    actions: VecDeque<Action>,
    pub(crate) sessions: BTreeMap<StreamId, Session>,
    by_age: Vec<StreamId>,
    clip: Option<Clip>,
}

impl Server {
    pub(crate) fn new(address: SocketAddr, manner: Manner) -> Self {
        let listener = ListenerId(0);
        Self {
            manner,
            actions: [Action::Listen { listener, address }].into(),
            sessions: BTreeMap::new(),
            by_age: Vec::new(),
            clip: None,
        }
    }

    /// One that has a clip for players.
    pub(crate) fn playing(address: SocketAddr, clip: Clip) -> Self {
        Self { clip: Some(clip), ..Self::new(address, Manner::Friendly) }
    }

    /// The sessions in the order in which they began.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Session> {
        self.by_age.iter().filter_map(|stream| self.sessions.get(stream))
    }

    /// Drops all connections.
    pub(crate) fn reset(&mut self) {
        for (&stream, session) in &mut self.sessions {
            if session.peer.take().is_some() {
                self.actions.push_back(Action::Abort { stream });
            }
        }
    }

    fn on_message(&mut self, now: Time, stream: StreamId, message: TcMessage) {
        let manner = self.manner;
        let Some(session) = self.sessions.get_mut(&stream) else { return };
        session.received.push((now, message.clone()));
        let Some(peer) = &mut session.peer else { return };
        let Ok(command) = Command::parse(message.kind, &message.payload, &Limits::DEFAULT) else { return };
        let transaction = command.transaction;
        match command.name {
            "connect" if matches!(manner, Manner::Rejecting | Manner::Staying | Manner::AskingToLogIn) => {
                let description = match manner {
                    Manner::AskingToLogIn => {
                        "[ AccessManager.Reject ] : [ code=403 need auth; authmod=adobe ] : "
                    }
                    _ => "not today",
                };
                let info = Info::error("NetConnection.Connect.Rejected", description);
                peer.send(now, command::error(transaction, &info).message(0));
                if manner != Manner::Staying {
                    self.actions.push_back(Action::Finish { stream });
                }
            }
            "connect" => {
                let info = Info::status("NetConnection.Connect.Success", "welcome");
                let result = command::result(transaction).value(Value::Null).info(&info);
                peer.send(now, result.message(0));
            }
            "createStream" => {
                session.stream_id += 1;
                let id = f64::from(session.stream_id);
                peer.send(now, command::result(transaction).value(Value::Null).value(id).message(0));
            }
            "publish" => {
                let info = Info::status("NetStream.Publish.Start", "go");
                peer.send(now, command::on_status(&info).message(message.stream_id));
            }
            "play" => {
                peer.send(now, UserControl::StreamBegin(message.stream_id).message());
                let info = Info::status("NetStream.Play.Start", "go");
                peer.send(now, command::on_status(&info).message(message.stream_id));
                session.playing = Some(now);
            }
            "deleteStream" => session.playing = None,
            _ if manner == Manner::Ignorant => {}
            _ if manner == Manner::Echoing => peer.send(now, message),
            _ if transaction > 0.0 && manner == Manner::Strict => {
                let info = Info::error("NetConnection.Call.Failed", "never heard of it");
                peer.send(now, command::error(transaction, &info).message(0));
            }
            _ if transaction > 0.0 => {
                peer.send(now, command::result(transaction).value(Value::Null).message(0))
            }
            _ => {}
        }
    }

    fn go_on(&mut self, now: Time) {
        let Some(clip) = &self.clip else { return };
        for session in self.sessions.values_mut() {
            let (Some(started), Some(peer)) = (session.playing, &mut session.peer) else { continue };
            while let Some(message) = clip.0.get(session.next)
                && started + Clip::time(message) <= now
            {
                peer.send(now, TcMessage { stream_id: session.stream_id, ..message.clone() });
                session.next += 1;
            }
            if session.next == clip.0.len() {
                session.playing = None;
                peer.send(now, UserControl::StreamEof(session.stream_id).message());
                let info = Info::status("NetStream.Play.Stop", "over");
                peer.send(now, command::on_status(&info).message(session.stream_id));
            }
        }
    }
}

impl Service for Server {
    fn handle(&mut self, now: Time, input: Input<'_>) {
        match input {
            Input::Accepted { stream, .. } => {
                let peer = (self.manner != Manner::Silent).then(|| Peer::new(Role::Server, stream, now));
                let session = Session {
                    peer,
                    stream_id: 0,
                    playing: None,
                    next: 0,
                    raw: Vec::new(),
                    received: Vec::new(),
                    closed: None,
                    end_of_stream: None,
                };
                self.sessions.insert(stream, session);
                self.by_age.push(stream);
            }
            Input::Data { stream, bytes } => {
                if let Some(session) = self.sessions.get_mut(&stream).filter(|s| s.raw.len() < 8192) {
                    session.raw.extend_from_slice(bytes);
                }
                let peer = self.sessions.get_mut(&stream).and_then(|session| session.peer.as_mut());
                for message in peer.map(|peer| peer.receive(now, bytes)).unwrap_or_default() {
                    self.on_message(now, stream, message);
                }
            }
            Input::EndOfStream { stream } => {
                if let Some(session) = self.sessions.get_mut(&stream) {
                    session.end_of_stream = Some(now);
                }
                self.actions.push_back(Action::Finish { stream });
            }
            Input::Closed { stream, error } => {
                if let Some(session) = self.sessions.get_mut(&stream) {
                    session.closed = Some((now, error));
                    session.peer = None;
                }
            }
            _ => {}
        }
        self.go_on(now);
    }

    fn poll_action(&mut self, _now: Time) -> Option<Action> {
        for session in self.sessions.values_mut() {
            if let Some(peer) = &mut session.peer {
                peer.settle(&mut self.actions);
            }
        }
        self.actions.pop_front()
    }

    fn poll_transmit(&mut self, _now: Time, _batch: &mut Batch) {}

    fn fill_stream(&mut self, now: Time, stream: StreamId, limit: usize, out: &mut Vec<u8>) {
        if let Some(peer) = self.sessions.get_mut(&stream).and_then(|session| session.peer.as_mut()) {
            peer.fill(now, limit, out);
        }
    }

    fn poll_timeout(&mut self) -> Option<Time> {
        let clip = self.clip.as_ref()?;
        let next = |session: &Session| Some(session.playing? + Clip::time(clip.0.get(session.next)?));
        self.sessions.values().filter(|session| session.peer.is_some()).filter_map(next).min()
    }
}
