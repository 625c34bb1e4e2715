//! Short-lived handles to sessions and flows.

mod measures;

mod introduce;

use core::net::SocketAddr;
use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use rtmfp_base::{InterfaceId, Message, ReceiptId, Tag, Time, WriteOptions};

use super::{Endpoint, FlowSpec, OpenFlowError};
use crate::config::SessionConfig;
use crate::crypto::KeyInfo;
use crate::event::CloseReason;
use crate::recv::{ReceiveOrder, Received, RecvFlow, State as RecvState};
use crate::send::{SendFlow, State as SendState};
use crate::{Priority, RecvFlowId, SendFlowId, SessionId};

/// What is known of a session.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SessionInfo {
    /// Where its packets go.
    pub far_address: SocketAddr,
    /// Where they leave from.
    pub interface: InterfaceId,
    /// The far end's certificate.
    pub certificate: Bytes,
    /// The far end's canonical Endpoint Discriminator.
    pub epd: Bytes,
    /// The near end began it.
    pub initiator: bool,
    /// Smoothed round-trip time, once measured.
    pub srtt: Option<Duration>,
    /// The time-out of retransmission now.
    pub erto: Duration,
    /// The congestion window in bytes.
    pub window: usize,
    /// Bytes of user data in the network.
    pub outstanding: usize,
    /// Largest clear packet in bytes now, as [`MAX_PACKET`](crate::MAX_PACKET).
    pub max_packet: usize,
    /// What the keys can do.
    pub keys: Option<KeyInfo>,
}

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The flow is closed or was rejected.
    #[error("the flow is closed")]
    Closed,
    /// As much as allowed is queued in the flow, in its session or in the endpoint.
    #[error("as much as allowed is queued")]
    Full,
}

/// An open session.
#[derive(Debug)]
pub struct SessionRef<'a> {
    endpoint: &'a mut Endpoint,
    id: SessionId,
}

/// A sending flow. When it ends while the handle is held, the handle reads as that of an empty closed flow.
#[derive(Debug)]
pub struct SendFlowRef<'a> {
    endpoint: &'a mut Endpoint,
    id: SendFlowId,
}

/// A receiving flow. When it ends while the handle is held (reading its last message does that), the handle reads as
/// that of an empty flow.
#[derive(Debug)]
pub struct RecvFlowRef<'a> {
    endpoint: &'a mut Endpoint,
    id: RecvFlowId,
    session: SessionId,
}

impl Endpoint {
    /// An open session; `None` when it is not open any more.
    pub fn session(&mut self, id: SessionId) -> Option<SessionRef<'_>> {
        self.sessions.get(id).filter(|session| session.is_open())?;
        Some(SessionRef { endpoint: self, id })
    }

    /// A sending flow; `None` when it has ended.
    pub fn send_flow(&mut self, id: SendFlowId) -> Option<SendFlowRef<'_>> {
        self.flows.send.get(id)?;
        Some(SendFlowRef { endpoint: self, id })
    }

    /// A receiving flow; `None` when it has ended or was rejected.
    pub fn recv_flow(&mut self, id: RecvFlowId) -> Option<RecvFlowRef<'_>> {
        let session = self.flows.recv.get(id).filter(|flow| !flow.is_rejected())?.session;
        Some(RecvFlowRef { endpoint: self, id, session })
    }

    /// After the queue of a flow has changed.
    pub(super) fn settle_send(&mut self, now: Time, id: SendFlowId) {
        let Some(flow) = self.flows.send.get(id) else { return };
        let session = flow.session;
        match session.and_then(|session| self.sessions.get_mut(session)) {
            Some(open) => open.settle_send(now, &mut self.flows, id),
            None => self.flows.tell_progress(id),
        }
        if let Some(session) = session {
            self.touch(now, session);
        }
    }

    /// After a receiving flow was read or reconfigured.
    fn settle_recv(&mut self, now: Time, id: RecvFlowId) {
        let Some(flow) = self.flows.recv.get(id).filter(|flow| flow.state != RecvState::Ended) else {
            return;
        };
        let (session, wire_id) = (flow.session, flow.wire_id);
        let Some(open) = self.sessions.get_mut(session) else { return };
        open.deliver(now, &mut self.flows, id);
        if let Some(flow) = self.flows.recv.get(id)
            && flow.window_reopened(open.window_room(&self.flows.received, id, flow))
        {
            open.owe_ack(now, wire_id, true);
        }
        open.settle_recv(now, &mut self.flows, id);
        self.touch(now, session);
    }
}

impl SessionRef<'_> {
    /// Its id.
    pub fn id(&self) -> SessionId {
        self.id
    }

    pub(crate) fn session(&self) -> Option<&crate::session::Session> {
        self.endpoint.sessions.get(self.id).map(|session| &**session)
    }

    /// What is known of it.
    ///
    /// # Panics
    /// Never: the handle is made for open sessions only and keeps the endpoint borrowed.
    pub fn info(&self) -> SessionInfo {
        let session = &self.endpoint.sessions.get(self.id).expect("the session of a handle is open");
        SessionInfo {
            far_address: session.path.to,
            interface: session.path.interface,
            certificate: session.certificate.clone(),
            epd: session.epd.clone(),
            initiator: session.role == crate::session::Role::Initiator,
            srtt: session.path.srtt(),
            erto: session.path.erto,
            window: session.congestion.glance(|made| made.window()),
            outstanding: session.flight.outstanding,
            max_packet: session.mtu.size(),
            keys: self.endpoint.profile.key_info(session.key),
        }
    }

    /// Changes its settings; times below their minimum of one second are raised to it.
    pub fn configure(&mut self, now: Time, change: impl FnOnce(&mut SessionConfig)) {
        if let Some(session) = self.endpoint.sessions.get_mut(self.id) {
            let config = Arc::make_mut(&mut session.config);
            change(config);
            config.normalize();
            session.arm_keepalive(now);
            let idle_at = session.life.flowless_since + session.config.idle_limit;
            session.timers.set(crate::session::Timer::Idle, idle_at.max(now));
        }
        self.endpoint.touch(now, self.id);
    }

    /// Opens a sending flow in it.
    ///
    /// # Errors
    /// [`OpenFlowError`].
    pub fn open_flow(&mut self, now: Time, spec: FlowSpec, tag: Tag) -> Result<SendFlowId, OpenFlowError> {
        self.endpoint.open_in(now, self.id, spec, tag, None)
    }

    /// Closes it in order: its flows end at once, the far end is told until it confirms. Close the flows first to
    /// have all data delivered.
    pub fn close(self, now: Time) {
        self.endpoint.close_session(now, self.id, CloseReason::Near);
    }

    /// Ends it at once; the far end is told once.
    pub fn abort(self, now: Time) {
        self.endpoint.abort_session(now, self.id, CloseReason::Near);
    }
}

impl Endpoint {
    fn open_in(
        &mut self,
        now: Time,
        session: SessionId,
        spec: FlowSpec,
        tag: Tag,
        association: Option<(RecvFlowId, u64)>,
    ) -> Result<SendFlowId, OpenFlowError> {
        self.check_flow(&spec)?;
        self.sessions.get(session).filter(|s| s.is_open()).ok_or(OpenFlowError::NotOpen)?;
        let capacity = self.config.send_capacity;
        let mut flow = SendFlow::new(Bytes::new(), spec.metadata, tag, spec.priority, capacity);
        flow.association = association;
        self.attach_new(now, session, flow)
    }
}

impl SendFlowRef<'_> {
    fn flow(&mut self) -> Option<&mut SendFlow> {
        self.endpoint.flows.send.get_mut(self.id)
    }

    /// Its session, once it is open.
    pub fn session(&mut self) -> Option<SessionId> {
        let flow = self.flow()?;
        flow.session.filter(|_| flow.bound)
    }

    /// Adds an address to look for the far end at, while the session is opening.
    pub fn add_candidate(&mut self, now: Time, to: SocketAddr) {
        if let Some(session) = self.flow().and_then(|flow| flow.session) {
            self.endpoint.add_candidate(now, session, to, now, false);
        }
    }

    /// Queues a message. With `options.notify` the receipt leads to it until [`crate::Event::WriteEnded`]
    /// tells its end.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn write(
        &mut self,
        now: Time,
        message: Message,
        options: &WriteOptions,
    ) -> Result<Option<ReceiptId>, WriteError> {
        let limits = &self.endpoint.config.limits;
        let (limit, of_session, of_all) =
            (limits.send_queue, limits.session_send_queue, limits.total_send_queue);
        let id = self.id;
        let Some(flow) = self.flow().filter(|flow| flow.state == SendState::Open) else {
            return Err(WriteError::Closed);
        };
        flow.queue.expire(now);
        let (session, buffered) = (flow.session, flow.queue.buffered());
        // What has expired is not counted any more.
        self.endpoint.flows.tell_progress(id);
        let queued = &self.endpoint.flows.queued;
        let len = message.len();
        if buffered + len > limit || queued.of(session) + len > of_session || queued.all() + len > of_all {
            self.endpoint.stats.limited_writes += 1;
            self.endpoint.settle_send(now, id);
            return Err(WriteError::Full);
        }
        let receipt = self.endpoint.flows.write(now, id, message, options);
        self.endpoint.settle_send(now, id);
        Ok(receipt.filter(|_| options.notify))
    }

    /// Bytes of messages that have not ended, overhead included.
    pub fn buffered(&mut self) -> usize {
        self.flow().map_or(0, |flow| flow.queue.buffered())
    }

    /// Bytes of messages that were never sent.
    pub fn unsent(&mut self) -> usize {
        self.flow().map_or(0, |flow| flow.queue.unsent())
    }

    /// Whether less is buffered than the flow's capacity.
    pub fn is_writable(&mut self) -> bool {
        self.flow().is_some_and(|flow| flow.state == SendState::Open && flow.queue.buffered() < flow.capacity)
    }

    /// Sets how many bytes it takes before it is no longer writable.
    pub fn set_capacity(&mut self, now: Time, bytes: usize) {
        let Some(flow) = self.flow() else { return };
        flow.capacity = bytes;
        self.endpoint.settle_send(now, self.id);
    }

    /// Its priority.
    pub fn priority(&mut self) -> Priority {
        self.flow().map_or_else(Priority::default, |flow| flow.priority)
    }

    /// Changes its priority.
    pub fn set_priority(&mut self, now: Time, priority: Priority) {
        let Some(flow) = self.flow() else { return };
        flow.priority = priority;
        self.endpoint.settle_send(now, self.id);
    }

    /// Closes it: what was written is still delivered, then [`crate::Event::FlowClosed`]. One that was
    /// never written to vanishes at once. Of one that the far end has rejected nothing more is told, and no more flows are
    /// offered in return of it.
    pub fn close(mut self, now: Time) {
        let id = self.id;
        let Some(flow) = self.flow().filter(|flow| flow.state != SendState::Closing) else { return };
        let was_rejected = flow.state == SendState::Rejected;
        flow.state = SendState::Closing;
        if was_rejected || flow.queue.was_used() {
            return self.endpoint.settle_send(now, id);
        }
        // Nothing of it is known to the far end.
        let session = flow.session;
        let Some(flow) = self.endpoint.flows.drop_send(id) else { return };
        self.endpoint.flows.events.push_back(crate::Event::FlowClosed { flow: id, tag: flow.tag });
        let Some(session) = session else { return };
        let mut unwanted = false;
        if let Some(open) = self.endpoint.sessions.get_mut(session) {
            if flow.bound {
                open.release_wire_id(flow.wire_id);
                open.note_flows(now);
            }
            if let Some(opening) = &mut open.opening {
                opening.flows.retain(|&other| other != id);
                unwanted = opening.flows.is_empty();
            }
        }
        if unwanted {
            self.endpoint.abort_session(now, session, CloseReason::Near);
        }
    }
}

impl RecvFlowRef<'_> {
    fn flow(&mut self) -> Option<&mut RecvFlow> {
        self.endpoint.flows.recv.get_mut(self.id)
    }

    /// Its session.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// The sending flow that it is in return of.
    pub fn associated(&mut self) -> Option<SendFlowId> {
        self.flow()?.associated
    }

    /// The next message. Reading makes room for the far end to send more.
    pub fn read(&mut self, now: Time) -> Option<Received> {
        let id = self.id;
        let flow = self.endpoint.flows.recv.get_mut(id)?;
        if flow.state == RecvState::Ended {
            return self.endpoint.flows.read_ended(id);
        }
        let before = flow.buffered();
        let message = flow.read();
        let after = flow.buffered();
        flow.readable_told &= flow.has_ready();
        let settled = flow.has_ready() && !flow.is_nearly_closed();
        let session = flow.session;
        if let Some(open) = self.endpoint.sessions.get_mut(session) {
            open.account(now, &mut self.endpoint.flows, id, before, after);
        }
        if settled {
            self.endpoint.touch(now, session);
        } else {
            self.endpoint.settle_recv(now, id);
        }
        message
    }

    /// Sets the order in which messages are given out.
    pub fn set_order(&mut self, now: Time, order: ReceiveOrder) {
        let Some(flow) = self.flow() else { return };
        flow.order = order;
        self.endpoint.settle_recv(now, self.id);
    }

    /// Stops or goes on giving out messages (RFC 7016 section 3.6.3.3, a suspended flow).
    pub fn set_hold(&mut self, now: Time, hold: bool) {
        let Some(flow) = self.flow() else { return };
        flow.hold = hold;
        self.endpoint.settle_recv(now, self.id);
    }

    /// Sets how many bytes it advertises room for, and how long a message may be.
    pub fn set_capacity(&mut self, now: Time, bytes: usize, max_message: usize) {
        let id = self.id;
        let Some(flow) = self.flow().filter(|flow| flow.state != RecvState::Ended) else { return };
        let grew = bytes > flow.capacity;
        flow.capacity = bytes;
        flow.max_message = max_message;
        let (session, wire_id) = (flow.session, flow.wire_id);
        if grew && let Some(open) = self.endpoint.sessions.get_mut(session) {
            open.owe_ack(now, wire_id, true);
        }
        self.endpoint.settle_recv(now, id);
    }

    /// Opens a sending flow in return of this one.
    ///
    /// # Errors
    /// [`OpenFlowError`].
    pub fn open_return_flow(
        &mut self,
        now: Time,
        spec: FlowSpec,
        tag: Tag,
    ) -> Result<SendFlowId, OpenFlowError> {
        let id = self.id;
        let flow = self.flow().filter(|flow| matches!(flow.state, RecvState::Open | RecvState::Offered));
        let Some(flow) = flow else { return Err(OpenFlowError::NotOpen) };
        let (session, wire_id) = (flow.session, flow.wire_id);
        self.endpoint.open_in(now, session, spec, tag, Some((id, wire_id)))
    }

    /// Refuses the flow from now on; the far end gets the code. No event follows.
    pub fn reject(self, now: Time, code: u64) {
        self.endpoint.reject(now, self.id, code);
    }
}
