use std::collections::VecDeque;

use rtmfp::CloseReason;
use rtmfp_base::{Action, Counters, Tag, Time, Visit};
use rtmfp_media::TcMessage;
pub use rtmfp_rtmp::Role;

use crate::common::Common;
use crate::meaning::Meaning;
use crate::{Endpoints, RtmfpLink, RtmpLink};

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
    pub(crate) fn ask(&mut self, meaning: Meaning) {
        if let (Self::Silent, Meaning::Connect { transaction }) = (*self, meaning) {
            *self = Self::Asked { transaction };
        }
    }

    /// Answers whether this is what accepts the connection.
    pub(crate) fn answer(&mut self, meaning: Meaning) -> bool {
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
