//! One RTMP connection of a client, from the look-up of the server's name to the end of its stream.

use core::net::SocketAddr;
use std::collections::VecDeque;

use rtmfp_base::{Action, Input, NameId, Shown, StreamId, Time};
use rtmfp_media::amf0::{Limits, Value};
use rtmfp_media::command::{self, Command};
use rtmfp_media::control::UserControl;
use rtmfp_media::message::kind;
use rtmfp_media::{TcMessage, command::Builder};
use rtmfp_rtmp::{Config, Connection, Role, SendOptions};

use super::{Target, earlier};

/// What a client is there for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Purpose {
    Publish,
    Play,
}

/// What a client tells its task.
#[derive(Debug)]
pub(super) enum Event {
    /// The server has agreed to the publishing or playing.
    Ready,
    /// A message of the stream that is played.
    Message(TcMessage),
    /// The stream that is played has ended.
    EndOfStream,
    /// The connection has ended in order, or the task has closed it.
    Closed,
    /// It went wrong; the connection has ended.
    Failed(String),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Idle,
    Resolving,
    Connecting,
    /// The byte stream is open; the RTMP handshake runs.
    Opening,
    /// `connect` was sent.
    Connect,
    /// `createStream` was sent.
    CreateStream,
    /// `publish` or `play` was sent.
    Asked,
    /// The server has agreed.
    Ready,
    /// Closing in order.
    Finishing,
    Ended,
}

const CONNECT: f64 = 1.0;
const RELEASE: f64 = 2.0;
const ANNOUNCE: f64 = 3.0;
const CREATE_STREAM: f64 = 4.0;

/// What clients want of the host, and what they tell their task, by their numbers.
#[derive(Default)]
pub(super) struct Outbox {
    pub(super) actions: VecDeque<Action>,
    pub(super) events: VecDeque<(u64, Event)>,
}

/// One connection.
pub(super) struct Client {
    purpose: Purpose,
    target: Target,
    /// Names its byte stream and its look-up at the host.
    number: u64,
    state: State,
    connection: Option<Connection>,
    /// Those that were not tried yet.
    addresses: VecDeque<SocketAddr>,
    stream_id: u32,
    /// When to give up waiting for the server.
    deadline: Time,
}

impl Client {
    pub(super) fn new(purpose: Purpose, target: Target, number: u64) -> Self {
        Self {
            purpose,
            target,
            number,
            state: State::Idle,
            connection: None,
            addresses: VecDeque::new(),
            stream_id: 0,
            deadline: Time::MAX,
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    pub(super) fn has_ended(&self) -> bool {
        self.state == State::Ended
    }

    const fn stream(&self) -> StreamId {
        StreamId::opened(self.number)
    }

    /// Begins. Does nothing the second time.
    pub(super) fn open(&mut self, now: Time, out: &mut Outbox) {
        if self.state == State::Idle {
            let Some(port) = self.target.uri.effective_port() else {
                return self.fail("the address has no port", out);
            };
            self.state = State::Resolving;
            self.deadline = now + self.target.timeout;
            let (name, host) = (NameId(self.number), self.target.uri.host.clone());
            out.actions.push_back(Action::Resolve { name, host, port });
        }
    }

    /// Sends a message of the stream. Does nothing unless ready.
    pub(super) fn send(&mut self, now: Time, mut message: TcMessage, out: &mut Outbox) {
        if self.is_ready() {
            message.stream_id = self.stream_id;
            self.queue(now, message, out);
        }
    }

    /// Ends the stream and closes the connection in order once all is sent.
    pub(super) fn finish(&mut self, now: Time, out: &mut Outbox) {
        match self.state {
            State::Finishing | State::Ended => {}
            State::Ready => {
                if self.purpose == Purpose::Publish {
                    let name = self.target.uri.stream.clone();
                    self.command(now, command::fc_unpublish(0.0, &name), out);
                }
                self.command(now, command::delete_stream(self.stream_id), out);
                if self.state == State::Ready {
                    self.state = State::Finishing;
                    self.deadline = now + self.target.timeout;
                    self.finish_when_sent(out);
                }
            }
            _ => self.abort(out),
        }
    }

    /// Closes the connection at once.
    pub(super) fn abort(&mut self, out: &mut Outbox) {
        if !self.has_ended() {
            self.drop_stream(out);
            self.end(Event::Closed, out);
        }
    }

    /// Takes an input for this client.
    pub(super) fn handle(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        match input {
            Input::Resolved { result: Ok(addresses), .. } if self.state == State::Resolving => {
                self.addresses = addresses.into();
                self.connect_next("the name has no address", now, out);
            }
            Input::Resolved { result: Err(error), .. } if self.state == State::Resolving => {
                let host = &self.target.uri.host;
                self.end(Event::Failed(format!("cannot look up {host}: {error}")), out);
            }
            Input::Connected { .. } => self.connected(now, out),
            Input::Data { bytes, .. } => self.receive(now, bytes, out),
            Input::EndOfStream { .. } if self.state == State::Finishing => {}
            Input::EndOfStream { .. } => {
                self.drop_stream(out);
                self.ended_by_server(None, out);
            }
            Input::Closed { error, .. } if self.state == State::Connecting => {
                self.connect_next(error.as_deref().unwrap_or("closed"), now, out);
            }
            Input::Closed { error, .. } => self.ended_by_server(error, out),
            _ => {}
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Time, out: &mut Outbox) {
        if let Some(connection) = &mut self.connection
            && let Err(error) = connection.handle_timeout(now)
        {
            return self.fail(&error.to_string(), out);
        }
        if now < self.deadline {
            return;
        }
        let waited = self.target.timeout.as_secs_f64();
        let what = match self.state {
            State::Idle | State::Ready | State::Ended => return,
            State::Resolving => "to a look-up of its name",
            State::Connecting => "at its address",
            State::Opening => "to the RTMP handshake",
            State::Connect => "to connect",
            State::CreateStream => "to createStream",
            State::Asked => match self.purpose {
                Purpose::Publish => "to publish",
                Purpose::Play => "to play",
            },
            State::Finishing => "when it was to take the rest and close",
        };
        self.fail(&format!("no answer after {waited} s {what}"), out);
    }

    pub(super) fn poll_timeout(&mut self) -> Option<Time> {
        let deadline = (!self.deadline.is_never()).then_some(self.deadline);
        earlier(deadline, self.connection.as_mut().and_then(Connection::poll_timeout))
    }

    pub(super) fn fill(&mut self, now: Time, limit: usize, bytes: &mut Vec<u8>, out: &mut Outbox) {
        if let Some(connection) = &mut self.connection {
            connection.fill(now, limit, bytes);
            self.finish_when_sent(out);
        }
    }

    fn finish_when_sent(&self, out: &mut Outbox) {
        let sent = self.connection.as_ref().is_none_or(|connection| !connection.wants_write());
        if self.state == State::Finishing && sent {
            out.actions.push_back(Action::Finish { stream: self.stream() });
        }
    }

    fn connect_next(&mut self, error: &str, now: Time, out: &mut Outbox) {
        let Some(to) = self.addresses.pop_front() else {
            return self.end(Event::Failed(error.to_owned()), out);
        };
        self.state = State::Connecting;
        self.deadline = now + self.target.timeout;
        out.actions.push_back(Action::Connect { stream: self.stream(), to, dscp: 0 });
    }

    fn connected(&mut self, now: Time, out: &mut Outbox) {
        self.state = State::Opening;
        self.deadline = now + self.target.timeout;
        let config = Config { handshake_timeout: self.target.timeout, ..Config::default() };
        let config = if self.target.uri.scheme == "rtmp-simple" { config.simplified() } else { config };
        self.connection = Some(Connection::new(Role::Client, config, now, self.target.seed));
        out.actions.push_back(Action::WantWrite { stream: self.stream() });
    }

    fn receive(&mut self, now: Time, mut bytes: &[u8], out: &mut Outbox) {
        while let Some(connection) = &mut self.connection
            && !bytes.is_empty()
        {
            match connection.receive(now, bytes) {
                Ok(rest) => bytes = rest,
                Err(error) => return self.fail(&error.to_string(), out),
            }
            if connection.wants_write() {
                out.actions.push_back(Action::WantWrite { stream: self.stream() });
            }
            while let Some(event) = self.connection.as_mut().and_then(Connection::poll_event) {
                match event {
                    rtmfp_rtmp::Event::Open => self.opened(now, out),
                    rtmfp_rtmp::Event::Message(message) => self.message(now, message, out),
                    _ => {}
                }
            }
        }
    }

    fn opened(&mut self, now: Time, out: &mut Outbox) {
        self.state = State::Connect;
        self.deadline = now + self.target.timeout;
        let (app, tc_url) = (self.target.uri.app.clone(), self.target.uri.tc_url());
        let connect = command::connect(|object| {
            object.put("app", &*app).put("flashVer", FLASH_VERSION).put("tcUrl", &*tc_url);
            object.put("fpad", false).put("capabilities", 15.0).put("audioCodecs", 4071.0);
            object.put("videoCodecs", 252.0).put("videoFunction", 1.0).put("objectEncoding", 0.0);
        });
        let connect =
            self.target.uri.arguments.iter().fold(connect, |connect, argument| connect.value(&**argument));
        self.command(now, connect, out);
    }

    fn message(&mut self, now: Time, message: TcMessage, out: &mut Outbox) {
        match message.kind {
            kind::COMMAND | kind::COMMAND_EXTENDED => {
                match Command::parse(message.kind, &message.payload, &Limits::DEFAULT) {
                    Ok(command) => self.answer(now, &command, out),
                    Err(error) => log::debug!("a command that cannot be read: {error}"),
                }
            }
            kind::USER_CONTROL => {
                if let Ok(UserControl::StreamEof(_)) = UserControl::parse(&message.payload) {
                    self.end_of_stream(out);
                }
            }
            _ if self.purpose == Purpose::Play && self.is_ready() => {
                out.events.push_back((self.number, Event::Message(message)));
            }
            _ => {}
        }
    }

    fn answer(&mut self, now: Time, command: &Command<'_>, out: &mut Outbox) {
        let info = command.info().unwrap_or_default();
        let (name, code, description) = (Shown(command.name), Shown(info.code), Shown(info.description));
        log::debug!("{name} {} {code} {description}", command.transaction);
        let transaction = command.transaction;
        match (self.state, command.name) {
            (State::Connect, "_result") if transaction == CONNECT => {
                if let Some(connection) = &mut self.connection {
                    connection.set_trusted();
                }
                self.create_stream(now, out);
            }
            (State::CreateStream, "_result") if transaction == CREATE_STREAM => {
                match command.argument(0).and_then(Value::as_number) {
                    Some(id) if (1.0..=f64::from(0xff_ffff)).contains(&id) => {
                        self.ask(now, id as u32, out);
                    }
                    _ => self.fail("createStream was answered without a stream", out),
                }
            }
            (State::Connect, "_error") if transaction == CONNECT => {
                self.refused("connect", info.code, info.description, out);
            }
            (State::CreateStream, "_error") if transaction == CREATE_STREAM => {
                self.refused("createStream", info.code, info.description, out);
            }
            (_, "onStatus") if info.level == "error" => {
                let what = match self.purpose {
                    Purpose::Publish => "publish",
                    Purpose::Play => "play",
                };
                self.refused(what, info.code, info.description, out);
            }
            (State::Asked, "onStatus") => {
                let ready = match self.purpose {
                    Purpose::Publish => "NetStream.Publish.Start",
                    Purpose::Play => "NetStream.Play.Start",
                };
                if info.code == ready {
                    self.state = State::Ready;
                    self.deadline = Time::MAX;
                    out.events.push_back((self.number, Event::Ready));
                }
            }
            (_, "onStatus") => {
                if matches!(
                    info.code,
                    "NetStream.Play.UnpublishNotify" | "NetStream.Play.Stop" | "NetStream.Play.Complete"
                ) {
                    self.end_of_stream(out);
                }
            }
            _ => {}
        }
    }

    fn create_stream(&mut self, now: Time, out: &mut Outbox) {
        self.state = State::CreateStream;
        self.deadline = now + self.target.timeout;
        if self.purpose == Purpose::Publish {
            let name = self.target.uri.stream.clone();
            self.command(now, command::release_stream(RELEASE, &name), out);
            self.command(now, command::fc_publish(ANNOUNCE, &name), out);
        }
        self.command(now, command::create_stream(CREATE_STREAM), out);
    }

    fn ask(&mut self, now: Time, stream_id: u32, out: &mut Outbox) {
        self.state = State::Asked;
        self.deadline = now + self.target.timeout;
        self.stream_id = stream_id;
        let name = &*self.target.uri.stream;
        let command = match self.purpose {
            Purpose::Publish => command::publish(name, "live"),
            Purpose::Play => command::play(name),
        };
        self.queue(now, command.message(stream_id), out);
    }

    fn command(&mut self, now: Time, command: Builder, out: &mut Outbox) {
        self.queue(now, command.message(0), out);
    }

    fn queue(&mut self, now: Time, message: TcMessage, out: &mut Outbox) {
        let Some(connection) = &mut self.connection else { return };
        match connection.send(now, message, &SendOptions::default()) {
            Ok(_) => out.actions.push_back(Action::WantWrite { stream: self.stream() }),
            Err(error) => self.fail(&format!("the server does not take the stream: {error}"), out),
        }
    }

    fn end_of_stream(&self, out: &mut Outbox) {
        if self.purpose == Purpose::Play && self.is_ready() {
            out.events.push_back((self.number, Event::EndOfStream));
        }
    }

    fn refused(&mut self, what: &str, code: &str, description: &str, out: &mut Outbox) {
        self.fail(&format!("{what} was refused: {} {}", Shown(code), Shown(description)), out);
    }

    fn ended_by_server(&mut self, error: Option<String>, out: &mut Outbox) {
        match (self.state, error) {
            (State::Ended, _) => {}
            // That the stream has ended is what was wanted; some servers reset the connection then.
            (State::Finishing, _) => self.end(Event::Closed, out),
            (_, Some(error)) => self.end(Event::Failed(format!("the connection broke: {error}")), out),
            (State::Ready, None) if self.purpose == Purpose::Play => self.end(Event::Closed, out),
            (_, None) => self.end(Event::Failed("the server closed the connection".to_owned()), out),
        }
    }

    fn fail(&mut self, error: &str, out: &mut Outbox) {
        if !self.has_ended() {
            self.drop_stream(out);
            self.end(Event::Failed(error.to_owned()), out);
        }
    }

    fn drop_stream(&self, out: &mut Outbox) {
        if !matches!(self.state, State::Idle | State::Resolving | State::Ended) {
            out.actions.push_back(Action::Abort { stream: self.stream() });
        }
    }

    fn end(&mut self, event: Event, out: &mut Outbox) {
        self.state = State::Ended;
        self.deadline = Time::MAX;
        self.connection = None;
        out.events.push_back((self.number, event));
    }
}

/// What servers that ask want to hear of an encoder.
const FLASH_VERSION: &str = "FMLE/3.0 (compatible; rtmfp)";
