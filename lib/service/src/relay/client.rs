//! One client: the link with it, the link with its destination, and what joins them.

mod ending;
mod reaching;
mod refusal;
mod streams;

use core::fmt;
use core::net::SocketAddr;

use log::{debug, info};
use rtmfp_base::{Shown, Time, TokenBucket};
use rtmfp_media::message::kind;
use rtmfp_netconn::{
    ConnectRequest, Cx, Link, LinkEvent, LinkId, Progress, StreamUse, TcMessage, public_uri,
};

use super::compat::Compat;
use super::dial::Dial;
use super::shared::Shared;
use refusal::Refusal;
use streams::Streams;

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

/// A client, as the log names it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Who {
    id: ClientId,
    pub(super) peer: SocketAddr,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "client {} from {}", self.id.0, self.peer)
    }
}

#[derive(Debug)]
pub(super) struct Client {
    pub(super) who: Who,
    near: Link,
    near_gone: bool,
    far: Far,
    /// What waits for the destination.
    backlog: Vec<TcMessage>,
    /// Bytes that it has sent before its connect was accepted.
    early_bytes: usize,
    /// Bytes that it may send beside media.
    talk: TokenBucket,
    /// When the next step has to be done: the handshake, the connect, its answer, the end.
    deadline: Time,
    stage: Stage,
    compat: Compat,
    streams: Streams,
    /// What may be wrong with the destination, should it not be reached.
    hint: Option<String>,
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

/// How far it has come, and so what its deadline is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// The client's handshake and connect.
    Connect,
    /// The way to the destination.
    Open { asked: Time },
    /// The destination's answer.
    Answer,
    /// The end, as the destination does not want it. It is the client's to leave.
    Refused,
    /// Nothing: it is being relayed.
    Running,
    /// Nothing: it was told to go, and nothing of it is passed on any more. Its links end.
    Dismissed,
    /// Nothing: its links end.
    Ending,
}

impl Client {
    pub(super) fn new(shared: &Shared, now: Time, id: ClientId, peer: SocketAddr, near: Link) -> Self {
        let config = &shared.config;
        let (burst, rate) = config.talk();
        Self {
            who: Who { id, peer },
            near,
            near_gone: false,
            far: Far::None,
            backlog: Vec::new(),
            early_bytes: 0,
            talk: TokenBucket::new(burst, rate),
            deadline: now + config.rtmp.handshake_timeout + config.timeouts.connect,
            stage: Stage::Connect,
            compat: Compat::default(),
            streams: Streams::default(),
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
            "{}: gone; {} messages with {} bytes from it, {} with {} to it, {} dropped",
            self.who,
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
                debug!("{}: handshake complete", self.who);
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
        let is_media = matches!(message.kind, kind::AUDIO | kind::VIDEO);
        let may_pass = match self.stage {
            Stage::Dismissed => false,
            Stage::Open { .. } | Stage::Answer => self.may_send_early(shared, now, &message),
            // A second connect included: servers close at one, and encoders that log in, or try again, come back by a
            // new connection.
            Stage::Refused => {
                self.may_send_early(shared, now, &message);
                false
            }
            Stage::Running => is_media || self.may_talk(shared, now, &message),
            Stage::Connect | Stage::Ending => true,
        };
        if !may_pass {
            return;
        }
        match &mut self.far {
            Far::Open(link) => {
                self.streams.note(now, shared, self.who, &message);
                let message = self.compat.upstream(shared, now, self.who, &self.near, message);
                link.send(&mut shared.cx(now), message);
            }
            Far::None => {
                let Some(request) = ConnectRequest::parse(&message) else { return };
                if self.stage != Stage::Connect {
                    return;
                }
                let url = public_uri(&request.tc_url);
                info!("{}: connect to application {:?} ({:?})", self.who, Shown(&request.app), Shown(&url));
                let uri = if (1..=MAX_URI).contains(&url.len()) { url } else { "rtmfp:".to_owned() };
                self.stage = Stage::Open { asked: now };
                self.deadline = now + shared.config.timeouts.open;
                self.far = Far::Dialing(Dial::new(shared, self.who.id.link(Side::Far), uri));
                if self.may_send_early(shared, now, &message) {
                    self.backlog.push(message);
                }
            }
            Far::Dialing(_) | Far::Opening(_) => self.backlog.push(message),
            Far::Gone => {}
        }
    }

    /// Bounds what is kept, or queued for the destination, before the connect is accepted; and what is read for nothing
    /// when it was refused.
    fn may_send_early(&mut self, shared: &mut Shared, now: Time, message: &TcMessage) -> bool {
        self.early_bytes += message.payload.len() + size_of::<TcMessage>();
        let may = self.early_bytes <= shared.config.max_early_bytes;
        if !may {
            let line = format_args!("{}: closed, it sends too much without being connected", self.who);
            shared.notices.floods.warn(now, line);
            self.near.abort(&mut shared.cx(now));
        }
        may
    }

    /// Bounds what has to be read more than once: commands, data, shared objects.
    fn may_talk(&mut self, shared: &mut Shared, now: Time, message: &TcMessage) -> bool {
        // Each costs something, however short it is.
        let cost = message.payload.len() + size_of::<TcMessage>();
        let may = self.talk.take(now, u32::try_from(cost).unwrap_or(u32::MAX));
        if !may {
            shared.counters.talked_too_much += 1;
            let line = format_args!(
                "{}: closed, it sends more than {} bytes of commands and data a second (--max-commands)",
                self.who, shared.config.max_talk
            );
            shared.notices.floods.warn(now, line);
            self.near.abort(&mut shared.cx(now));
        }
        may
    }

    fn on_far(&mut self, shared: &mut Shared, now: Time, event: LinkEvent) {
        match event {
            LinkEvent::Open => self.reached(shared, now),
            LinkEvent::Message(message) => self.on_far_message(shared, now, message),
            LinkEvent::Ended => self.far_ended(shared, now, None),
            LinkEvent::Closed(result) => {
                if let Far::Opening(link) | Far::Open(link) = core::mem::replace(&mut self.far, Far::Gone) {
                    shared.release(now, &link);
                    let stats = link.stats();
                    if stats.dropped_messages > 0 {
                        info!(
                            "{}: {} of {} messages to {} were dropped",
                            self.who, stats.dropped_messages, stats.sent_messages, shared.config.to
                        );
                    }
                    shared.counters.far.add(&stats);
                }
                self.far_ended(shared, now, result.err());
            }
            _ => {}
        }
    }

    fn on_far_message(&mut self, shared: &mut Shared, now: Time, message: TcMessage) {
        if self.stage == Stage::Dismissed {
            return;
        }
        self.streams.note_media(now, &message);
        let may_be_answer = (self.stage == Stage::Answer).then(|| message.clone());
        for message in self.compat.downstream(shared, self.who, &self.near, message).into_iter().flatten() {
            self.near.send(&mut shared.cx(now), message);
        }
        if let Some(message) = may_be_answer {
            self.note_answer(shared, now, &message);
        }
    }

    /// Looks whether the connect was answered by now, which that message may have done.
    fn note_answer(&mut self, shared: &mut Shared, now: Time, message: &TcMessage) {
        match self.near.progress() {
            Progress::Accepted => {
                shared.counters.connected += 1;
                self.compat.accepted(shared, now);
                self.streams.begin(now);
                self.stage = Stage::Running;
                self.deadline = Time::MAX;
            }
            Progress::Refused => self.refused(shared, now, &Refusal::of(message)),
            Progress::Silent | Progress::Asked { .. } => {}
        }
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
}
