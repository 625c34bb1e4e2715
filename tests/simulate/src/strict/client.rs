//! A client as librtmfp is one.

pub(crate) mod found;
pub(crate) mod startup;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use rtmfp_base::{Action, Batch, Ecn, Input, InterfaceId, Service, StreamId, Time, Transmit, UdpOptions};
use rtmfp_media::TcMessage;
use rtmfp_media::amf0::{Limits, Value};
use rtmfp_media::command::{Command, Info};
use rtmfp_netsim::Dice;

use super::session::{Heard, Session};
use crate::clip::Clip;
use found::Found;
use startup::Startup;

/// What a client does.
#[derive(Clone)]
pub(crate) enum Task {
    /// Publishes, and leaves when everything has arrived.
    Publish(Clip),
    Play,
    /// Stays, to be found by others.
    BeFound,
    /// Opens so many sessions one after the other, each with keys of its own, and pings in each.
    Handshakes(u32),
}

/// How keys are offered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Offer {
    /// Static keys, as librtmfp: HMACs of 10 bytes are named.
    Librtmfp,
    /// Static keys, as Flash Player: HMACs of 16 bytes are named.
    Flash,
    /// Ephemeral keys.
    Ephemeral,
}

pub(crate) struct StrictClient {
    dice: Dice,
    offer: Offer,
    task: Task,
    to: SocketAddr,
    startup: Option<Startup>,
    session: Option<Session>,
    /// Where the session's packets go.
    far: SocketAddr,
    sessions: u32,
    actions: VecDeque<Action>,
    out: VecDeque<(SocketAddr, Vec<u8>)>,
    ping_at: Time,
    creating: bool,
    /// The far end's flow that the flows of streams answer.
    main_flow: Option<u64>,
    /// The stream that was created, and the flow of its commands.
    stream: Option<(u32, u64)>,
    publishing: Option<Publication>,
    /// Codes of information objects, in order.
    pub(crate) codes: Vec<String>,
    /// What came in the played stream.
    pub(crate) played: Vec<TcMessage>,
    pub(crate) handshakes: u32,
    /// What others see of it who look for it.
    pub(crate) found: Option<Found>,
    /// When everything was done, or why it was not.
    pub(crate) over: Option<Result<Time, String>>,
}

/// The flows of data, audio and video, and how far the clip is.
struct Publication {
    began: Time,
    flows: [u64; 3],
    next: usize,
    closing: bool,
}

const SOCKET: InterfaceId = InterfaceId(0);
/// It asks whether the server is there so often.
const PING: Duration = Duration::from_secs(25);

impl StrictClient {
    pub(crate) fn new(mut dice: Dice, offer: Offer, to: SocketAddr, task: Task) -> Self {
        let any = SocketAddr::from(([0, 0, 0, 0], 0));
        let open = Action::OpenUdp { socket: SOCKET, options: UdpOptions::from(any) };
        let startup = Startup::new(&mut dice, offer, to, 2);
        let is_sought = matches!(task, Task::BeFound);
        let found = is_sought.then(|| Found::new(&mut dice, startup.pair.clone()));
        Self {
            dice,
            offer,
            task,
            to,
            startup: Some(startup),
            session: None,
            far: to,
            sessions: 1,
            actions: [open].into(),
            out: VecDeque::new(),
            ping_at: Time::MAX,
            creating: false,
            main_flow: None,
            stream: None,
            publishing: None,
            codes: Vec::new(),
            played: Vec::new(),
            handshakes: 0,
            found,
            over: None,
        }
    }

    fn on_open(&mut self, now: Time, session: Session, far: SocketAddr) {
        self.handshakes += 1;
        self.startup = None;
        self.far = far;
        let session = self.session.insert(session);
        self.ping_at = now + PING;
        if let Task::Handshakes(_) = self.task {
            self.ping_at = now;
            return;
        }
        let main = session.open(0, None);
        session.write(main, [&connect()]);
    }

    fn on_message(&mut self, now: Time, flow: u64, message: TcMessage) {
        match message.kind {
            8 | 9 | 15 | 18 => self.played.push(message),
            17 | 20 => self.on_command(now, flow, &message),
            _ => {}
        }
    }

    /// Takes the commands that librtmfp knows; at others it rejects the flow, and with it the connection.
    fn on_command(&mut self, now: Time, flow: u64, message: &TcMessage) {
        let command = Command::parse(message.kind, &message.payload, &Limits::DEFAULT).expect("a command");
        let name = command.name;
        if message.stream_id == 0 {
            self.main_flow = Some(flow);
        }
        let mut values: Vec<_> = command.values().map(|value| value.expect("a value")).collect();
        if values.first().is_some_and(|value| matches!(value, Value::Null)) {
            values.remove(0);
        }
        if name == "onStatus" {
            let [Value::Object(info)] = values[..] else { panic!("an onStatus with {values:?}") };
            return self.on_status(now, &Info::read(info));
        }
        assert_eq!(message.stream_id, 0, "{name} in a stream, of which the flow is rejected");
        for value in values {
            match (name, value) {
                ("_result" | "_error", Value::Object(info)) | ("_result", Value::EcmaArray(info)) => {
                    let encoding = info.get("objectEncoding").and_then(Value::as_number);
                    let info = Info::read(info);
                    assert!(
                        info.code != "NetConnection.Connect.Success" || matches!(encoding, Some(0.0 | 3.0)),
                        "L5: objectEncoding 3 was asked for, and the answer is {encoding:?}"
                    );
                    self.on_status(now, &info);
                }
                ("_result", Value::Number(stream)) if self.creating => self.on_stream(stream as u32),
                (_, value) => panic!("{name} with {value:?}, at which the connection's flow is rejected"),
            }
        }
    }

    fn on_status(&mut self, now: Time, info: &Info<'_>) {
        if info.level.is_empty() {
            return;
        }
        self.codes.push(info.code.to_owned());
        let Some(session) = &mut self.session else { return };
        match info.code {
            "NetConnection.Connect.Success" => {
                session.write(2, [&set_peer_info(), &call("createStream", b"")]);
                self.creating = true;
            }
            "NetConnection.Connect.Closed"
            | "NetConnection.Connect.Rejected"
            | "NetStream.Publish.BadName" => {
                self.over.get_or_insert_with(|| Err(info.code.to_owned()));
                session.abort();
            }
            "NetStream.Publish.Start" => {
                let (stream, _) = self.stream.expect("a stream");
                let flows = [(); 3].map(|()| session.open(stream, self.main_flow));
                self.publishing = Some(Publication { began: now, flows, next: 0, closing: false });
            }
            _ => {}
        }
    }

    fn on_stream(&mut self, stream: u32) {
        self.creating = false;
        let Some(session) = &mut self.session else { return };
        session.streams.insert(stream);
        let flow = session.open(stream, self.main_flow);
        self.stream = Some((stream, flow));
        // A null, then the name: as a string of AMF 3 to publish, of AMF 0 to play.
        let ask = match self.task {
            Task::Publish(_) => call("publish", b"\x05\x11\x06\x09live"),
            _ => call("play", b"\x05\x02\0\x04live"),
        };
        session.write(flow, [&ask]);
    }

    /// Sends what is due of the clip.
    fn go_on(&mut self, now: Time) {
        let Some(session) = &mut self.session else { return };
        if self.ping_at <= now {
            session.ping();
            let handshakes = matches!(self.task, Task::Handshakes(_));
            self.ping_at = now + if handshakes { Duration::from_secs(1) } else { PING };
        }
        if let (&Task::Handshakes(wanted), true) = (&self.task, session.pings_answered > 0) {
            session.abort();
            self.send(now);
            self.session = None;
            if self.handshakes < wanted {
                self.sessions += 1;
                self.startup = Some(Startup::new(&mut self.dice, self.offer, self.to, self.sessions + 1));
            } else {
                self.over = Some(Ok(now));
            }
            return;
        }
        let (Task::Publish(clip), Some(publication)) = (&self.task, &mut self.publishing) else { return };
        while let Some(message) = clip.0.get(publication.next)
            && publication.began + Clip::time(message) <= now
        {
            let [data, audio, video] = publication.flows;
            let flow = match message.kind {
                8 => audio,
                9 => video,
                _ => data,
            };
            session.write(flow, [message]);
            publication.next += 1;
        }
        if publication.next < clip.0.len() || !session.is_idle() || self.over.is_some() {
            return;
        }
        if publication.closing {
            session.abort();
            self.over = Some(Ok(now));
        } else {
            // All has arrived: the stream is closed, then its flows, then the session.
            publication.closing = true;
            let (_, flow) = self.stream.expect("a stream");
            session.write(flow, [&call("closeStream", b"\x05")]);
            for flow in publication.flows.into_iter().chain([flow]) {
                session.writers.get_mut(&flow).expect("a flow").close();
            }
        }
    }

    fn send(&mut self, now: Time) {
        if let Some(startup) = &mut self.startup {
            startup.poll(now, &mut self.out);
            if startup.attempts > startup::MOST_ATTEMPTS {
                self.over = Some(Err(format!("no answer to {}", startup.stage())));
                self.startup = None;
            }
        }
        if let Some(session) = &mut self.session {
            let far = self.far;
            self.out.extend(session.poll(now).into_iter().map(|bytes| (far, bytes)));
        }
        if let Some(found) = &mut self.found {
            found.send(now, &mut self.out);
        }
    }

    fn datagram(&mut self, now: Time, from: SocketAddr, bytes: &[u8]) {
        let id = self.sessions + 1;
        match super::code::session_of(bytes) {
            Some(0) => {
                if let Some(startup) = &mut self.startup {
                    startup.receive(now, from, bytes);
                } else if let Some(found) = &mut self.found {
                    found.receive(now, from, bytes, &mut self.out);
                }
            }
            Some(found::SESSION) => {
                if let Some(found) = &mut self.found {
                    found.on_session(now, from, bytes);
                }
            }
            Some(for_id) if for_id == id => match &mut self.session {
                Some(session) => {
                    let heard = session.receive(now, bytes);
                    let Some(heard) = heard else {
                        // Only the answer to its keying has another key.
                        return startup::expect_repetition(bytes);
                    };
                    self.far = from;
                    for heard in heard {
                        match heard {
                            Heard::Message(flow, message) => self.on_message(now, flow, message),
                            Heard::Hello { epd, from, tag } => {
                                if let Some(found) = &mut self.found {
                                    found.forwarded += 1;
                                    found.on_hello(now, &epd, &tag, from, &mut self.out);
                                }
                            }
                            Heard::Closed => {
                                self.over.get_or_insert_with(|| Err("the session was closed".to_owned()));
                            }
                        }
                    }
                }
                None => {
                    let startup = self.startup.as_mut();
                    if let Some(session) = startup.and_then(|startup| startup.answer(bytes)) {
                        self.on_open(now, session, from);
                    }
                }
            },
            _ => {}
        }
    }
}

/// A command with the transaction number 0, as librtmfp has for all of them; what follows it is encoded.
fn call(name: &str, values: &[u8]) -> TcMessage {
    let payload = [&string(name)[..], &[0; 9], values].concat();
    TcMessage { kind: 20, timestamp: 0, stream_id: 0, payload: payload.into() }
}

fn string(text: &str) -> Vec<u8> {
    [&[2][..], &(text.len() as u16).to_be_bytes(), text.as_bytes()].concat()
}

/// The command object comes at once, with objectEncoding 3.
fn connect() -> TcMessage {
    let mut object = vec![3];
    let mut member = |name: &str, value: &[u8]| {
        object.extend((name.len() as u16).to_be_bytes());
        object.extend_from_slice(name.as_bytes());
        object.extend_from_slice(value);
    };
    let number = |number: f64| [&[0][..], &number.to_be_bytes()].concat();
    member("app", &string("app"));
    member("flashVer", &string("WIN 20,0,0,286"));
    member("swfUrl", &string("file://"));
    member("tcUrl", &string(super::super::encoder::TC_URL));
    member("fpad", &[1, 0]);
    member("capabilities", &number(235.0));
    member("audioCodecs", &number(3575.0));
    member("videoCodecs", &number(252.0));
    member("videoFunction", &number(1.0));
    member("pageUrl", &string("page"));
    member("objectEncoding", &number(3.0));
    object.extend([0, 0, 9]);
    call("connect", &object)
}

/// The addresses come at once, with no null before them.
fn set_peer_info() -> TcMessage {
    call("setPeerInfo", &string("10.1.0.1:1935"))
}

impl Service for StrictClient {
    fn handle(&mut self, now: Time, input: Input<'_>) {
        match input {
            Input::Datagram { meta, bytes } => self.datagram(now, meta.from, bytes),
            Input::UdpReady { result, .. } => drop(result.expect("a socket")),
            _ => {}
        }
        self.go_on(now);
        if let Some(startup) = &mut self.startup {
            startup.begin(now);
        }
    }

    fn poll_action(&mut self, _now: Time) -> Option<Action> {
        self.actions.pop_front()
    }

    fn poll_transmit(&mut self, now: Time, batch: &mut Batch) {
        self.send(now);
        transmit(&mut self.out, batch);
    }

    fn fill_stream(&mut self, _now: Time, _stream: StreamId, _limit: usize, _out: &mut Vec<u8>) {}

    fn poll_timeout(&mut self) -> Option<Time> {
        let startup = self.startup.as_ref().and_then(Startup::poll_timeout);
        let session = self.session.as_ref().filter(|session| !session.closed);
        let media = match (&self.task, &self.publishing) {
            (Task::Publish(clip), Some(publication)) => {
                clip.0.get(publication.next).map(|message| publication.began + Clip::time(message))
            }
            _ => None,
        };
        let ping = (!self.ping_at.is_never()).then_some(self.ping_at);
        let session =
            session.and_then(|session| [session.poll_timeout(), media, ping].into_iter().flatten().min());
        let found = self.found.as_ref().and_then(Found::poll_timeout);
        startup.into_iter().chain(session).chain(found).min()
    }
}

/// Hands datagrams to the host.
pub(crate) fn transmit(out: &mut VecDeque<(SocketAddr, Vec<u8>)>, batch: &mut Batch) {
    while !batch.is_full()
        && let Some((to, bytes)) = out.pop_front()
    {
        let start = batch.buffer.len();
        batch.buffer.extend_from_slice(&bytes);
        batch.push(Transmit {
            interface: SOCKET,
            to,
            src_ip: None,
            ecn: Ecn::NotEct,
            dscp: 0,
            dont_fragment: false,
            bytes: start..batch.buffer.len(),
            segment_size: None,
        });
    }
}
