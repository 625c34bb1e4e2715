//! What an endpoint tells its application.

use core::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use rtmfp_base::{InterfaceId, ReceiptId, RecvMeta, Tag};

use crate::crypto::KeyingError;
use crate::{RecvFlowId, SendFlowId, SessionId};

/// Something happened. Poll events after every input.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A session is open.
    SessionOpened {
        /// Which one.
        session: SessionId,
        /// The near end began it.
        initiator: bool,
    },
    /// A session has ended; its flows got their own events before.
    SessionClosed {
        /// Which one.
        session: SessionId,
        /// Why.
        reason: CloseReason,
    },
    /// Keying with a far end did not work out, or does not so far. Of those that happen before the next one is polled only
    /// the latest is told, as anybody can bring them about.
    KeyingFailed {
        /// The address of the far end.
        peer: SocketAddr,
        /// The near end is the initiator.
        initiator: bool,
        /// What is wrong.
        failure: KeyingFailure,
    },
    /// The far end of a session is at another address or reached by another interface now, and has proven it.
    AddressChanged {
        /// Which session.
        session: SessionId,
        /// The new address.
        to: SocketAddr,
        /// The interface that packets leave from now.
        interface: InterfaceId,
    },
    /// The far end began a flow. Answer by `accept` or `reject` before the next event is polled; else the flow is
    /// rejected.
    FlowOffered {
        /// The flow.
        flow: RecvFlowId,
        /// Its session.
        session: SessionId,
        /// What the far end says about it.
        metadata: Bytes,
        /// The sending flow that it is in return of.
        associated: Option<(SendFlowId, Tag)>,
    },
    /// A flow has messages to read. Told again only after they were all read.
    Readable {
        /// Which one.
        flow: RecvFlowId,
        /// What it was accepted with.
        tag: Tag,
    },
    /// The far end closed the flow and all its messages were read. The id is dead.
    FlowFinished {
        /// Which one.
        flow: RecvFlowId,
        /// What it was accepted with.
        tag: Tag,
    },
    /// The flow ended before its end: its session was lost, or the far end broke a limit. The id is dead.
    ///
    /// When the far end closes the session, or stops answering, what was received whole and in order can be read until
    /// this event is polled: [`Self::Readable`] comes before it, for flows on hold too. A flow of which everything has
    /// come ends with [`Self::FlowFinished`] then.
    FlowLost {
        /// Which one.
        flow: RecvFlowId,
        /// What it was accepted with.
        tag: Tag,
    },
    /// A sending flow's session is open.
    FlowBound {
        /// Which one.
        flow: SendFlowId,
        /// What it was opened with.
        tag: Tag,
        /// Its session.
        session: SessionId,
    },
    /// A sending flow has room again after it was full.
    Writable {
        /// Which one.
        flow: SendFlowId,
        /// What it was opened with.
        tag: Tag,
    },
    /// Fewer bytes of a sending flow are unsent than its low-water mark, after there were as many.
    UnsentLow {
        /// Which one.
        flow: SendFlowId,
        /// What it was opened with.
        tag: Tag,
    },
    /// The far end rejected the flow, or its session could not be opened or was lost (code 0). Nothing more can be
    /// written, and no [`Self::FlowClosed`] follows: only the ends of writes, which are abandoned.
    ///
    /// The session of a flow that was rejected lives on. For a round trip, unless the flow is [closed](
    /// crate::SendFlowRef::close), the far end may still offer flows in return of it, to say why.
    FlowException {
        /// Which one.
        flow: SendFlowId,
        /// What it was opened with.
        tag: Tag,
        /// The far end's code.
        code: u64,
    },
    /// All that was written to a closed flow has ended and the far end knows it. The id is dead. Not told of flows that
    /// have ended by [`Self::FlowException`].
    FlowClosed {
        /// Which one.
        flow: SendFlowId,
        /// What it was opened with.
        tag: Tag,
    },
    /// A write that wanted a receipt has ended.
    WriteEnded {
        /// Its receipt. The id is dead.
        receipt: ReceiptId,
        /// The tag of its flow.
        tag: Tag,
        /// It was delivered whole; otherwise it was abandoned.
        delivered: bool,
    },
    /// While [watching](crate::Endpoint::set_watch_hellos): an IHello that selects somebody else. A redirector answers it by
    /// [`send_redirect`](crate::Endpoint::send_redirect), a forwarder sends it on by
    /// [`forward_ihello`](crate::SessionRef::forward_ihello).
    UnmatchedIHello {
        /// Whom the initiator wants to talk with: its Endpoint Discriminator.
        epd: Bytes,
        /// What an answer has to echo.
        tag: Bytes,
        /// The initiator's address. It is not proved.
        from: SocketAddr,
        /// The way it came; none when a forwarder sent it.
        via: Option<Via>,
        /// Bytes of the datagram that brought it, beside which the answer should be short:
        /// [`fair_redirect`](crate::Endpoint::fair_redirect). 0 when a forwarder sent it.
        len: usize,
    },
    /// While [watching](crate::Endpoint::set_watch_hellos): an RHello that no opening session waits for; the answer to
    /// [`send_ihello`](crate::Endpoint::send_ihello), perhaps.
    UnmatchedRHello {
        /// The tag of the hello that it answers.
        tag: Bytes,
        /// The responder's certificate. It is not proved.
        certificate: Bytes,
        /// Where it came from.
        from: SocketAddr,
        /// The way it came.
        via: Via,
    },
    /// After `shutdown`: no session is left.
    ShutDown,
}

/// The near end of a datagram's way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Via {
    /// The interface.
    pub interface: InterfaceId,
    /// The local address of the host, where the interface has several.
    pub src_ip: Option<IpAddr>,
}

impl From<InterfaceId> for Via {
    fn from(interface: InterfaceId) -> Self {
        Self { interface, src_ip: None }
    }
}

/// The way back.
impl From<&RecvMeta> for Via {
    fn from(meta: &RecvMeta) -> Self {
        Self { interface: meta.interface, src_ip: meta.dst_ip }
    }
}

/// Why keying did not work out.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyingFailure {
    /// What the far end has said is refused here.
    #[error(transparent)]
    Refused(#[from] KeyingError),
    /// As initiator: the far end answers hellos, but has left the keying unanswered three times. It goes on being sent.
    #[error("the far end leaves the keying unanswered")]
    Unanswered,
    /// As responder: the initiator only offered what the near end requires and then never used the session
    /// ([`Config::offered_timeout`](crate::Config::offered_timeout)), which has ended. Some offer what they can't do. It
    /// says what.
    #[error("the far end only offered what is required here, {0}, and never used the session")]
    OnlyOffered(&'static str),
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// The near end closed it.
    #[error("closed here")]
    Near,
    /// The far end closed it.
    #[error("closed by the far end")]
    Far,
    /// The far end did not answer for the retransmit limit.
    #[error("the far end stopped answering")]
    Unresponsive,
    /// It had no flow for the idle limit.
    #[error("idle")]
    Idle,
    /// While opening, the network said of all addresses that nobody is there, and nobody answered.
    #[error("nobody there")]
    Unreachable,
    /// It could not be opened in time.
    #[error("no answer while opening")]
    OpenTimeout,
    /// The two ends have no cryptography in common, or the far end's is not acceptable.
    #[error("the ends can't agree on keys")]
    Keying,
    /// The far end never showed that it holds the session's keys.
    #[error("the far end never used the session")]
    NeverUsed,
    /// It was being opened to somebody with whom there is another session now, that has its flows.
    #[error("there is another session with the same far end")]
    Duplicate,
    /// The far end came back with a new session, from the same address with the same certificate.
    #[error("the far end came back with a new session")]
    Replaced,
}
