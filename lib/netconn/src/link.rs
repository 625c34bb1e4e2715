use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use rtmfp::CloseReason;
use rtmfp_base::{Action, Counters, StreamId, Tag, Time, Visit};
use rtmfp_media::TcMessage;
use rtmfp_media::aggregate::{self, Parts};
use rtmfp_media::amf0::Value;
use rtmfp_media::command;
pub use rtmfp_rtmp::Role;

use crate::gate::{Gate, Wait};
use crate::meaning::Meaning;
use crate::{Endpoints, LinkConfig, RtmfpLink, RtmpLink};

/// What the methods of links need: the time, the endpoints, and where to put what they ask of the host.
#[derive(Debug)]
pub struct Cx<'a> {
    /// The time.
    pub now: Time,
    /// The endpoints that carry RTMFP links.
    pub endpoints: &'a mut Endpoints,
    /// What links ask of the host.
    pub actions: &'a mut VecDeque<Action>,
}

/// Names a link among those of a program, which chooses the number. The tags of its flows begin with it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LinkId(pub u32);

impl LinkId {
    pub(crate) const fn tag(self, low: u32) -> Tag {
        Tag((self.0 as u64) << 32 | low as u64)
    }

    /// The link that a flow with a tag belongs to.
    pub const fn of(tag: Tag) -> Self {
        Self((tag.0 >> 32) as u32)
    }
}

/// What a link tells.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum LinkEvent {
    /// The handshake with the peer is complete.
    Open,
    /// A message came.
    Message(TcMessage),
    /// The peer has ended in order: no message will come any more. Messages can still be sent.
    Ended,
    /// The link is gone; nothing more comes of it.
    Closed(Result<(), LinkError>),
}

/// Why a link has ended.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The peer broke RTMP's rules.
    #[error(transparent)]
    Rtmp(#[from] rtmfp_rtmp::Error),
    /// The byte stream failed.
    #[error("{0}")]
    Stream(String),
    /// The byte stream ended before the handshake did.
    #[error("the connection was closed during the handshake")]
    EarlyEnd,
    /// The RTMFP session ended.
    #[error("{0}")]
    Session(CloseReason),
    /// The peer refused the connection's own flow.
    #[error("refused with code {0}")]
    Refused(u64),
    /// The peer answered with a flow that does not begin a connection.
    #[error("the peer's first flow is not that of a connection")]
    NoControlFlow,
    /// A flow could not be opened.
    #[error("cannot open a flow: {0}")]
    Flow(#[from] rtmfp::OpenFlowError),
    /// The peer sent a message that is too long.
    #[error("a message is longer than allowed")]
    BrokenLimit,
    /// More waits to be sent than is allowed, and nothing of it can be dropped.
    #[error("the peer takes too little: {queued} bytes wait for it")]
    QueueFull {
        /// How many bytes wait.
        queued: usize,
    },
    /// More NetStreams than are allowed.
    #[error("more than {limit} streams are in use")]
    Streams {
        /// How many are allowed.
        limit: usize,
    },
    /// Finishing took too long.
    #[error("the peer did not finish in time")]
    Unfinished,
    /// The near end gave it up.
    #[error("given up")]
    Aborted,
}

/// How far the `connect` of a link has come.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Progress {
    /// There was none yet.
    #[default]
    Silent,
    /// It waits for its answer.
    Asked {
        /// Its transaction.
        transaction: f64,
    },
    /// It was answered with success.
    Accepted,
    /// It was answered with an error.
    Refused,
}

impl Progress {
    fn ask(&mut self, meaning: Meaning) {
        if let (Self::Silent, Meaning::Connect { transaction }) = (*self, meaning) {
            *self = Self::Asked { transaction };
        }
    }

    /// Answers whether this is what accepts the connection.
    fn answer(&mut self, meaning: Meaning) -> bool {
        let Self::Asked { transaction: asked } = *self else { return false };
        match meaning {
            Meaning::Result { transaction } if transaction == asked => *self = Self::Accepted,
            Meaning::Error { transaction } if transaction == asked => *self = Self::Refused,
            _ => {}
        }
        *self == Self::Accepted
    }
}

/// What a link has counted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct LinkStats {
    /// Messages received and handed out.
    pub received_messages: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// Messages taken for sending.
    pub sent_messages: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Messages of media that were not sent or not delivered, because they were too late or needed others that were.
    pub dropped_messages: u64,
    /// Received messages that mean nothing here: of another layer, or not to be understood.
    pub ignored_messages: u64,
}

impl LinkStats {
    /// Adds what another link has counted.
    pub fn add(&mut self, other: &Self) {
        self.received_messages += other.received_messages;
        self.received_bytes += other.received_bytes;
        self.sent_messages += other.sent_messages;
        self.sent_bytes += other.sent_bytes;
        self.dropped_messages += other.dropped_messages;
        self.ignored_messages += other.ignored_messages;
    }
}

impl Counters for LinkStats {
    fn visit(&self, visit: &mut Visit<'_>) {
        visit("received_messages", self.received_messages);
        visit("received_message_bytes", self.received_bytes);
        visit("sent_messages", self.sent_messages);
        visit("sent_message_bytes", self.sent_bytes);
        visit("dropped_messages", self.dropped_messages);
        visit("ignored_messages", self.ignored_messages);
    }
}

/// What links of all kinds have in common.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) id: LinkId,
    pub(crate) role: Role,
    pub(crate) config: Arc<LinkConfig>,
    pub(crate) progress: Progress,
    pub(crate) gate: Gate,
    /// How many messages of a stream are on their way; streams without any are not in it.
    pending: BTreeMap<u32, usize>,
    pub(crate) stats: LinkStats,
    /// The near end finishes: when its patience ends.
    pub(crate) finish_by: Option<Time>,
    events: VecDeque<LinkEvent>,
    ended: bool,
    closed: bool,
}

/// What has to be done besides handing out a received message.
#[derive(Debug)]
pub(crate) enum Received {
    /// Nothing.
    Done,
    /// The peer is trusted from now on.
    Accepted,
    /// This is to be answered.
    Answer(TcMessage),
    /// It is for the link itself.
    Own(Meaning),
}

impl Common {
    pub(crate) fn new(id: LinkId, role: Role, config: Arc<LinkConfig>) -> Self {
        Self {
            id,
            role,
            config,
            progress: Progress::default(),
            gate: Gate::default(),
            pending: BTreeMap::new(),
            stats: LinkStats::default(),
            finish_by: None,
            events: VecDeque::new(),
            ended: false,
            closed: false,
        }
    }

    pub(crate) fn tell(&mut self, event: LinkEvent) {
        if !self.closed {
            self.events.push_back(event);
        }
    }

    pub(crate) fn tell_ended(&mut self) {
        if !core::mem::replace(&mut self.ended, true) {
            self.tell(LinkEvent::Ended);
        }
    }

    pub(crate) fn tell_closed(&mut self, result: Result<(), LinkError>) {
        self.tell(LinkEvent::Closed(result));
        self.closed = true;
        self.gate.clear();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.ended
    }

    /// Takes a received message.
    pub(crate) fn receive(&mut self, message: TcMessage) -> Received {
        let meaning = Meaning::of(&message);
        match meaning {
            Meaning::FlowSync { .. } | Meaning::SetKeepalive { .. } => {
                self.stats.ignored_messages += 1;
                return Received::Own(meaning);
            }
            Meaning::ChunkLayer => {
                self.stats.ignored_messages += 1;
                return Received::Done;
            }
            Meaning::SetPeerInfo { transaction } => {
                self.stats.ignored_messages += 1;
                if transaction == 0.0 || self.role == Role::Client {
                    return Received::Done;
                }
                let answer = command::result(transaction).value(Value::Null).message(0);
                return Received::Answer(answer);
            }
            Meaning::Aggregate => {
                self.receive_parts(&message);
                return Received::Done;
            }
            _ => {}
        }
        self.hand_out(message);
        let accepted = match self.role {
            Role::Client => self.progress.answer(meaning),
            Role::Server => {
                self.progress.ask(meaning);
                false
            }
        };
        if accepted { Received::Accepted } else { Received::Done }
    }

    fn receive_parts(&mut self, message: &TcMessage) {
        for part in Parts::of(message, aggregate::DEFAULT_LIMIT).into_iter().flatten() {
            match part {
                Ok(part) => self.hand_out(part),
                Err(_) => self.stats.ignored_messages += 1,
            }
        }
    }

    fn hand_out(&mut self, message: TcMessage) {
        self.stats.received_messages += 1;
        self.stats.received_bytes += message.payload.len() as u64;
        self.tell(LinkEvent::Message(message));
    }

    /// Looks at a message that is to be sent: what it means, and whether it accepts the connection. `None`: it is
    /// not for the other side of a link.
    pub(crate) fn send(&mut self, message: &TcMessage) -> Option<(Meaning, bool)> {
        let meaning = Meaning::of(message);
        match meaning {
            Meaning::ChunkLayer
            | Meaning::FlowSync { .. }
            | Meaning::SetKeepalive { .. }
            | Meaning::SetPeerInfo { .. } => return None,
            _ => {}
        }
        let accepted = match self.role {
            Role::Server => self.progress.answer(meaning),
            Role::Client => {
                self.progress.ask(meaning);
                false
            }
        };
        self.stats.sent_messages += 1;
        self.stats.sent_bytes += message.payload.len() as u64;
        Some((meaning, accepted))
    }

    /// Holds a message back if it has to wait; gives it back if not.
    pub(crate) fn hold_back(
        &mut self,
        now: Time,
        message: TcMessage,
        meaning: Meaning,
        peer_ready: bool,
    ) -> Option<TcMessage> {
        let wait = match meaning {
            Meaning::Ends { stream, .. } => Some(Wait::Drained(stream)),
            _ if message.stream_id != 0 && !peer_ready => Some(Wait::Peer),
            _ => None,
        };
        let waits = wait.is_some_and(|wait| !self.has_come(wait, peer_ready));
        if !waits && !self.gate.blocks(message.stream_id) {
            return Some(message);
        }
        let until = match wait {
            Some(Wait::Drained(_)) => now + self.config.drain_limit,
            _ => Time::MAX,
        };
        self.gate.hold(message, wait, until);
        None
    }

    /// The next message that needs not wait any more.
    pub(crate) fn release(&mut self, now: Time, peer_ready: bool) -> Option<TcMessage> {
        let mut gate = core::mem::take(&mut self.gate);
        let patient = self.finish_by.is_some();
        let message = gate.release(now, patient, |wait| self.has_come(wait, peer_ready));
        self.gate = gate;
        message
    }

    fn has_come(&self, wait: Wait, peer_ready: bool) -> bool {
        match wait {
            Wait::Drained(Some(stream)) => !self.pending.contains_key(&stream),
            Wait::Drained(None) => self.pending.is_empty(),
            Wait::Peer => peer_ready,
        }
    }

    /// A message of a stream is on its way.
    pub(crate) fn note_sent(&mut self, stream_id: u32) {
        *self.pending.entry(stream_id).or_default() += 1;
    }

    /// A message of a stream has arrived, or will not.
    pub(crate) fn note_done(&mut self, stream_id: u32) {
        if let Some(count) = self.pending.get_mut(&stream_id) {
            *count -= 1;
            if *count == 0 {
                self.pending.remove(&stream_id);
            }
        }
    }

    /// When the gate or the near end's patience wants to be looked at.
    pub(crate) fn next_end(&self) -> Option<Time> {
        let gate = self.gate.next_end().filter(|_| self.finish_by.is_none());
        gate.into_iter().chain(self.finish_by).min()
    }
}

/// A connection with a peer, whatever carries it.
#[derive(Debug)]
pub enum Link {
    /// Over the flows of an RTMFP session.
    Rtmfp(Box<RtmfpLink>),
    /// Over a byte stream.
    Rtmp(Box<RtmpLink>),
}

impl Link {
    fn common(&self) -> &Common {
        match self {
            Self::Rtmfp(link) => &link.common,
            Self::Rtmp(link) => &link.common,
        }
    }

    /// Its name.
    pub fn id(&self) -> LinkId {
        self.common().id
    }

    /// How far the connect has come.
    pub fn progress(&self) -> Progress {
        self.common().progress
    }

    /// What it has counted.
    pub fn stats(&self) -> LinkStats {
        self.common().stats
    }

    /// The byte stream that carries it, if one does.
    pub fn stream(&self) -> Option<StreamId> {
        match self {
            Self::Rtmfp(_) => None,
            Self::Rtmp(link) => Some(link.stream()),
        }
    }

    /// What has happened.
    pub fn poll_event(&mut self) -> Option<LinkEvent> {
        match self {
            Self::Rtmfp(link) => link.common.events.pop_front(),
            Self::Rtmp(link) => link.common.events.pop_front(),
        }
    }

    /// Sends a message. What can't be sent any more is dropped; when that must not be, the link ends.
    pub fn send(&mut self, cx: &mut Cx<'_>, message: TcMessage) {
        match self {
            Self::Rtmfp(link) => link.send(cx, message),
            Self::Rtmp(link) => link.send(cx, message),
        }
    }

    /// Ends in order: all that was sent arrives, or expires; then the other end is told. [`LinkEvent::Closed`] follows
    /// when it has finished as well. Received messages are still handed out.
    pub fn finish(&mut self, cx: &mut Cx<'_>) {
        match self {
            Self::Rtmfp(link) => link.finish(cx),
            Self::Rtmp(link) => link.finish(cx),
        }
    }

    /// Ends at once. [`LinkEvent::Closed`] follows.
    pub fn abort(&mut self, cx: &mut Cx<'_>) {
        match self {
            Self::Rtmfp(link) => link.abort(cx),
            Self::Rtmp(link) => link.abort(cx),
        }
    }

    /// When to call [`Link::handle_timeout`].
    pub fn poll_timeout(&mut self) -> Option<Time> {
        match self {
            Self::Rtmfp(link) => link.poll_timeout(),
            Self::Rtmp(link) => link.poll_timeout(),
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, cx: &mut Cx<'_>) {
        match self {
            Self::Rtmfp(link) => link.handle_timeout(cx),
            Self::Rtmp(link) => link.handle_timeout(cx),
        }
    }

    /// Takes an event of the endpoint that is about one of its flows, or its session.
    pub fn endpoint_event(&mut self, cx: &mut Cx<'_>, event: rtmfp::Event) {
        if let Self::Rtmfp(link) = self {
            link.endpoint_event(cx, event);
        }
    }

    /// Takes bytes of its byte stream.
    pub fn stream_data(&mut self, cx: &mut Cx<'_>, bytes: &[u8]) {
        if let Self::Rtmp(link) = self {
            link.receive(cx, bytes);
        }
    }

    /// The peer will send nothing more on the byte stream.
    pub fn stream_ended(&mut self, cx: &mut Cx<'_>) {
        if let Self::Rtmp(link) = self {
            link.end_of_stream(cx);
        }
    }

    /// The byte stream is gone.
    pub fn stream_closed(&mut self, error: Option<String>) {
        if let Self::Rtmp(link) = self {
            link.closed(error);
        }
    }

    /// Appends bytes for its byte stream.
    pub fn fill_stream(&mut self, cx: &mut Cx<'_>, limit: usize, out: &mut Vec<u8>) {
        if let Self::Rtmp(link) = self {
            link.fill(cx, limit, out);
        }
    }
}
