//! One client: the link with it, the link with its destination, and what joins them.

use core::net::SocketAddr;

use log::{debug, info, warn};
use rtmfp::KeyingFailure;
use rtmfp_base::{Shown, StreamId, Time};
use rtmfp_netconn::{
    ConnectRequest, Cx, Link, LinkError, LinkEvent, LinkId, Progress, StreamUse, TcMessage,
    connection_closed, connection_failed, public_uri,
};

use super::compat::Compat;
use super::dial::{Dial, Outcome};
use super::refusals::hint;
use super::shared::Shared;

/// Which of a client's links.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Side {
    /// With the client.
    Near,
    /// With the destination.
    Far,
}

/// The number of a client, and so those of its links.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct ClientId(pub(super) u32);

impl ClientId {
    pub(super) const fn link(self, side: Side) -> LinkId {
        LinkId(self.0 << 1 | side as u32)
    }

    pub(super) const fn of(link: LinkId) -> (Self, Side) {
        (Self(link.0 >> 1), if link.0 & 1 == 0 { Side::Near } else { Side::Far })
    }
}

#[derive(Debug)]
pub(super) struct Client {
    id: ClientId,
    pub(super) peer: SocketAddr,
    near: Link,
    near_gone: bool,
    far: Far,
    /// What waits for the destination.
    backlog: Vec<TcMessage>,
    /// Bytes that it has sent before its connect was accepted.
    early_bytes: usize,
    /// When the next step has to be done: the handshake, the connect, its answer, the end.
    deadline: Time,
    stage: Stage,
    compat: Compat,
    /// What may be wrong with the destination, should it not be reached.
    hint: Option<String>,
}

/// Logs that a client publishes or plays. Names of streams are keys to them on many servers, so only their beginning is
/// shown.
fn log_use(id: ClientId, peer: SocketAddr, message: &TcMessage) {
    let beginning = |name: &str| name.chars().take(4).collect::<String>();
    match StreamUse::parse(message) {
        Some(StreamUse::Publish(name)) => {
            info!("client {} from {peer}: publishes {:?}...", id.0, beginning(&name))
        }
        Some(StreamUse::Play(name)) => info!("client {} from {peer}: plays {:?}...", id.0, beginning(&name)),
        None => {}
    }
}

#[derive(Debug)]
enum Far {
    None,
    Dialing(Dial),
    Opening(Link),
    Open(Link),
    Gone,
}

/// The longest URI, in bytes, that goes into the Endpoint Discriminator of an outgoing connection: it has to fit into a
/// packet. What a client asks for is told by its `connect` as well.
const MAX_URI: usize = 1024;

/// What a client's deadline is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// The client's handshake and connect.
    Connect,
    /// The way to the destination.
    Open { asked: Time },
    /// The destination's answer.
    Answer,
    /// Nothing: it is being relayed.
    Running,
    /// Nothing: its links end.
    Ending,
}

impl Client {
    pub(super) fn new(shared: &Shared, now: Time, id: ClientId, peer: SocketAddr, near: Link) -> Self {
        let timeouts = &shared.config.timeouts;
        Self {
            id,
            peer,
            near,
            near_gone: false,
            far: Far::None,
            backlog: Vec::new(),
            early_bytes: 0,
            deadline: now + shared.config.rtmp.handshake_timeout + timeouts.connect,
            stage: Stage::Connect,
            compat: Compat::default(),
            hint: None,
        }
    }

    /// Whether nothing is left of it.
    pub(super) fn is_gone(&self) -> bool {
        self.near_gone && matches!(self.far, Far::None | Far::Gone)
    }

    /// Logs what it was, now that it is gone.
    pub(super) fn log_totals(&self) {
        let stats = self.near.stats();
        info!(
            "client {} from {}: gone; {} messages with {} bytes from it, {} with {} to it, {} dropped",
            self.id.0,
            self.peer,
            stats.received_messages,
            stats.received_bytes,
            stats.sent_messages,
            stats.sent_bytes,
            stats.dropped_messages
        );
    }

    /// Bytes of messages from and to it that [`Shared`] has not counted yet.
    pub(super) fn carried(&self) -> u64 {
        let stats = self.near.stats();
        if self.near_gone { 0 } else { stats.received_bytes.saturating_add(stats.sent_bytes) }
    }

    /// Whether it has not asked for anything yet.
    pub(super) fn is_silent(&self) -> bool {
        self.stage == Stage::Connect
    }

    fn link(&mut self, side: Side) -> Option<&mut Link> {
        match (side, &mut self.far) {
            (Side::Near, _) => Some(&mut self.near),
            (Side::Far, Far::Opening(link) | Far::Open(link)) => Some(link),
            _ => None,
        }
    }

    /// Has one of the links do something, and draws the consequences.
    pub(super) fn with(
        &mut self,
        shared: &mut Shared,
        now: Time,
        side: Side,
        act: impl FnOnce(&mut Link, &mut Cx<'_>),
    ) {
        if let Some(link) = self.link(side) {
            act(link, &mut shared.cx(now));
        }
        self.settle(shared, now);
    }

    pub(super) fn resolved(
        &mut self,
        shared: &mut Shared,
        now: Time,
        result: Result<Vec<SocketAddr>, String>,
    ) {
        self.dial(shared, now, |dial, shared| dial.resolved(shared, now, result));
    }

    /// Keying with the destination has not worked out so far.
    pub(super) fn note_keying(&mut self, shared: &Shared, failure: &KeyingFailure) {
        debug!("client {} from {}: {}: {failure}", self.id.0, self.peer, shared.config.to);
        self.hint = hint(&shared.config, failure).or_else(|| self.hint.take());
    }

    pub(super) fn connected(&mut self, shared: &mut Shared, now: Time, stream: StreamId) {
        self.dial(shared, now, |dial, shared| dial.connected(shared, now, stream));
    }

    /// A byte stream to the destination is gone: that of the link, or one of those that were tried.
    pub(super) fn far_stream_closed(
        &mut self,
        shared: &mut Shared,
        now: Time,
        stream: StreamId,
        error: Option<String>,
    ) {
        match self.link(Side::Far) {
            Some(link) => {
                link.stream_closed(error);
                self.settle(shared, now);
            }
            None => self.dial(shared, now, |dial, shared| dial.stream_closed(shared, now, stream, error)),
        }
    }

    fn dial(&mut self, shared: &mut Shared, now: Time, step: impl FnOnce(&mut Dial, &mut Shared) -> Outcome) {
        let Far::Dialing(dial) = &mut self.far else { return };
        match step(dial, shared) {
            Outcome::Wait => {}
            Outcome::Link(link) => self.far = Far::Opening(link),
            Outcome::Failed(reason) => {
                self.far = Far::Gone;
                self.fail(shared, now, &reason);
            }
        }
        self.settle(shared, now);
    }

    /// Handles what the links have to tell, until they have nothing.
    pub(super) fn settle(&mut self, shared: &mut Shared, now: Time) {
        loop {
            if let Some(event) = self.near.poll_event() {
                self.on_near(shared, now, event);
            } else if let Far::Opening(link) | Far::Open(link) = &mut self.far
                && let Some(event) = link.poll_event()
            {
                self.on_far(shared, now, event);
            } else {
                break;
            }
        }
    }

    fn on_near(&mut self, shared: &mut Shared, now: Time, event: LinkEvent) {
        match event {
            LinkEvent::Open => {
                debug!("client {} from {}: handshake complete", self.id.0, self.peer);
                self.deadline = now + shared.config.timeouts.connect;
            }
            LinkEvent::Message(message) => self.on_near_message(shared, now, message),
            LinkEvent::Ended => self.near_ended(shared, now, None),
            LinkEvent::Closed(result) => {
                self.near_gone = true;
                shared.release(now, &self.near);
                shared.counters.near.add(&self.near.stats());
                self.near_ended(shared, now, result.err());
            }
            _ => {}
        }
    }

    fn on_near_message(&mut self, shared: &mut Shared, now: Time, message: TcMessage) {
        if matches!(self.stage, Stage::Open { .. } | Stage::Answer)
            && !self.may_send_early(shared, now, &message)
        {
            return;
        }
        match &mut self.far {
            Far::Open(link) => {
                log_use(self.id, self.peer, &message);
                let message = self.compat.upstream(shared, now, message);
                link.send(&mut shared.cx(now), message);
            }
            Far::None => {
                let Some(request) = ConnectRequest::parse(&message) else { return };
                if self.stage != Stage::Connect {
                    return;
                }
                info!(
                    "client {} from {}: connect to application {:?} ({:?})",
                    self.id.0,
                    self.peer,
                    Shown(&request.app),
                    Shown(&public_uri(&request.tc_url))
                );
                let uri = match public_uri(&request.tc_url) {
                    uri if (1..=MAX_URI).contains(&uri.len()) => uri,
                    _ => "rtmfp:".to_owned(),
                };
                self.stage = Stage::Open { asked: now };
                self.deadline = now + shared.config.timeouts.open;
                self.far = Far::Dialing(Dial::new(shared, self.id.link(Side::Far), uri));
                if self.may_send_early(shared, now, &message) {
                    self.backlog.push(message);
                }
            }
            Far::Dialing(_) | Far::Opening(_) => self.backlog.push(message),
            Far::Gone => {}
        }
    }

    /// Bounds what is kept, or queued for the destination, before the connect is accepted.
    fn may_send_early(&mut self, shared: &mut Shared, now: Time, message: &TcMessage) -> bool {
        self.early_bytes += message.payload.len() + size_of::<TcMessage>();
        let may = self.early_bytes <= shared.config.max_early_bytes;
        if !may {
            warn!("client {} from {}: sends too much before it is connected", self.id.0, self.peer);
            self.near.abort(&mut shared.cx(now));
        }
        may
    }

    fn on_far(&mut self, shared: &mut Shared, now: Time, event: LinkEvent) {
        match event {
            LinkEvent::Open => {
                let Far::Opening(mut link) = core::mem::replace(&mut self.far, Far::Gone) else { return };
                for message in self.backlog.drain(..) {
                    let message = self.compat.upstream(shared, now, message);
                    link.send(&mut shared.cx(now), message);
                }
                self.far = Far::Open(link);
                self.hint = None;
                if let Stage::Open { asked } = self.stage {
                    self.stage = Stage::Answer;
                    self.deadline = asked + shared.config.timeouts.answer;
                }
                info!("client {} from {}: connected to {}", self.id.0, self.peer, shared.config.to);
            }
            LinkEvent::Message(message) => {
                let to_rtmp = matches!(self.near, Link::Rtmp(_));
                for message in self.compat.downstream(shared, to_rtmp, message).into_iter().flatten() {
                    self.near.send(&mut shared.cx(now), message);
                }
                self.note_answer(shared, now);
            }
            LinkEvent::Ended => self.far_ended(shared, now, None),
            LinkEvent::Closed(result) => {
                if let Far::Opening(link) | Far::Open(link) = core::mem::replace(&mut self.far, Far::Gone) {
                    shared.release(now, &link);
                    let stats = link.stats();
                    if stats.dropped_messages > 0 {
                        info!(
                            "client {} from {}: {} of {} messages to {} were dropped",
                            self.id.0,
                            self.peer,
                            stats.dropped_messages,
                            stats.sent_messages,
                            shared.config.to
                        );
                    }
                    shared.counters.far.add(&stats);
                }
                self.far_ended(shared, now, result.err());
            }
            _ => {}
        }
    }

    /// Looks whether the connect was answered by now.
    fn note_answer(&mut self, shared: &mut Shared, now: Time) {
        if self.stage != Stage::Answer {
            return;
        }
        match self.near.progress() {
            Progress::Accepted => {
                shared.counters.connected += 1;
                self.compat.accepted(shared, now);
            }
            Progress::Refused => {
                shared.counters.rejected += 1;
                info!("client {} from {}: rejected by {}", self.id.0, self.peer, shared.config.to);
            }
            Progress::Silent | Progress::Asked { .. } => return,
        }
        self.stage = Stage::Running;
        self.deadline = Time::MAX;
    }

    /// The client has ended, or is gone: what it has sent is to arrive.
    fn near_ended(&mut self, shared: &mut Shared, now: Time, error: Option<LinkError>) {
        if self.stage == Stage::Connect {
            shared.counters.never_connected += 1;
        }
        if let Some(error) = error {
            info!("client {} from {}: {error}", self.id.0, self.peer);
        }
        self.begin_end();
        match &mut self.far {
            Far::Open(link) => link.finish(&mut shared.cx(now)),
            Far::Opening(link) => link.abort(&mut shared.cx(now)),
            Far::Dialing(dial) => {
                dial.cancel(shared);
                self.far = Far::Gone;
            }
            Far::None | Far::Gone => {}
        }
        // A client that is still there hears when all has arrived.
        if matches!(self.far, Far::None | Far::Gone) && !self.near_gone {
            self.near.finish(&mut shared.cx(now));
        }
    }

    /// The destination has ended, or is gone.
    fn far_ended(&mut self, shared: &mut Shared, now: Time, error: Option<LinkError>) {
        match self.stage {
            Stage::Open { .. } | Stage::Answer => {
                let reason = error
                    .as_ref()
                    .map_or_else(|| "it closed the connection".to_owned(), LinkError::to_string);
                self.fail(shared, now, &reason);
            }
            Stage::Running => {
                let reason = error
                    .as_ref()
                    .map_or_else(|| "it closed the connection".to_owned(), LinkError::to_string);
                warn!("client {} from {}: lost {}: {reason}", self.id.0, self.peer, shared.config.to);
                shared.counters.lost += 1;
                if self.near.progress() == Progress::Accepted {
                    let status = connection_closed(&format!("{} was lost: {reason}", shared.config.to));
                    self.near.send(&mut shared.cx(now), status);
                }
                self.begin_end();
            }
            Stage::Connect | Stage::Ending => {
                if let Some(error) = error {
                    info!("client {} from {}: {}: {error}", self.id.0, self.peer, shared.config.to);
                }
            }
        }
        if let Far::Opening(link) | Far::Open(link) = &mut self.far {
            link.finish(&mut shared.cx(now));
        }
        if !self.near_gone {
            self.near.finish(&mut shared.cx(now));
        }
    }

    /// There is no way to the destination: the client is told why, and let go.
    fn fail(&mut self, shared: &mut Shared, now: Time, reason: &str) {
        let hint = self.hint.take().map(|hint| format!(": {hint}")).unwrap_or_default();
        let reason = format!("{reason}{hint}");
        warn!("client {} from {}: cannot connect to {}: {reason}", self.id.0, self.peer, shared.config.to);
        shared.counters.failed += 1;
        if let Progress::Asked { transaction } = self.near.progress() {
            let description = format!("cannot connect to {}: {reason}", shared.config.to);
            self.near.send(&mut shared.cx(now), connection_failed(transaction, &description));
        }
        self.begin_end();
        self.backlog = Vec::new();
        self.near.finish(&mut shared.cx(now));
    }

    /// From here on the links have their own deadlines.
    fn begin_end(&mut self) {
        self.stage = Stage::Ending;
        self.deadline = Time::MAX;
    }

    /// Ends everything at once.
    pub(super) fn abort(&mut self, shared: &mut Shared, now: Time) {
        self.begin_end();
        match &mut self.far {
            Far::Opening(link) | Far::Open(link) => link.abort(&mut shared.cx(now)),
            Far::Dialing(dial) => {
                dial.cancel(shared);
                self.far = Far::Gone;
            }
            Far::None | Far::Gone => {}
        }
        self.near.abort(&mut shared.cx(now));
        self.settle(shared, now);
    }

    pub(super) fn poll_timeout(&mut self) -> Option<Time> {
        let far = match &mut self.far {
            Far::Dialing(dial) => dial.poll_timeout(),
            Far::Opening(link) | Far::Open(link) => link.poll_timeout(),
            Far::None | Far::Gone => None,
        };
        let deadline = Some(self.deadline).filter(|at| !at.is_never());
        let courtesy = self.compat.poll_timeout().filter(|_| self.stage == Stage::Running);
        [deadline, courtesy, far, self.near.poll_timeout()].into_iter().flatten().min()
    }

    pub(super) fn handle_timeout(&mut self, shared: &mut Shared, now: Time) {
        self.near.handle_timeout(&mut shared.cx(now));
        if let Far::Opening(link) | Far::Open(link) = &mut self.far {
            link.handle_timeout(&mut shared.cx(now));
        }
        self.dial(shared, now, |dial, shared| dial.handle_timeout(shared, now));
        while self.stage == Stage::Running
            && let Some(answers) = self.compat.overdue(shared, now)
        {
            for message in answers.into_iter().flatten() {
                self.near.send(&mut shared.cx(now), message);
            }
        }
        self.settle(shared, now);
        if self.deadline <= now {
            self.deadline = Time::MAX;
            self.late(shared, now);
            self.settle(shared, now);
        }
    }

    /// Ends what is under way to the destination, for a reason that the client is told.
    pub(super) fn give_up(&mut self, shared: &mut Shared, now: Time, reason: &str) {
        match &mut self.far {
            Far::Dialing(dial) => {
                dial.cancel(shared);
                self.far = Far::Gone;
            }
            Far::Opening(link) | Far::Open(link) => link.abort(&mut shared.cx(now)),
            Far::None | Far::Gone => {}
        }
        self.fail(shared, now, reason);
        self.settle(shared, now);
    }

    /// The patience with what is under way has ended.
    fn late(&mut self, shared: &mut Shared, now: Time) {
        match self.stage {
            Stage::Connect => {
                info!("client {} from {}: no connect in time", self.id.0, self.peer);
                self.abort(shared, now);
            }
            Stage::Open { .. } | Stage::Answer => self.give_up(shared, now, "it does not answer"),
            Stage::Running | Stage::Ending => {}
        }
    }
}
