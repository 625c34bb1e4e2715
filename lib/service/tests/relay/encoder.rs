//! A publisher, or a player, as a service.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use rtmfp_base::{Action, Batch, Input, Service, StreamId, Time};
use rtmfp_media::TcMessage;
use rtmfp_media::amf0::{Limits, Value};
use rtmfp_media::command::{self, Command};
use rtmfp_rtmp::Role;

use crate::clip::Clip;
use crate::peer::Peer;

/// What a client does.
#[derive(Clone)]
pub(crate) enum Task {
    /// Publishes, then ends.
    Publish(Clip, End),
    Play,
    /// Only connects.
    Idle,
    /// Opens a byte stream and says nothing.
    Silent,
}

/// How publishing ends.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum End {
    /// By `FCUnpublish` and `deleteStream`, then by the end of the byte stream.
    Delete,
    /// By the end of the byte stream.
    Disconnect,
    /// It doesn't.
    Stay,
}

pub(crate) struct Client {
    task: Task,
    peer: Option<Peer>,
    actions: VecDeque<Action>,
    started: Option<Time>,
    next: usize,
    stream_id: u32,
    ended: bool,
    /// Faster than real time by this factor.
    pub(crate) speed: u32,
    /// Sends media without waiting for the answer to `publish`.
    pub(crate) hasty: bool,
    /// All messages, and when.
    pub(crate) received: Vec<(Time, TcMessage)>,
    /// When and how the byte stream ended.
    pub(crate) closed: Option<(Time, Option<String>)>,
    pub(crate) end_of_stream: Option<Time>,
}

const STREAM: StreamId = StreamId::opened(1);

impl Client {
    pub(crate) fn new(to: SocketAddr, task: Task) -> Self {
        Self {
            task,
            peer: None,
            actions: [Action::Connect { stream: STREAM, to, dscp: 0 }].into(),
            started: None,
            next: 0,
            stream_id: 0,
            ended: false,
            speed: 1,
            hasty: false,
            received: Vec::new(),
            closed: None,
            end_of_stream: None,
        }
    }

    /// The codes of all information objects that came, and when.
    pub(crate) fn codes(&self) -> Vec<(Time, String)> {
        let info = |(at, message): &(Time, TcMessage)| {
            let command = Command::parse(message.kind, &message.payload, &Limits::DEFAULT).ok()?;
            Some((*at, command.info()?.code.to_owned()))
        };
        self.received.iter().filter_map(info).collect()
    }

    pub(crate) fn has_code(&self, code: &str) -> bool {
        self.codes().iter().any(|(_, other)| other == code)
    }

    /// What the information object with this code describes.
    pub(crate) fn description(&self, code: &str) -> Option<String> {
        self.received.iter().find_map(|(_, message)| {
            let command = Command::parse(message.kind, &message.payload, &Limits::DEFAULT).ok()?;
            command.info().filter(|info| info.code == code).map(|info| info.description.to_owned())
        })
    }

    /// Where in the order of messages an information object with this code came.
    pub(crate) fn position(&self, code: &str) -> Option<usize> {
        self.received.iter().position(|(_, message)| {
            let command = Command::parse(message.kind, &message.payload, &Limits::DEFAULT);
            command.is_ok_and(|command| command.info().is_some_and(|info| info.code == code))
        })
    }

    pub(crate) fn messages(&self) -> Vec<TcMessage> {
        self.received.iter().map(|(_, message)| message.clone()).collect()
    }

    fn on_message(&mut self, now: Time, message: TcMessage) {
        self.received.push((now, message.clone()));
        let Some(peer) = &mut self.peer else { return };
        let Ok(command) = Command::parse(message.kind, &message.payload, &Limits::DEFAULT) else { return };
        let code = command.info().map(|info| info.code).unwrap_or_default();
        match (command.name, command.transaction, &self.task) {
            ("_result", 1.0, Task::Publish(..)) => {
                peer.send(now, command::release_stream(2.0, "live").message(0));
                peer.send(now, command::fc_publish(3.0, "live").message(0));
                peer.send(now, command::create_stream(4.0).message(0));
            }
            ("_result", 1.0, Task::Play) => peer.send(now, command::create_stream(4.0).message(0)),
            ("_result", 4.0, task) => {
                self.stream_id = command.argument(0).and_then(Value::as_number).expect("a stream id") as u32;
                let ask = match task {
                    Task::Play => command::play("live"),
                    _ => command::publish("live", "live"),
                };
                peer.send(now, ask.message(self.stream_id));
                if self.hasty {
                    self.started = Some(now);
                }
            }
            ("onStatus", ..) if code == "NetStream.Publish.Start" => {
                self.started = self.started.or(Some(now))
            }
            _ => {}
        }
    }

    /// Sends what is due.
    fn go_on(&mut self, now: Time) {
        let (Some(started), Some(peer)) = (self.started, &mut self.peer) else { return };
        let Task::Publish(clip, end) = &self.task else { return };
        while let Some(message) = clip.0.get(self.next)
            && started + Clip::time(message) / self.speed <= now
        {
            peer.send(now, TcMessage { stream_id: self.stream_id, ..message.clone() });
            self.next += 1;
        }
        if self.next == clip.0.len() && !self.ended && *end != End::Stay {
            self.ended = true;
            if *end == End::Delete {
                peer.send(now, command::fc_unpublish(5.0, "live").message(0));
                peer.send(now, command::delete_stream(self.stream_id).message(0));
            }
            self.actions.push_back(Action::Finish { stream: STREAM });
        }
    }
}

impl Service for Client {
    fn handle(&mut self, now: Time, input: Input<'_>) {
        match input {
            Input::Connected { stream, .. } => {
                if matches!(self.task, Task::Silent) {
                    return;
                }
                let mut peer = Peer::new(Role::Client, stream, now);
                let connect = command::connect(|object| _ = object.put("app", "app").put("tcUrl", TC_URL));
                peer.send(now, connect.message(0));
                self.peer = Some(peer);
            }
            Input::Data { bytes, .. } => {
                let messages = self.peer.as_mut().map(|peer| peer.receive(now, bytes)).unwrap_or_default();
                for message in messages {
                    self.on_message(now, message);
                }
            }
            Input::EndOfStream { stream } => {
                self.end_of_stream = Some(now);
                self.actions.push_back(Action::Finish { stream });
            }
            Input::Closed { error, .. } => {
                self.closed = Some((now, error));
                self.peer = None;
            }
            _ => {}
        }
        self.go_on(now);
    }

    fn poll_action(&mut self, _now: Time) -> Option<Action> {
        if let Some(peer) = &mut self.peer {
            peer.settle(&mut self.actions);
        }
        self.actions.pop_front()
    }

    fn poll_transmit(&mut self, _now: Time, _batch: &mut Batch) {}

    fn fill_stream(&mut self, now: Time, _stream: StreamId, limit: usize, out: &mut Vec<u8>) {
        if let Some(peer) = &mut self.peer {
            peer.fill(now, limit, out);
        }
    }

    fn poll_timeout(&mut self) -> Option<Time> {
        let started = self.started.filter(|_| self.peer.is_some())?;
        let Task::Publish(clip, _) = &self.task else { return None };
        Some(started + Clip::time(clip.0.get(self.next)?) / self.speed)
    }
}

/// The tcUrl of all clients: with the plain profile, listeners are found by it.
pub(crate) const TC_URL: &str = "rtmp://relay.test/app*";

/// The longest time that a test gives a clip to arrive after its end.
pub(crate) const TAIL: Duration = Duration::from_secs(20);
