//! Sends each message back, on a flow in return of the one that it came by.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use log::info;
use rtmfp::driver::{Application, Node};
use rtmfp::{
    Endpoint, Event, FIHelloMode, FlowSpec, MAX_METADATA, Priority, RecvFlowId, SendFlowId, SessionId,
};
use rtmfp_base::{Message, Tag, Time, WriteOptions};
use rtmfp_flash::Epd;

use crate::report::Report;

/// What the server is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Addresses to listen on.
    #[arg(required = true)]
    listen: Vec<SocketAddr>,
    /// The host name in the certificate.
    #[arg(long, default_value = "echo")]
    name: String,
    /// Let only those in who ask for the host name.
    #[arg(long)]
    name_only: bool,
    /// Addresses of an introducer that knows where this server is.
    #[arg(long)]
    introducer: Vec<SocketAddr>,
    /// The introducer's host name.
    #[arg(long, default_value = "introducer")]
    introducer_name: String,
}

pub(crate) fn run(options: Options, lenient: bool) -> Result<(), String> {
    let (endpoint, fingerprint) = crate::endpoint(Some(&options.name), !options.name_only, lenient)?;
    println!("fingerprint: {fingerprint}");
    let listen = options.listen.clone();
    crate::host(Box::new(Node::new(endpoint, &listen, Server::new(options))))
}

/// The flow to the introducer. Clients' flows have other tags.
const INTRODUCER: Tag = Tag(u64::MAX);
/// After losing the introducer it is tried again so often.
const AGAIN: Duration = Duration::from_secs(5);
/// How often the figures of all sessions are taken.
const FIGURES: Duration = Duration::from_secs(1);

/// The flows of all clients. Both flows of a pair carry the same tag, so that each event leads to the pair.
#[derive(Debug)]
pub(crate) struct Server {
    options: Options,
    pairs: HashMap<Tag, Pair>,
    next: u64,
    echoed: u64,
    reports: HashMap<SessionId, Report>,
    figures_at: Option<Time>,
    /// The flow to the introducer, and when to open one.
    introducer: Option<SendFlowId>,
    introduce_at: Option<Time>,
}

#[derive(Clone, Copy, Debug)]
struct Pair {
    from: RecvFlowId,
    /// None when the client wants no answers.
    back: Option<SendFlowId>,
}

impl Server {
    pub(crate) fn new(options: Options) -> Self {
        Self {
            options,
            pairs: HashMap::new(),
            next: 0,
            echoed: 0,
            reports: HashMap::new(),
            figures_at: None,
            introducer: None,
            introduce_at: None,
        }
    }

    /// Opens a session with the introducer. The flow is to keep it: a session without any ends after a while.
    fn find_introducer(&mut self, now: Time, endpoint: &mut Endpoint) {
        self.introduce_at = None;
        let spec = FlowSpec { metadata: Bytes::from_static(b"introduce me"), priority: Priority::Routine };
        let epd = Epd::hostname(&self.options.introducer_name).encode();
        let Ok(flow) = endpoint.open_flow(now, &epd, spec, INTRODUCER) else { return };
        self.introducer = Some(flow);
        if let Some(mut flow) = endpoint.send_flow(flow) {
            for &introducer in &self.options.introducer {
                flow.add_candidate(now, introducer);
            }
        }
    }

    /// Hellos that it sends on are answered; those that other peers would send on are not.
    fn introducer_found(now: Time, endpoint: &mut Endpoint, flow: SendFlowId, session: SessionId) {
        if let Some(mut session) = endpoint.session(session) {
            session.configure(now, |config| config.fihello = FIHelloMode::RHello);
        }
        // The far end learns of a flow by its first message.
        if let Some(mut flow) = endpoint.send_flow(flow) {
            let _ = flow.write(now, Message::from(b"here".to_vec()), &WriteOptions::default());
        }
    }

    fn take_figures(&mut self, endpoint: &mut Endpoint) {
        for (&session, report) in &mut self.reports {
            report.update(endpoint, session);
        }
    }

    fn offered(&mut self, now: Time, endpoint: &mut Endpoint, flow: RecvFlowId, metadata: &[u8]) {
        let tag = Tag(self.next);
        self.next += 1;
        endpoint.accept(now, flow, tag);
        let mut answer = metadata.to_vec();
        answer.extend_from_slice(b" return");
        answer.truncate(MAX_METADATA);
        let spec = FlowSpec { metadata: Bytes::from(answer), priority: Priority::Routine };
        let back = endpoint.recv_flow(flow).map(|mut from| from.open_return_flow(now, spec, tag));
        match back {
            Some(Ok(back)) => {
                self.pairs.insert(tag, Pair { from: flow, back: Some(back) });
            }
            // No more flows in this session: the far end is told by a rejection.
            _ => endpoint.reject(now, flow, 0),
        }
    }

    /// Echoes until nothing is left to read or the way back is full. What is not read fills the receive buffer, whose
    /// room is what the client may send: a slow way back slows the client down.
    fn echo(&mut self, now: Time, endpoint: &mut Endpoint, tag: Tag) {
        let Some(&Pair { from, back }) = self.pairs.get(&tag) else { return };
        let has_room = |endpoint: &mut Endpoint, back: SendFlowId| {
            endpoint.send_flow(back).is_some_and(|mut back| back.is_writable())
        };
        while back.is_none_or(|back| has_room(endpoint, back)) {
            let Some(message) = endpoint.recv_flow(from).and_then(|mut from| from.read(now)) else { break };
            let Some(mut back) = back.and_then(|back| endpoint.send_flow(back)) else { continue };
            // `Bytes` are shared, not copied.
            if back.write(now, Message::from(message.bytes), &WriteOptions::default()).is_ok() {
                self.echoed += 1;
            }
        }
    }

    /// No more comes from the client: what was echoed is still delivered.
    fn finished(&mut self, now: Time, endpoint: &mut Endpoint, tag: Tag) {
        let back = self.pairs.remove(&tag).and_then(|pair| pair.back);
        if let Some(back) = back.and_then(|back| endpoint.send_flow(back)) {
            back.close(now);
        }
    }

    /// The client wants no answers. Its messages are taken all the same: to refuse them would tell it that they failed.
    fn refused(&mut self, now: Time, endpoint: &mut Endpoint, tag: Tag) {
        let back = self.pairs.get_mut(&tag).and_then(|pair| pair.back.take());
        if back.is_some() {
            info!("a client wants no answers");
        }
        self.echo(now, endpoint, tag);
    }
}

impl Application for Server {
    fn on_ready(&mut self, now: Time, _endpoint: &mut Endpoint) {
        if !self.options.introducer.is_empty() && self.introducer.is_none() {
            self.introduce_at = Some(now);
        }
    }

    fn poll_timeout(&mut self) -> Option<Time> {
        [self.figures_at, self.introduce_at].into_iter().flatten().min()
    }

    fn on_timeout(&mut self, now: Time, endpoint: &mut Endpoint) {
        if self.introduce_at.is_some_and(|at| at <= now) {
            self.find_introducer(now, endpoint);
        }
        if self.figures_at.is_some_and(|at| at <= now) {
            self.take_figures(endpoint);
            self.figures_at = (!self.reports.is_empty()).then(|| now + FIGURES);
        }
    }

    fn on_event(&mut self, now: Time, endpoint: &mut Endpoint, event: Event) {
        match event {
            Event::SessionOpened { session, .. } => {
                if let Some(report) = Report::of(endpoint, session) {
                    self.reports.insert(session, report);
                    self.figures_at.get_or_insert(now);
                }
            }
            Event::SessionClosed { session, reason } => {
                if let Some(report) = self.reports.remove(&session) {
                    println!("{report}\n  it ended: {reason}; {} messages echoed so far", self.echoed);
                }
            }
            Event::AddressChanged { session, to, .. } => {
                info!("a client is at {to} now");
                if let Some(report) = self.reports.get_mut(&session) {
                    report.moves += 1;
                }
            }
            Event::FlowBound { flow, session, tag: INTRODUCER } => {
                Self::introducer_found(now, endpoint, flow, session);
            }
            Event::FlowException { tag: INTRODUCER, .. } => {
                self.introduce_at = Some(now + AGAIN);
            }
            // Flows in return of ours are not expected.
            Event::FlowOffered { flow, metadata, associated: None, .. } => {
                self.offered(now, endpoint, flow, &metadata);
            }
            Event::Readable { tag, .. } | Event::Writable { tag, .. } => self.echo(now, endpoint, tag),
            Event::FlowFinished { tag, .. } | Event::FlowLost { tag, .. } => {
                self.take_figures(endpoint);
                self.finished(now, endpoint, tag);
            }
            Event::FlowException { tag, .. } => self.refused(now, endpoint, tag),
            other => info!("{other:?}"),
        }
    }
}
