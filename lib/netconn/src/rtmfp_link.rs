use core::net::SocketAddr;
use std::collections::BTreeMap;
use std::sync::Arc;

use rtmfp::{Event, FlowSpec, Priority, RecvFlowId, SendFlowId, SessionId};
use rtmfp_base::{Tag, Time};
use rtmfp_flash::Epd;
use rtmfp_media::command;

use crate::common::Common;
use crate::flow_sync::Barriers;
use crate::link::{Cx, LinkError, LinkEvent, LinkId, Role};
use crate::meaning::Meaning;
use crate::policy::Lane;
use crate::{EndpointId, FlowMetadata, LinkConfig};

mod pictures;
mod receiving;
mod sending;

use receiving::Incoming;
use sending::Outgoing;

/// A link over the flows of an RTMFP session (RFC 7425 section 5).
///
/// Each end has one flow for the connection itself, the *control flow*. Each NetStream has up to three more in each
/// direction, opened when they are needed: for video, for audio, and for data and commands.
#[derive(Debug)]
pub struct RtmfpLink {
    pub(crate) common: Common,
    endpoint: EndpointId,
    /// Once it is open.
    session: Option<SessionId>,
    control: Control,
    /// Messages of the control flow that were not delivered yet, where that is to be known.
    control_left: usize,
    far_control: FarControl,
    /// What is sent, by NetStream.
    streams: BTreeMap<u32, Outgoing>,
    /// Flows of streams that have not ended yet, closed ones included.
    sending_flows: usize,
    next_sync: u32,
    /// At least as much as waits to be sent.
    queued_bound: usize,
    receiving: BTreeMap<RecvFlowId, Incoming>,
    barriers: Barriers,
    /// Flows were lost with their session, the end of which is told next.
    broken: bool,
    /// The code with which the far end has rejected the near end's control flow, before there was one of its own.
    refused: Option<u64>,
    /// When to wait no longer for flows after the far end's control flow.
    tail_until: Option<Time>,
}

/// The near end's control flow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Control {
    Open(SendFlowId),
    Closing,
    /// All of it was delivered, or the far end wants nothing of it.
    Gone,
}

/// The far end's control flow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum FarControl {
    Awaited,
    Open(RecvFlowId),
    Gone,
}

/// What the tag of a sending flow says beside its link.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Use {
    Control,
    Stream(u32, Lane),
}

impl Use {
    const fn low(self) -> u32 {
        match self {
            Self::Control => 0,
            // Stream ids have 24 bits.
            Self::Stream(stream_id, lane) => stream_id << 2 | (lane as u32 + 1),
        }
    }

    const fn of(tag: Tag) -> Self {
        let low = tag.0 as u32;
        match low & 3 {
            0 => Self::Control,
            lane => Self::Stream(low >> 2, Lane::ALL[lane as usize - 1]),
        }
    }
}

fn spec(stream_id: u32, priority: Priority) -> FlowSpec {
    FlowSpec { metadata: FlowMetadata::new(stream_id).encode(), priority }
}

impl RtmfpLink {
    /// A link that a client opens to a server: to whoever answers to a URI at one of the addresses that
    /// [`RtmfpLink::add_candidate`] names. User information must not be in the URI: everyone can read it.
    ///
    /// # Errors
    /// When the endpoint can't open any more.
    pub fn connect(
        cx: &mut Cx<'_>,
        id: LinkId,
        endpoint: EndpointId,
        uri: &str,
        config: Arc<LinkConfig>,
    ) -> Result<Self, LinkError> {
        let opener = cx.endpoints.get(endpoint).ok_or(LinkError::Aborted)?;
        let epd = Epd::uri(uri).encode();
        let control =
            opener.open_flow(cx.now, &epd, spec(0, Priority::Immediate), id.tag(Use::Control.low()))?;
        Ok(Self::new(Common::new(id, Role::Client, config), endpoint, None, control, FarControl::Awaited))
    }

    /// A link that a client has opened with a flow: `None` if that is not what the flow is. It must be an answer to
    /// [`Event::FlowOffered`], given at once.
    pub fn accept(
        cx: &mut Cx<'_>,
        id: LinkId,
        endpoint: EndpointId,
        session: SessionId,
        flow: RecvFlowId,
        metadata: &[u8],
        config: Arc<LinkConfig>,
    ) -> Option<Self> {
        FlowMetadata::parse(metadata).filter(|metadata| metadata.stream_id == 0)?;
        let acceptor = cx.endpoints.get(endpoint)?;
        let tag = id.tag(Use::Control.low());
        acceptor.accept(cx.now, flow, tag);
        let control =
            acceptor.recv_flow(flow)?.open_return_flow(cx.now, spec(0, Priority::Immediate), tag).ok()?;
        let common = Common::new(id, Role::Server, config);
        let mut link = Self::new(common, endpoint, Some(session), control, FarControl::Open(flow));
        link.receiving.insert(flow, Incoming::new(0));
        link.common.tell(LinkEvent::Open);
        Some(link)
    }

    fn new(
        common: Common,
        endpoint: EndpointId,
        session: Option<SessionId>,
        control: SendFlowId,
        far_control: FarControl,
    ) -> Self {
        Self {
            common,
            endpoint,
            session,
            control: Control::Open(control),
            control_left: 0,
            far_control,
            streams: BTreeMap::new(),
            sending_flows: 0,
            next_sync: 0,
            queued_bound: 0,
            receiving: BTreeMap::new(),
            barriers: Barriers::default(),
            broken: false,
            refused: None,
            tail_until: None,
        }
    }

    /// Its endpoint.
    pub fn endpoint(&self) -> EndpointId {
        self.endpoint
    }

    /// Its session, once that is open.
    pub fn session(&self) -> Option<SessionId> {
        self.session
    }

    /// Adds an address to look for the server at, until the link is open.
    pub fn add_candidate(&mut self, cx: &mut Cx<'_>, address: SocketAddr) {
        if let Control::Open(control) = self.control
            && let Some(mut flow) = cx.endpoints.get(self.endpoint).and_then(|e| e.send_flow(control))
        {
            flow.add_candidate(cx.now, address);
        }
    }

    pub(crate) fn endpoint_event(&mut self, cx: &mut Cx<'_>, event: Event) {
        if self.common.is_closed() {
            if let Event::FlowOffered { flow, .. } = event {
                self.reject(cx, flow);
            }
            return;
        }
        match event {
            Event::FlowBound { tag, session, .. }
                if Use::of(tag) == Use::Control && self.session.replace(session).is_none() =>
            {
                self.common.tell(LinkEvent::Open);
            }
            Event::FlowOffered { flow, metadata, .. } => self.on_offer(cx, flow, &metadata),
            Event::Readable { flow, .. } => self.read(cx, flow),
            Event::FlowFinished { flow, .. } => self.on_finished(cx, flow),
            Event::FlowLost { flow, .. } => self.on_lost(cx, flow),
            Event::WriteEnded { receipt, tag, delivered } => self.on_write_ended(cx, receipt, tag, delivered),
            Event::FlowException { flow, tag, code } => self.on_exception(cx, flow, tag, code),
            Event::FlowClosed { flow, tag } => self.on_closed(cx, flow, tag),
            Event::SessionClosed { session, reason } if self.session.is_none_or(|own| own == session) => {
                self.session = None;
                let in_order = self.common.is_ended() && self.control == Control::Gone;
                self.common.tell_closed(match self.refusal() {
                    _ if in_order => Ok(()),
                    Some(refusal) => Err(refusal),
                    None => Err(LinkError::Session(reason)),
                });
            }
            _ => {}
        }
        self.settle(cx);
    }

    /// The connect was accepted: the peer is granted more, and told what a server wants to be told.
    fn on_accepted(&mut self, cx: &mut Cx<'_>) {
        let limits = self.common.config.trusted;
        let Some(endpoint) = cx.endpoints.get(self.endpoint) else { return };
        if let Some(mut session) = self.session.and_then(|session| endpoint.session(session)) {
            session.configure(cx.now, |session| {
                limits.grant(session);
                session.idle_limit = IDLE_LIMIT;
            });
        }
        for &flow in self.receiving.keys() {
            if let Some(mut flow) = endpoint.recv_flow(flow) {
                flow.set_capacity(cx.now, limits.session_bytes, limits.message_bytes + HEAD);
            }
        }
        if self.common.role == Role::Client {
            // Clients must say where they may be reached, which may be nowhere (RFC 7425 section 5.3.3).
            let info = command::set_peer_info([]).message(0);
            self.put(cx, info, Meaning::SetPeerInfo { transaction: 0.0 });
        }
    }

    /// Whether the session is open.
    fn has_session(&self, cx: &mut Cx<'_>) -> bool {
        let endpoint = cx.endpoints.get(self.endpoint);
        endpoint.zip(self.session).is_some_and(|(endpoint, session)| endpoint.session(session).is_some())
    }

    /// Why there is no link, if the far end has refused it without a word.
    fn refusal(&self) -> Option<LinkError> {
        self.refused.filter(|_| self.far_control == FarControl::Awaited).map(LinkError::Refused)
    }

    /// Whether messages of streams can be sent: they go in return of the far end's control flow.
    fn peer_is_ready(&self) -> bool {
        self.far_control != FarControl::Awaited
    }

    pub(crate) fn finish(&mut self, cx: &mut Cx<'_>) {
        if self.common.finish_by.is_none() && !self.common.is_closed() {
            self.wait_for_rest(cx.now);
            self.settle(cx);
        }
    }

    fn wait_for_rest(&mut self, now: Time) -> bool {
        let left = self.common.pending_messages();
        self.common.wait_for_rest(now, left)
    }

    pub(crate) fn abort(&mut self, cx: &mut Cx<'_>) {
        self.fail(cx, LinkError::Aborted);
    }

    /// Ends at once, and the session with it.
    fn fail(&mut self, cx: &mut Cx<'_>, error: LinkError) {
        self.leave(cx, Err(error));
    }

    /// Ends, and the session with it.
    fn leave(&mut self, cx: &mut Cx<'_>, result: Result<(), LinkError>) {
        if self.common.is_closed() {
            return;
        }
        if let Some(endpoint) = cx.endpoints.get(self.endpoint)
            && let Some(session) = self.session.and_then(|session| endpoint.session(session))
        {
            session.close(cx.now);
        }
        self.common.tell_closed(result);
    }

    /// After anything has changed.
    fn settle(&mut self, cx: &mut Cx<'_>) {
        while !self.common.is_closed()
            && let Some(message) = self.common.release(cx.now, self.peer_is_ready())
        {
            let meaning = Meaning::of(&message);
            self.put(cx, message, meaning);
        }
        if self.common.is_closed() || self.broken {
            return;
        }
        let no_more_to_come = self.far_control == FarControl::Gone && self.receiving.is_empty();
        if no_more_to_come {
            self.tail_until = None;
            self.common.tell_ended();
        }
        if self.common.finish_by.is_some() && self.common.gate.is_empty() {
            self.close_streams(cx);
            if self.sending_flows == 0
                && let Control::Open(control) = self.control
            {
                if self.keeps_control() {
                    if self.control_left == 0 {
                        self.leave(cx, Ok(()));
                    }
                    return;
                }
                self.control = Control::Closing;
                if let Some(flow) = cx.endpoints.get(self.endpoint).and_then(|e| e.send_flow(control)) {
                    flow.close(cx.now);
                }
            }
        }
        if self.control == Control::Gone && self.common.is_ended() && self.sending_flows == 0 {
            self.end(cx);
        }
    }

    /// Whether its control flow stays open until the session ends.
    fn keeps_control(&self) -> bool {
        self.common.role == Role::Client && self.common.config.keeps_control_flow
    }

    /// Ends in order.
    fn end(&mut self, cx: &mut Cx<'_>) {
        self.reject_all(cx);
        if let Some(endpoint) = cx.endpoints.get(self.endpoint)
            && let Some(mut session) = self.session.and_then(|session| endpoint.session(session))
        {
            session.configure(cx.now, |session| session.idle_limit = FAREWELL);
        }
        self.common.tell_closed(Ok(()));
    }

    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        if self.common.is_closed() {
            return None;
        }
        let ends = [self.barriers.next_end(), self.tail_until, self.common.next_end()];
        ends.into_iter().flatten().min()
    }

    pub(crate) fn handle_timeout(&mut self, cx: &mut Cx<'_>) {
        if self.common.is_closed() {
            return;
        }
        let free = self.barriers.expire(cx.now);
        self.resume(cx, free);
        if self.tail_until.is_some_and(|end| end <= cx.now) {
            self.tail_until = None;
            if let Some(refusal) = self.refusal() {
                return self.fail(cx, refusal);
            }
            self.far_control = FarControl::Gone;
            self.reject_all(cx);
        }
        if self.common.finish_by.is_some_and(|end| end <= cx.now) {
            if self.control == Control::Gone {
                return self.end(cx);
            }
            if !self.wait_for_rest(cx.now) {
                return self.fail(cx, LinkError::Unfinished);
            }
        }
        self.settle(cx);
    }
}

/// Bytes of a message before its payload: type and timestamp.
const HEAD: usize = 5;
/// How long a session may be without flows once a client was accepted (RFC 7016 section 3.5.4.2).
const IDLE_LIMIT: core::time::Duration = core::time::Duration::from_secs(120);
/// The same when the client is gone.
const FAREWELL: core::time::Duration = core::time::Duration::from_secs(5);
