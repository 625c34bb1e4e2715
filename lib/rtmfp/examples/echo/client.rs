//! Sends messages and compares what comes back.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use log::info;
use rtmfp::driver::{Application, Node};
use rtmfp::{Endpoint, Event, FlowSpec, Priority, SendFlowId, SessionId, Shutdown};
use rtmfp_base::{
    Action, Batch, Input, InterfaceId, Message, Service, StreamId, Tag, Time, UdpOptions, WriteOptions,
};
use rtmfp_flash::{Epd, Fingerprint};

use crate::report::Report;

/// What the client is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Addresses of the server, or of somebody who knows where it is.
    #[arg(required = true)]
    servers: Vec<SocketAddr>,
    /// The host name that the server must have.
    #[arg(long, conflicts_with = "fingerprint")]
    name: Option<String>,
    /// The server's fingerprint, 64 hexadecimal digits.
    #[arg(long)]
    fingerprint: Option<Fingerprint>,
    /// What to ask a server for that goes by neither.
    #[arg(long, default_value = "rtmfp:")]
    uri: String,
    /// Messages to send.
    #[arg(long, default_value_t = 50)]
    messages: u64,
    /// Bytes in each.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(16..1_000_000))]
    size: u32,
    /// Milliseconds between them.
    #[arg(long, default_value_t = 100)]
    every: u64,
    /// Milliseconds after which a message is not worth being sent any more.
    #[arg(long, default_value_t = 5000)]
    lifetime: u64,
    /// Change to another UDP port after so many seconds, as a host does that changes its network.
    #[arg(long)]
    move_after: Option<f64>,
}

pub(crate) fn run(options: Options, lenient: bool) -> Result<(), String> {
    let (endpoint, _) = crate::endpoint(None, false, lenient)?;
    let sockets = crate::any_port(&options.servers);
    let moves_at = options.move_after.map(|after| Time::ZERO + Duration::from_secs_f64(after.max(0.0)));
    let node = Node::new(endpoint, &sockets, Client::new(options));
    crate::host(Box::new(Mover { node, moves_at, old: sockets, actions: VecDeque::new() }))
}

/// The client on sockets of its own, as it runs in a simulation, too.
#[cfg(test)]
pub(crate) fn service(options: Options, endpoint: Endpoint) -> Box<dyn Service> {
    let sockets = crate::any_port(&options.servers);
    let node = Node::new(endpoint, &sockets, Client::new(options));
    Box::new(Mover { node, moves_at: None, old: sockets, actions: VecDeque::new() })
}

const CALL: Tag = Tag(1);
const ANSWERS: Tag = Tag(2);

#[derive(Debug)]
struct Client {
    options: Options,
    flow: Option<SendFlowId>,
    session: Option<SessionId>,
    next_at: Option<Time>,
    written: u64,
    abandoned: u64,
    ended: u64,
    round_trips: Vec<Duration>,
    /// Answers that are not the next message, or not as it was sent.
    wrong: u64,
    /// The number of the next message to come back.
    expected: u64,
    moves: u64,
    /// The code with which the flow was refused, or its session lost.
    refused: Option<u64>,
    reported: bool,
}

impl Client {
    fn new(options: Options) -> Self {
        Self {
            options,
            flow: None,
            session: None,
            next_at: None,
            written: 0,
            abandoned: 0,
            ended: 0,
            round_trips: Vec::new(),
            wrong: 0,
            expected: 0,
            moves: 0,
            refused: None,
            reported: false,
        }
    }

    fn epd(&self) -> Vec<u8> {
        let Options { name, fingerprint, uri, .. } = &self.options;
        match (name, fingerprint) {
            (Some(name), _) => Epd::hostname(name).encode(),
            (None, Some(fingerprint)) => Epd::fingerprint(fingerprint).encode(),
            (None, None) => Epd::uri(uri).encode(),
        }
    }

    /// A message says when it was written, so that its echo tells the round trip, and which one it is.
    fn message(&self, written: Time, number: u64) -> Vec<u8> {
        let mut bytes = vec![number as u8; self.options.size as usize];
        bytes[..8].copy_from_slice(&written.as_micros().to_be_bytes());
        bytes[8..16].copy_from_slice(&number.to_be_bytes());
        bytes
    }

    fn write(&mut self, now: Time, endpoint: &mut Endpoint) {
        let message = self.message(now, self.written);
        let start_by = now + Duration::from_millis(self.options.lifetime);
        let options = WriteOptions { start_by, notify: true, ..WriteOptions::default() };
        if let Some(mut flow) = self.flow.and_then(|flow| endpoint.send_flow(flow))
            && flow.write(now, Message::from(message), &options).is_ok()
        {
            self.written += 1;
        }
    }

    /// Each message comes back once, in order and as it was; messages that were abandoned are left out.
    fn answered(&mut self, now: Time, bytes: &[u8]) {
        let number_at = |at: usize| bytes.get(at..).and_then(|rest| rest.first_chunk()).copied();
        let (Some(written), Some(number)) = (number_at(0), number_at(8)) else {
            self.wrong += 1;
            return;
        };
        let (written, number) = (Time::from_micros(u64::from_be_bytes(written)), u64::from_be_bytes(number));
        if number < self.expected || bytes != self.message(written, number) {
            self.wrong += 1;
            return;
        }
        self.expected = number + 1;
        self.round_trips.push(now.since(written));
    }

    /// When all has come back, or is not to come any more: prints what there is to tell and ends.
    fn end(&mut self, now: Time, endpoint: &mut Endpoint) {
        if core::mem::replace(&mut self.reported, true) {
            return;
        }
        self.next_at = None;
        self.round_trips.sort_unstable();
        let echoed = self.round_trips.len();
        println!("{echoed} of {} messages came back, {} were abandoned", self.written, self.abandoned);
        if self.wrong > 0 {
            println!("{} came back wrong, twice or out of order", self.wrong);
        }
        if let [least, .., most] = self.round_trips[..] {
            let median = self.round_trips[echoed / 2];
            println!("round trip of a message: {least:?} at least, {median:?} median, {most:?} at most");
        }
        if let Some(mut report) = self.session.and_then(|session| Report::of(endpoint, session)) {
            report.moves = self.moves;
            println!("{report}");
        }
        // The flow first, so that the server sees its end and not the loss of a session. Of a flow that was refused no end
        // is told.
        match self.flow.filter(|_| self.refused.is_none()).and_then(|flow| endpoint.send_flow(flow)) {
            Some(flow) => flow.close(now),
            None => endpoint.shutdown(now, Shutdown::Orderly),
        }
    }

    fn has_ended(&self) -> bool {
        let all_written = self.written >= self.options.messages;
        let all_answered = self.round_trips.len() as u64 + self.abandoned >= self.written;
        // What is left of a flow that was refused is abandoned, which is told behind the refusal.
        self.ended >= self.written && (self.refused.is_some() || (all_written && all_answered))
    }

    /// What went wrong, if it was for nothing.
    fn failure(&self) -> Option<String> {
        let code = self.refused.filter(|_| self.round_trips.is_empty())?;
        Some(match self.session {
            Some(_) => format!("the server refused the flow, or was lost (code {code})"),
            None => "the server is not to be had".to_owned(),
        })
    }
}

impl Application for Client {
    fn on_ready(&mut self, now: Time, endpoint: &mut Endpoint) {
        // The hellos go out on every socket of the right address family.
        if self.flow.is_some() {
            return;
        }
        let spec = FlowSpec { metadata: Bytes::from_static(b"echo"), priority: Priority::Routine };
        let Ok(flow) = endpoint.open_flow(now, &self.epd(), spec, CALL) else { return };
        if let Some(mut opened) = endpoint.send_flow(flow) {
            for &server in &self.options.servers {
                opened.add_candidate(now, server);
            }
        }
        self.flow = Some(flow);
    }

    fn on_event(&mut self, now: Time, endpoint: &mut Endpoint, event: Event) {
        match event {
            Event::FlowBound { session, .. } => {
                self.session = Some(session);
                self.next_at = Some(now);
                if let Some(info) = endpoint.session(session).map(|session| session.info()) {
                    info!("session with {}", info.far_address);
                }
            }
            Event::FlowOffered { flow, associated: Some(_), .. } => endpoint.accept(now, flow, ANSWERS),
            Event::Readable { flow, .. } => {
                while let Some(message) = endpoint.recv_flow(flow).and_then(|mut flow| flow.read(now)) {
                    self.answered(now, &message.bytes);
                }
            }
            Event::AddressChanged { to, interface, .. } => {
                self.moves += 1;
                info!("the way to the server is {interface:?} to {to} now");
            }
            Event::WriteEnded { delivered, .. } => {
                self.ended += 1;
                self.abandoned += u64::from(!delivered);
            }
            Event::FlowException { tag: CALL, code, .. } => {
                self.refused = Some(code);
                self.next_at = None;
            }
            Event::FlowClosed { tag: CALL, .. } => endpoint.shutdown(now, Shutdown::Orderly),
            other => info!("{other:?}"),
        }
        if self.has_ended() {
            self.end(now, endpoint);
        }
    }

    fn poll_timeout(&mut self) -> Option<Time> {
        self.next_at
    }

    fn on_timeout(&mut self, now: Time, endpoint: &mut Endpoint) {
        self.write(now, endpoint);
        let more = self.written < self.options.messages;
        self.next_at = more.then(|| now + Duration::from_millis(self.options.every.max(1)));
    }
}

/// A node that changes its sockets once. A service within a service: it passes everything on and adds actions of its
/// own.
struct Mover {
    node: Node<Client>,
    moves_at: Option<Time>,
    old: Vec<SocketAddr>,
    actions: VecDeque<Action>,
}

impl Mover {
    fn move_now(&mut self, now: Time) {
        info!("changing to another port");
        for (number, &address) in self.old.iter().enumerate() {
            let (old, new) = (InterfaceId(number as u32), InterfaceId((number + self.old.len()) as u32));
            self.actions.push_back(Action::OpenUdp { socket: new, options: UdpOptions::from(address) });
            self.node.endpoint().remove_interface(now, old);
            self.actions.push_back(Action::CloseUdp { socket: old });
        }
    }
}

impl Service for Mover {
    fn handle(&mut self, now: Time, input: Input<'_>) {
        if matches!(input, Input::Timeout) && self.moves_at.is_some_and(|at| at <= now) {
            self.moves_at = None;
            self.move_now(now);
        }
        self.node.handle(now, input);
    }

    fn poll_action(&mut self, now: Time) -> Option<Action> {
        let action = self.actions.pop_front().or_else(|| self.node.poll_action(now));
        match (action, self.node.application.failure()) {
            (Some(Action::Finished(Ok(()))), Some(failure)) => Some(Action::Finished(Err(failure))),
            (action, _) => action,
        }
    }

    fn poll_transmit(&mut self, now: Time, batch: &mut Batch) {
        self.node.poll_transmit(now, batch);
    }

    fn fill_stream(&mut self, now: Time, stream: StreamId, limit: usize, out: &mut Vec<u8>) {
        self.node.fill_stream(now, stream, limit, out);
    }

    fn poll_timeout(&mut self) -> Option<Time> {
        [self.node.poll_timeout(), self.moves_at].into_iter().flatten().min()
    }
}
